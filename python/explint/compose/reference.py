"""hydra-core itself, for what the static composer does not cover.

It runs in a worker process that is started when it is first needed, sees no environment variable
and no plugin, and is killed when an answer takes too long. Where hydra-core is not installed (it
comes with the extra ``explint[hydra]``) the answer is Unknown.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from explint.compose.defaults import Selection
from explint.compose.errors import CompositionError, ErrorKind
from explint.compose.interpolate import Broken, Opaque
from explint.compose.merge import build
from explint.compose.static import Composed, Unknown
from explint.compose.tree import ConfigTree, normal

TIMEOUT = 20.0
"""Seconds the worker may take for one answer, its start included."""


def available() -> bool:
    """Whether hydra-core can be asked."""
    return importlib.util.find_spec("hydra") is not None


class Reference:
    """A worker process; one is enough for a program, see ``ask``. Not for several threads."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[bytes | None] = queue.Queue()

    def compose(
        self,
        tree: ConfigTree,
        *,
        config_dir: str,
        config_name: str | None,
        overrides: Sequence[str],
        version_base: str | None = None,
    ) -> Composed | CompositionError | Unknown:
        """The same question as ``static.compose``; origins are not known here."""
        if not available():
            return Unknown("hydra-core is not installed: it comes with explint[hydra]")
        folder = normal(config_dir)
        prefix = f"{folder}/" if folder else ""
        if folder.startswith(("/", "..")):
            return Unknown("the config folder is outside the package")
        found = {p[len(prefix) :]: d for p, d in tree.files.items() if p.startswith(prefix)}
        unknown = next((path for path, data in found.items() if data is None), None)
        if unknown is not None:
            return Unknown(f"the content of {prefix}{unknown} is not known")
        if tree.partial:
            return Unknown("the record may lack config files")
        files = {path: data for path, data in found.items() if data is not None}
        if any(b"searchpath" in data for data in files.values()) or any(
            "searchpath" in override for override in overrides
        ):
            return Unknown("hydra.searchpath names folders outside the config folder")
        request = {
            "key": _digest(files),
            "files": files,
            "config_name": config_name,
            "overrides": list(overrides),
            "version_base": version_base,
        }
        answer = self._ask(msgspec.msgpack.encode(request))
        if answer is None:
            self.close()
            return Unknown(f"hydra-core gave no answer within {self.timeout:g} seconds")
        return _read(tree, overrides, msgspec.msgpack.decode(answer, strict=False))

    def close(self) -> None:
        """Ends the worker; the next question starts a new one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

    def _ask(self, body: bytes) -> bytes | None:
        process = self._process
        if process is None or process.poll() is not None:
            self.close()
            process = self._process = self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(len(body).to_bytes(4, "big") + body)
            process.stdin.flush()
            return self._answers.get(timeout=self.timeout)
        except (OSError, queue.Empty):
            return None

    def _start(self) -> subprocess.Popen[bytes]:
        # Isolated: neither the working directory nor PYTHONPATH, which audited code may share, is
        # where the worker's imports come from.
        process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._answers = queue.Queue()
        thread = threading.Thread(target=_pump, args=(process, self._answers), daemon=True)
        thread.start()
        return process


def _pump(process: subprocess.Popen[bytes], answers: queue.Queue[bytes | None]) -> None:
    stream = process.stdout
    assert stream is not None
    try:
        while len(size := stream.read(4)) == 4:
            answers.put(stream.read(int.from_bytes(size, "big")))
    except (OSError, ValueError):
        pass
    answers.put(None)


_shared: Reference | None = None


def ask(
    tree: ConfigTree,
    *,
    config_dir: str,
    config_name: str | None,
    overrides: Sequence[str],
    version_base: str | None = None,
) -> Composed | CompositionError | Unknown:
    """Asks the worker that this process shares."""
    global _shared
    if _shared is None:
        _shared = Reference()
        atexit.register(_shared.close)
    return _shared.compose(
        tree,
        config_dir=config_dir,
        config_name=config_name,
        overrides=overrides,
        version_base=version_base,
    )


def _digest(files: dict[str, bytes]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(files):
        for part in (path.encode("utf-8", "surrogateescape"), files[path]):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _read(
    tree: ConfigTree, overrides: Sequence[str], answer: dict[str, Any]
) -> Composed | CompositionError | Unknown:
    if "failed" in answer:
        return Unknown(f"hydra-core's answer cannot be read: {answer['failed']}")
    if "error" in answer:
        first, _, more = answer["message"].partition("\n")
        if answer["cause"] and answer["cause"] not in answer["message"]:
            more = f"{more}\n{answer['cause']}".lstrip("\n")
        kind = error_kind(answer["error"], answer["message"])
        if kind in (ErrorKind.MISSING_CONFIG, ErrorKind.NOT_IN_DEFAULTS) and "'hydra/" in first:
            return Unknown(f"a plugin of Hydra may decide, and none is loaded here: {first}")
        return CompositionError(kind, first, more)
    root = build(answer["raw"], -1)
    known: dict[Any, Any] = {}
    for path, kind, value in answer["values"]:
        if kind == "value":
            known[tuple(path)] = value
        elif kind == "broken":
            known[tuple(path)] = Broken(value)
        elif kind == "opaque":
            known[tuple(path)] = Opaque(value)
    return Composed(tree, root, overrides, Selection(), None, known)


_KINDS = (
    (r"LexerNoViableAlt|Error parsing override|.* expecting |no viable alt", "OVERRIDE_SYNTAX"),
    (r"Ambiguous value for argument|Sweep parameters", "SWEEP"),
    (r"Primary config (?:directory|module)", "NO_CONFIG_FOLDER"),
    (r"Cannot find primary config", "NO_PRIMARY_CONFIG"),
    (r"(?:In '.*': )?Could not (?:find|load) '", "MISSING_CONFIG"),
    (r"You must specify '", "MANDATORY_CHOICE"),
    (r".* No match in the defaults list\.$", "NOT_IN_DEFAULTS"),
    (r"Multiple values for |Duplicate _self_|.* appears more than once", "DUPLICATE_DEFAULT"),
    (r"maximum recursion depth", "RECURSIVE_DEFAULTS"),
    (r"Error resolving interpolation|.*Defaults List interpolation", "DEFAULTS_INTERPOLATION"),
    (r"Config group override", "INVALID_CHOICE"),
    (r".*looks like a config group override|force-add of config groups", "NOT_A_GROUP"),
    (r"Could not append to config", "CANNOT_ADD"),
    (r"Could not delete", "CANNOT_DELETE"),
    (r"primary config '.*' must be|Invalid loaded object", "NOT_A_MAPPING"),
    (r"Expected header format|Too many components", "INVALID_HEADER"),
    (r".*in defaults|Invalid defaults list|.*default item|In .*: Override '", "INVALID_DEFAULTS"),
    (r"(?:In '.*': )?Could not override '", "NOT_IN_STRUCT"),
)


def error_kind(error: str, text: str) -> ErrorKind:
    """The kind of an error that Hydra raised: its class, and what it says."""
    if error == "OverrideParseException":
        return ErrorKind.OVERRIDE_SYNTAX
    if error == "GrammarParseError":
        return ErrorKind.INTERPOLATION
    if error in ("ScannerError", "ParserError", "ComposerError", "ConstructorError"):
        return ErrorKind.INVALID_YAML
    if "Could not override '" in text and ("Did you mean to" in text or "default list" in text):
        return ErrorKind.NOT_IN_DEFAULTS
    first = text.partition("\n")[0]
    for pattern, kind in _KINDS:
        if re.match(pattern, first):
            return ErrorKind[kind]
    return ErrorKind.MERGE
