"""A rule's documentation page and the index of all pages, in Markdown, from the rule's row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from explint.model import CRITERIA, Implementation, Rule, RuleStatus

HEADINGS: tuple[str, ...] = (
    "What it does",
    "Why is this bad",
    "Example",
    "Use instead",
    "References",
)
"""The sections of every page, in this order."""

_NOTICE = "<!-- Written by `make docs` from the rule's own documentation; edit it there. -->"
_ANSWERED_BY = {Implementation.CORE: "Rust core", Implementation.PYTHON: "Python layer"}


def page(rule: Rule) -> str:
    """The page of one rule; the same text on every machine, with a final newline."""
    facts = [
        ("Code", f"`{rule.code}`"),
        ("Severity", rule.severity.value),
        ("Confidence", rule.confidence.value),
        ("Criteria", ", ".join(f"{n} ({CRITERIA[n].title})" for n in rule.criteria) or "none"),
        ("Profiles", ", ".join(f"`{name}`" for name in rule.profiles) or "all"),
        ("Answered by", _ANSWERED_BY[rule.implementation]),
        ("Since", rule.since),
    ]
    if rule.status is not RuleStatus.STABLE:
        facts.append(("Status", rule.status.value))
    lines = [
        _NOTICE,
        "",
        f"# {rule.name}",
        "",
        rule.summary,
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts),
        "",
    ]
    return "\n".join(lines) + "\n" + rule.doc.strip() + "\n"


def index(rules: Iterable[Rule]) -> str:
    """The table of all rules, one section per family, in the order given."""
    families: dict[str, list[Rule]] = {}
    for rule in rules:
        families.setdefault(rule.family, []).append(rule)
    lines = [_NOTICE, "", "# Rules", ""]
    for family, rows in families.items():
        lines += [f"## {family}", "", "| code | rule | severity | criteria | finds |"]
        lines.append("|---|---|---|---|---|")
        for rule in rows:
            criteria = ", ".join(map(str, rule.criteria)) or "none"
            finds = rule.summary.replace("|", "\\|")
            link = f"[{rule.name}]({rule.slug}.md)"
            lines.append(f"| {rule.code} | {link} | {rule.severity.value} | {criteria} | {finds} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def pages(rules: Iterable[Rule]) -> Iterator[tuple[str, str]]:
    """File name and text of everything below ``docs/rules``: the index, then each rule's page."""
    rows = tuple(rules)
    yield "index.md", index(rows)
    for rule in rows:
        yield f"{rule.slug}.md", page(rule)


def headings(markdown: str) -> list[str]:
    """The second-level headings of a page; lines inside code fences are none."""
    found = []
    fence = ""
    for line in markdown.splitlines():
        marker = line.lstrip()[:3]
        if fence:
            if marker == fence and not line.lstrip().strip(fence[0]).strip():
                fence = ""
        elif marker in ("```", "~~~"):
            fence = marker
        elif line.startswith("## "):
            found.append(line[3:].strip())
    return found
