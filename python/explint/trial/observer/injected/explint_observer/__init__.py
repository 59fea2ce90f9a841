"""What explint puts into every Python process of a trial, to see what it does.

Pure standard library, for Python 3.9 and newer; nothing is imported early for the libraries it
watches. No hook may change what the program does or make it fail: each is guarded, and an error of
the observer itself becomes an event.
"""

from __future__ import annotations

import os


def start() -> None:
    """Installs the hooks, once, where ``EXPLINT_OBSERVER_EVENTS`` names a folder for events."""
    folder = os.environ.get("EXPLINT_OBSERVER_EVENTS")
    if not folder:
        return
    try:
        from . import errors, journal, libraries, system

        if journal.begin(folder):
            errors.install()
            system.install()
            libraries.install()
    except Exception:  # noqa: BLE001 - the program under observation must start all the same
        return
