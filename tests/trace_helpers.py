"""Programs that write down what they do, executed and traced."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from explint import core
from explint.source import package_of_files
from explint.trace import facts as f
from explint.trace.specialise import ABSENT, Unknown, evaluate, specialise

CONFIG: dict[str, Any] = {
    "flag": True,
    "off": False,
    "mode": "trial",
    "n": 2,
    "zero": 0,
    "none": None,
    "run": {"lr": 3, "name": "Base", "deep": {"k": 1}},
    "opt": {"steps": 4},
}
SCANNER = core.Scanner(1)


class Stop(Exception):  # noqa: N818 - the programs raise it by this name
    """An exception that a generated program raises on purpose."""


class TooLongError(Exception):
    """The generated program runs on and on."""


class Node:
    """A config that writes down every access."""

    _tree: dict[str, Any]
    _path: tuple[str, ...]
    _log: list[Any]

    def __init__(self, tree: dict[str, Any], path: tuple[str, ...], log: list[Any]) -> None:
        self.__dict__.update(_tree=tree, _path=path, _log=log)

    def _found(self, key: str, value: object) -> object:
        path = (*self._path, key)
        if isinstance(value, dict):
            self._note(("read", path, ...))
            return Node(value, path, self._log)
        self._note(("read", path, value))
        return value

    def _note(self, item: object) -> None:
        self._log.append(item)
        if len(self._log) > 3000:
            raise TooLongError

    def __getattr__(self, key: str) -> object:
        if key not in self._tree:
            raise AttributeError(key)
        return self._found(key, self._tree[key])

    __getitem__ = __getattr__

    def __setattr__(self, key: str, value: object) -> None:
        self._tree[key] = value

    def __contains__(self, key: str) -> bool:
        self._note(("read", (*self._path, key), ...))
        return key in self._tree

    def get(self, key: str, default: object = None) -> object:
        """As a config's own."""
        if key not in self._tree:
            self._note(("read", (*self._path, key), ...))
            return default
        return self._found(key, self._tree[key])


def copied(tree: dict[str, Any]) -> dict[str, Any]:
    return {k: copied(v) if isinstance(v, dict) else v for k, v in tree.items()}


def execute(program: str) -> tuple[list[Any], bool]:
    """What really happened, and whether the program ended as it says (or raised ``Stop``)."""
    log: list[Any] = []

    class Hydra:
        @staticmethod
        def main(**_: object) -> Any:  # noqa: ANN401
            return lambda function: lambda: function(Node(copied(CONFIG), (), log))

    class Sink:
        @staticmethod
        def log(tag: str, value: object) -> None:
            log.append(("log", tag, copy.deepcopy(value)))
            if len(log) > 3000:
                raise TooLongError

    names = {"hydra": Hydra, "sink": Sink, "Stop": Stop, "__name__": "__main__"}
    try:
        exec(compile(program, "program", "exec"), names)
    except Stop:
        return log, True
    except Exception:  # noqa: BLE001 - whatever a random program runs into
        return log, False
    return log, True


def trace(program: str) -> f.EntryTrace:
    text = "import hydra\nimport sink\nfrom stops import Stop\n" + program
    document = SCANNER.trace(package_of_files({"src/main.py": text}), ["src.main"])
    entry = document.entry("src.main")
    assert entry is not None
    return entry


def items(
    entry: f.EntryTrace, *, exceptions: bool | None = None
) -> Iterator[tuple[bool | None, Any]]:
    """The reads and logs of a trace as the execution writes them down; ``...`` for no value."""
    special = specialise(entry, CONFIG, exceptions=exceptions)
    env = special.env
    for state, event in zip(special.states, entry.events, strict=True):
        if isinstance(event, f.Read):
            at = entry.values[event.at]
            assert isinstance(at, f.Config)
            keys = tuple(evaluate(k, env) for k in at.path)
            for end in range(event.held + 1, len(keys) + 1):
                value: Any = ...
                if end == len(keys) and event.how in ("attribute", "item"):
                    value = evaluate(event.at, env)
                    if isinstance(value, Unknown | dict) or value is ABSENT:
                        value = ...
                yield state, ("read", keys[:end], value)
        elif isinstance(event, f.LibraryCall) and event.name == "sink.log":
            value = evaluate(event.args[1], env)
            yield state, ("log", evaluate(event.args[0], env),
                          ... if isinstance(value, Unknown) else value)  # fmt: skip


def same(said: Any, real: Any) -> bool:  # noqa: ANN401
    if said[:2] != real[:2]:
        return False
    return (
        said[2] is ... or real[2] is ... or (type(said[2]) is type(real[2]) and said[2] == real[2])
    )
