"""Averages in the code of training and evaluation whose sum and count are of different things."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from enum import Enum
from typing import Final

import msgspec

from explint.regex import lines_with
from explint.syntax import children, nodes, parsed

_MEANS: Final = frozenset(
    {
        "cross_entropy",
        "nll_loss",
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
    }
)
"""Functions of torch.nn.functional that give the mean over a batch unless told otherwise."""

_BY_SAMPLES: Final = r"(len\([^()]+\.dataset\)|[a-z_]\w*\b(?!\())"
_BY_BATCHES: Final = r"len\([^()]*loader\w*\)"
_WRAPPERS: Final = frozenset({"enumerate", "tqdm", "islice", "iter"})


class Counts(Enum):
    """What a number counts or is summed over."""

    BATCHES = "batches"
    SAMPLES = "samples"


class WrongAverage(msgspec.Struct, frozen=True):
    """A division of a sum over one thing by the number of another."""

    line: int
    column: int
    total: str
    summed: Counts


def wrong_averages(text: str) -> Iterator[WrongAverage]:
    """The wrong averages of a module, in order of place; none where Python cannot parse it.

    Nothing is said of a sum that is added to in more than one way, of a loss whose reduction is not
    seen, or of a count that is not plainly one of batches or of samples.
    """
    if not _may_be_wrong(text):
        return
    tree = parsed(text)
    if tree is None:
        return
    shared = _criteria(tree.body)
    for node in nodes(text):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _of_function(node, shared)


def _may_be_wrong(text: str) -> bool:
    """A look at the text that costs less than parsing it: hardly any module gets past it."""
    bare = "".join(text.split())
    for _, line in lines_with(text, ("+=",)):
        if ".item()" not in line:
            continue
        name, _, added = line.partition("+=")
        name = name.strip()
        over_samples = "*" in added or "sum" in added
        divisor = _BY_BATCHES if over_samples else _BY_SAMPLES
        # Most sums are divided somewhere else, if at all.
        quotient = rf"\b{name}\s*/\s*{divisor}"
        if name.isidentifier() and f"{name}/" in bare and re.search(quotient, text):
            return True
    return False


def _own(outer: ast.FunctionDef | ast.AsyncFunctionDef | ast.For) -> list[ast.AST]:
    """The nodes of a function without those of functions and classes inside it; of a loop, without
    those of loops inside it too."""
    apart: tuple[type[ast.AST], ...] = (
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.Lambda,
    )
    if isinstance(outer, ast.For):
        apart = (*apart, ast.For, ast.While)
    found: list[ast.AST] = []
    stack: list[ast.AST] = list(reversed(outer.body))
    while stack:
        node = stack.pop()
        found.append(node)
        if not isinstance(node, apart):
            stack.extend(reversed(children(node)))
    return found


def _criteria(nodes: list[ast.stmt] | list[ast.AST]) -> set[str]:
    """The names that hold a loss module with its default reduction, and nothing else."""
    found: set[str] = set()
    other: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Assign):
            names = {t.id for t in node.targets if isinstance(t, ast.Name)}
            (found if _makes_criterion(node.value) else other).update(names)
    return found - other


def _makes_criterion(value: ast.expr) -> bool:
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        if value.func.attr == "to":
            return _makes_criterion(value.func.value)
        owner = value.func.value
        of_torch = (isinstance(owner, ast.Name) and owner.id == "nn") or (
            isinstance(owner, ast.Attribute) and owner.attr == "nn"
        )
        return of_torch and value.func.attr.endswith("Loss") and _is_plain(value)
    return False


def _is_plain(call: ast.Call) -> bool:
    """Whether a call leaves the reduction of a loss as it is."""
    return all(k.arg not in (None, "reduction", "reduce", "size_average") for k in call.keywords)


def _of_function(
    function: ast.FunctionDef | ast.AsyncFunctionDef, shared: set[str]
) -> Iterator[WrongAverage]:
    nodes = _own(function)
    bound = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)}
    criteria = (shared - bound) | _criteria(nodes)
    losses = _batch_means(nodes, criteria)
    sums: dict[str, set[Counts | None]] = {}
    loops: dict[str, set[str]] = {}
    for node in nodes:
        if isinstance(node, ast.For):
            over = _unwrapped(node.iter)
            for inner in _own(node):
                if isinstance(inner, ast.AugAssign) and isinstance(inner.target, ast.Name):
                    loops.setdefault(inner.target.id, set()).add(over)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            what = _summed(node.value, losses) if isinstance(node.op, ast.Add) else None
            sums.setdefault(node.target.id, set()).add(what)
    for node in nodes:
        if not (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Div)
            and isinstance(node.left, ast.Name)
            and len(sums.get(node.left.id, ())) == 1
            and loops.get(node.left.id)
        ):
            continue
        (summed,) = sums[node.left.id]
        counted = _counted(node.right, sums, loops[node.left.id])
        if summed is not None and counted is not None and summed is not counted:
            yield WrongAverage(node.lineno, node.col_offset + 1, node.left.id, summed)


def _batch_means(nodes: list[ast.AST], criteria: set[str]) -> set[str]:
    """The names that hold the mean loss of a batch wherever they are assigned."""
    found: set[str] = set()
    other: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Assign):
            names = {t.id for t in node.targets if isinstance(t, ast.Name)}
            (found if _is_mean(node.value, criteria) else other).update(names)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            other.add(node.target.id)
    return found - other


def _is_mean(value: ast.expr, criteria: set[str]) -> bool:
    if not isinstance(value, ast.Call) or not _is_plain(value):
        return False
    called = value.func
    if isinstance(called, ast.Name):
        return called.id in criteria
    return (
        isinstance(called, ast.Attribute)
        and called.attr in _MEANS
        and ast.unparse(called.value).rpartition(".")[2] in ("F", "functional")
    )


def _summed(value: ast.expr, losses: set[str]) -> Counts | None:
    """What one addition stands for: the mean of a batch, or its samples."""
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult):
        for mean, size in ((value.left, value.right), (value.right, value.left)):
            if _is_loss(mean, losses) and _is_size(size):
                return Counts.SAMPLES
        return None
    if _is_loss(value, losses):
        return Counts.BATCHES
    if _is_size(value):
        return Counts.SAMPLES
    # (predicted == labels).sum().item()
    inner = _of_method(value, "item")
    hits = None if inner is None else _of_method(inner, "sum")
    return Counts.SAMPLES if isinstance(hits, ast.Compare) else None


def _is_loss(value: ast.expr, losses: set[str]) -> bool:
    inner = _of_method(value, "item")
    return isinstance(inner, ast.Name) and inner.id in losses


def _of_method(value: ast.expr, name: str) -> ast.expr | None:
    """What a method without arguments is called on."""
    if (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr == name
        and not value.args
        and not value.keywords
    ):
        return value.func.value
    return None


def _is_size(value: ast.expr) -> bool:
    """The number of samples in a batch: ``labels.size(0)``, ``labels.shape[0]``."""
    return ast.unparse(value).endswith((".size(0)", ".shape[0]"))


def _counted(
    value: ast.expr, sums: dict[str, set[Counts | None]], loops: set[str]
) -> Counts | None:
    """What a divisor counts."""
    if isinstance(value, ast.Name):
        # Only what is added up batch by batch.
        return Counts.SAMPLES if sums.get(value.id) == {Counts.SAMPLES} else None
    if (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id == "len"
        and len(value.args) == 1
    ):
        of = ast.unparse(value.args[0])
        if of.endswith(".dataset"):
            return Counts.SAMPLES if loops == {of.removesuffix(".dataset")} else None
        return Counts.BATCHES if loops == {of} and "loader" in of.lower() else None
    return None


def _unwrapped(value: ast.expr) -> str:
    """The text of what a loop goes through, without enumerate and progress bars."""
    while (
        isinstance(value, ast.Call)
        and value.args
        and ast.unparse(value.func).rpartition(".")[2] in _WRAPPERS
    ):
        value = value.args[0]
    return ast.unparse(value)
