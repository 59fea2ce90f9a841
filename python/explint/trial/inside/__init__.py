"""The part that runs around an experiment's command, inside its sandbox.

Only the standard library is imported here: the launcher must start on what the sandbox shows it.
"""
