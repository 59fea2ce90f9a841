"""The folder of an audit: what is written comes back, and what is no audit is refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from explint.audit.schema import (
    DATASET_VERSION,
    About,
    FindingRow,
    PackageRow,
    PathReason,
    RelatedPlace,
    UndecidedCriterion,
)
from explint.audit.store import (
    StoreError,
    arrow_schema,
    parts,
    read_about,
    read_findings,
    read_packages,
    write_about,
    write_part,
)
from explint.request import tool_info

DOCS = Path(__file__).parent.parent / "docs" / "audit.md"

PACKAGE = PackageRow(
    position=0,
    id="a",
    series="a",
    source_kind="git",
    source="repo",
    version_date=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    is_code_ready=False,
    criterion_1="violated",
    undecided=(UndecidedCriterion(2, "a file is missing", "the file"),),
    skipped=(PathReason("notes.txt", "not source"),),
    runs=("one", "two"),
)
FINDING = FindingRow(
    position=0,
    package="a",
    ordinal=0,
    cause=1,
    rule="hydra/missing-key",
    code="HYD001",
    family="hydra",
    severity="error",
    confidence="high",
    criteria=(2, 7),
    message="Missing.",
    help="Add it.",
    path="src/train.py",
    line=3,
    column=5,
    end_line=3,
    end_column=9,
    fingerprint="f",
    related=(RelatedPlace("config/run/a.yaml", 1, "here"),),
    frame_line=2,
    frame="a\nb",
)


def about() -> About:
    return About(tool=tool_info(), sources=["repo"], settings={"profile": None})


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_part(tmp_path, 0, [PACKAGE], [FINDING])
    write_part(tmp_path, 1, [], [])
    write_about(tmp_path, about())
    assert list(read_packages(tmp_path)) == [PACKAGE]
    assert list(read_findings(tmp_path)) == [FINDING]
    assert read_about(tmp_path) == about()
    assert len(parts(tmp_path)) == 2
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]


def test_a_part_counts_when_both_of_its_files_are_there(tmp_path: Path) -> None:
    for number in range(3):
        write_part(tmp_path, number, [], [])
    (tmp_path / "packages" / "part-000001.parquet").unlink()
    assert len(parts(tmp_path)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "holds no audit"),
        ("{", "no description"),
        ("[]", "no description"),
        ('{"kind": "other", "dataset_version": 1}', "no description"),
        ('{"kind": "explint-audit", "dataset_version": 999}', "version 999"),
        ('{"kind": "explint-audit", "dataset_version": 1}', "damaged"),
    ],
)
def test_what_is_no_audit_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "audit.json").write_text(text)
    with pytest.raises(StoreError, match=said):
        read_about(tmp_path)


def test_a_cut_part_is_told_by_its_name(tmp_path: Path) -> None:
    write_part(tmp_path, 0, [PACKAGE], [FINDING])
    part = tmp_path / "packages" / "part-000000.parquet"
    part.write_bytes(part.read_bytes()[:-40])
    with pytest.raises(StoreError, match=r"part-000000\.parquet is damaged"):
        list(read_packages(tmp_path))


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "packages" / "part-000000.parquet").mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot write"):
        write_part(tmp_path, 0, [PACKAGE], [FINDING])
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]
    assert parts(tmp_path) == []


@pytest.mark.parametrize("row", [PackageRow, FindingRow])
def test_the_documentation_names_every_column_with_its_type(
    row: type[PackageRow] | type[FindingRow],
) -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert f"version {DATASET_VERSION}" in text
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE)
    for field in arrow_schema(row):
        kind = str(field.type).replace("element: ", "").replace(" not null", "")
        assert (field.name, kind + ("?" if field.nullable else "")) in rows
