"""Landlock: which files a process and its children may read and write, without privileges.

Numbers and structures are those of linux/landlock.h; the system calls have the same numbers on
every machine.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Sequence

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1 << 0, 1 << 1

_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

TCP_SINCE = 4
SCOPES_SINCE = 6
"""The versions of the interface that know TCP ports, and that keep signals inside."""


def version() -> int:
    """The kernel's version of Landlock's interface; 0 where there is none."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return max(int(libc.syscall(_CREATE_RULESET, None, 0, _VERSION)), 0)
    except (OSError, AttributeError):
        return 0


def restrict(readable: Sequence[str], writable: Sequence[str], ports: Sequence[int] | None) -> None:
    """Lets this process and what it starts touch nothing but these paths.

    ``ports`` are the TCP ports that may be connected to; None leaves TCP alone.

    Raises:
        OSError: the kernel refuses the rules.
    """
    known = version()
    all_rights = (1 << 13) - 1
    if known >= 2:
        all_rights |= _REFER
    if known >= 3:
        all_rights |= _TRUNCATE
    if known >= 5:
        all_rights |= _IOCTL_DEV
    of_net = _BIND_TCP | _CONNECT_TCP if known >= TCP_SINCE and ports is not None else 0
    scoped = _SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL if known >= SCOPES_SINCE else 0
    head = struct.pack("QQQ", all_rights, of_net, scoped)
    # An older kernel takes the shorter structure of its time.
    size = 24 if known >= SCOPES_SINCE else 16 if known >= TCP_SINCE else 8
    libc = ctypes.CDLL(None, use_errno=True)
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.create_string_buffer(head[:size]), size, 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    try:
        for paths, rights in ((readable, _READ), (writable, all_rights)):
            for path in paths:
                _allow(libc, ruleset, path, rights & all_rights)
        for port in ports or () if of_net else ():
            rule = ctypes.create_string_buffer(struct.pack("QQ", _CONNECT_TCP, port))
            if libc.syscall(_ADD_RULE, ruleset, _NET_PORT, rule, 0) != 0:
                raise OSError(ctypes.get_errno(), f"landlock_add_rule for port {port}")
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
        if libc.syscall(_RESTRICT_SELF, ruleset, 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # What is not there needs no permission.
        return
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _OF_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, handle))
        if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0) != 0:
            raise OSError(ctypes.get_errno(), f"landlock_add_rule for {path}")
    finally:
        os.close(handle)
