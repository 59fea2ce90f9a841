"""Where the code of a package uses names of libraries, and whether it surely does.

A look over the text finds what may be a use; only files with a name in question are parsed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import msgspec

from explint.regex import regex
from explint.syntax import children, nodes, parsed

_FROM = regex(
    r"^[ \t]*from[ \t]+([A-Za-z_][\w.]*)[ \t]+import[ \t]+(?:\(([^)]*)\)|([^\n#;]*))", re.MULTILINE
)
_PLAIN = regex(r"^[ \t]*import[ \t]+([^\n#;]+)", re.MULTILINE)
_ATTRIBUTES = regex(r"(?:\.[A-Za-z_]\w*)+")
_GUARDS = frozenset(
    {
        "ImportError",
        "ModuleNotFoundError",
        "AttributeError",
        "TypeError",
        "Exception",
        "BaseException",
    }
)
_ASKING = regex(r"\b(?:hasattr|getattr|signature|find_spec|TYPE_CHECKING|\w*version\w*)\b", re.I)


class Place(msgspec.Struct, frozen=True, order=True):
    """A span of a file, 1-based, in characters; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


class FileUses(msgspec.Struct):
    """The library names of one file.

    ``names`` holds, for each dotted name that the code surely uses, where.
    """

    names: dict[str, list[Place]] = msgspec.field(default_factory=dict)
    _calls: dict[tuple[int, int], list[ast.Call]] = msgspec.field(default_factory=dict)
    _lines: list[str] = msgspec.field(default_factory=list)

    def call_at(self, line: int, column: int) -> dict[str, Place]:
        """Of the calls that begin at a place and surely run where the code around them runs, the
        place of the function under ``""``, and those of the keywords; empty where none begins."""
        found: dict[str, Place] = {}
        # Of `a(1)(2)` both calls begin at one place: the outer one is met first.
        for call in self._calls.get((line, column), ()):
            keywords = {k.arg: _place(k, self._lines) for k in call.keywords if k.arg is not None}
            found = {"": _place(call.func, self._lines), **found, **keywords}
        return found


_USING = frozenset({ast.ImportFrom, ast.Attribute, ast.Call})
_BINDING = frozenset(
    {ast.Import, ast.ImportFrom, ast.Name, ast.arg, ast.FunctionDef, ast.AsyncFunctionDef,
     ast.ClassDef, ast.ExceptHandler}
)  # fmt: skip
# Nodes below which something may be evaluated only sometimes; see `_sure`.
_LIMITING = frozenset(
    {ast.If, ast.IfExp, ast.While, ast.BoolOp, ast.Try, ast.TryStar, ast.With, ast.AsyncWith,
     ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.AnnAssign, ast.arg}
)  # fmt: skip


def possible(text: str, roots: frozenset[str]) -> set[str]:
    """The dotted names of libraries that a text may use, with a few too many at worst."""
    found: set[str] = set()
    aliases: dict[str, str] = {}
    if "import" not in text:
        return found
    for start in _lines_with_import(text):
        match = _FROM.match(text, start)
        module = match[1] if match is not None else ""
        if match is None or module.split(".")[0] not in roots:
            continue
        for part in re.sub(r"#[^\n]*", "", match[2] or match[3] or "").split(","):
            words = part.replace("\\", " ").split()
            if words and words[0].isidentifier():
                found.add(f"{module}.{words[0]}")
                aliases[words[-1]] = f"{module}.{words[0]}"
    for start in _lines_with_import(text):
        match = _PLAIN.match(text, start)
        for part in match[1].split(",") if match is not None else ():
            words = part.split()
            if words and words[0].split(".")[0] in roots:
                if len(words) == 3:
                    aliases[words[2]] = words[0]
                else:
                    top = words[0].split(".")[0]
                    aliases[top] = top
    # Looking for a word is many times faster than a regular expression that begins with any.
    for alias, meaning in aliases.items():
        at = text.find(f"{alias}.")
        while at >= 0:
            end = at + len(alias)
            before = text[at - 1 : at]
            use = None if before.isalnum() or before in ("_", ".") else _ATTRIBUTES.match(text, end)
            if use is not None:
                found.add(meaning + use[0])
            at = text.find(f"{alias}.", end)
    return found


def _lines_with_import(text: str) -> Iterator[int]:
    """Where the lines begin that hold the word."""
    at = text.find("import")
    while at >= 0:
        yield text.rfind("\n", 0, at) + 1
        end = text.find("\n", at)
        at = text.find("import", end) if end >= 0 else -1


def read_uses(text: str, roots: frozenset[str]) -> FileUses:
    """The library names that a file surely uses; none when Python cannot parse it.

    Left out is what may be skipped: below `if hasattr(…)` and tests of versions, in a `try` whose
    handler takes the failure and goes on, in annotations that are never evaluated; and names that
    the file binds to something else too.
    """
    uses = FileUses()
    tree = parsed(text)
    if tree is None:
        return uses
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    uses._lines = lines
    aliases = _aliases(nodes(text), roots)
    for node in _sure(tree):
        # Most nodes are none of these, and every case that does not match costs a look.
        if type(node) not in _USING:
            continue
        match node:
            case ast.ImportFrom(level=0, module=str(module)):
                if module.split(".")[0] in roots:
                    for alias in node.names:
                        if alias.name != "*":
                            name = f"{module}.{alias.name}"
                            uses.names.setdefault(name, []).append(_place(alias, lines))
            case ast.Attribute():
                dotted = _dotted(node, aliases)
                if dotted is not None:
                    uses.names.setdefault(dotted, []).append(_place(node, lines))
            case ast.Call():
                at = node.func
                start = (at.lineno, _column(lines, at.lineno, at.col_offset))
                uses._calls.setdefault(start, []).append(node)
    return uses


def _aliases(within: list[ast.AST], roots: frozenset[str]) -> dict[str, str]:
    """What the names of a file mean that it binds by imports only, and to one thing."""
    found: dict[str, set[str]] = {}
    for node in within:
        if type(node) not in _BINDING:
            continue
        match node:
            case ast.Import():
                for alias in node.names:
                    top = alias.name.split(".")[0]
                    if alias.asname:
                        found.setdefault(alias.asname, set()).add(alias.name)
                    else:
                        found.setdefault(top, set()).add(top)
            case ast.ImportFrom():
                for alias in node.names:
                    module = "." * node.level + (node.module or "")
                    name = alias.asname or alias.name
                    found.setdefault(name, set()).add(f"{module}.{alias.name}")
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                found.setdefault(name, set()).add("")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.setdefault(name, set()).add("")
            case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                found.setdefault(name, set()).add("")
    return {
        name: next(iter(meanings))
        for name, meanings in found.items()
        if len(meanings) == 1 and next(iter(meanings)).split(".")[0] in roots
    }


def _dotted(node: ast.Attribute, aliases: dict[str, str]) -> str | None:
    if not isinstance(node.ctx, ast.Load):
        return None
    words = [node.attr]
    inner = node.value
    while isinstance(inner, ast.Attribute):
        words.append(inner.attr)
        inner = inner.value
    if not isinstance(inner, ast.Name) or inner.id not in aliases:
        return None
    return ".".join([aliases[inner.id], *reversed(words)])


def _sure(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that are evaluated whenever the code around them runs."""
    lazy = any(
        isinstance(n, ast.ImportFrom)
        and n.module == "__future__"
        and any(a.name == "annotations" for a in n.names)
        for n in tree.body
    )
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, in_function = waiting.pop()
        yield node
        if type(node) not in _LIMITING:
            waiting += [(inner, in_function) for inner in children(node)]
            continue
        skipped: list[ast.AST | None] = []
        inside = in_function
        match node:
            case ast.If() | ast.IfExp() | ast.While():
                if _ASKING.search(ast.unparse(node.test)):
                    continue
            case ast.BoolOp():
                if _ASKING.search(ast.unparse(node)):
                    continue
            case ast.Try() | ast.TryStar():
                # What stands in a handler or after it runs only sometimes.
                skipped += node.handlers
                if any(_goes_on(handler) for handler in node.handlers):
                    skipped += [*node.body, *node.orelse]
            case ast.With() | ast.AsyncWith():
                if any(re.search(r"suppress|raises", ast.unparse(i)) for i in node.items):
                    continue
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                inside = True
                if lazy:
                    skipped.append(node.returns)
            case ast.Lambda():
                inside = True
            case ast.AnnAssign():
                # Python does not evaluate annotations of locals.
                if in_function or lazy:
                    skipped.append(node.annotation)
            case ast.arg():
                if lazy:
                    skipped.append(node.annotation)
        for inner in children(node):
            if not skipped or not any(inner is one for one in skipped):
                waiting.append((inner, inside))


def _goes_on(handler: ast.ExceptHandler) -> bool:
    """Whether a handler takes the failure and does not end the program."""
    if handler.type is not None:
        words = {n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name)}
        if not words & _GUARDS:
            return False
    return not isinstance(handler.body[-1], ast.Raise)


def _place(node: ast.expr | ast.alias | ast.keyword, lines: list[str]) -> Place:
    end_line, end_offset = node.end_lineno or node.lineno, node.end_col_offset or 0
    return Place(
        node.lineno,
        _column(lines, node.lineno, node.col_offset),
        end_line,
        _column(lines, end_line, end_offset),
    )


def _column(lines: list[str], line: int, offset: int) -> int:
    # ast counts UTF-8 bytes.
    text = lines[line - 1] if line <= len(lines) else ""
    return offset + 1 if text.isascii() else len(text.encode()[:offset].decode(errors="ignore")) + 1
