"""Queries over audits, their sums and their changes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from pathlib import Path

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner, Result
from syrupy.assertion import SnapshotAssertion

from audits import write_audit
from explint.audit.query import QueryError, ask, connect
from explint.audit.store import (
    StoreError,
    read_about,
    read_findings,
    read_packages,
    write_about,
    write_part,
)
from explint.audit.summary import summarise
from explint.cli import cli
from explint.model import CRITERIA, ToolInfo
from explint.model.audit import (
    AuditChange,
    AuditSummary,
    CriterionSum,
    FailureSum,
    GroupSum,
    JudgeSum,
    RuleChange,
    RuleSum,
)
from explint.report import audit as texts
from explint.report.schema import audit_summary_schema
from explint.report.terminal import Terminal


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audits") / "study"
    write_audit(folder, 200)
    return folder


def run(*words: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["audit", *map(str, words)], input=stdin)


# Queries


def test_a_query_answers_in_every_format(audit: Path, tmp_path: Path) -> None:
    sql = "SELECT id, version_date, runs, errors FROM packages ORDER BY position LIMIT 2"
    first = next(iter(read_packages(audit)))
    assert first.version_date is not None
    shown = run("query", audit, sql)
    assert shown.exit_code == 0
    head, *lines = shown.stdout.splitlines()
    assert head.split() == ["id", "version_date", "runs", "errors"]
    assert len(lines) == 2
    assert all(len(line) <= 80 for line in [head, *lines])

    rows = json.loads(run("query", audit, sql, "-o", "json").stdout)
    assert rows[0] == {
        "id": first.id,
        "version_date": first.version_date.isoformat().replace("+00:00", "Z"),
        "runs": list(first.runs),
        "errors": first.errors,
    }
    by_line = run("query", audit, "-", "-o", "jsonl", stdin=sql).stdout.splitlines()
    assert [json.loads(line) for line in by_line] == rows

    file = tmp_path / "rows.csv"
    assert run("query", audit, sql, "-o", f"csv:{file}").stdout == ""
    table = list(csv.DictReader(io.StringIO(file.read_text())))
    assert [row["id"] for row in table] == [row["id"] for row in rows]
    assert json.loads(table[0]["runs"]) == list(first.runs)


def test_an_answer_without_rows_is_one_in_every_format(audit: Path) -> None:
    sql = "SELECT id FROM packages WHERE id = 'no such'"
    assert run("query", audit, sql).stdout == "id\n"
    assert run("query", audit, sql, "-o", "csv").stdout == "id\n"
    assert run("query", audit, sql, "-o", "json").stdout == "[]\n"
    assert run("query", audit, sql, "-o", "jsonl").stdout == ""


def test_a_table_for_people_ends_somewhere_and_says_so(audit: Path) -> None:
    lines = run("query", audit, "FROM range(500)").stdout.splitlines()
    assert len(lines) == 202
    assert "only the first 200 rows" in lines[-1]


def test_what_packages_say_is_escaped_in_a_table(audit: Path) -> None:
    shown = run("query", audit, r"SELECT 'a' || chr(27) || '[31m' || chr(8238) || chr(10) AS x")
    assert shown.stdout.splitlines() == ["x", r"a\x1b[31m\u202e"]


@pytest.mark.parametrize(
    "sql",
    [
        "COPY packages TO '{file}'",
        "CREATE TABLE x AS FROM packages",
        "DELETE FROM packages",
        "SET enable_external_access = true",
        "ATTACH '{file}' AS other",
        "INSTALL httpfs",
        "PRAGMA version; FROM packages",
        "FROM packages; FROM findings",
        "EXPLAIN ANALYZE COPY packages TO '{file}'",
        "",
    ],
)
def test_a_query_changes_nothing(audit: Path, tmp_path: Path, sql: str) -> None:
    file = tmp_path / "out"
    refused = run("query", audit, sql.format(file=file))
    assert refused.exit_code == 2
    assert "one statement that reads" in refused.stderr
    assert not file.exists()


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_csv('{file}')",
        "FROM '{file}'",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM glob('{folder}/*')",
        "FROM read_parquet('{file}')",
        "FROM tmp_path",
    ],
)
def test_a_query_reads_nothing_else(audit: Path, tmp_path: Path, sql: str) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("secret\n1\n")
    refused = run("query", audit, sql.format(file=file, folder=tmp_path))
    assert refused.exit_code == 2
    assert "the query cannot be answered" in refused.stderr
    assert "secret\n" not in refused.output


def test_values_are_values(audit: Path) -> None:
    with connect(audit) as connection:
        answer = ask(connection, "SELECT ? AS x", ["'; DROP"])
        assert (answer.columns, list(answer.rows)) == (["x"], [("'; DROP",)])
        with pytest.raises(QueryError, match="no_such"):
            ask(connection, "SELECT no_such FROM packages")


def test_an_audit_of_nothing_has_tables(tmp_path: Path) -> None:
    write_audit(tmp_path, 0)
    with connect(tmp_path) as connection:
        assert list(ask(connection, "SELECT count(*) FROM findings").rows) == [(0,)]
    assert summarise(tmp_path).total.packages == 0
    assert run("summary", tmp_path).exit_code == 0


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    write_audit(tmp_path, 20)
    part = tmp_path / "findings" / "part-000000.parquet"
    part.write_bytes(part.read_bytes()[:-40])
    for words in (("query", tmp_path, "FROM findings"), ("summary", tmp_path)):
        failed = run(*words)
        assert failed.exit_code == 2
        assert "findings" in failed.stderr
    with pytest.raises(StoreError, match="damaged"):
        list(read_findings(tmp_path))


# Sums


def test_the_sums_are_those_of_the_rows(audit: Path) -> None:
    sums = summarise(audit)
    packages, findings = list(read_packages(audit)), list(read_findings(audit))
    judged = [p for p in packages if p.status == "judged"]
    assert sums.total.packages == 200
    assert sums.total.ready == sum(p.is_code_ready is True for p in packages)
    assert sums.total.unready == sum(p.is_code_ready is False for p in packages)
    assert (
        sums.total.failed == len(packages) - len(judged) == sum(f.packages for f in sums.failures)
    )
    assert sums.total.errors == sum(f.severity == "error" for f in findings)
    for rule in sums.rules:
        own = [f for f in findings if f.rule == rule.rule]
        assert rule.findings == len(own)
        assert rule.packages == len({f.position for f in own})
        assert rule.causes == len({(f.position, f.cause) for f in own if f.cause})
        assert rule.first == len({f.position for f in own if f.cause == 1})
    assert sum(rule.findings for rule in sums.rules) == len(findings)
    for criterion in sums.criteria:
        states = Counter(getattr(p, f"criterion_{criterion.number}") for p in judged)
        assert (criterion.met, criterion.violated, criterion.unknown) == (
            states["met"],
            states["violated"],
            states["unknown"],
        )
    assert {g.name: g.packages for g in sums.profiles} == Counter(p.profile for p in judged)
    assert {g.name: g.packages for g in sums.sources} == Counter(
        p.repository or p.source for p in packages
    )
    assert sums.judge is not None
    assert sums.judge.packages == sum(p.judge_ready is not None for p in packages)
    assert sums.judge.claims_missed == sum(p.claims_missed or 0 for p in packages)


def test_an_audit_against_itself_has_no_change(audit: Path) -> None:
    change = summarise(audit, audit).change
    assert change is not None
    assert not change.other_rules
    assert (change.packages_added, change.packages_gone, change.rules) == (0, 0, [])
    assert (change.became_ready, change.findings_new, change.findings_fixed) == (0, 0, 0)


def test_what_changed_is_told_by_package_and_rule(audit: Path, tmp_path: Path) -> None:
    packages, findings = list(read_packages(audit)), list(read_findings(audit))
    unready = next(p for p in packages if p.is_code_ready is False)
    gone = [f for f in findings if f.position == unready.position]
    moved = msgspec.structs.replace(
        next(f for f in findings if f.position != unready.position), fingerprint="another"
    )
    packages[unready.position] = msgspec.structs.replace(unready, is_code_ready=True)
    kept = [f for f in findings if f.position != unready.position]
    kept[0] = moved
    # The last package is gone, and one of another name is there in its place.
    last = msgspec.structs.replace(packages[-1], id="fresh")
    write_part(tmp_path, 0, [*packages[:-1], last], kept)
    about = read_about(audit)
    write_about(
        tmp_path,
        msgspec.structs.replace(
            about, tool=msgspec.structs.replace(about.tool, rules_version="other")
        ),
    )
    change = summarise(tmp_path, audit).change
    assert change is not None
    assert change.other_rules
    assert (change.packages_added, change.packages_gone) == (1, 1)
    assert (change.became_ready, change.turned_ready) == (1, [unready.id])
    assert change.ready_now == change.ready_before + 1
    assert change.findings_new == 1
    assert change.findings_fixed == len(gone) + 1
    counts = Counter(f.rule for f in gone)
    counts[moved.rule] += 1
    assert {rule.rule: rule.fixed for rule in change.rules if rule.fixed} == counts
    told = run("summary", tmp_path, "--against", audit).stdout
    assert f"1 became ready: {unready.id}" in " ".join(told.split())
    assert "made by another version of explint" in told


def group(name: str, packages: int, ready: int, failed: int = 0) -> GroupSum:
    unready = packages - ready - failed
    return GroupSum(
        name=name,
        packages=packages,
        ready=ready,
        unready=unready,
        failed=failed,
        errors=3 * unready,
        warnings=unready,
    )


def rule(number: int) -> RuleSum:
    return RuleSum(
        rule=f"family/some-bad-pattern-{number}",
        code=f"FAM{number:03}",
        severity="error",
        packages=900 // number,
        findings=1800 // number,
        causes=1000 // number,
        first=450 // number if number < 17 else 0,
    )


SUMS = AuditSummary(
    tool=ToolInfo(name="explint", version="1.0", rules_version="1"),
    audit="audits/this-week",
    complete=False,
    seconds=12.5,
    total=group("", 1000, 120, 20),
    infos=7,
    suppressed=3,
    incomplete=0,
    failures=[FailureSum(kind="timeout", packages=15), FailureSum(kind="memory", packages=5)],
    rules=[rule(number) for number in range(1, 19)],
    criteria=[
        CriterionSum(number=n, title=c.title, met=980 - 80 * n, violated=80 * n, unknown=0)
        for n, c in CRITERIA.items()
    ],
    profiles=[group("full-trial", 700, 80), group("trial-mode", 280, 40)],
    sources=[group(f"repositories/study-\x1b[31m-{n}.git", 100 - n, 12, 2) for n in range(10)],
    judge=JudgeSum(
        packages=200,
        both_ready=20,
        both_not_ready=100,
        only_judge_ready=60,
        only_explint_ready=20,
        claims_confirmed=150,
        claims_refuted=80,
        claims_undecided=40,
        claims_missed=310,
    ),
    change=AuditChange(
        against="audits/last-week",
        other_rules=True,
        packages_added=10,
        packages_gone=4,
        packages_common=980,
        ready_before=110,
        ready_now=118,
        became_ready=9,
        became_unready=1,
        turned_ready=[f"package-{n}" for n in range(9)],
        turned_unready=["package-10"],
        findings_new=12,
        findings_fixed=40,
        rules=[RuleChange(rule="hydra/missing-key", new=12, fixed=40)],
    ),
)


def test_the_text_of_a_summary(golden: SnapshotAssertion) -> None:
    assert text(SUMS, Terminal()) == golden(name="unicode")
    assert text(SUMS, Terminal(unicode=False)) == golden(name="ascii")
    for width in (72, 80, 200):
        shown = text(SUMS, Terminal(width=width)).splitlines()
        assert max(map(len, shown)) <= min(width, 100)
    plain = text(SUMS, Terminal())
    coloured = text(SUMS, Terminal(color=True))
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def text(sums: AuditSummary, terminal: Terminal) -> str:
    sink = io.StringIO()
    texts.write("text", sums, sink, terminal)
    return sink.getvalue()


def test_the_json_of_a_summary_fits_its_schema(audit: Path, tmp_path: Path) -> None:
    file = tmp_path / "sums.json"
    done = run("summary", audit, "--against", audit, "-o", "text", "-o", f"json:{file}")
    assert done.exit_code == 0
    document = json.loads(file.read_text())
    jsonschema.validate(document, audit_summary_schema())
    assert document["total"]["packages"] == 200
    assert "root causes" in done.stdout


def test_a_folder_without_an_audit_is_refused(tmp_path: Path, audit: Path) -> None:
    for words in (
        ("summary", tmp_path),
        ("summary", audit, "--against", tmp_path),
        ("query", tmp_path, "FROM packages"),
    ):
        refused = run(*words)
        assert refused.exit_code == 2
        assert "holds no audit" in refused.stderr
