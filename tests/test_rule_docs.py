"""Every rule has a page, and the pages say what the rule table says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from explint.model import Rule
from explint.rules.page import rule_page
from explint.rules.table import rule_table

ROOT = Path(__file__).resolve().parent.parent
HEADINGS = ["What it does", "Why is this bad", "Example", "Use instead", "References"]


def sections(markdown: str) -> list[tuple[str, bool]]:
    """The second-level headings of a page, each with whether anything stands under it."""
    found: list[tuple[str, bool]] = []
    tokens = MarkdownIt().parse(markdown)
    for number, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            follows = tokens[number + 3 : number + 4]
            filled = bool(follows) and follows[0].type != "heading_open"
            found.append((tokens[number + 1].content, filled))
    return found


def test_pages_are_not_stale() -> None:
    spec = importlib.util.spec_from_file_location("rule_pages", ROOT / "scripts" / "rule_pages.py")
    assert spec is not None
    assert spec.loader is not None
    rule_pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule_pages)
    expected = rule_pages.pages(rule_table())
    written = {p.name: p.read_text("utf-8") for p in (ROOT / "docs" / "rules").iterdir()}
    stale = [name for name in expected | written if expected.get(name) != written.get(name)]
    assert not stale, "run `make docs`"


@pytest.mark.parametrize("rule", rule_table(), ids=lambda rule: rule.name)
def test_page_is_complete(rule: Rule) -> None:
    assert sections(rule_page(rule)) == [(heading, True) for heading in HEADINGS]
    assert rule.summary.endswith("."), "the summary is one sentence"
    assert "\n" not in rule.summary


def test_names_and_codes_are_unique() -> None:
    words = [word for rule in rule_table() for word in (rule.name, rule.code, rule.slug)]
    assert len(set(words)) == len(words)


def test_a_heading_inside_a_code_fence_is_code() -> None:
    page = "## What it does\n```python\n## not a heading\n```\n## Example\n## Use instead\nThis.\n"
    assert sections(page) == [("What it does", True), ("Example", False), ("Use instead", True)]
