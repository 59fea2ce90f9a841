"""Composes with hydra-core itself, as a process of its own; see ``reference.py``.

Run as a script: it reads requests from standard input and writes answers to standard output, each
a MessagePack document behind its length (4 bytes, big-endian). It imports nothing of explint, so
that it starts in an isolated interpreter. Configs are data to it: no plugin is loaded, no
environment variable is visible, and resolvers that look outside the config give a marker.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
import types
import warnings
from pathlib import Path
from typing import Any, BinaryIO

MEMORY = 2 << 30
"""Bytes of address space the process may use, where the system can limit it."""


class OutsideValue(Exception):  # noqa: N818 - an answer, not a fault
    """A resolver asked for something that only the run knows."""


def compose(request: dict[str, Any], folder: str) -> dict[str, Any]:
    """What hydra-core answers: the config with the values of its interpolations, or the error.

    ``request``: ``overrides``, ``config_name``, ``version_base``. ``folder`` is the config folder.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with initialize_config_dir(folder, version_base=request["version_base"]):
                cfg = hydra_compose(request["config_name"], list(request["overrides"]))
        except Exception as error:  # noqa: BLE001 - whatever Hydra raises is the answer
            return _error(error, folder)
        _block_resolvers()
        raw = OmegaConf.to_container(cfg, resolve=False)
        values: list[tuple[list[Any], str, Any]] = []
        _resolve(cfg, [], raw, values)
    return {"raw": raw, "values": values}


def _error(error: Exception, folder: str) -> dict[str, Any]:
    text = str(error)
    cause = error.__cause__
    if not text and cause is not None:
        text = str(cause)
        error = cause if isinstance(cause, Exception) else error
    text = text.replace(os.path.realpath(folder), ".").replace(folder, ".")
    more = "" if cause is None else str(cause)
    return {"error": type(error).__name__, "message": text, "cause": more}


def _resolve(cfg: Any, path: list[Any], raw: Any, values: list[Any]) -> None:  # noqa: ANN401
    """The value of every leaf that is an interpolation."""
    from omegaconf import OmegaConf

    items: Any = ()
    if isinstance(raw, dict):
        items = raw.items()
    elif isinstance(raw, list):
        items = enumerate(raw)
    for key, value in items:
        here = [*path, key]
        if isinstance(value, dict | list):
            _resolve(cfg._get_node(key), here, value, values)
        elif isinstance(value, str) and "${" in value:
            section = False
            try:
                found = cfg[key]
                section = OmegaConf.is_config(found)
                if section:
                    found = OmegaConf.to_container(found, resolve=True)
                values.append((here, "value", found))
            except Exception as error:  # noqa: BLE001 - the answer is how reading ends
                outside = _outside(error)
                if section:
                    values.append((here, "section", None))
                elif outside:
                    values.append((here, "opaque", outside))
                else:
                    values.append((here, "broken", str(error).partition("\n")[0]))


def _outside(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, OutsideValue):
            return str(error)
        match = re.search(r"Unsupported interpolation type (\S+)", str(error))
        if match is not None:
            return f"resolver {match[1]}"
        error = error.__cause__ or error.__context__
    return None


def isolate() -> None:
    """Takes away what a config could look at: plugins and the environment."""
    plugins = types.ModuleType("hydra_plugins")
    plugins.__path__ = []
    sys.modules["hydra_plugins"] = plugins
    os.environ.clear()


def _block_resolvers() -> None:
    # Hydra registers its own anew whenever it is initialised.
    from omegaconf import OmegaConf

    def outside(name: str) -> Any:  # noqa: ANN401
        def resolver(*arguments: object) -> None:
            shown = f"environment variable {arguments[0]}" if name == "oc.env" else name
            raise OutsideValue("the time of the run" if name == "now" else shown)

        return resolver

    for name in ("oc.env", "now", "hydra", "python_version"):
        OmegaConf.register_new_resolver(name, outside(name), replace=True)


def limit() -> None:
    """Bounds memory, where the system can."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound, hard))


def materialise(files: dict[str, bytes], folder: str) -> None:
    """Writes config files below a folder; paths are relative and stay inside."""
    for name, data in files.items():
        parts = name.split("/")
        if not name or name.startswith("/") or ".." in parts or "\0" in name:
            continue
        target = Path(folder, *parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answers requests until standard input ends."""
    import msgspec

    key: bytes | None = None
    with tempfile.TemporaryDirectory(prefix="explint-") as base:
        folder = ""
        while True:
            size = source.read(4)
            if len(size) < 4:
                return
            request = msgspec.msgpack.decode(source.read(int.from_bytes(size, "big")))
            if request["key"] != key:
                # The runs of one package ask about the same files, sent and written once.
                key = request["key"]
                folder = tempfile.mkdtemp(dir=base)
                materialise(request["files"], folder)
            try:
                body = msgspec.msgpack.encode(compose(request, folder))
            except (TypeError, OverflowError, ValueError, RecursionError, MemoryError) as error:
                body = msgspec.msgpack.encode(
                    {"failed": f"{type(error).__name__}: {error}".replace(folder, ".")}
                )
            sink.write(len(body).to_bytes(4, "big") + body)
            sink.flush()


def main() -> None:
    """Serves on the standard streams; what libraries print goes to standard error."""
    sink = io.FileIO(os.dup(1), "wb")
    os.dup2(2, 1)
    limit()
    isolate()
    serve(sys.stdin.buffer, io.BufferedWriter(sink))


if __name__ == "__main__":
    main()
