"""Every format as text that a person has looked at. ``pytest --snapshot-update`` writes anew."""

from __future__ import annotations

import json

import pytest
from report_example import FIRST, FIRST_SOURCES, OPTIONS, RULES, SEVERAL, render
from syrupy.assertion import SnapshotAssertion

from explint.model import Summary
from explint.report import ReportOptions, Terminal
from explint.report.statistics import statistics

ONE = ((FIRST, FIRST_SOURCES),)


@pytest.mark.parametrize("format", ["jsonl", "github", "gitlab", "junit", "agent", "concise"])
def test_formats(golden: SnapshotAssertion, format: str) -> None:
    assert render(format) == golden


@pytest.mark.parametrize("format", ["json", "sarif"])
def test_documents(golden: SnapshotAssertion, format: str) -> None:
    document = json.loads(render(format))
    assert json.dumps(document, indent=2, ensure_ascii=False) + "\n" == golden


@pytest.mark.parametrize("width", [80, 40])
def test_full(golden: SnapshotAssertion, width: int) -> None:
    assert render("full", terminal=Terminal(width=width)) == golden


def test_full_in_colour_with_links(golden: SnapshotAssertion) -> None:
    text = render("full", terminal=Terminal(color=True, hyperlinks=True))
    assert text.replace("\x1b", "␛") == golden


def test_full_of_one_package_in_ascii(golden: SnapshotAssertion) -> None:
    terminal = Terminal(unicode=False)
    text = render("full", ONE, terminal=terminal, input_errors=())
    assert text.isascii()
    assert text == golden


def test_full_with_verdict_detail(golden: SnapshotAssertion) -> None:
    options = ReportOptions(rule_url=OPTIONS.rule_url, verdict_detail=True)
    text = render("full", ONE[:1], options=options, input_errors=())
    assert text[text.index(" verdict ") :] == golden


def test_answers_in_the_judges_form(golden: SnapshotAssertion) -> None:
    detailed = render("verdict", ONE, options=ReportOptions(verdict_detail=True))
    text = f"{render('verdict', ONE)}\n{detailed}\n{render('verdict')}"
    assert text == golden


def test_statistics(golden: SnapshotAssertion) -> None:
    summary = Summary()
    for package, _ in SEVERAL:
        summary.add(package)
    assert statistics(summary, Terminal(), RULES) == golden
