"""Weights & Biases: how runs are started, what is logged, what stands in the summary."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

from .journal import Changed, around, bounds, brief, count, emit, guarded, where
from .pytorch import describe

MOST_KEYS = 400
_ARGUMENTS = ("project", "entity", "id", "name", "group", "mode", "resume", "dir", "job_type")
_rows = 0
_keys: set[tuple[str, str]] = set()


def beginnings(module: ModuleType) -> None:
    """Watches ``wandb.init``; forces W&B offline or online where that is asked for."""
    for owner in (module, getattr(module, "sdk", None)):
        if owner is not None:
            around(owner, "init", _init, _began)


def runs(module: ModuleType) -> None:
    """Watches what is logged, in a run that is online and in one that is not."""
    for name in ("Run", "NoopRun"):
        owner = module.__dict__.get(name)
        if isinstance(owner, type) and owner.__module__ == module.__name__:
            around(owner, "log", _logged)
            around(owner, "finish", _finished)


def summaries(module: ModuleType) -> None:
    """Watches what goes into a summary."""
    around(module.SummaryDict, "update", _summarised)


def disabled(module: ModuleType) -> None:
    """Watches the summary of a run that is disabled: a dict whose writing it leaves to ``dict``."""
    kind = module.SummaryDisabled
    if "__setitem__" in vars(kind):
        around(kind, "__setitem__", _set)
        return

    def put(summary: Any, key: Any, value: Any) -> None:
        guarded(_set)(summary, key, value)
        dict.__setitem__(summary, key, value)

    def update(summary: Any, *args: Any, **kwargs: Any) -> None:
        # What is logged goes into the summary this way too.
        if not str(sys._getframe(1).f_globals.get("__name__")).startswith("wandb."):
            guarded(_summarised)(summary, *args)
        dict.update(summary, *args, **kwargs)

    kind.__setitem__ = kind.__setattr__ = put
    kind.update = update


def _init(*args: Any, **kwargs: Any) -> Changed | None:
    settings = kwargs.get("settings")
    inner = settings.get("mode") if isinstance(settings, dict) else getattr(settings, "mode", None)
    asked = kwargs.get("mode") or inner
    if not asked and os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes"):
        asked = "disabled"
    environment = os.environ.get("WANDB_MODE")
    mode = str(asked or environment or "online")
    emit(
        "wandb.init",
        mode=mode,
        by="argument" if asked else "environment" if environment else "default",
        arguments={k: brief(kwargs[k]) for k in _ARGUMENTS if kwargs.get(k) is not None},
        place=where(),
    )
    if bounds().get("wandb_offline") and mode not in ("disabled", "offline", "dryrun"):
        emit("bound", what="wandb", place=where())
        return Changed(args, {**kwargs, "mode": "offline"})
    if bounds().get("wandb_online") and mode != "online":
        emit("bound", what="wandb", place=where())
        os.environ.pop("WANDB_DISABLED", None)
        return Changed(args, {**kwargs, "mode": "online"})
    return None


def _began(token: Any, run: Any, *args: Any, **kwargs: Any) -> None:
    settings = getattr(run, "settings", None) or getattr(run, "_settings", None)
    emit(
        "wandb.run",
        id=brief(getattr(run, "id", None) or ""),
        mode=str(getattr(settings, "mode", "") or ""),
        project=brief(getattr(settings, "project", None) or ""),
        place=where(),
    )
    # Before 0.26 a disabled run carries a log of its own on the instance.
    own = type(run).__name__ == "RunDisabled" or callable(getattr(run, "__dict__", {}).get("log"))
    if own:
        plain = run.log
        around(run, "log", _logged_by_instance)
        module = sys.modules.get("wandb")
        if getattr(module, "log", None) is plain:
            module.log = run.log  # type: ignore[union-attr]


def _logged(run: Any, data: Any = None, step: Any = None, *args: Any, **kwargs: Any) -> None:
    _logged_by_instance(data, step, *args, **kwargs)


def _logged_by_instance(data: Any = None, step: Any = None, *args: Any, **kwargs: Any) -> None:
    global _rows
    if not isinstance(data, dict):
        return
    _rows += 1
    count("log", 0)
    values = {str(k): describe(v) for k, v in list(data.items())[:100]}
    fresh = [key for key in values if ("log", key) not in _keys and len(_keys) < MOST_KEYS]
    _keys.update(("log", key) for key in fresh)
    broken = [k for k, v in values.items() if isinstance(v, float) and (v != v or v in _INFINITE)]
    if _rows <= 64 or fresh or broken or _rows & (_rows - 1) == 0:
        emit("log", row=_rows, values=values, step=describe(step), place=where())


_INFINITE = (float("inf"), float("-inf"))


def _finished(run: Any, *args: Any, **kwargs: Any) -> None:
    emit("wandb.finish", place=where())


def _summarised(summary: Any, data: Any = None, *args: Any, **kwargs: Any) -> None:
    if isinstance(data, dict):
        for key, value in list(data.items())[:100]:
            _set(summary, key, value)


def _set(summary: Any, key: Any, value: Any) -> None:
    if ("summary", str(key)) not in _keys and len(_keys) < MOST_KEYS:
        _keys.add(("summary", str(key)))
        emit("summary", key=str(key), value=describe(value), place=where())
