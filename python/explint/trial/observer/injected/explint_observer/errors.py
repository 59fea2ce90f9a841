"""Errors that end a program: uncaught ones, and those a handler turns into an exit code.

Hydra's ``main`` prints an exception and calls ``sys.exit(1)``, as many scripts do; the exception
is still being handled then, so ``sys.exit`` is where it can be seen.
"""

from __future__ import annotations

import functools
import itertools
import sys

from .journal import brief, emit, flush, guarded, is_mine, relative

# Importing typing takes longer than starting the observer.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, ModuleType, TracebackType
    from typing import Any

MOST_FRAMES = 40
FRAMES_WITH_VALUES = 3
MOST_VALUES = 24
MOST_CONFIG_VALUES = 120

_SECRET = ("key", "token", "secret", "passw", "credential")
_seen: list[int] = []


def install() -> None:
    """Watches ``sys.excepthook`` and ``sys.exit``."""
    previous = sys.excepthook

    @functools.wraps(previous)
    def uncaught(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> Any:
        note(error, "uncaught")
        return previous(kind, error, trace)

    sys.excepthook = uncaught
    leave = sys.exit

    @functools.wraps(leave)
    def exit_seen(*args: Any) -> Any:
        _note_exit(args[0] if args else None)
        return leave(*args)

    sys.exit = exit_seen


def threads(module: ModuleType) -> None:
    """Watches ``threading.excepthook``."""
    previous = module.excepthook

    @functools.wraps(previous)
    def uncaught(args: Any) -> Any:
        if args.exc_value is not None:
            note(args.exc_value, "thread")
        return previous(args)

    module.excepthook = uncaught  # type: ignore[attr-defined]


@guarded
def _note_exit(status: object) -> None:
    if status is None or status == 0:
        return
    error = sys.exc_info()[1]
    if error is not None and not isinstance(error, SystemExit):
        note(error, "exit")
        return
    frames = [f for f in _outer(sys._getframe(1)) if not is_mine(f)][-MOST_FRAMES:]
    emit("exit", status=brief(status), frames=[_place(f, f.f_lineno, f.f_lasti) for f in frames])


@guarded
def note(error: BaseException, how: str, trial: int | None = None) -> None:
    """Writes an error with the frames that led to it, once, however often it is met."""
    if id(error) in _seen:
        return
    _seen.append(id(error))
    del _seen[:-64]
    stack: list[tuple[FrameType, int, int]] = []
    trace = error.__traceback__
    while trace is not None:
        stack.append((trace.tb_frame, trace.tb_lineno, trace.tb_lasti))
        trace = trace.tb_next
    first = stack[0][0] if stack else sys._getframe(2)
    stack[:0] = [(frame, frame.f_lineno, frame.f_lasti) for frame in _outer(first.f_back)]
    stack = [item for item in stack if not is_mine(item[0])][-MOST_FRAMES:]
    inside = [item for item in stack if relative(item[0].f_code.co_filename)]
    event: dict[str, Any] = {
        "how": how,
        "type": _name(type(error)),
        "text": brief(_text(error)),
        "frames": [_place(*item) for item in stack],
        "values": [_values(frame) for frame, _, _ in inside[-FRAMES_WITH_VALUES:]],
        "config": _configs([frame for frame, _, _ in reversed(inside)]),
    }
    if isinstance(error, SyntaxError) and error.filename:
        event["source"] = [relative(error.filename) or error.filename, error.lineno or 1]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        event["cause"] = f"{_name(type(cause))}: {brief(_text(cause))}"
    if trial is not None:
        event["trial"] = trial
    emit("error", **event)
    flush()


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception's own __str__ may fail
        return ""


def _name(kind: type) -> str:
    plain = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"


def _outer(frame: FrameType | None) -> list[FrameType]:
    found: list[FrameType] = []
    while frame is not None and len(found) < 200:
        found.append(frame)
        frame = frame.f_back
    return found[::-1]


def _place(frame: FrameType, line: int, instruction: int) -> list[Any]:
    """A frame as an event holds it; in the package with the span of the expression, in bytes."""
    path = relative(frame.f_code.co_filename)
    place = [path or frame.f_code.co_filename, line, frame.f_code.co_name, path is not None]
    # Python says from 3.11 on which expression an instruction belongs to.
    positions = getattr(frame.f_code, "co_positions", None)
    if path is not None and positions is not None:
        span = next(itertools.islice(positions(), instruction // 2, None), None)
        if span is not None and None not in span and span[0] == line:
            place += [span[2], span[1], span[3]]
    return place


def _values(frame: FrameType) -> dict[str, str]:
    """Plain values and shapes among a frame's locals."""
    found: dict[str, str] = {}
    for name, value in list(frame.f_locals.items()):
        if len(found) >= MOST_VALUES or _is_secret(name) or name.startswith("__"):
            continue
        if value is None or isinstance(value, (bool, int, float)):
            found[name] = repr(value)
            continue
        if isinstance(value, str):
            # A module's strings are prose and paths more often than settings.
            if len(value) <= 80 and frame.f_code.co_name != "<module>":
                found[name] = repr(value)
            continue
        shape = _shape(value)
        if shape:
            found[name] = shape
    return found


def _is_secret(name: str) -> bool:
    name = name.lower()
    return any(word in name for word in _SECRET)


def _shape(value: object) -> str | None:
    """Shape and element type of a tensor or array, without computing anything."""
    kind = type(value)
    if kind.__module__.split(".")[0] not in ("torch", "numpy"):
        return None
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple):
        return None
    size = ", ".join(str(n) for n in shape)
    device = getattr(value, "device", None)
    on = f" on {device}" if device is not None and str(device) != "cpu" else ""
    return f"{kind.__name__} of shape ({size}), {getattr(value, 'dtype', '')}{on}"


def _configs(frames: list[FrameType]) -> dict[str, str]:
    """The values of the configs that the frames hold, by the name they are read under."""
    found: dict[str, str] = {}
    for frame in frames:
        for name, value in list(frame.f_locals.items()):
            known = any(path.startswith(f"{name}.") for path in found)
            if type(value).__name__ == "DictConfig" and not known:
                flatten(_plain(value), name, found)
    return found


def _plain(config: Any) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config, resolve=False)


def flatten(value: Any, name: str, found: dict[str, str], most: int = MOST_CONFIG_VALUES) -> None:
    """Puts the leaves of nested mappings into ``found`` under dotted names."""
    if len(found) >= most:
        return
    if isinstance(value, dict) and value:
        for key, item in value.items():
            flatten(item, f"{name}.{key}" if name else str(key), found, most)
    elif not (_is_secret(name.rpartition(".")[2]) and isinstance(value, str)):
        found[name] = brief(value if isinstance(value, str) else repr(value))
