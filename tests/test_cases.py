"""Every rule against its literate cases: where it must fire, and where it must stay silent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import pytest

import explint
from case_files import Case, base_package, load_cases
from explint.model import PackageReport, Severity
from explint.package import Record
from explint.pipeline import check_packages
from explint.request import CheckOptions
from explint.rules.table import rule_table
from explint.source import package_of_files

CASES = load_cases()


def check(
    files: Mapping[str, str | bytes],
    profile: str,
    partial: bool = False,
    runs: Sequence[str] = (),
    hypothesis: str = "",
) -> PackageReport:
    if hypothesis:
        record = Record(hypothesis=hypothesis)
        package = msgspec.structs.replace(package_of_files(files), record=record)
        options = CheckOptions(isolated=True, flags={"profile": profile})
        (answer,) = check_packages([package], options)
        assert isinstance(answer, tuple)
        return answer[0]
    report = explint.check(files, profile=profile, partial=partial, runs=runs)
    (checked,) = report.packages
    return checked


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case) -> None:
    package = check(case.package(), case.profile, case.record, case.runs, case.hypothesis)
    found = {(f.rule, f.path, f.line) for f in package.findings if f.rule == case.rule}
    assert found == case.expected, case.source
    if not case.fires:
        assert not found, case.title
        others = [
            f
            for f in package.findings
            if f.severity is Severity.ERROR
            and f.rule.startswith(("structure/", "complete/"))
            # In a record an empty text is a withheld file, which the structure finding names.
            and not (case.record and f.rule == "structure/empty-file")
        ]
        assert not others, case.source


def test_every_firing_section_expects_its_rule() -> None:
    wrong = [
        case.source
        for case in CASES
        if case.fires != any(rule == case.rule for rule, _, _ in case.expected)
    ]
    assert not wrong


@pytest.mark.parametrize("profile", ["full-trial", "trial-mode", "config-runs", "sanity-pilot"])
def test_the_base_package_has_no_error_of_structure_or_completeness(profile: str) -> None:
    found = [
        f
        for f in check(base_package(), profile).findings
        if f.rule.startswith(("structure/", "complete/"))
    ]
    assert not found


def test_the_base_package_is_ready_under_its_profile() -> None:
    package = check(base_package(), "full-trial")
    assert not package.findings
    assert package.verdict.is_code_ready


def test_every_stable_rule_has_a_case_that_fires_and_one_that_is_silent() -> None:
    shown = {(case.rule, case.fires) for case in CASES}
    missing = [
        f"{rule.name}: no case {'where it fires' if fires else 'where it is silent'}"
        for rule in rule_table()
        # What only a run shows is tested where programs are run (test_trial_findings.py).
        if rule.status == "stable" and rule.family not in ("internal", "run")
        for fires in (True, False)
        if (rule.name, fires) not in shown
    ]
    assert not missing


def test_every_silent_case_says_why() -> None:
    assert not [case.source for case in CASES if not case.fires and len(case.title) < 15]
