"""Running a package for real: bounded, observed and sandboxed.

Nothing here is imported by ``check`` unless a trial is asked for by name.
"""
