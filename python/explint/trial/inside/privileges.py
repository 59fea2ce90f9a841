"""Gives up what root may do, for good: it would open doors that Landlock has no say in.

Since Linux 6.14 a process that may watch the system's performance reads the memory of any other
one, environments with their secrets included. Numbers are those of linux/prctl.h,
linux/securebits.h and linux/capability.h.
"""

from __future__ import annotations

import ctypes
import struct

_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
# No rights from being root, none kept when the user changes, and both for ever.
_SECUREBITS = 0b101111
_VERSION_3 = 0x20080522
_MOST = 64


def drop() -> None:
    """Leaves this process and all that it starts without a single capability.

    Raises:
        OSError: the kernel does not let them go.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_MOST):
        # Who has none to give up may not, and needs not.
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    libc.prctl(_PR_SET_SECUREBITS, _SECUREBITS, 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0))
    if libc.capset(header, ctypes.create_string_buffer(24)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
