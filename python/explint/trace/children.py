"""The processes that an entry starts, and the words they are handed, under a config."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final, Literal

import msgspec

from explint.trace import facts as f
from explint.trace.specialise import (
    PACKAGE,
    Env,
    Specialised,
    Unknown,
    condition,
    evaluate,
    text_of,
)

STAND_IN: Final = "EXPLINT"
"""What stands in a word for a part that only the run knows."""

_WITH_LIST: Final = frozenset(
    f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output", "Popen")
)
_WITH_TEXT: Final = frozenset(
    {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
)
_PROGRAMS: Final = frozenset({"python", "python3", "uv", "run", "torchrun", "accelerate", "launch"})


class Word(msgspec.Struct, frozen=True):
    """A word of a command; ``exact`` is false where ``STAND_IN`` stands in for a part of it."""

    text: str
    exact: bool = True


Words = tuple["Word | Unknown", ...]


class Child(msgspec.Struct, frozen=True):
    """A process that an entry starts.

    ``state`` is True where it surely starts in the run, None where that is not decided. ``module``
    is what follows ``-m``, ``script`` the file that is run instead; both None where the command
    runs no Python of the package. ``words`` are what follows; an Unknown among them may stand for
    any number of words. ``cwd`` is the folder it starts in: None where the caller's is kept, else
    a path relative to the package root, or an Unknown. ``has_env`` says that it is handed an
    environment of its own making.
    """

    event: f.LibraryCall
    state: bool | None
    how: Literal["list", "text"]
    module: str | None
    script: str | None
    words: Words
    cwd: str | Unknown | None
    has_env: bool


def children(special: Specialised) -> Iterator[Child]:
    """The processes that may start, in program order, of which the command is known well enough
    to tell what they run."""
    env = special.env
    for _, event in special.happening_of(f.LibraryCall):
        if event.name not in _WITH_LIST and event.name not in _WITH_TEXT:
            continue
        given = dict(event.kwargs)
        command = event.args[0] if event.args else given.get("args", given.get("cmd"))
        if command is None:
            continue
        words, how = _command(command, env)
        state = special.states[_]
        module, script, rest = _what(words)
        if module is None and script is None:
            continue
        yield Child(
            event=event,
            state=state,
            how=how,
            module=module,
            script=script,
            words=rest,
            cwd=None if "cwd" not in given else _folder(given["cwd"], env),
            has_env="env" in given,
        )


def _command(value: f.ValueId, env: Env) -> tuple[Words, Literal["list", "text"]]:
    text = _text(value, env)
    if isinstance(text, Word):
        from explint.compose.shell import ShellProblem, split

        parts = split(text.text)
        if isinstance(parts, ShellProblem):
            return (Unknown(f"a shell reads it: {parts.message}"),), "text"
        # A part that is not known may hold blanks, so that it may be more than one word.
        return tuple(Word(p, STAND_IN not in p) for p in parts), "text"
    return tuple(words_of(value, env)), "list"


def words_of(value: f.ValueId, env: Env, depth: int = 0) -> list[Word | Unknown]:
    """The texts in a list of words; an Unknown stands for any number of them."""
    row = env.entry.values[value]
    rest: list[Word | Unknown] = [Unknown("the words are made at run time")]
    if depth > _DEPTH:
        return rest
    match row:
        case f.ListValue() | f.TupleValue():
            found: list[Word | Unknown] = []
            for item in row.items:
                inner = env.entry.values[item]
                if isinstance(inner, f.Star):
                    found += words_of(inner.value, env, depth + 1)
                elif isinstance(inner, f.Each):
                    found += rest
                else:
                    found.append(_text(item, env))
            return found + rest if row.open else found
        case f.Binary(op="+"):
            return words_of(row.left, env, depth + 1) + words_of(row.right, env, depth + 1)
        case f.Select():
            test = condition(row.test, env)
            if test is not None:
                return words_of(row.yes if test else row.no, env, depth + 1)
            ways = (words_of(way, env, depth + 1) for way in (row.yes, row.no))
            pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(*ways, strict=False))
            return [first for first, _ in pairs] + rest
        case f.CallValue():
            callee = env.entry.values[row.callee]
            if isinstance(callee, f.Library) and callee.name in ("list", "tuple") and row.args:
                return words_of(row.args[0], env, depth + 1)
    concrete = evaluate(value, env)
    if isinstance(concrete, list | tuple) and all(isinstance(c, str) for c in concrete):
        return [Word(c) for c in concrete]
    return rest


_DEPTH = 64


def _text(value: f.ValueId, env: Env, depth: int = 0) -> Word | Unknown:
    """A value as the text of a word, with STAND_IN for parts that are not known."""
    row = env.entry.values[value]
    if depth > _DEPTH:
        return Unknown("it is nested too deep")
    match row:
        case f.Template():
            parts = [_text(part, env, depth + 1) for part in row.parts]
            texts = [p.text if isinstance(p, Word) else STAND_IN for p in parts]
            return Word("".join(texts), all(isinstance(p, Word) and p.exact for p in parts))
        case f.Binary(op="+"):
            left, right = _text(row.left, env, depth + 1), _text(row.right, env, depth + 1)
            if isinstance(left, Word) and isinstance(right, Word):
                return Word(left.text + right.text, left.exact and right.exact)
            if isinstance(left, Word):
                return Word(left.text + STAND_IN, exact=False)
            return Unknown("it is made at run time")
        case f.Select():
            test = condition(row.test, env)
            if test is not None:
                return _text(row.yes if test else row.no, env, depth + 1)
        case f.CallValue():
            callee = env.entry.values[row.callee]
            name = callee.name if isinstance(callee, f.Library) else ""
            if name in ("str", "shlex.quote") and len(row.args) == 1 and not row.kwargs:
                inner = _text(row.args[0], env, depth + 1)
                if name == "shlex.quote" and isinstance(inner, Word):
                    import shlex

                    return Word(shlex.quote(inner.text), inner.exact)
                return inner
    concrete = evaluate(value, env)
    if isinstance(concrete, Unknown):
        return concrete
    if not depth and isinstance(concrete, Mapping | list):
        return Unknown("it is no text")
    text = text_of(concrete)
    return text if isinstance(text, Unknown) else Word(text)


def _what(words: Words) -> tuple[str | None, str | None, Words]:
    """The module or the script of a command that starts Python, and the words behind it."""
    for at, word in enumerate(words):
        if isinstance(word, Unknown):
            # The interpreter itself, as in sys.executable.
            if at == 0:
                continue
            return None, None, ()
        if word.text == "-m":
            module = words[at + 1] if at + 1 < len(words) else None
            if isinstance(module, Word) and module.exact:
                return module.text, None, words[at + 2 :]
            return None, None, ()
        if word.text.startswith("-"):
            if word.text == "-c":
                return None, None, ()
            continue
        if word.text.endswith(".py"):
            if not word.exact:
                return None, None, ()
            return None, word.text, words[at + 1 :]
        program = posixpath.basename(word.text)
        before = words[at - 1] if at else None
        # What follows an option of a launcher may be its value.
        is_value = isinstance(before, Word) and before.text.startswith("-")
        if not (is_value or program in _PROGRAMS or program.startswith("python")):
            return None, None, ()
    return None, None, ()


def _folder(value: f.ValueId, env: Env) -> str | Unknown | None:
    row = env.entry.values[value]
    if isinstance(row, f.CallValue):
        callee = env.entry.values[row.callee]
        if isinstance(callee, f.Library) and callee.name == "str" and len(row.args) == 1:
            return _folder(row.args[0], env)
        if isinstance(callee, f.Library) and callee.name == "hydra.utils.get_original_cwd":
            return ""
    concrete = evaluate(value, env)
    if concrete is None:
        return None
    if not isinstance(concrete, str | PurePosixPath):
        return Unknown("it is made at run time")
    whole = posixpath.normpath(posixpath.join(PACKAGE, str(concrete)))
    if whole == PACKAGE:
        # A relative path may mean another folder once the working directory has changed.
        absolute = str(concrete).startswith("/")
        return "" if absolute else None
    if whole.startswith(f"{PACKAGE}/"):
        return posixpath.relpath(whole, PACKAGE)
    return Unknown("it lies outside of the package")


def keys_of_words(words: Sequence[Word | Unknown]) -> list[str | None]:
    """The config key that each override sets, without its ``+``; None where it is not known."""
    found: list[str | None] = []
    for word in words:
        key = word.text.partition("=")[0] if isinstance(word, Word) else STAND_IN
        found.append(None if STAND_IN in key else key.lstrip("+~").partition("@")[0])
    return found
