"""Every rule has a page, and the pages say what the rule table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from explint.model import Rule
from explint.report.rule_page import HEADINGS, headings, pages
from explint.rules.table import rule_table

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "rules"


def test_pages_are_not_stale() -> None:
    written = {p.name: p.read_text(encoding="utf-8") for p in FOLDER.iterdir()}
    expected = dict(pages(rule_table()))
    assert sorted(written) == sorted(expected), "run `make docs`"
    stale = [name for name, text in expected.items() if written[name] != text]
    assert not stale, "run `make docs`"


@pytest.mark.parametrize("rule", rule_table(), ids=lambda rule: rule.name)
def test_page_is_complete(rule: Rule) -> None:
    assert headings(rule.doc) == list(HEADINGS)
    assert rule.summary.endswith("."), "the summary is one sentence"
    assert "\n" not in rule.summary


def test_names_and_codes_are_unique() -> None:
    names = [rule.name for rule in rule_table()]
    codes = [rule.code for rule in rule_table()]
    assert len(set(names)) == len(names)
    assert len(set(codes)) == len(codes)


def test_a_heading_inside_a_code_fence_is_code() -> None:
    page = "## What it does\n```python\n## not a heading\n~~~\n```\n## Example\n"
    assert headings(page) == ["What it does", "Example"]
