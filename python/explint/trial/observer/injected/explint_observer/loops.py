"""Training loops of libraries: the Trainer of transformers, and Lightning's."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from .journal import Changed, around, bound, brief, emit, where

_TRANSFORMERS = ("max_steps", "num_train_epochs", "gradient_accumulation_steps", "report_to")
_LIGHTNING = (
    "max_epochs",
    "max_steps",
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "fast_dev_run",
    "accumulate_grad_batches",
)
_LIMITS = tuple(f"limit_{part}_batches" for part in ("train", "val", "test", "predict"))
_ENTRIES = ("fit", "validate", "test", "predict")


def transformers(module: ModuleType) -> None:
    """Watches ``Trainer.train`` and the evaluation; sets ``max_steps`` where that is asked for."""
    around(module.Trainer, "train", _train, _trained("transformers", "train"))
    around(module.Trainer, "evaluate", _entered("transformers", "evaluate"))
    around(module.Trainer, "predict", _entered("transformers", "predict"))


def _train(trainer: Any, *args: Any, **kwargs: Any) -> None:
    settings = getattr(trainer, "args", None)
    most = bound("batches")
    if settings is not None and most is not None:
        steps = getattr(settings, "max_steps", -1)
        if steps is None or steps <= 0 or steps > most:
            settings.max_steps = most
            emit("bound", what="steps", most=most, place=where())
    shown = {k: brief(getattr(settings, k, None)) for k in _TRANSFORMERS}
    emit("loop", library="transformers", entry="train", settings=shown, place=where())


def lightning(module: ModuleType) -> None:
    """Watches Lightning's ``Trainer``; sets its limits where that is asked for."""
    around(module.Trainer, "__init__", _configured)
    for entry in _ENTRIES:
        around(module.Trainer, entry, _entered("lightning", entry), _trained("lightning", entry))


def _configured(trainer: Any, *args: Any, **kwargs: Any) -> Changed | None:
    most = bound("batches")
    if most is None:
        return None
    limits: dict[str, Any] = {"max_epochs": 1}
    for name in (*_LIMITS, "num_sanity_val_steps"):
        given = kwargs.get(name)
        # A limit below 1 that is no whole number is a share of the batches.
        limits[name] = min(most, given) if isinstance(given, int) and given >= 0 else most
    emit("bound", what="lightning", most=most, place=where())
    return Changed((trainer, *args), {**kwargs, **limits})


def _entered(library: str, entry: str) -> Any:
    def entered(trainer: Any, *args: Any, **kwargs: Any) -> None:
        shown = {k: brief(getattr(trainer, k)) for k in _LIGHTNING if hasattr(trainer, k)}
        emit("loop", library=library, entry=entry, settings=shown, place=where())

    return entered


def _trained(library: str, entry: str) -> Any:
    def trained(token: Any, result: Any, trainer: Any, *args: Any, **kwargs: Any) -> None:
        state = getattr(trainer, "state", None)
        steps = getattr(state, "global_step", getattr(trainer, "global_step", None))
        epochs = getattr(state, "epoch", getattr(trainer, "current_epoch", None))
        emit("loop-end", library=library, entry=entry, steps=steps, epochs=epochs)

    return trained
