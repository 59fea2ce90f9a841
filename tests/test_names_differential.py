"""Undefined names and unbound locals against pyflakes, over real code and mutants of it.

Every difference must belong to a class that docs/names.md explains; each class is a predicate here.
By default a seeded sample is compared; ``EXPLINT_DIFFERENTIAL=full`` compares every file of the
standard library and of site-packages.
"""

from __future__ import annotations

import ast
import os
import random
import re
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest
from pyflakes import checker, messages  # type: ignore[import-untyped]

import explint

pytestmark = pytest.mark.differential

FULL = os.environ.get("EXPLINT_DIFFERENTIAL") == "full"
FILES = 10_000 if FULL else 90
LARGEST = 10_000_000 if FULL else 40_000
MUTANTS = 1
SEED = 20

NAMESPACES = {"exec", "globals", "vars", "locals"}

UNDEFINED = "complete/undefined-name"
UNBOUND = "complete/unbound-local"


@dataclass
class Sample:
    """One file and what both sides say of it: name to lines, or to (rule, line, message)."""

    label: str
    text: str
    tree: ast.Module
    pyflakes: dict[str, list[int]] = field(default_factory=dict)
    ours: dict[str, list[tuple[str, int, str]]] = field(default_factory=dict)

    @cached_property
    def functions(self) -> list[ast.AST]:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        return [n for n in ast.walk(self.tree) if isinstance(n, kinds)]

    @cached_property
    def open(self) -> bool:
        """Names may appear that no statement binds."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                return True
            if isinstance(node, ast.Call) and ast.unparse(node.func) in NAMESPACES:
                return True
            if isinstance(node, ast.Subscript) and ast.unparse(node) == "sys.modules[__name__]":
                return True
        return False

    @cached_property
    def unevaluated(self) -> list[ast.expr]:
        """Annotations that nothing evaluates at run time."""
        postponed = any(
            isinstance(n, ast.ImportFrom)
            and n.module == "__future__"
            and any(alias.name == "annotations" for alias in n.names)
            for n in self.tree.body
        )
        found: list[ast.expr] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.AnnAssign):
                local = any(_covers(f, node.lineno) for f in self.functions)
                found += [node.annotation] if postponed or local else []
            elif postponed and isinstance(node, ast.arg) and node.annotation:
                found.append(node.annotation)
            elif postponed and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found += [node.returns] if node.returns else []
        return found

    @cached_property
    def strings(self) -> list[ast.Constant]:
        return [
            n
            for n in ast.walk(self.tree)
            if isinstance(n, ast.Constant) and isinstance(n.value, str)
        ]

    def stores(self, name: str) -> Iterator[int]:
        """Lines that bind the name."""
        for node in ast.walk(self.tree):
            match node:
                case ast.Name(id=bound, ctx=ast.Store()):
                    pass
                case ast.alias(name=module, asname=alias):
                    bound = alias or module.split(".")[0]
                case (
                    ast.ExceptHandler(name=bound)
                    | ast.FunctionDef(name=bound)
                    | ast.ClassDef(name=bound)
                    | ast.MatchAs(name=bound)
                    | ast.MatchStar(name=bound)
                ):
                    pass
                case _:
                    continue
            if bound == name:
                yield getattr(node, "lineno", 0)

    def explains_pyflakes(self, name: str) -> str | None:
        """The class of difference, for a name that pyflakes alone reports."""
        lines = self.pyflakes[name]
        if self.open:
            return "open module"
        if all(self._is_unevaluated(name, line) for line in lines):
            return "annotation that is never evaluated"
        if any(
            (isinstance(n, ast.Delete) and name in ast.unparse(n))
            or (isinstance(n, ast.ExceptHandler) and n.name == name)
            for n in ast.walk(self.tree)
        ):
            return "taken away somewhere, read in code that may run before"
        if all(self._in_loop_with_store(name, line) for line in lines):
            return "bound in an earlier round of a loop"
        if not any(self._is_read_at(name, line) for line in lines):
            return "no read at the line"
        return None

    def _is_unevaluated(self, name: str, line: int) -> bool:
        word = re.compile(rf"\b{re.escape(name)}\b")
        return any(_covers(a, line) and word.search(ast.unparse(a)) for a in self.unevaluated) or (
            any(_covers(s, line) and word.search(str(s.value)) for s in self.strings)
        )

    def _in_loop_with_store(self, name: str, line: int) -> bool:
        return any(
            _covers(loop, line) and any(_covers(loop, store) for store in self.stores(name))
            for loop in ast.walk(self.tree)
            if isinstance(loop, ast.For | ast.While | ast.AsyncFor)
        )

    def _is_read_at(self, name: str, line: int) -> bool:
        return any(
            isinstance(n, ast.Name)
            and n.id == name
            and n.lineno == line
            and not isinstance(n.ctx, ast.Store)
            for n in ast.walk(self.tree)
        )

    def explains_ours(self, name: str) -> str | None:
        """The class of difference, for a name that explint alone reports."""
        for rule, line, message in self.ours[name]:
            if rule == UNBOUND:
                inside = [f for f in self.functions if _covers(f, line)]
                bound = any(_covers(f, store) for f in inside for store in self.stores(name))
                if not bound:
                    return None
            elif "TYPE_CHECKING" not in message and not list(self.stores(name)):
                return None
        return "paths are followed"


def _covers(node: ast.AST, line: int) -> bool:
    first = getattr(node, "lineno", 0)
    return bool(first <= line <= (getattr(node, "end_lineno", None) or first))


def real_files() -> list[Path]:
    roots = {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")}
    files = sorted({path for root in roots for path in Path(root).rglob("*.py")})
    rng = random.Random(SEED)
    files = [path for path in files if path.stat().st_size <= LARGEST]
    return files if len(files) <= FILES else rng.sample(files, FILES)


def mutate(text: str, tree: ast.Module, rng: random.Random) -> str | None:
    """The text with one name misspelt, or one import or assignment taken out."""
    lines = text.split("\n")
    if rng.random() < 0.5:
        names = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id.isascii()]
        if not names:
            return None
        name = rng.choice(names)
        line = lines[name.lineno - 1].encode()
        end = name.col_offset + len(name.id)
        lines[name.lineno - 1] = (line[:end] + b"_x" + line[end:]).decode()
    else:
        kinds = (ast.Import, ast.ImportFrom, ast.Assign, ast.AugAssign)
        statements = [
            n for n in ast.walk(tree) if isinstance(n, kinds) and n.lineno == n.end_lineno
        ]
        if not statements:
            return None
        at = rng.choice(statements).lineno - 1
        indent = len(lines[at]) - len(lines[at].lstrip())
        lines[at] = lines[at][:indent] + "pass"
    return "\n".join(lines)


def parse(text: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "<sample>", "exec", dont_inherit=True)
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def read_samples() -> list[Sample]:
    rng = random.Random(SEED)
    samples: list[Sample] = []
    for path in real_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        tree = parse(text)
        if tree is None or "\f" in text or "\r" in text:
            continue
        samples.append(Sample(path.name, text, tree))
        for number in range(MUTANTS):
            mutant = mutate(text, tree, rng)
            mutated = parse(mutant) if mutant is not None else None
            if mutant is not None and mutated is not None:
                samples.append(Sample(f"{path.name}, mutant {number}", mutant, mutated))
    return samples


def ask_pyflakes(sample: Sample) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for message in checker.Checker(sample.tree, filename="sample.py").messages:
            if isinstance(message, messages.UndefinedName | messages.UndefinedLocal):
                sample.pyflakes.setdefault(message.message_args[0], []).append(message.lineno)


def ask_explint(samples: list[Sample]) -> None:
    for start in range(0, len(samples), 500):
        part = samples[start : start + 500]
        files = {f"src/sample_{at}.py": sample.text for at, sample in enumerate(part)}
        report = explint.check(files, profile="hydra-wandb", select=(UNDEFINED, UNBOUND))
        for finding in report.packages[0].findings:
            if finding.rule in (UNDEFINED, UNBOUND):
                sample = part[int(re.findall(r"\d+", finding.path)[0])]
                name = finding.message.split("`")[1]
                told = (finding.rule, finding.line, finding.message)
                sample.ours.setdefault(name, []).append(told)


def test_agrees_with_pyflakes_but_for_the_explained_classes() -> None:
    samples = read_samples()
    ask_explint(samples)
    agreed = 0
    unexplained: list[str] = []
    for sample in samples:
        ask_pyflakes(sample)
        agreed += len(sample.pyflakes.keys() & sample.ours.keys())
        for name in sorted(sample.pyflakes.keys() - sample.ours.keys()):
            if sample.explains_pyflakes(name) is None:
                lines = sample.pyflakes[name]
                unexplained.append(f"{sample.label}: pyflakes alone reports {name} at {lines}")
        for name in sorted(sample.ours.keys() - sample.pyflakes.keys()):
            if sample.explains_ours(name) is None:
                told = sample.ours[name]
                unexplained.append(f"{sample.label}: explint alone reports {name}: {told}")
    assert not unexplained, "\n".join(unexplained)
    # Without a fair number of agreements the comparison would prove nothing.
    assert agreed >= len(samples) // 10


def test_the_builtins_are_those_of_the_target_version() -> None:
    """Every builtin of this interpreter that Python 3.11 has too is known."""
    import builtins

    names = [name for name in dir(builtins) if name.isidentifier() and name != "_"]
    later = {"PythonFinalizationError", "_IncompleteInputError"}
    text = "\n".join(f"print({name})" for name in names if name not in later)
    report = explint.check({"src/a.py": text}, profile="hydra-wandb", select=(UNDEFINED,))
    assert [f.message for f in report.packages[0].findings if f.rule == UNDEFINED] == []
