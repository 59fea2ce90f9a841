"""Writes docs/rules from the rule table: one page per rule, and the index."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from explint.model import Rule
from explint.rules.page import rule_page
from explint.rules.table import rule_table

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "rules"
NOTICE = "<!-- Written by `make docs` from the rule's own documentation; edit it there. -->\n\n"


def pages(rules: Iterable[Rule]) -> dict[str, str]:
    """Every file below docs/rules by its name."""
    rows = tuple(rules)
    texts = {f"{rule.slug}.md": NOTICE + rule_page(rule) for rule in rows}
    return {"index.md": NOTICE + index(rows), **texts}


def index(rules: Iterable[Rule]) -> str:
    """The table of all rules, one section per family, in the order given."""
    families: dict[str, list[Rule]] = {}
    for rule in rules:
        families.setdefault(rule.family, []).append(rule)
    sections = ["# Rules"]
    for family, rows in families.items():
        lines = [f"## {family}", "", "| code | rule | severity | criteria | finds |"]
        lines.append("|---|---|---|---|---|")
        for rule in rows:
            criteria = ", ".join(map(str, rule.criteria)) or "none"
            finds = rule.summary.replace("|", "\\|")
            link = f"[{rule.name}]({rule.slug}.md)"
            lines.append(f"| {rule.code} | {link} | {rule.severity} | {criteria} | {finds} |")
        sections.append("\n".join(lines))
    return "\n\n".join(sections) + "\n"


def main() -> None:
    """Writes every page and removes those of rules that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    texts = pages(rule_table())
    for stale in FOLDER.glob("*.md"):
        if stale.name not in texts:
            stale.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(texts)} pages in {FOLDER}")


if __name__ == "__main__":
    main()
