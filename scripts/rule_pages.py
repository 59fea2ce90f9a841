"""Writes docs/rules from the rule table: one page per rule, and the index."""

from __future__ import annotations

from pathlib import Path

from explint.report.rule_page import pages
from explint.rules.table import rule_table

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "rules"


def main() -> None:
    """Writes every page and removes those of rules that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    texts = dict(pages(rule_table()))
    for stale in FOLDER.glob("*.md"):
        if stale.name not in texts:
            stale.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(texts)} pages in {FOLDER}")


if __name__ == "__main__":
    main()
