"""Hydra: the config a job starts with."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from .errors import flatten
from .journal import around, emit

MOST_VALUES = 400


def jobs(module: ModuleType) -> None:
    """Watches ``run_job``, which every ``@hydra.main`` ends in."""
    around(module, "run_job", _job)


def _job(*args: Any, **kwargs: Any) -> None:
    from omegaconf import OmegaConf

    config = kwargs.get("config", args[1] if len(args) > 1 else None)
    plain = OmegaConf.to_container(config, resolve=False)
    if isinstance(plain, dict):
        plain.pop("hydra", None)
        values: dict[str, str] = {}
        flatten(plain, "", values, MOST_VALUES)
        emit("config", values=values)
