"""Sums up an audit, and compares it with an older one, by queries over their datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from explint.audit.query import ask, connect
from explint.audit.store import read_about
from explint.model import CRITERIA
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

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

T = TypeVar("T")

NAMED = 20
"""Packages that a comparison names of each kind."""

_GROUP = """
    count(*) AS packages,
    count(*) FILTER (is_code_ready) AS ready,
    count(*) FILTER (NOT is_code_ready) AS unready,
    count(*) FILTER (status = 'failed') AS failed,
    coalesce(sum(errors), 0)::BIGINT AS errors,
    coalesce(sum(warnings), 0)::BIGINT AS warnings
"""
_RULES = """
    SELECT rule, min(code) AS code, min(severity) AS severity,
        count(DISTINCT position) AS packages, count(*) AS findings,
        count(DISTINCT (position, cause)) FILTER (cause IS NOT NULL) AS causes,
        count(DISTINCT position) FILTER (cause = 1) AS first
    FROM findings GROUP BY rule ORDER BY packages DESC, findings DESC, rule
"""
_JUDGE = """
    SELECT count(*) AS packages,
        count(*) FILTER (judge_ready AND is_code_ready) AS both_ready,
        count(*) FILTER (NOT judge_ready AND NOT is_code_ready) AS both_not_ready,
        count(*) FILTER (judge_ready AND NOT is_code_ready) AS only_judge_ready,
        count(*) FILTER (NOT judge_ready AND is_code_ready) AS only_explint_ready,
        coalesce(sum(claims_confirmed), 0)::BIGINT AS claims_confirmed,
        coalesce(sum(claims_refuted), 0)::BIGINT AS claims_refuted,
        coalesce(sum(claims_undecided), 0)::BIGINT AS claims_undecided,
        coalesce(sum(claims_missed), 0)::BIGINT AS claims_missed
    FROM packages WHERE judge_ready IS NOT NULL AND status = 'judged'
"""
_COMMON = """
    SELECT p.position AS position, o.position AS old_position, p.id AS id,
        p.is_code_ready AS ready, o.is_code_ready AS was_ready
    FROM packages p JOIN old_packages o ON p.id = o.id
    WHERE p.status = 'judged' AND o.status = 'judged'
"""
# A fingerprint stands once in a package: it counts the occurrences on equal lines.
_CHANGED = f"""
    WITH common AS ({_COMMON}),
    now AS (
        SELECT id, rule, fingerprint FROM findings JOIN common USING (position)
    ),
    before AS (
        SELECT id, rule, fingerprint FROM old_findings
        JOIN common ON old_findings.position = common.old_position
    )
    SELECT coalesce(now.rule, before.rule) AS rule,
        count(*) FILTER (before.rule IS NULL) AS new, count(*) FILTER (now.rule IS NULL) AS fixed
    FROM now FULL JOIN before USING (id, rule, fingerprint)
    WHERE now.rule IS NULL OR before.rule IS NULL
    GROUP BY 1 ORDER BY new + fixed DESC, 1
"""


def summarise(folder: Path, against: Path | None = None) -> AuditSummary:
    """The sums over the audit in ``folder``, and what changed since the one in ``against``.

    Raises:
        StoreError: there is no audit in a folder, a part of it is damaged, or DuckDB is missing.
    """
    about = read_about(folder)
    others = {} if against is None else {"old": against}
    with connect(folder, **others) as connection:
        (total,) = _all(connection, f"SELECT '' AS name, {_GROUP} FROM packages", GroupSum)
        (more,) = ask(
            connection,
            "SELECT coalesce(sum(infos), 0)::BIGINT, coalesce(sum(suppressed), 0)::BIGINT, "
            "count(*) FILTER (NOT complete) FROM packages",
        ).rows
        (judge,) = _all(connection, _JUDGE, JudgeSum)
        return AuditSummary(
            tool=about.tool,
            audit=str(folder),
            complete=about.state == "complete",
            seconds=about.seconds,
            total=total,
            infos=more[0],
            suppressed=more[1],
            incomplete=more[2],
            failures=_all(
                connection,
                "SELECT failure_kind AS kind, count(*) AS packages FROM packages "
                "WHERE status = 'failed' GROUP BY 1 ORDER BY 2 DESC, 1",
                FailureSum,
            ),
            rules=_all(connection, _RULES, RuleSum),
            criteria=_criteria(connection),
            profiles=_groups(connection, "coalesce(profile, '')", "WHERE status = 'judged'"),
            sources=_groups(connection, "coalesce(repository, source)"),
            judge=judge if judge.packages else None,
            change=None if against is None else _change(connection, folder, against),
        )


def _all(connection: DuckDBPyConnection, sql: str, kind: type[T]) -> list[T]:
    """The rows of an answer as structs, by the names of its columns."""
    answer = ask(connection, sql)
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    return msgspec.convert(rows, list[kind])  # type: ignore[valid-type]


def _groups(connection: DuckDBPyConnection, by: str, where: str = "") -> list[GroupSum]:
    sql = f"SELECT {by} AS name, {_GROUP} FROM packages {where} GROUP BY 1 ORDER BY 2 DESC, 1"
    return _all(connection, sql, GroupSum)


def _criteria(connection: DuckDBPyConnection) -> list[CriterionSum]:
    states = ("met", "violated", "unknown")
    counts = ", ".join(
        f"count(*) FILTER (criterion_{number} = '{state}')"
        for number in CRITERIA
        for state in states
    )
    (row,) = ask(connection, f"SELECT {counts} FROM packages").rows
    return [
        CriterionSum(
            number=number,
            title=criterion.title,
            **dict(zip(states, row[3 * at : 3 * at + 3], strict=True)),
        )
        for at, (number, criterion) in enumerate(CRITERIA.items())
    ]


def _change(connection: DuckDBPyConnection, folder: Path, against: Path) -> AuditChange:
    about, before = read_about(folder), read_about(against)

    def ids(where: str) -> list[str]:
        sql = f"SELECT id FROM ({_COMMON}) WHERE {where} ORDER BY position LIMIT {NAMED}"
        return [row[0] for row in ask(connection, sql).rows]

    turned_ready, turned_unready = "ready AND NOT was_ready", "NOT ready AND was_ready"
    ((common, ready_before, ready_now, became_ready, became_unready),) = ask(
        connection,
        "SELECT count(*), count(*) FILTER (was_ready), count(*) FILTER (ready), "
        f"count(*) FILTER ({turned_ready}), count(*) FILTER ({turned_unready}) FROM ({_COMMON})",
    ).rows
    (counts,) = ask(
        connection,
        "SELECT (SELECT count(*) FROM packages WHERE id NOT IN (SELECT id FROM old_packages)), "
        "(SELECT count(*) FROM old_packages WHERE id NOT IN (SELECT id FROM packages))",
    ).rows
    rules: list[RuleChange] = _all(connection, _CHANGED, RuleChange)
    return AuditChange(
        against=str(against),
        other_rules=(about.tool, _deciding(about.settings))
        != (before.tool, _deciding(before.settings)),
        packages_added=counts[0],
        packages_gone=counts[1],
        packages_common=common,
        ready_before=ready_before,
        ready_now=ready_now,
        became_ready=became_ready,
        became_unready=became_unready,
        turned_ready=ids(turned_ready),
        turned_unready=ids(turned_unready),
        findings_new=sum(rule.new for rule in rules),
        findings_fixed=sum(rule.fixed for rule in rules),
        rules=rules,
    )


def _deciding(settings: dict[str, Any]) -> object:
    """What of the settings decides how a package is judged, not which packages are."""
    return settings.get("profile")
