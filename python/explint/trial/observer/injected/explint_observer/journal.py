"""One file of events per process: a line each, written as it happens, bounded, with counts.

What happens often is counted: the first few counts of a kind are written one by one, later ones
twice a second at most, and all once more at the end. A killed process loses half a second of counts
and no event.
"""

from __future__ import annotations

import functools
import os
import sys
import time

# Importing typing takes longer than starting the observer.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, TypeVar

    Function = TypeVar("Function", bound=Callable[..., Any])

MOST_BYTES = 2 << 20
"""Bytes of events per process; what decides a finding may take as much again."""
MOST_OF_A_KIND = 400
EACH_COUNT_UP_TO = 16
SECONDS_BETWEEN_COUNTS = 0.5
LONGEST_TEXT = 300

_ALWAYS = frozenset({"error", "exit", "end", "count", "wandb.init", "wandb.run", "moved"})
_HERE = os.path.dirname(os.path.realpath(__file__))
# Folders below the package's root whose code is not the package's.
_NOT_OURS = ("/site-packages/", "/dist-packages/", "/.venv/", "/venv/", "/.cache/")


class _Journal:
    """The state of this process's journal; a fork begins it anew."""

    def __init__(self) -> None:
        self.folder = ""
        self.root = ""
        self.began = time.monotonic()
        self.began_at = time.time()
        self.fd: int | None = None
        self.pid = 0
        self.bytes = 0
        self.kinds: dict[str, int] = {}
        self.counts: dict[tuple[str, int], int] = {}
        self.dirty: dict[tuple[str, int], int] = {}
        self.flushed = 0.0
        self.ids = 0
        self.relative: dict[str, str | None] = {}


_journal = _Journal()


def begin(folder: str) -> bool:
    """Sets the journal up; False when this process already has one."""
    if _journal.folder:
        return False
    _journal.folder = os.path.abspath(folder)
    # The first process stands in the package; its children may start elsewhere.
    root = os.environ.setdefault("EXPLINT_OBSERVER_ROOT", os.getcwd())
    _journal.root = os.path.realpath(root).rstrip("/") + "/"
    _journal.pid = os.getpid()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forked)
    return True


def _forked() -> None:
    if _journal.fd is not None:
        os.close(_journal.fd)
    _journal.fd = None
    _journal.pid = os.getpid()
    _journal.began, _journal.began_at = time.monotonic(), time.time()
    _journal.bytes = 0
    _journal.kinds = {}
    _journal.counts = {}
    _journal.dirty = {}


def folder() -> str:
    """The folder that events go to."""
    return _journal.folder


def command_line() -> list[str]:
    """The words this process was started with; ``sys.argv`` is not set yet at this point."""
    words = getattr(sys, "orig_argv", None)
    if words:
        return [str(word) for word in words]
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return [w.decode(errors="replace") for w in file.read().rstrip(b"\0").split(b"\0")]
    except OSError:
        return []


def _open() -> int:
    if _journal.fd is None:
        name = f"{_journal.pid}-{time.time_ns()}.jsonl"
        _journal.fd = os.open(
            os.path.join(_journal.folder, name),
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0),
            0o644,
        )
        first = {
            "e": "process",
            "at": round(_journal.began_at, 3),
            "pid": _journal.pid,
            "parent": os.getppid(),
            "command": [brief(word) for word in command_line()[:40]],
            "folder": os.getcwd(),
            "python": sys.version.split()[0],
        }
        _write(first)
    return _journal.fd


def _write(event: dict[str, Any]) -> None:
    import json

    fd = _open()
    data = json.dumps(event, default=brief, allow_nan=True).encode() + b"\n"
    if _journal.bytes + len(data) > MOST_BYTES * (2 if event["e"] in _ALWAYS else 1):
        return
    _journal.bytes += len(data)
    os.write(fd, data)


def emit(kind: str, **fields: Any) -> None:
    """Writes an event; beyond a kind's share it is only counted."""
    seen = _journal.kinds[kind] = _journal.kinds.get(kind, 0) + 1
    if seen > MOST_OF_A_KIND and kind not in _ALWAYS:
        count(f"more {kind}", 0)
        return
    _write({"e": kind, "t": round(time.monotonic() - _journal.began, 4), **fields})


def count(kind: str, of: int, by: int = 1) -> int:
    """Counts something that happens often and gives how often it has happened."""
    key = (kind, of)
    number = _journal.counts[key] = _journal.counts.get(key, 0) + by
    _journal.dirty[key] = number
    now = time.monotonic()
    if number <= EACH_COUNT_UP_TO:
        del _journal.dirty[key]
        _write({"e": "count", "k": kind, "o": of, "n": number, "at": round(time.time(), 3)})
    elif now - _journal.flushed >= SECONDS_BETWEEN_COUNTS:
        _journal.flushed = now
        flush()
    return number


def flush() -> None:
    """Writes every count that is not written yet."""
    dirty, _journal.dirty = _journal.dirty, {}
    for (kind, of), number in dirty.items():
        _write({"e": "count", "k": kind, "o": of, "n": number, "at": round(time.time(), 3)})


def new_id() -> int:
    """A number for an object of this process; a fork goes on counting."""
    _journal.ids += 1
    return _journal.ids


def seconds() -> float:
    """Since the observer started in this process."""
    return time.monotonic() - _journal.began


def brief(value: object) -> str:
    """A short text for a value; never an error."""
    if isinstance(value, str):
        text = value
    else:
        try:
            text = repr(value)
        except Exception:  # noqa: BLE001 - a repr of the program's own may do anything
            text = f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def relative(filename: str) -> str | None:
    """A source file's path in the package, with forward slashes; None for code of others."""
    if filename not in _journal.relative:
        path = os.path.realpath(filename) if not filename.startswith("<") else ""
        ours = path.startswith(_journal.root) and not path.startswith(_HERE)
        ours = ours and not any(part in path for part in _NOT_OURS)
        found = path[len(_journal.root) :].replace(os.sep, "/") if ours else None
        _journal.relative[filename] = found
    return _journal.relative[filename]


def is_mine(frame: FrameType) -> bool:
    """Whether a frame is the observer's own."""
    return frame.f_code.co_filename.startswith(_HERE)


def where(frame: FrameType | None = None) -> str | None:
    """The innermost place in the package that led here, as ``path:line:function``."""
    if frame is None:
        frame = sys._getframe(1)
    for _ in range(200):
        if frame is None:
            return None
        path = relative(frame.f_code.co_filename)
        if path is not None:
            return f"{path}:{frame.f_lineno}:{frame.f_code.co_name}"
        frame = frame.f_back
    return None


def guarded(function: Function) -> Function:
    """The function without its errors: they become events, and None is returned."""

    @functools.wraps(function)
    def guard(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - see the module's docstring
            _complain(function, error)
            return None

    return guard  # type: ignore[return-value]


def _complain(function: Callable[..., Any], error: Exception) -> None:
    try:
        emit("observer", hook=function.__qualname__, error=f"{type(error).__name__}: {error}")
    except Exception:  # noqa: BLE001 - a full disk, a removed folder: nothing is left to be told
        return


def around(
    owner: Any,
    name: str,
    before: Callable[..., Any] | None = None,
    after: Callable[..., Any] | None = None,
) -> None:
    """Lets hooks see the calls of ``owner.name``.

    ``before(*args, **kwargs)`` gives a token, or a ``Changed`` with other arguments for the call;
    ``after(token, result, *args, **kwargs)`` sees what came of it. An owner without the name, or
    one that is watched already, is left alone.
    """
    original = owner.__dict__.get(name) if isinstance(owner, type) else getattr(owner, name, None)
    if not callable(original) or getattr(original, "_explint", False):
        return
    ask = guarded(before) if before is not None else None
    tell = guarded(after) if after is not None else None

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        token = ask(*args, **kwargs) if ask is not None else None
        if isinstance(token, Changed):
            args, kwargs = token.args, token.kwargs
        result = original(*args, **kwargs)
        if tell is not None:
            tell(token, result, *args, **kwargs)
        return result

    watched._explint = True  # type: ignore[attr-defined]
    setattr(owner, name, watched)


class Changed:
    """Other arguments for a call that a bound holds back."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], token: Any = None) -> None:
        self.args = args
        self.kwargs = kwargs
        self.token = token


def bounds() -> dict[str, Any]:
    """The bounds to enforce, empty where the run is only observed."""
    text = os.environ.get("EXPLINT_OBSERVER_BOUNDS")
    if not text:
        return {}
    import json

    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def bound(name: str) -> int | None:
    """One bound as a number; None where it is not enforced."""
    value = bounds().get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
