"""What goes wrong in a rehearsal, apart from the package's own mistakes."""

from __future__ import annotations

from importlib.util import find_spec


class RefusedError(Exception):
    """A client asked for what the stand-in does not serve, or for too much."""


class MissingExtraError(Exception):
    """A library is not installed that only rehearsals need; ``help`` says how to get it."""

    help = "Install it with `pip install 'explint[rehearsal]'`."

    def __init__(self, library: str) -> None:
        super().__init__(f"A rehearsal needs the library {library}, which is not installed.")


def need(*modules: str) -> None:
    """Asks for libraries without importing them.

    Raises:
        MissingExtraError: one is not there.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(module)
