"""What goes wrong in a rehearsal, apart from the package's own mistakes."""

from __future__ import annotations


class RefusedError(Exception):
    """A client asked for what the stand-in does not serve, or for too much."""


class MissingExtraError(Exception):
    """A library is not installed that only rehearsals need."""

    def __init__(self, library: str) -> None:
        super().__init__(
            f"a rehearsal needs {library}: install it with `pip install 'explint[rehearsal]'`"
        )
