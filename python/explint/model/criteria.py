"""The nine criteria of the experiment protocol, and what of each is not decided by any rule yet."""

from __future__ import annotations

import msgspec


class Criterion(msgspec.Struct, frozen=True, kw_only=True):
    """``undecided`` names what no rule of this version judges; while it is not empty the
    criterion can be violated but never met, and the verdict says why."""

    number: int
    title: str
    undecided: str = ""


CRITERIA: dict[int, Criterion] = {
    c.number: c
    for c in (
        Criterion(number=1, title="Complete implementation"),
        Criterion(number=2, title="Hydra integration"),
        Criterion(
            number=3,
            title="Data pipeline",
            undecided="whether the data can be had and read shows only in a run",
        ),
        Criterion(
            number=4,
            title="Model implementation",
            undecided="whether shapes and devices fit everywhere shows only in a run",
        ),
        Criterion(number=5, title="File structure"),
        Criterion(number=6, title="WandB integration"),
        Criterion(number=7, title="Configuration files"),
        Criterion(number=8, title="Evaluation script"),
        Criterion(number=9, title="Trial mode"),
    )
}
