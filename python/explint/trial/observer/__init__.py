"""What watches a trial from inside its processes, and how it gets there.

A folder on ``PYTHONPATH`` whose ``sitecustomize`` Python runs at its start, in child processes too.
It does not see Python started with ``-I``, ``-E`` or ``-S``, programs that are not Python (W&B's
``wandb-core`` among them), and files that C code writes without asking Python; what a run left in
its folders is therefore compared as well.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

FOLDER = Path(__file__).resolve().parent / "injected"
"""The folder that goes on ``PYTHONPATH``; a sandbox must let the run read it."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may do at most, whatever its code says; None leaves it alone.

    ``batches`` cuts every pass over a PyTorch ``DataLoader``, the steps of a transformers
    ``Trainer`` and the limits of a Lightning ``Trainer``, which then trains for one epoch.
    ``trials`` is the number of trials that one call of ``Study.optimize`` gets: with 0 a package
    that asks for the best trial finds none. ``wandb_offline`` keeps W&B off the network; a run that
    disables it stays disabled. ``wandb_online`` makes every ``wandb.init`` an online one, whatever
    mode it asks for: for a rehearsal, whose W&B is on this machine.
    """

    batches: int | None = 2
    trials: int | None = 1
    wandb_offline: bool = True
    wandb_online: bool = False


def environment(events: Path, bounds: Bounds | None = None) -> dict[str, str]:
    """The variables that make Python processes write what they do into the folder ``events``.

    The folder must exist and be writable for the run. A ``PYTHONPATH`` that the run has anyway must
    be joined behind this one. With ``bounds`` the run is also held back.
    """
    variables = {"PYTHONPATH": str(FOLDER), "EXPLINT_OBSERVER_EVENTS": str(events)}
    if bounds is not None:
        variables["EXPLINT_OBSERVER_BOUNDS"] = msgspec.json.encode(bounds).decode()
    return variables
