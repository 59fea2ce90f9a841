"""Which third-party modules the code of a package imports, and whether it surely does.

The seam to the core: rules ask `surely_imported` only, so that the syntax can come from anywhere.
Reading costs a regular expression per file; only a file that names a module in question is parsed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

import msgspec

from explint.regex import regex
from explint.syntax import parsed

_IMPORT = regex(
    r"(?:^|[;:])[ \t]*(?:from[ \t]+(?P<source>\w+)[\w.]*[ \t]+import\b"
    r"|import[ \t]+(?P<names>[^#;\n]+))"
)
_GUARDS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


class Import(msgspec.Struct, frozen=True, order=True):
    """An import of an absolute top-level module: where it stands, 1-based, in characters."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    module: str


def mentioned(text: str) -> set[str]:
    """The top-level modules that a text may import, read in a hurry: a few too many at worst.

    Continued `import a, \\` lines beyond the first are not seen.
    """
    found = set()
    # Most lines hold no such word: looking for it is many times faster than a regular expression.
    at = text.find("import")
    while at >= 0:
        start = text.rfind("\n", 0, at) + 1
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        for match in _IMPORT.finditer(text[start:end]):
            if match["source"]:
                found.add(match["source"])
                continue
            for part in match["names"].split(","):
                name = part.strip().partition(" ")[0].partition(".")[0]
                if name.isidentifier():
                    found.add(name)
        at = text.find("import", end)
    return found


def surely_imported(path: str, text: str) -> list[Import]:
    """The imports that run whenever the code around them runs.

    Left out: relative imports; imports below `if` (also `TYPE_CHECKING`) other than the main guard,
    `match` or `with suppress`; and those in a `try` whose handler takes the failure and goes on. A
    text that Python cannot parse has none.
    """
    tree = parsed(text)
    if tree is None:
        return []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return sorted(_walk(path, tree.body, lines))


def module_of(path: str) -> tuple[str, ...]:
    """The dotted name of a file of the package, from its root."""
    parts = path.removesuffix(".py").split("/")
    return tuple(parts[:-1] if parts[-1] == "__init__" else parts)


def reachable(texts: Mapping[str, str], entries: list[str]) -> list[str]:
    """The files that the entry files import or start, directly or not, and these files themselves.

    Names are matched generously: a file counts as soon as an import, or a dotted name such as
    ``src.inference`` in a child's command line, may mean it.
    """
    if texts.keys() <= set(entries):
        return [path for path in entries if path in texts]
    folders = "|".join(sorted({re.escape(path.split("/")[0]) for path in entries if "/" in path}))
    dotted = re.compile(rf"\b(?:{folders})\.(\w+)") if folders else None
    by_name: dict[str, list[str]] = {}
    for path in texts:
        by_name.setdefault(module_of(path)[-1] if module_of(path) else "", []).append(path)
    seen: list[str] = []
    waiting = [path for path in reversed(entries) if path in texts]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.append(path)
        words = set(re.findall(r"\w+", " ".join(_import_lines(texts[path]))))
        if dotted is not None:
            words |= set(dotted.findall(texts[path]))
        waiting += [p for word in sorted(words) for p in by_name.get(word, [])]
    return seen


def _import_lines(text: str) -> list[str]:
    found = []
    at = text.find("import")
    while at >= 0:
        end = text.find("\n", at)
        # A list in parentheses goes over several lines.
        opened = text.find("(", at, end if end >= 0 else len(text))
        if opened >= 0:
            end = text.find(")", opened)
        end = len(text) if end < 0 else end
        found.append(text[text.rfind("\n", 0, at) + 1 : end])
        at = text.find("import", end)
    return found


def _walk(path: str, body: list[ast.stmt], lines: list[str]) -> Iterator[Import]:
    waiting = list(reversed(body))
    while waiting:
        node = waiting.pop()
        match node:
            case ast.Import():
                for alias in node.names:
                    yield _place(path, alias, alias.name, lines)
            case ast.ImportFrom(level=0, module=str(module)):
                yield _place(path, node, module, lines)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                waiting += reversed(node.body)
            case ast.With() | ast.AsyncWith():
                if not any("suppress" in ast.dump(item.context_expr) for item in node.items):
                    waiting += reversed(node.body)
            case ast.For() | ast.AsyncFor() | ast.While():
                waiting += reversed(node.body)
            case ast.If() if _is_main_guard(node.test):
                waiting += reversed(node.body)
            case ast.Try() | ast.TryStar():
                if not any(_goes_on(handler) for handler in node.handlers):
                    waiting += reversed(node.body)
                waiting += reversed(node.finalbody)
            case _:
                pass


def _goes_on(handler: ast.ExceptHandler) -> bool:
    """Whether a handler takes a failed import and does not end the program."""
    names = (
        {n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name)}
        if handler.type
        else {"BaseException"}
    )
    if not names & _GUARDS:
        return False
    last = handler.body[-1]
    return not isinstance(last, ast.Raise)


def _is_main_guard(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
    )


def _place(path: str, node: ast.alias | ast.ImportFrom, module: str, lines: list[str]) -> Import:
    def column(line: int, offset: int) -> int:
        # ast counts UTF-8 bytes.
        text = lines[line - 1] if line <= len(lines) else ""
        return len(text.encode()[:offset].decode(errors="ignore")) + 1

    end_line, end_offset = node.end_lineno or node.lineno, node.end_col_offset or 0
    return Import(
        path=path,
        line=node.lineno,
        column=column(node.lineno, node.col_offset),
        end_line=end_line,
        end_column=column(end_line, end_offset),
        module=module.partition(".")[0],
    )
