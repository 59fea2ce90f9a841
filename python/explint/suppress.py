"""Suppressions: comments that hide a finding at a place, with the reason why.

``# explint: ignore[complete/todo-marker, STR003]: reason`` hides findings of the named rules

* at the end of a line: on that line. A finding over several lines is hidden from its first or its
  last one; a comment behind the end of a multi-line string covers the whole string;
* on a line of its own: on the lines below it, up to and including the next line of code (and the
  rest of a multi-line string that starts there), so that several comments can be stacked;

and ``# explint: ignore-file[rule]: reason`` in the whole file. Rules are named or given by code; a
whole family cannot be suppressed, since that would hide rules nobody has seen yet.

A suppression without a reason still hides, and is reported for the missing reason. Suppressions
never change a verdict.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from explint.model import Confidence, Finding, Rule, State
from explint.nearmiss import near_miss
from explint.regex import regex

UNUSED = "suppression/unused"
UNKNOWN_RULE = "suppression/unknown-rule"
NO_REASON = "suppression/no-reason"

FORM = "# explint: ignore[rule-name]: reason"


class Directive(Protocol):
    """A comment that may be a suppression, as the core or a scanner of this module found it.

    ``line`` and the columns are 1-based characters; ``own_line`` when nothing precedes it.
    """

    @property
    def line(self) -> int:
        """The line of the comment."""

    @property
    def column(self) -> int:
        """The column of its first character."""

    @property
    def end_column(self) -> int:
        """The column just past its last character."""

    @property
    def text(self) -> str:
        """The comment, with or without its number sign."""

    @property
    def own_line(self) -> bool:
        """Whether only white space precedes it."""


class Comment(msgspec.Struct, frozen=True):
    """A Directive found in YAML or TOML."""

    line: int
    column: int
    end_column: int
    text: str
    own_line: bool


class Suppression(msgspec.Struct, frozen=True):
    """One comment. ``problem`` says why it cannot be understood; then it hides nothing.

    It covers ``lines``, or the whole file when that is None. ``trailing`` comments also cover a
    finding that ends on their line.
    """

    path: str
    line: int
    column: int
    end_column: int
    lines: range | None
    trailing: bool
    names: tuple[str, ...]
    reason: str | None
    problem: str | None = None

    def covers(self, finding: Finding) -> bool:
        """Whether the finding stands at a place this comment is about; names do not matter."""
        if finding.path != self.path or self.problem is not None:
            return False
        if self.lines is None or finding.line in self.lines:
            return True
        last = finding.end_line
        if finding.end_column == 1 and last > finding.line:
            last -= 1
        return self.trailing and last in self.lines


class Applied(msgspec.Struct, frozen=True):
    """The findings with their states, and what is wrong with the suppressions themselves."""

    findings: tuple[Finding, ...]
    problems: tuple[Finding, ...]


# What is meant as a suppression: `explint:` and anything, or `explint ignore` without the colon.
_MEANT = regex(r"(?:^#*|\s#+)\s*explint\s*(?::|(?=ignore\b))", re.IGNORECASE)
_DIRECTIVE = regex(
    r"\s*(?P<kind>ignore(?:-file)?)\s*\[(?P<names>[^\]\[]*)\]\s*(?P<colon>:?)(?P<reason>.*)",
    re.DOTALL,
)
# Another tool's comment behind ours (a linter's marker, say) is no part of the reason.
_NEXT_COMMENT = regex(r"\s#\s.*|^\s*#.*", re.DOTALL)
_LINE_BREAK = regex(r"\r\n|\r|\n")

_PYTHON_TOKENS = regex(
    r"#[^\r\n]*"
    r'|"""(?:[^"\\]|\\.|"{1,2}(?!"))*+"""'
    r"|'''(?:[^'\\]|\\.|'{1,2}(?!'))*+'''"
    r'|"(?:[^"\\\r\n]|\\.)*+"'
    r"|'(?:[^'\\\r\n]|\\.)*+'",
    re.DOTALL,
)
_TOML_TOKENS = regex(
    r"#[^\r\n]*"
    r'|"""(?:[^"\\]|\\.|"{1,2}(?!"))*+"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*+'{3,5}"
    r'|"(?:[^"\\\r\n]|\\[^\r\n])*+"'
    r"|'[^'\r\n]*+'",
    re.DOTALL,
)


def parse(path: str, text: str, directives: Iterable[Directive] | None = None) -> list[Suppression]:
    """The suppressions of one file, in order of place.

    ``text`` is the decoded file. ``directives`` are its comments as the core found them; without
    them the comments of YAML and TOML files (by the suffix of ``path``) are found here, and other
    files have none. Comments that are not about explint are passed over.
    """
    if directives is None:
        if "explint" not in text:
            return []
        if path.endswith((".yaml", ".yml")):
            tokens = list(_yaml_tokens(text))
        elif path.endswith(".toml"):
            tokens = [(m.start(), m.end(), m[0][0] == "#") for m in _TOML_TOKENS.finditer(text)]
        else:
            return []
    else:
        directives = [d for d in directives if _MEANT.search(d.text)]
        if not directives:
            return []
        tokens = [(m.start(), m.end(), m[0][0] == "#") for m in _PYTHON_TOKENS.finditer(text)]
    lines = _Lines(text)
    if directives is None:
        directives = _comments(lines, tokens)
    strings = [
        (first, last)
        for start, end, is_comment in tokens
        if not is_comment and (first := lines.at(start)) < (last := lines.at(end - 1))
    ]
    return [_suppression(path, d, lines, strings) for d in directives]


def _comments(lines: _Lines, tokens: list[tuple[int, int, bool]]) -> list[Comment]:
    comments = []
    for start, end, is_comment in tokens:
        text = lines.text[start:end]
        if is_comment and _MEANT.search(text):
            line = lines.at(start)
            begin = lines.starts[line - 1]
            comments.append(
                Comment(
                    line=line,
                    column=start - begin + 1,
                    end_column=end - begin + 1,
                    text=text,
                    own_line=not lines.text[begin:start].strip(" \t\ufeff"),
                )
            )
    return comments


class _Lines:
    """Line numbers of a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(m.end() for m in _LINE_BREAK.finditer(text))]

    def at(self, offset: int) -> int:
        """The 1-based line that holds the character at ``offset``."""
        return bisect_right(self.starts, offset)

    def next_code(self, line: int) -> int:
        """The first line below ``line`` that is neither blank nor a comment; else ``line``."""
        for number in range(line, len(self.starts)):
            begin = self.starts[number]
            end = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.text)
            content = self.text[begin:end].strip()
            if content and not content.startswith("#"):
                return number + 1
        return line


def _suppression(
    path: str, directive: Directive, lines: _Lines, strings: list[tuple[int, int]]
) -> Suppression:
    meant = _MEANT.search(directive.text)
    rest = directive.text[meant.end() :] if meant else ""
    match = _DIRECTIVE.match(rest)
    names: tuple[str, ...] = ()
    reason = problem = None
    whole_file = False
    if meant is None or not meant[0].endswith(":"):
        problem = "the colon after `explint` is missing"
    elif match is None:
        verb = rest.split("[")[0].split()
        if not verb or verb[0].rstrip(":") in ("ignore", "ignore-file"):
            problem = "the rules in brackets are missing"
        else:
            problem = f"`{verb[0][:40]}` is neither `ignore` nor `ignore-file`"
    else:
        names = tuple(dict.fromkeys(n.strip() for n in match["names"].split(",") if n.strip()))
        if not names:
            problem = "the brackets name no rule"
        whole_file = match["kind"] == "ignore-file"
        if match["colon"]:
            reason = _NEXT_COMMENT.sub("", match["reason"]).strip() or None
    first = last = directive.line
    if directive.own_line:
        last = lines.next_code(directive.line)
    for begin, end in strings:
        if begin == last:
            last = max(last, end)
        if end == first and not directive.own_line:
            first = min(first, begin)
    return Suppression(
        path=path,
        line=directive.line,
        column=directive.column,
        end_column=directive.end_column,
        lines=None if whole_file else range(first, last + 1),
        trailing=not directive.own_line,
        names=names,
        reason=reason,
        problem=problem,
    )


def apply(
    findings: Iterable[Finding],
    suppressions: Sequence[Suppression],
    rules: Sequence[Rule],
    *,
    decided: Collection[str] | None = None,
) -> Applied:
    """Hides what the suppressions name, and reports the suppressions that are not in order.

    ``decided`` holds the names of the rules that ran and gave an answer (None: all of them): only
    of those can it be said that there was nothing to hide. Call it before rules are selected, or a
    suppression would look unused because its rule is not shown. Findings keep their order and
    everything but state and reason; problems come in order of place, without fingerprints.

    A suppression of *suppression* rules hides problems of other comments and of its own; one that
    hides nothing is itself reported, and that last report cannot be hidden.
    """
    by_word = {r.name: r for r in rules} | {r.code: r for r in rules}
    ledger = _Ledger(suppressions, by_word)
    found = tuple(ledger.hide(f) for f in findings)
    rows = {r.name: r for r in rules}

    problems: list[Finding] = []
    for index, s in enumerate(suppressions):
        if s.problem is not None:
            problems.append(_malformed(s, rows))
            continue
        problems.extend(_unknown(s, word, rows) for word in s.names if word not in by_word)
        if s.reason is None:
            problems.append(_reasonless(s, rows))
        problems.extend(ledger.unused(index, rows, decided, of_suppressions=False))
    problems = [ledger.hide(p) for p in problems]
    for index in range(len(suppressions)):
        problems.extend(ledger.unused(index, rows, decided, of_suppressions=True))
    problems.sort(key=lambda p: p.sort_key)
    return Applied(findings=found, problems=tuple(problems))


class _Ledger:
    """Which name of which suppression has hidden something."""

    def __init__(self, suppressions: Sequence[Suppression], by_word: dict[str, Rule]) -> None:
        self._suppressions = suppressions
        self._used: set[tuple[int, str]] = set()
        self._words: list[dict[str, str]] = []
        self._by_place: dict[tuple[str, str], list[int]] = {}
        for index, s in enumerate(suppressions):
            words = {by_word[w].name: w for w in s.names if w in by_word}
            self._words.append(words)
            for rule in words:
                self._by_place.setdefault((s.path, rule), []).append(index)

    def hide(self, finding: Finding) -> Finding:
        """The finding, suppressed when a suppression covers it.

        Every suppression that covers it counts as used; the reason shown is that of the nearest,
        so a comment on the line comes before one for the file.
        """
        covering = [
            i
            for i in self._by_place.get((finding.path, finding.rule), ())
            if self._suppressions[i].covers(finding)
        ]
        if not covering:
            return finding
        self._used.update((i, finding.rule) for i in covering)
        nearest = min(covering, key=lambda i: (self._suppressions[i].lines is None, i))
        return msgspec.structs.replace(
            finding, state=State.SUPPRESSED, reason=self._suppressions[nearest].reason
        )

    def unused(
        self,
        index: int,
        rows: dict[str, Rule],
        decided: Collection[str] | None,
        *,
        of_suppressions: bool,
    ) -> Iterator[Finding]:
        """Reports the names that hid nothing, of suppression rules or of all others."""
        suppression = self._suppressions[index]
        where = "this file" if suppression.lines is None else "this place"
        for rule, word in self._words[index].items():
            if (index, rule) in self._used:
                continue
            about_suppressions = rows[rule].family == "suppression"
            if about_suppressions is not of_suppressions:
                continue
            if not about_suppressions and decided is not None and rule not in decided:
                continue
            yield _problem(
                suppression,
                rows[UNUSED],
                f"`{word}` is suppressed, but {where} has no such finding.",
                f"Remove `{word}` from the comment, or the comment when it names nothing else.",
            )


def _problem(s: Suppression, row: Rule, message: str, help: str) -> Finding:
    return Finding(
        rule=row.name,
        code=row.code,
        severity=row.severity,
        confidence=Confidence.HIGH,
        message=message,
        help=help,
        path=s.path,
        line=s.line,
        column=s.column,
        end_line=s.line,
        end_column=s.end_column,
        criteria=row.criteria,
    )


def _malformed(s: Suppression, rows: dict[str, Rule]) -> Finding:
    return _problem(
        s,
        rows[UNKNOWN_RULE],
        f"This suppression hides nothing: {s.problem}.",
        f"Write it as `{FORM}`, or with `ignore-file` for the whole file.",
    )


def _unknown(s: Suppression, word: str, rows: dict[str, Rule]) -> Finding:
    codes = {r.code for r in rows.values()}
    if any(r.family == word for r in rows.values()):
        message = f"`{word}` is a family of rules, which a suppression cannot name."
        help = "Name the rules of the family that have findings here."
    else:
        message = f"There is no rule `{word}`."
        close = near_miss(word, rows.keys() | codes)
        help = f"Did you mean `{close}`?" if close else "`explint rules` lists the names and codes."
    return _problem(s, rows[UNKNOWN_RULE], message, help)


def _reasonless(s: Suppression, rows: dict[str, Rule]) -> Finding:
    return _problem(
        s,
        rows[NO_REASON],
        "This suppression gives no reason.",
        "Say after a colon why the finding does not apply: "
        f"`# explint: ignore[{', '.join(s.names)}]: reason`.",
    )


_YAML_QUOTED = regex(r'"(?:[^"\\]|\\.)*+"' + r"|'(?:[^']|'')*+'", re.DOTALL)
_YAML_HEADER = regex(r"[|>](?:([1-9])[-+]?|[-+]([1-9])?)?[ \t]*(?=[\r\n]|\Z|(?<=[ \t])#)")
_YAML_PROPERTY = regex(r"[!&*][^\s,\[\]{}]*")
_YAML_PLAIN = regex(r"[^\s#:,\[\]{}]+")
_YAML_MARKER = regex(r"(?:---|\.\.\.)(?=\s|\Z)")
_YAML_BEFORE_HEADER = regex(r"(?P<dashes>[ \t]*(?:[-?][ \t]+)*)(?:[!&]\S*[ \t]+)*(?P<key>.?)")
_REST_OF_LINE = regex(r"[^\r\n]*")
_BLANKS = " \t\ufeff"


def _yaml_tokens(text: str) -> Iterator[tuple[int, int, bool]]:
    """Comments (True) and quoted or block scalars (False) of a YAML text as (start, end, which).

    PyYAML's scanner drops comments and stops at the first error, and a file with an error is just
    the one whose finding somebody may want to suppress. This one never fails: a quote that is not
    closed is taken as a plain character.
    """
    at = line_start = depth = 0
    # Whether a new token may begin here; elsewhere quotes and brackets are plain characters.
    fresh = True
    while at < len(text):
        char = text[at]
        if char in "\r\n":
            at += 1
            line_start, fresh = at, True
        elif at == line_start and (marker := _YAML_MARKER.match(text, at)):
            at = marker.end()
        elif char in _BLANKS:
            at += 1
        elif char == "#" and (at == line_start or text[at - 1] in _BLANKS):
            end = _end_of_line(text, at)
            yield at, end, True
            at = end
        elif fresh and char in "\"'" and (quoted := _YAML_QUOTED.match(text, at)):
            yield at, quoted.end(), False
            at, fresh = quoted.end(), False
        elif fresh and char in "!&*" and (prop := _YAML_PROPERTY.match(text, at)):
            at = prop.end()
        elif fresh and char in "-?" and (text[at + 1 : at + 2] or " ").isspace():
            at += 1
        elif fresh and not depth and char in "|>" and (header := _YAML_HEADER.match(text, at)):
            if text.startswith("#", header.end()):
                yield header.end(), _end_of_line(text, at), True
            width = header[1] or header[2]
            end = _yaml_block_end(text, line_start, at, int(width) if width else None)
            yield at, end, False
            # What follows the scalar is a line end, which starts the next line.
            at, fresh = end, False
        elif char in "[{" and (fresh or depth):
            depth, fresh = depth + 1, True
            at += 1
        elif char in "]}" and depth:
            depth, fresh = depth - 1, False
            at += 1
        elif (char == "," and depth) or (char == ":" and _ends_key(text, at, depth)):
            fresh = True
            at += 1
        else:
            plain = _YAML_PLAIN.match(text, at)
            at = plain.end() if plain else at + 1
            fresh = False


def _ends_key(text: str, colon: int, depth: int) -> bool:
    following = text[colon + 1 : colon + 2] or " "
    return following.isspace() or (depth > 0 and text[colon - 1] in "\"'")


def _yaml_block_end(text: str, line_start: int, header: int, width: int | None) -> int:
    """Where the block scalar ends whose header stands at ``header``: behind its last line.

    Its lines are indented deeper than the node it belongs to; the first of them sets the
    indentation unless the header gives it (``width``).
    """
    before = text[line_start:header]
    parent = -1
    if not _YAML_MARKER.match(before) and (m := _YAML_BEFORE_HEADER.match(before)):
        dashes = m["dashes"].rstrip()
        parent = len(m["dashes"]) if m["key"] else len(dashes) - 1 if dashes else -1
    indent = None if width is None else max(parent, 0) + width
    end = _end_of_line(text, header)
    at = _next_line(text, end)
    while at < len(text):
        line_end = _end_of_line(text, at)
        line = text[at:line_end]
        if line.strip(" "):
            depth = len(line) - len(line.lstrip(" "))
            if indent is None:
                indent = max(depth, parent + 1)
            if depth < indent or (depth == 0 and _YAML_MARKER.match(line)):
                break
            end = line_end
        at = _next_line(text, line_end)
    return end


def _end_of_line(text: str, at: int) -> int:
    match = _REST_OF_LINE.match(text, at)
    return match.end() if match else len(text)


def _next_line(text: str, end: int) -> int:
    match = _LINE_BREAK.match(text, end)
    return match.end() if match else len(text)
