"""An argparse parser that says why it would end the program and does not end it.

Apart from the rules, because most packages take their arguments in other ways and argparse takes
longer to import than these rules take to answer.
"""

from __future__ import annotations

import argparse
from typing import NoReturn


class RejectedError(Exception):
    """What argparse says where it would end the program."""


class Parser(argparse.ArgumentParser):
    """Raises RejectedError for words that it does not take."""

    def error(self, message: str) -> NoReturn:
        """Words that the parser rejects."""
        raise RejectedError(message)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:  # noqa: ARG002
        """An action that ends the program."""
        raise RejectedError(message or "the program ends")
