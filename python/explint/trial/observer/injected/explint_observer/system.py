"""What a program asks of the system: files, hosts, child processes, memory, warnings."""

from __future__ import annotations

import atexit
import os
import sys
import time

from .journal import (
    Changed,
    around,
    brief,
    emit,
    flush,
    folder,
    guarded,
    seconds,
    where,
)

# Importing typing takes longer than starting the observer.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_LOCAL = ("127.", "::1", "0.0.0.0", "localhost", "::ffff:127.", "::")
_FAMILIES = frozenset(
    {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
)
_STARTS = frozenset({"os.system", "os.exec", "os.posix_spawn", "os.spawn"})
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_paths: set[str] = set()
_hosts: set[tuple[str, str]] = set()


def install() -> None:
    """Adds the audit hook, and tells of memory at the end."""
    sys.addaudithook(_audit)
    atexit.register(guarded(_end))


def children(module: ModuleType) -> None:
    """Watches ``subprocess.Popen``, through which the whole module starts programs."""
    around(module.Popen, "__init__", _before_child, _after_child)
    for name in ("poll", "wait", "communicate"):
        around(module.Popen, name, None, _left)


def warned(module: ModuleType) -> None:
    """Watches the warnings that are shown."""
    around(module, "_showwarnmsg_impl", _warned)


def _audit(name: str, args: tuple[Any, ...]) -> None:
    if name == "open":
        flags = args[2]
        if isinstance(flags, int) and flags & _WRITES:
            _opened(args[0])
    elif name in _FAMILIES:
        _reached(name, args)
    elif name in _STARTS:
        _started(name, args)


@guarded
def _opened(path: object) -> None:
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not isinstance(path, str) or path in _paths or len(_paths) > 4000:
        return
    _paths.add(path)
    full = os.path.abspath(path)
    if full.startswith((folder() + "/", "/dev/", "/proc/")) or full.endswith((".pyc", ".lock")):
        return
    if "/__pycache__/" in full:
        return
    emit("write", path=full, place=where())


@guarded
def _reached(name: str, args: tuple[Any, ...]) -> None:
    port: object = None
    if name in ("socket.connect", "socket.sendto"):
        address = args[1]
        if not isinstance(address, tuple) or len(address) < 2:
            return
        host, port = address[0], address[1]
    else:
        host = args[0]
        port = args[1] if len(args) > 1 else None
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str) or not host or host.lower().startswith(_LOCAL):
        return
    if host in (os.uname().nodename, "<broadcast>"):
        return
    place = where()
    if (host, place or "") in _hosts or len(_hosts) > 500:
        return
    _hosts.add((host, place or ""))
    emit(
        "host",
        host=host,
        port=port if isinstance(port, (int, str)) else None,
        how=name,
        place=place,
    )


@guarded
def _started(name: str, args: tuple[Any, ...]) -> None:
    words = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else args[:1]
    emit("child", how=name, command=[brief(w) for w in list(words)[:40]], place=where())


def _before_child(popen: Any, *args: Any, **kwargs: Any) -> Changed | None:
    """Hands the observer on to children whose environment lost it."""
    env = kwargs.get("env")
    paths = str((os.environ if env is None else env).get("PYTHONPATH") or "").split(os.pathsep)
    if env is None and _HERE in paths:
        return None
    env = dict(os.environ if env is None else env)
    env.update({k: v for k, v in os.environ.items() if k.startswith("EXPLINT_OBSERVER_")})
    env["PYTHONPATH"] = os.pathsep.join([_HERE, *(p for p in paths if p and p != _HERE)])
    return Changed((popen, *args), {**kwargs, "env": env})


def _after_child(token: Any, result: Any, popen: Any, *args: Any, **kwargs: Any) -> None:
    words = getattr(popen, "args", None)
    command = [words] if isinstance(words, (str, bytes, os.PathLike)) else list(words or ())
    emit(
        "child",
        how="subprocess",
        pid=popen.pid,
        command=[brief(w if isinstance(w, str) else os.fsdecode(w)) for w in command[:40]],
        folder=str(kwargs.get("cwd") or os.getcwd()),
        place=where(),
    )


def _left(token: Any, result: Any, popen: Any, *args: Any, **kwargs: Any) -> None:
    code = getattr(popen, "returncode", None)
    if code is None or popen.__dict__.get("_explint_left"):
        return
    popen._explint_left = True
    emit("child-end", pid=popen.pid, code=code)


def _warned(message: Any, *args: Any, **kwargs: Any) -> None:
    emit(
        "warning",
        category=getattr(message.category, "__name__", str(message.category)),
        text=brief(str(message.message)),
        place=where(),
    )


def _end() -> None:
    flush()
    emit("end", seconds=round(seconds(), 3), at=time.time(), **memory())


def memory() -> dict[str, Any]:
    """The most memory held so far, in bytes: of the host, and of GPUs where CUDA is in use."""
    found: dict[str, Any] = {}
    most = _most_memory()
    if most is not None:
        found["memory"] = most
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        devices = range(cuda.device_count())
        found["gpu_memory"] = sum(cuda.max_memory_allocated(i) for i in devices)
        found["device"] = cuda.get_device_name()
    return found


def _most_memory() -> int | None:
    try:
        # getrusage would tell of the parent too: a child starts with its parent's maximum.
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
