"""What a run may reach: nothing, ports of this machine, or named hosts through a proxy."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import msgspec

from explint.trial.inside.forward import join, serve

_HEAD = 64 << 10
_SECONDS = 30.0


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may reach.

    ``ports`` are TCP ports of this machine's loopback. ``hosts`` are names that a proxy connects
    to; ``*.name`` is every name below one. ``open`` leaves the network as it is.
    """

    ports: tuple[int, ...] = ()
    hosts: tuple[str, ...] = ()
    open: bool = False


def allows(hosts: Sequence[str], name: str) -> bool:
    """Whether a host is one of the allowed ones."""
    name = name.rstrip(".").lower()
    return any(
        name == host.lower() or (host.startswith("*.") and name.endswith(host[1:].lower()))
        for host in hosts
    )


class Gate:
    """The doors out of one sandbox, on this side of it.

    With ``folder`` every door is a socket file there, for a sandbox with a network of its own;
    without it the proxy listens on a port of this machine.
    """

    def __init__(self, network: Network, folder: Path | None) -> None:
        self._network = network
        self._folder = folder
        self._listeners: list[socket.socket] = []
        self.refused: dict[str, None] = {}
        self.forwards: list[tuple[int, str]] = []
        self.proxy_port: int | None = None

    def __enter__(self) -> Gate:
        if self._folder is not None:
            for port in self._network.ports:
                self._forward(port, self._folder)
        if self._network.hosts:
            self._start_proxy()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                # A close alone leaves the thread in accept().
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _forward(self, port: int, folder: Path) -> None:
        path = folder / str(port)
        listener = self._listen_at(path)
        _in_thread(serve, listener, lambda: socket.create_connection(("127.0.0.1", port), _SECONDS))
        self.forwards.append((port, str(path)))

    def _start_proxy(self) -> None:
        if self._folder is None:
            listener = socket.create_server(("127.0.0.1", 0))
            self.proxy_port = listener.getsockname()[1]
            self._listeners.append(listener)
        else:
            path = self._folder / "proxy"
            listener = self._listen_at(path)
            # Any port does: nothing else listens in the sandbox when the command starts.
            self.proxy_port = next(p for p in range(3128, 3200) if p not in self._network.ports)
            self.forwards.append((self.proxy_port, str(path)))
        _in_thread(self._serve_proxy, listener)

    def _listen_at(self, path: Path) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(64)
        self._listeners.append(listener)
        return listener

    def _serve_proxy(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            _in_thread(self._answer, client)

    def _answer(self, client: socket.socket) -> None:
        """One request of HTTP: a tunnel (CONNECT), or a whole address asked of the proxy."""
        client.settimeout(_SECONDS)
        head = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in head and len(head) < _HEAD:
                piece = client.recv(_HEAD)
                if not piece:
                    break
                head += piece
        asked = re.match(rb"(\w+) (?:http://)?([^/\s]+)(\S*) HTTP/1\.[01]\r\n", head)
        if asked is None:
            return _refuse(client, "400 Bad Request", "This proxy speaks HTTP only.")
        method, where, path = asked.groups()
        name, _, port = where.decode("latin-1").rpartition(":")
        if not name or not port.isdigit():
            name, port = where.decode("latin-1"), "80"
        name = name.strip("[]")
        if not allows(self._network.hosts, name):
            self.refused[name] = None
            return _refuse(client, "403 Forbidden", f"{name} is not among the allowed hosts.")
        try:
            server = socket.create_connection((name, int(port)), _SECONDS)
        except (OSError, OverflowError) as error:
            return _refuse(client, "502 Bad Gateway", f"{name} cannot be reached: {error}")
        client.settimeout(None)
        server.settimeout(None)
        with contextlib.suppress(OSError):
            if method == b"CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                server.sendall(head.partition(b"\r\n\r\n")[2])
            else:
                # One request a connection: the next one may be for another host.
                _, _, rest = head.partition(b"\r\n")
                rest = re.sub(rb"(?im)^(proxy-)?connection:[^\r\n]*\r\n", b"", rest)
                first = b"%s %s HTTP/1.1\r\nConnection: close\r\n" % (method, path or b"/")
                server.sendall(first + rest)
        join(client, server)
        return None


def _refuse(client: socket.socket, status: str, why: str) -> None:
    body = f"{why}\n".encode()
    with contextlib.suppress(OSError):
        client.sendall(
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
            f"Connection: close\r\n\r\n".encode()
            + body
        )
    client.close()


def _in_thread(target: object, *words: object) -> None:
    threading.Thread(target=target, args=words, daemon=True).start()  # type: ignore[arg-type]
