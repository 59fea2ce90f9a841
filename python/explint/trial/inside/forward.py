"""Bytes carried between two sockets: the one way out of a sandbox without a network."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

_PIECE = 1 << 16


def serve(listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
    """Accepts connections for ever and joins each to a new one made by ``connect``."""
    while True:
        try:
            taken, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_meet, args=(taken, connect), daemon=True).start()


def _meet(taken: socket.socket, connect: Callable[[], socket.socket]) -> None:
    try:
        other = connect()
    except OSError:
        taken.close()
        return
    join(taken, other)


def join(one: socket.socket, other: socket.socket) -> None:
    """Carries bytes both ways until both sides have ended, then closes them."""
    back = threading.Thread(target=_carry, args=(other, one), daemon=True)
    back.start()
    _carry(one, other)
    back.join()
    one.close()
    other.close()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def to_unix(port: int, path: str) -> None:
    """Listens on a port of this network's loopback, and carries to the socket at ``path``."""

    def connect() -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.connect(path)
        return made

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    threading.Thread(target=serve, args=(listener, connect), daemon=True).start()
