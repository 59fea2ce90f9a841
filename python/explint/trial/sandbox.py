"""What keeps a run inside its own folders: bubblewrap, else Landlock with seccomp."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from explint.trial.inside import landlock, seccomp
from explint.trial.network import Network
from explint.trial.outcome import Sandbox

Wish = Literal["auto", "bubblewrap", "landlock", "none"]

_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/sys",
)
_ETC = (
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "fonts",
    "group",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "locale.alias",
    "magic",
    "matplotlibrc",
    "mime.types",
    "nsswitch.conf",
    "nvidia",
    "OpenCL",
    "passwd",
    "pki/ca-trust",
    "pki/tls/certs",
    "protocols",
    "python3",
    "python3.11",
    "resolv.conf",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
    "vulkan",
)
"""Of the system's settings only what libraries look up, none of which is secret."""

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_ALL_NETWORK = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16)
_WITHIN = (socket.AF_UNIX, 16)
"""Families of sockets; 16 is AF_NETLINK, by which libraries look up network interfaces."""

INSIDE_DOORS = "/run/explint"
"""Where a sandbox of bubblewrap finds the sockets of its gate."""


class SandboxError(Exception):
    """No sandbox can be made here, or not the one that was asked for; ``help`` says what to do."""

    def __init__(self, problem: str, help: str) -> None:
        super().__init__(problem)
        self.help = help


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of one run: what it may read and what it may write."""

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    hidden_memory: int = 1 << 30
    """Bytes that fit in the folders kept in memory, ``/tmp`` and ``/dev/shm``."""


@functools.cache
def bubblewrap() -> str:
    """Why bubblewrap does not work here; empty when it does."""
    program = shutil.which("bwrap")
    if program is None:
        return "bubblewrap (bwrap) is not installed"
    try:
        tried = subprocess.run(
            [program, *_namespaces(own_network=True), "--ro-bind", "/", "/", "--", "/bin/true"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start: {error}"
    if tried.returncode == 0:
        return ""
    said = (tried.stderr.strip().splitlines() or ["no reason given"])[0]
    return f"bubblewrap is not allowed to make namespaces here ({said})"


@functools.cache
def own_means() -> str:
    """Why Landlock and seccomp do not work here; empty when they do."""
    if not seccomp.available():
        return "this machine has no filter of system calls that explint knows"
    if landlock.version() == 0:
        return "the kernel has no Landlock"
    return ""


def choose(wish: Wish) -> Literal["bubblewrap", "landlock", "none"]:
    """The mechanism to use.

    Raises:
        SandboxError: there is none, or not the one asked for.
    """
    if wish == "none":
        return "none"
    problems = []
    if wish in ("auto", "bubblewrap"):
        if not (why := bubblewrap()):
            return "bubblewrap"
        problems.append(why)
    if wish in ("auto", "landlock"):
        if not (why := own_means()):
            return "landlock"
        problems.append(why)
    raise SandboxError(
        f"no sandbox can be made here: {'; '.join(problems)}",
        "Install bubblewrap and allow user namespaces, or give --no-sandbox to run the code with "
        "all that this user may do.",
    )


def describe(kind: Literal["bubblewrap", "landlock", "none"], network: Network) -> Sandbox:
    """What is in force with a mechanism, in words."""
    reach: Literal["none", "loopback", "proxy", "all"] = "none"
    if network.open:
        reach = "all"
    elif network.hosts:
        reach = "proxy"
    elif network.ports:
        reach = "loopback"
    if kind == "none":
        return Sandbox(
            kind="none",
            network="all",
            lacks=("Nothing was enforced: the code ran with all that this user may do.",),
        )
    said = {
        "none": "No network.",
        "loopback": f"No network but port {', '.join(map(str, network.ports))} of this machine.",
        "proxy": f"No network but {', '.join(network.hosts)}, through a proxy.",
        "all": "The network was open.",
    }[reach]
    holds = [
        "Only its own folders can be written, and no home folder can be read.",
        said,
        "No variable of the environment is handed on that is not named.",
    ]
    lacks = []
    if kind == "bubblewrap":
        holds.append("Processes, shared memory and mounts of its own; no privileges.")
    else:
        lacks.append("It runs among this user's other processes, and sees that they exist.")
        lacks.append("Sockets in files that this user may write to can be connected to.")
        version = landlock.version()
        if reach in ("loopback", "proxy") and version < landlock.TCP_SINCE:
            lacks.append("Every TCP port can be connected to: the kernel cannot tell them apart.")
        if version < landlock.SCOPES_SINCE:
            lacks.append("It can send signals to this user's other processes.")
    return Sandbox(
        kind=kind, network=reach, hosts=network.hosts, holds=tuple(holds), lacks=tuple(lacks)
    )


def bubblewrap_words(confinement: Confinement, network: Network, doors: Path) -> list[str]:
    """The command line in front of the launcher's; ``doors`` is what it finds at INSIDE_DOORS."""
    words = ["bwrap", *_namespaces(own_network=not network.open)]
    for shared in (*_SYSTEM, *(f"/etc/{name}" for name in _ETC)):
        words += ["--ro-bind-try", shared, shared]
    room = str(confinement.hidden_memory)
    words += ["--proc", "/proc", "--dev", "/dev"]
    words += ["--perms", "1777", "--size", room, "--tmpfs", "/dev/shm"]
    words += ["--perms", "1777", "--size", room, "--tmpfs", "/tmp"]
    for device in gpu_devices():
        words += ["--dev-bind-try", device, device]
    for path in _outermost(confinement.readable):
        words += ["--ro-bind-try", str(path), str(path)]
    for path in confinement.writable:
        words += ["--bind", str(path), str(path)]
    words += ["--ro-bind", str(doors), INSIDE_DOORS]
    if network.open:
        # Where a resolver of the system keeps what /etc/resolv.conf links to.
        resolver = os.path.realpath("/etc/resolv.conf")
        words += ["--ro-bind-try", resolver, resolver]
    return [*words, "--remount-ro", "/", "--"]


def landlock_rules(confinement: Confinement, network: Network) -> dict[str, Any]:
    """What the launcher lays on the command by itself."""
    etc = [f"/etc/{name}" for name in _ETC]
    writable = [str(p) for p in confinement.writable]
    writable += [f"/dev/{name}" for name in _DEVICES]
    writable += ["/dev/shm", *gpu_devices()]
    return {
        "readable": [*_SYSTEM, *etc, "/proc", *map(str, confinement.readable)],
        "writable": writable,
        "ports": None if network.open else list(network.ports),
    }


def sockets(
    kind: Literal["bubblewrap", "landlock", "none"], network: Network
) -> dict[str, Any] | None:
    """Which sockets the launcher lets the command open; None leaves them alone."""
    if kind == "none" or not seccomp.available():
        return None
    if kind == "bubblewrap" or network.open:
        # A network namespace does not hold sockets of the machine's host (AF_VSOCK) and others.
        return {"families": [int(f) for f in _ALL_NETWORK], "stream_only": False}
    if network.ports or network.hosts:
        return {"families": [int(f) for f in (*_WITHIN, socket.AF_INET)], "stream_only": True}
    return {"families": [int(f) for f in _WITHIN], "stream_only": False}


def gpu_devices() -> list[str]:
    """The device files through which programs use GPUs."""
    names = (path.name for path in Path("/dev").iterdir())
    return [f"/dev/{n}" for n in sorted(names) if n.startswith("nvidia") or n in ("kfd", "dri")]


def _namespaces(*, own_network: bool) -> list[str]:
    words = [
        "--unshare-user",
        "--disable-userns",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--cap-drop",
        "ALL",
        "--new-session",
        "--die-with-parent",
    ]
    return [*words, "--unshare-net"] if own_network else words


def _outermost(paths: Sequence[Path]) -> list[Path]:
    """Paths without those below another one, and without what the system's folders hold."""
    inner = [Path(p) for p in _SYSTEM]
    kept: list[Path] = []
    for path in sorted(set(paths)):
        if not any(path.is_relative_to(p) for p in (*inner, *kept)):
            kept.append(path)
    return kept
