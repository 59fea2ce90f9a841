"""Packages made with known defects: each is found where it stands, and sound packages are clean."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import explint
from explint.model import Finding

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benches"))

import corpus

PACKAGES = 60


@pytest.fixture(scope="module")
def packages() -> dict[str, corpus.SeededPackage]:
    return {p.name: p for p in corpus.corpus(PACKAGES, seed=0)}


@pytest.fixture(scope="module")
def findings(
    packages: dict[str, corpus.SeededPackage], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Finding, ...]]:
    root = tmp_path_factory.mktemp("corpus")
    corpus.write(root, iter(packages.values()))
    report = explint.check(root)
    assert not report.summary.input_errors
    assert report.summary.packages == PACKAGES
    return {Path(p.source.member or p.id).name: p.findings for p in report.packages}


def names(finding: Finding, defect: corpus.Defect) -> bool:
    here = defect.line in (0, finding.line)
    return (finding.rule, finding.path, here) == (defect.rule, defect.path, True)


def test_every_rule_is_seeded_somewhere(packages: dict[str, corpus.SeededPackage]) -> None:
    seeded = {d.rule for p in packages.values() for d in p.defects}
    assert seeded == corpus.SEEDERS.keys()
    assert sum(not p.defects for p in packages.values()) > PACKAGES / 4


def test_every_seeded_defect_is_found(
    packages: dict[str, corpus.SeededPackage], findings: dict[str, tuple[Finding, ...]]
) -> None:
    missed = [
        (name, defect)
        for name, package in packages.items()
        for defect in package.defects
        if not any(names(finding, defect) for finding in findings[name])
    ]
    assert not missed


def test_nothing_else_is_found(
    packages: dict[str, corpus.SeededPackage], findings: dict[str, tuple[Finding, ...]]
) -> None:
    wrong = [
        (name, finding.rule, finding.path, finding.line, finding.message)
        for name, found in findings.items()
        for finding in found
        if not any(names(finding, defect) for defect in packages[name].defects)
    ]
    assert not wrong


def test_a_longer_corpus_begins_with_the_shorter_one() -> None:
    short = list(corpus.corpus(3, seed=5))
    assert list(corpus.corpus(6, seed=5))[:3] == short
    assert list(corpus.corpus(3, seed=6)) != short
