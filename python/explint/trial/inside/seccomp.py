"""A seccomp filter over sockets and a few calls no experiment needs, without a library.

The numbers are those of linux/seccomp.h, linux/audit.h, linux/filter.h and the system call tables
of the two machines explint is built for.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Iterable, Sequence

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

_MSG_FASTOPEN = 0x20000000
_X32 = 0x40000000
_SOCK_TYPE = 0xF

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_CALLS = {
    "x86_64": {
        "socket": 41,
        "sendto": 44,
        "sendmsg": 46,
        "sendmmsg": 307,
        "ptrace": 101,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "perf_event_open": 298,
        "bpf": 321,
        "userfaultfd": 323,
        "io_uring_setup": 425,
    },
    "aarch64": {
        "socket": 198,
        "sendto": 206,
        "sendmsg": 211,
        "sendmmsg": 269,
        "ptrace": 117,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "perf_event_open": 241,
        "bpf": 280,
        "userfaultfd": 282,
        "io_uring_setup": 425,
    },
}

# io_uring opens sockets past any filter of system calls; the rest are doors into the kernel or into
# other processes that training code does not go through.
_REFUSED = (
    "io_uring_setup",
    "ptrace",
    "add_key",
    "request_key",
    "keyctl",
    "bpf",
    "userfaultfd",
    "perf_event_open",
)


def available() -> bool:
    """Whether a filter can be made for this machine."""
    return platform.machine() in _MACHINES and os.name == "posix"


def restrict(families: Iterable[int], *, stream_only: bool) -> None:
    """Lets this process and what it starts open sockets of ``families`` only.

    With ``stream_only`` sockets of AF_INET must be TCP's. Refused sockets fail with EACCES, as a
    firewall's do.

    Raises:
        OSError: the kernel refuses the filter.
    """
    machine = platform.machine()
    program = _program(machine, sorted(families), stream_only=stream_only)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    code = ctypes.create_string_buffer(b"".join(program))

    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    handed = Program(len(program), ctypes.cast(code, ctypes.c_void_p))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(handed), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


def _program(machine: str, families: Sequence[int], *, stream_only: bool) -> list[bytes]:
    calls = _CALLS[machine]
    refuse = _ERRNO | errno.EPERM
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        # A call in the numbering of another machine would be judged by the wrong table.
        _step(_EQUAL, _MACHINES[machine], 1, 0),
        _step(_RETURN, refuse),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, 0, 1),
        _step(_RETURN, refuse),
    ]
    for name in _REFUSED:
        answer = errno.ENOSYS if name == "io_uring_setup" else errno.EPERM
        steps += [_step(_EQUAL, calls[name], 0, 1), _step(_RETURN, _ERRNO | answer)]
    # Data in a SYN connects without a connect() that Landlock could refuse.
    for name, argument in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
        body = [
            _step(_LOAD, _ARGUMENTS + 8 * argument),
            _step(_ANY_BIT, _MSG_FASTOPEN, 0, 1),
            _step(_RETURN, refuse),
            _step(_RETURN, _ALLOW),
        ]
        steps += [_step(_EQUAL, calls[name], 0, len(body)), *body]
    steps += [_step(_EQUAL, calls["socket"], 1, 0), _step(_RETURN, _ALLOW)]
    steps.append(_step(_LOAD, _ARGUMENTS))
    for family in families:
        if family == socket.AF_INET and stream_only:
            body = [
                _step(_LOAD, _ARGUMENTS + 8),
                _step(_AND, _SOCK_TYPE),
                _step(_EQUAL, int(socket.SOCK_STREAM), 1, 0),
                _step(_RETURN, _ERRNO | errno.EACCES),
                _step(_RETURN, _ALLOW),
            ]
            steps += [_step(_EQUAL, family, 0, len(body)), *body]
        else:
            steps += [_step(_EQUAL, family, 0, 1), _step(_RETURN, _ALLOW)]
    steps.append(_step(_RETURN, _ERRNO | errno.EACCES))
    return steps


def _step(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, operand)
