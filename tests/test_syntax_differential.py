"""The verdict on a source file against the compiler of the Python that runs the tests.

``EXPLINT_DIFFERENTIAL=full`` judges every file of the standard library and site-packages and
200,000 mutants instead of a sample.
"""

from __future__ import annotations

import os
import random
import sys
import sysconfig
import warnings
from pathlib import Path

import pytest

from explint._core import syntax_verdict
from syntax_mutants import mutant

FULL = os.environ.get("EXPLINT_DIFFERENTIAL") == "full"
MINOR = sys.version_info.minor
SNIPPETS = Path(__file__).parent / "data" / "syntax_snippets.txt"

# docs/syntax.md, "Known differences": a later Unicode than 3.11's, surrogates in a docstring of
# 3.13.0, and line ends in format specifications, which differ between patch releases.
KNOWN = {"a・b = 1", '"\\ud800"', 'f"{a:\n}"'}

pytestmark = [
    pytest.mark.differential,
    pytest.mark.skipif(MINOR not in (11, 12, 13), reason="compared with CPython 3.11 to 3.13"),
]


def cpython(source: bytes) -> Exception | None:
    """The exception with which CPython refuses ``source``, if it does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(source, "file.py", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
            return error
    return None


def disagreement(source: bytes) -> str | None:
    """How the verdict contradicts CPython; an undecided one contradicts nothing."""
    state, line, column, _, _, message = syntax_verdict(source, MINOR)
    error = cpython(source)
    if state == "undecided" or (state == "accepted") == (error is None):
        return None
    return f"{state} ({line}:{column} {message}), CPython: {error!r}"


def snippets() -> list[str]:
    text = SNIPPETS.read_text(encoding="utf-8")
    lines = text.split("\n")
    body = "\n".join(line for line in lines[3:])
    marks = {"<TAB>": "\t", "<FF>": "\f", "<CR>": "\r"}
    found = body.removesuffix("\n").split("\n---\n")
    for mark, character in marks.items():
        found = [snippet.replace(mark, character) for snippet in found]
    return found


def source_files() -> list[Path]:
    roots = {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")}
    return sorted({path.resolve() for root in roots for path in root.rglob("*.py")})


def test_snippets_of_every_error() -> None:
    wrong = {}
    for snippet in snippets():
        if snippet in KNOWN:
            continue
        for source in (snippet, snippet + "\n"):
            problem = disagreement(source.encode())
            if problem is not None:
                wrong[source] = problem
    assert wrong == {}


def test_files_of_the_standard_library_and_packages() -> None:
    files = source_files()
    assert len(files) > 1000
    if not FULL:
        files = random.Random(0).sample(files, 200)
    wrong = {}
    for path in files:
        problem = disagreement(path.read_bytes())
        if problem is not None:
            wrong[str(path)] = problem
    assert wrong == {}


def test_mutants() -> None:
    files = source_files()
    wrong = {}
    lines = same = 0
    for seed in range(200_000 if FULL else 4_000):
        source = files[random.Random(seed).randrange(len(files))].read_bytes()
        name, damaged = mutant(source, seed)
        problem = disagreement(damaged)
        if problem is not None:
            wrong[f"{name}, seed {seed}"] = problem
            continue
        error = cpython(damaged)
        if isinstance(error, SyntaxError) and error.lineno:
            lines += 1
            same += syntax_verdict(damaged, MINOR)[1] == error.lineno
    assert wrong == {}
    assert same > 0.8 * lines


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"(" * 100_000, "rejected"),
        (b"x = " + b"-" * 1_000_000 + b"1", "undecided"),
        (b"lambda: " * 100_000 + b"1", "undecided"),
        (b"1 if 1 else " * 100_000 + b"1", "undecided"),
        (b"+".join([b"a"] * 1_000_000), "undecided"),
        (b"+".join([b"a"] * 15_000), "rejected"),
        (b"if a: pass\n" + b"elif a: pass\n" * 20_000, "rejected"),
        (b"x = [" + b"1," * 200_000 + b"]", "accepted"),
        (b'f"{' * 100_000, "rejected"),
        (b"f'''" + b"{a}" * 5_000 + b"'''", "accepted"),
        (b"".join(b" " * i + b"if a:\n" for i in range(1000)), "rejected"),
        (b"a\x00b", "rejected"),
        (b"a\\", "rejected"),
        (b"x = '\xff'\n", "rejected"),
        (b"# \xff\n", "accepted"),
        (b"# -*- coding: latin-1 -*-\nx = '\xff'\n", "accepted"),
        (b"# -*- coding: ascii -*-\nx = '\xff'\n", "rejected"),
        (b"\xef\xbb\xbf# coding: latin-1\n", "rejected"),
        (b"\xef\xbb\xbfx = 1\n", "accepted"),
        (b"# coding: shift-jis\n", "undecided"),
    ],
)
def test_hostile_input_ends_and_never_contradicts(source: bytes, expected: str) -> None:
    assert syntax_verdict(source, MINOR)[0] == expected
    assert disagreement(source) is None


def test_random_bytes() -> None:
    rng = random.Random(1)
    alphabet = b"()[]{}:;,.=+-*/\"'\\#\n \tabfrx01_\r\x0c@!&%\xc3\xa9"
    for _ in range(20_000 if FULL else 3_000):
        source = bytes(rng.choices(alphabet, k=rng.randrange(1, 30)))
        assert disagreement(source) is None, source


@pytest.mark.parametrize(
    ("source", "line", "column", "words"),
    [
        ("x = 1\ny = (1,\n", 2, 5, "'(' was never closed"),
        ("def f(a, a): pass\n", 1, 10, "duplicate argument 'a'"),
        ("é = 1; return\n", 1, 8, "'return' outside function"),
        ("x = 1\r\nfor y in x:\r\n    pass\r\nbreak\r\n", 4, 1, "'break' outside loop"),
        ("if a:\nb\n", 2, 1, "indented block"),
        ('"""\n\nx', 1, 1, "unterminated triple-quoted string literal"),
        ("f'{a b}'\n", 1, 6, "invalid syntax"),
    ],
)
def test_positions_are_characters_of_the_text(
    source: str, line: int, column: int, words: str
) -> None:
    state, found_line, found_column, _, _, message = syntax_verdict(source.encode(), 11)
    assert (state, found_line, found_column) == ("rejected", line, column)
    assert words in message
