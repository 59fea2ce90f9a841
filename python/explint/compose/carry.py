"""Whether a command line carries a run id to Hydra as it is."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from explint.compose.errors import CompositionFailure, NotCovered
from explint.compose.overrides import parse_override
from explint.compose.shell import ShellProblem, split

_STAND_IN = "EXPLINT_RUN_ID"


class Refusal(msgspec.Struct, frozen=True):
    """What an unquoted run id ends in.

    ``by`` is who does not take it; ``message`` goes on after "the shell" or "Hydra".
    """

    by: Literal["shell", "hydra"]
    message: str


def refusal(command: str, run_id: str, *, group: bool) -> Refusal | None:
    """Why ``command``, with ``{run_id}`` in it, does not hand on the id; None when it does.

    ``group`` says that the id chooses an option of a config group, which must be text; a plain
    value may be a number that prints as it was written.
    """
    meant = split(command.replace("{run_id}", _STAND_IN))
    if isinstance(meant, ShellProblem) or not any(_STAND_IN in word for word in meant):
        return None
    got = split(command.replace("{run_id}", run_id))
    if isinstance(got, ShellProblem) and got.is_pattern:
        # A pattern that matches no file is passed on as it was written.
        got = [word.replace(_STAND_IN, run_id) for word in meant]
    if isinstance(got, ShellProblem):
        return Refusal("shell", f"says: {got.message}" if got.fatal else f"reads on: {got.message}")
    for place, word in enumerate(meant):
        if _STAND_IN not in word:
            continue
        wanted = word.replace(_STAND_IN, run_id)
        if len(got) != len(meant):
            return Refusal("shell", "splits it at the blank")
        if got[place] != wanted:
            return Refusal("shell", f"makes `{got[place]}` of `{wanted}`")
        if re.fullmatch(rf"[\w.]+={_STAND_IN}", word):
            return _refused_by_hydra(wanted, run_id, group=group)
    return None


def _refused_by_hydra(word: str, run_id: str, *, group: bool) -> Refusal | None:
    try:
        value = parse_override(word).value
    except CompositionFailure as failed:
        return Refusal("hydra", f"says: {failed.error.message}")
    except NotCovered:
        return None
    if value == run_id and isinstance(value, str):
        return None
    if not group and isinstance(value, int | float) and str(value) == run_id:
        return None
    if value is None or isinstance(value, bool | int | float):
        kind = {bool: "a boolean", int: "an integer", float: "a float"}.get(type(value), "null")
        return Refusal("hydra", f"reads {kind}")
    return Refusal("hydra", "reads something else than text")
