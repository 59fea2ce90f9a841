"""Runs a library's hooks when the program imports it, and never sooner."""

from __future__ import annotations

import importlib
import sys

from .journal import guarded

# Importing typing takes longer than starting the observer.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

WATCHED = {
    "subprocess": "system:children",
    "threading": "errors:threads",
    "warnings": "system:warned",
    "torch": "pytorch:tensors",
    "torch.optim.optimizer": "pytorch:optimizers",
    "torch.utils.data.dataloader": "pytorch:loaders",
    "optuna.study.study": "search:studies",
    "wandb": "tracking:beginnings",
    "wandb.sdk.lib.disabled": "tracking:disabled",
    "wandb.sdk.lib.noop_run": "tracking:runs",
    "wandb.sdk.wandb_run": "tracking:runs",
    "wandb.sdk.wandb_summary": "tracking:summaries",
    "matplotlib.figure": "plotting:figures",
    "hydra.core.utils": "settings:jobs",
    "transformers.trainer": "loops:transformers",
    "pytorch_lightning.trainer.trainer": "loops:lightning",
    "lightning.pytorch.trainer.trainer": "loops:lightning",
}
"""By the module whose import sets it off: a function of a module beside this one."""


def install() -> None:
    """Goes first among the finders; a library that is there already is watched at once."""
    sys.meta_path.insert(0, _Finder())
    for name in WATCHED:
        if name in sys.modules:
            _watch(name, sys.modules[name])


class _Finder:
    """Finds nothing itself: it lets the others find a watched module, and notes its execution."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        if name not in WATCHED:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    _tap(name, spec.loader)
                return spec
        return None


@guarded
def _tap(name: str, loader: Any) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        # Loaders are asked for their methods later too, by pickling and by resources.
        vars(loader).pop("exec_module", None)
        execute(module)
        _watch(name, module)

    loader.exec_module = exec_module


@guarded
def _watch(name: str, module: ModuleType) -> None:
    file, _, function = WATCHED[name].partition(":")
    getattr(importlib.import_module(f"{__package__}.{file}"), function)(module)
