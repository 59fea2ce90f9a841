"""PyTorch: batches drawn, backward calls and their losses, steps of optimizers, what they move.

Nothing here draws a random number, and what is read of a tensor is read rarely: a value on a GPU
costs a wait for it.
"""

from __future__ import annotations

import math
import sys
import time
import weakref
from types import ModuleType
from typing import Any

from .journal import around, bound, brief, count, emit, guarded, new_id, where

EACH_LOSS_UP_TO = 32
SECONDS_BETWEEN_LOSSES = 0.5
MOST_PARAMETERS = 64
MOST_ELEMENTS = 16


class _Pass:
    """One going through of a loader."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.drawn = 0
        self.worked = 0
        self.optimizers: set[int] = set()


class _State:
    """What of this process's training is going on."""

    current: _Pass | None = None
    losses = 0
    loss_at = 0.0


_state = _State()
_loaders: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
_passes: weakref.WeakKeyDictionary[Any, _Pass] = weakref.WeakKeyDictionary()
_optimizers: weakref.WeakKeyDictionary[Any, _Optimizer] = weakref.WeakKeyDictionary()


def loaders(module: ModuleType) -> None:
    """Watches ``DataLoader`` and the iterators it gives; cuts them where that is asked for."""
    around(module.DataLoader, "__init__", None, _made)
    around(module.DataLoader, "__iter__", None, _begun)
    _watch_drawing(module._BaseDataLoaderIter)


def _made(token: Any, result: Any, loader: Any, *args: Any, **kwargs: Any) -> None:
    if loader in _loaders:
        return
    number = _loaders[loader] = new_id()
    emit(
        "loader",
        id=number,
        dataset=type(getattr(loader, "dataset", None)).__name__,
        batch_size=getattr(loader, "batch_size", None),
        workers=getattr(loader, "num_workers", None),
        place=where(),
    )


def _begun(token: Any, iterator: Any, loader: Any) -> None:
    number = _loaders.get(loader)
    if number is None:
        number = _loaders[loader] = new_id()
    this = _passes[iterator] = _Pass(new_id())
    emit("pass", id=this.number, loader=number, place=where())


def _watch_drawing(kind: Any) -> None:
    draw = kind.__next__
    most = bound("batches")

    def __next__(iterator: Any) -> Any:  # noqa: N807 - it stands for the iterator's own
        if most is not None and _is_cut(iterator, most):
            raise StopIteration
        batch = draw(iterator)
        _drawn(iterator)
        return batch

    kind.__next__ = __next__


@guarded
def _is_cut(iterator: Any, most: int) -> bool:
    this = _passes.get(iterator)
    if this is None or this.drawn < most:
        return False
    if this.drawn == most:
        emit("bound", what="batches", most=most, place=where())
        this.drawn += 1
    return True


@guarded
def _drawn(iterator: Any) -> None:
    this = _passes.get(iterator)
    if this is None:
        this = _passes[iterator] = _Pass(new_id())
        emit("pass", id=this.number, loader=0, place=where())
    this.drawn += 1
    this.worked = 0
    _state.current = this
    count("batch", this.number)


def tensors(module: ModuleType) -> None:
    """Watches ``Tensor.backward`` for what it is called on."""
    around(module.Tensor, "backward", _backward)


def _backward(loss: Any, *args: Any, **kwargs: Any) -> None:
    count("backward", 0)
    this = _state.current
    if this is not None and not this.worked:
        this.worked = 1
        count("worked", this.number)
    _state.losses += 1
    now = time.monotonic()
    if _state.losses > EACH_LOSS_UP_TO and now - _state.loss_at < SECONDS_BETWEEN_LOSSES:
        return
    _state.loss_at = now
    if _is_capturing() or loss.numel() != 1:
        return
    value = float(loss.detach())
    # Half precision overflows by a scaler's factor alone, which is no fault of the loss.
    doubtful = str(loss.dtype) == "torch.float16" and math.isinf(value)
    emit("loss", value=None if doubtful else value, number=_state.losses, place=where())


def _is_capturing() -> bool:
    """Whether a CUDA graph is being recorded: nothing may be read then."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return False
    return bool(getattr(cuda, "is_current_stream_capturing", lambda: False)())


class _Optimizer:
    """An optimizer and a sample of what it trains."""

    def __init__(self, optimizer: Any) -> None:
        self.number = new_id()
        self.steps = 0
        self.sample: dict[int, list[float]] = {}
        self.moved: set[int] = set()
        self.told = -1
        self.rate = 0.0
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.parameters = len(parameters)


def optimizers(module: ModuleType) -> None:
    """Watches every optimizer's ``step``, also those of classes that are not PyTorch's own."""
    around(module.Optimizer, "__init__", None, _built)


def _built(token: Any, result: Any, optimizer: Any, *args: Any, **kwargs: Any) -> None:
    if optimizer in _optimizers:
        return
    this = _optimizers[optimizer] = _Optimizer(optimizer)
    emit(
        "optimizer",
        id=this.number,
        type=type(optimizer).__name__,
        parameters=this.parameters,
        place=where(),
    )
    # A class that inherits its step is watched where that step is written.
    for owner in type(optimizer).__mro__:
        if "step" in owner.__dict__:
            if owner.__name__ != "Optimizer":
                around(owner, "step", _before_step, _after_step)
            break


def _before_step(optimizer: Any, *args: Any, **kwargs: Any) -> None:
    this = _optimizers.get(optimizer)
    if this is not None and not this.sample and not _is_capturing():
        this.sample = _sample(optimizer)


def _after_step(token: Any, result: Any, optimizer: Any, *args: Any, **kwargs: Any) -> None:
    this = _optimizers.get(optimizer)
    if this is None:
        return
    this.steps = count("step", this.number)
    current = _state.current
    if current is not None and this.number not in current.optimizers:
        current.optimizers.add(this.number)
        emit("trains", loader_pass=current.number, optimizer=this.number, place=where())
    rates = [group.get("lr") for group in optimizer.param_groups]
    this.rate = max([this.rate, *(float(rate) for rate in rates if rate is not None)])
    still = len(this.moved) < len(this.sample)
    if still and this.steps & (this.steps - 1) == 0 and not _is_capturing():
        for key, values in _sample(optimizer).items():
            if this.sample.get(key, values) != values:
                this.moved.add(key)
        if len(this.moved) != this.told:
            this.told = len(this.moved)
            emit(
                "moved",
                optimizer=this.number,
                step=this.steps,
                moved=len(this.moved),
                sampled=len(this.sample),
                rate=this.rate,
                place=where(),
            )


def _sample(optimizer: Any) -> dict[int, list[float]]:
    """Some elements of some parameters, spread over both; NaN is written as 0 with a mark."""
    torch = sys.modules["torch"]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    parameters = [p for p in parameters if type(p).__name__ in ("Parameter", "Tensor")]
    chosen = parameters[:: max(1, len(parameters) // MOST_PARAMETERS)][:MOST_PARAMETERS]
    found: dict[int, list[float]] = {}
    with torch.no_grad():
        for number, parameter in enumerate(chosen):
            if not parameter.is_floating_point() or not parameter.numel() or parameter.is_sparse:
                continue
            if parameter.device.type not in ("cpu", "cuda", "mps"):
                continue
            flat = parameter.detach().reshape(-1)
            some = flat[:: max(1, flat.numel() // MOST_ELEMENTS)][:MOST_ELEMENTS]
            values = some.float().cpu().tolist()
            found[number] = [value if value == value else -1e300 for value in values]
    return found


def describe(value: Any) -> Any:
    """A logged value as JSON holds it: numbers as they are, the rest as a short text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return brief(value) if isinstance(value, str) else value
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        found = value.item()
        return found if isinstance(found, (bool, int, float)) else brief(found)
    return f"<{type(value).__name__}>"
