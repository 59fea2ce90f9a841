"""The engine of audits: every package has its row, whatever it does and whatever ends the audit."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

import explint
from audit_helpers import Misbehaving, files, jsonl, options, row, same, table
from explint.audit.judging import JudgingOptions
from explint.audit.run import AuditOptions, Status, audit
from explint.audit.store import StoreError, parts, read_about
from explint.cache import AnswerCache

RESUMED = """
import sys
from pathlib import Path
from explint.audit import run
run.FLUSH_SECONDS = 0.05
source, out = sys.argv[1:]
run.audit(run.AuditOptions(sources=(source,), out=Path(out), jobs=2, part_rows=7))
"""


def no_engine(_: AuditOptions) -> Misbehaving:
    raise AssertionError("something was judged again")


def test_rows_are_those_of_a_check(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", [row(n) for n in range(5)])
    about = audit(options([source], tmp_path / "out"))
    packages, findings = table(tmp_path / "out")
    report = explint.check(source)
    assert [p.id for p in packages] == [p.id for p in report.packages]
    assert [p.position for p in packages] == list(range(5))
    assert [f.fingerprint for f in findings] == [
        f.fingerprint for p in report.packages for f in p.findings
    ]
    for found, expected in zip(packages, report.packages, strict=True):
        assert found.is_code_ready == expected.verdict.is_code_ready
        assert found.criterion_1 == expected.verdict.criteria["1"]
        assert found.code_issue == expected.verdict.code_issue
    assert about.state == "complete"
    assert about.counts.errors == report.summary.errors
    assert read_about(tmp_path / "out") == about


def test_a_finding_carries_its_lines_and_its_root_cause(tmp_path: Path) -> None:
    audit(options([jsonl(tmp_path / "a.jsonl", [row(3)])], tmp_path / "out"))
    _, findings = table(tmp_path / "out")
    marker = next(f for f in findings if f.rule == "complete/todo-marker")
    assert marker.frame_line == marker.line - 2
    assert marker.frame is not None
    assert marker.frame.split("\n")[2] == "    # TODO: number 3"
    errors = [f.cause for f in findings if f.severity == "error"]
    assert sorted({c for c in errors if c}) == list(range(1, len({*errors}) + 1))
    assert all(f.cause is None for f in findings if f.severity != "error")


def test_suppressions_in_a_package_are_counted_and_not_obeyed(tmp_path: Path) -> None:
    hidden = files(1)
    hidden["src/train.py"] = hidden["src/train.py"].replace(
        "number 1", "number 1  # explint: ignore[complete/todo-marker] later"
    )
    hidden["explint.toml"] = 'ignore = ["all"]\n'
    source = jsonl(tmp_path / "a.jsonl", [{"id": "a", "files": hidden, "partial": False}])
    audit(options([source], tmp_path / "out"))
    (package,), findings = table(tmp_path / "out")
    marker = next(f for f in findings if f.rule == "complete/todo-marker")
    assert package.errors == sum(f.severity == "error" for f in findings) > 0
    assert package.suppressed == sum(f.suppressed for f in findings)
    assert marker.suppressed == (package.suppressed > 0)


def test_what_misbehaves_costs_its_own_row(tmp_path: Path) -> None:
    marks = ["", "# hang\n", "", "# grow\n", "# crash\n", "", "# raise\n", ""]
    source = jsonl(tmp_path / "a.jsonl", [row(n, mark) for n, mark in enumerate(marks)])
    audit(
        options([source], tmp_path / "out", timeout=8.0, memory=300 << 20, cache=tmp_path / "c"),
        engine=Misbehaving,
    )
    packages, findings = table(tmp_path / "out")
    kinds = [p.failure_kind for p in packages]
    assert kinds == [None, "timeout", None, "memory", "crash", None, "error", None]
    assert "longer than 8 seconds" in (packages[1].failure or "")
    assert "300 MiB" in (packages[3].failure or "")
    assert "signal 6" in (packages[4].failure or "")
    assert "not this one" in (packages[6].failure or "")
    assert {f.position for f in findings} == {0, 2, 5, 7}
    # What failed is tried again by the next audit.
    audit(options([source], tmp_path / "again", cache=tmp_path / "c"))
    assert all(p.status == "judged" for p in table(tmp_path / "again")[0])


def test_bad_inputs_have_rows(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text('{"id": "good", "train_py": "x = 1"}\n[]\n{"train_py": 3}\nnothing\n')
    about = audit(options([source, tmp_path / "absent"], tmp_path / "out"))
    packages, _ = table(tmp_path / "out")
    assert [p.status for p in packages] == ["judged"] + 4 * ["failed"]
    assert {p.failure_kind for p in packages[1:]} == {"input"}
    assert all(p.failure for p in packages[1:])
    assert about.counts.failed == 4


def test_two_packages_of_one_id_get_two(tmp_path: Path) -> None:
    one = jsonl(tmp_path / "a.jsonl", [row(1), row(1), row(1)])
    two = jsonl(tmp_path / "b.jsonl", [row(1)])
    audit(options([one, two], tmp_path / "out"))
    assert [p.id for p in table(tmp_path / "out")[0]] == ["p0001", "p0001~2", "p0001~3", "p0001~4"]


def test_nothing_gives_an_empty_dataset(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    about = audit(options([tmp_path / "empty"], tmp_path / "out"))
    assert about.counts.packages == 0
    assert len(parts(tmp_path / "out")) == 1
    assert table(tmp_path / "out") == ([], [])


def test_an_audit_that_was_killed_goes_on(tmp_path: Path) -> None:
    """With SIGKILL at random moments, until it comes to its end."""
    source = jsonl(tmp_path / "a.jsonl", [row(n, 40 * "\n\nx = 1") for n in range(60)])
    audit(options([source], tmp_path / "whole", part_rows=7))
    out = tmp_path / "out"
    chance = random.Random(7)
    kills = 0
    while True:
        process = subprocess.Popen([sys.executable, "-c", RESUMED, source, out])
        begun = len(parts(out)) if out.exists() else 0
        while process.poll() is None and kills < 5:
            there = len(parts(out)) if out.exists() else 0
            if there > begun or (there and chance.random() < 0.02):
                time.sleep(chance.random() * 0.1)
                process.kill()
                kills += 1
                break
            time.sleep(0.002)
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert kills >= 2
    same(table(out), table(tmp_path / "whole"))
    for mine, whole in zip(parts(out), parts(tmp_path / "whole"), strict=True):
        assert mine[0].name == whole[0].name


def test_ctrl_c_keeps_what_was_judged(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", [row(n) for n in range(12)])
    audit(options([source], tmp_path / "whole", part_rows=5))
    asked = options([source], tmp_path / "out", part_rows=5)

    def stop(status: Status) -> None:
        if status.counts.packages == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(asked, watch=stop)
    about = read_about(tmp_path / "out")
    assert about.state == "running"
    assert about.counts.packages == len(table(tmp_path / "out")[0]) == 8
    statuses: list[int] = []
    audit(asked, watch=lambda status: statuses.append(status.passed))
    assert statuses == [8] * 4
    same(table(tmp_path / "out"), table(tmp_path / "whole"))
    # Once more changes nothing and judges nothing.
    audit(asked, engine=no_engine)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sources": ("b",)}, "other sources"),
        ({"timeout": 5.0}, "other settings: timeout 60.0"),
        ({"part_rows": 9}, "in parts of 5"),
    ],
)
def test_another_audit_is_not_gone_on_with(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    source = jsonl(tmp_path / "a.jsonl", [row(1)])
    asked = options([source], tmp_path / "out", part_rows=5)
    audit(asked)
    other = msgspec.structs.replace(asked, **change)
    with pytest.raises(StoreError, match=said):
        audit(other, engine=no_engine)
    assert read_about(tmp_path / "out").sources == [str(source)]
    assert len(table(tmp_path / "out")[0]) == 1


def test_sources_that_changed_are_told(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", [row(n) for n in range(6)])
    asked = options([source], tmp_path / "out")

    def stop(status: Status) -> None:
        if status.counts.packages == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(asked, watch=stop)
    jsonl(source, [row(n) for n in (0, 1, 3, 2, 5)])
    with pytest.raises(StoreError, match="package 2 was p0002 and is now p0003"):
        audit(asked)
    jsonl(source, [row(n) for n in range(3)])
    with pytest.raises(StoreError, match="p0003 is gone"):
        audit(asked)
    assert len(table(tmp_path / "out")[0]) == 4


def test_a_folder_that_is_no_audit_is_left_alone(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", [row(1)])
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(StoreError, match=r"holds no audit: thesis\.tex"):
            audit(options([source], out, overwrite=overwrite))
    assert (out / "thesis.tex").read_text() == "precious"
    with pytest.raises(StoreError, match="cannot use"):
        audit(options([source], source))


def test_two_audits_do_not_write_to_one_folder(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", [row(n) for n in range(3)])
    asked = options([source], tmp_path / "out")

    def again(_: Status) -> None:
        with pytest.raises(StoreError, match="another audit is writing"):
            audit(asked)

    audit(asked, watch=again)


def test_overwriting_begins_anew(tmp_path: Path) -> None:
    audit(options([jsonl(tmp_path / "a.jsonl", [row(n) for n in range(9)])], tmp_path / "out"))
    other = jsonl(tmp_path / "b.jsonl", [row(100)])
    audit(options([other], tmp_path / "out", overwrite=True))
    assert [p.id for p in table(tmp_path / "out")[0]] == ["p0100"]


def test_a_full_disk_costs_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = jsonl(tmp_path / "a.jsonl", [row(n) for n in range(9)])
    asked = options([source], tmp_path / "out", part_rows=4)
    room = [2]

    def fsync(_: int) -> None:
        if room[0] == 0:
            raise OSError(28, "No space left on device")
        room[0] -= 1

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fsync)
        with pytest.raises(StoreError, match="No space left on device"):
            audit(asked)
    assert not list((tmp_path / "out").rglob("*.tmp"))
    audit(asked)
    audit(options([source], tmp_path / "whole", part_rows=4))
    same(table(tmp_path / "out"), table(tmp_path / "whole"))


def test_known_packages_are_not_judged_again(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", [row(n) for n in range(5)])
    cache = tmp_path / "cache"
    audit(options([source], tmp_path / "one", cache=cache))
    moved = jsonl(tmp_path / "b.jsonl", [{**row(n), "id": f"moved{n}"} for n in range(5)])
    audit(options([moved], tmp_path / "two", cache=cache), engine=no_engine)
    one, two = table(tmp_path / "one"), table(tmp_path / "two")
    assert [p.id for p in two[0]] == [f"moved{n}" for n in range(5)]
    assert {f.package for f in two[1]} == {f"moved{n}" for n in range(5)}
    assert [f.fingerprint for f in one[1]] == [f.fingerprint for f in two[1]]
    assert [p.content for p in one[0]] == [p.content for p in two[0]]
    # Another profile is another question.
    with pytest.raises(AssertionError):
        audit(
            options(
                [moved],
                tmp_path / "three",
                cache=cache,
                judging=JudgingOptions(profile="trial-mode"),
            ),
            engine=no_engine,
        )


def test_any_damage_to_the_cache_is_a_miss(tmp_path: Path) -> None:
    def opened() -> AnswerCache:
        return AnswerCache(tmp_path, b"v")

    with opened() as cache:
        cache.put(cache.key("a"), b"answer")
    file = next(tmp_path.glob("*.sqlite3"))
    with opened() as cache:
        assert cache.get(cache.key("a")) == b"answer"
        assert cache.get(cache.key("b")) is None
    with AnswerCache(tmp_path, b"other") as cache:
        assert cache.get(cache.key("a")) is None
    database = sqlite3.connect(file)
    with database:
        (stored,) = database.execute("select answer from answers").fetchone()
        for damaged in (stored[:-1], stored[:9] + b"x" + stored[10:], b"", 7, "text"):
            database.execute("update answers set answer = ?", (damaged,))
            database.commit()
            with opened() as cache:
                assert cache.get(cache.key("a")) is None
        database.execute("update answers set answer = ?", (stored,))
    database.close()
    with opened() as cache:
        assert cache.get(cache.key("a")) == b"answer"
    whole = file.read_bytes()
    for damage in (b"", b"no database at all" * 500, whole[: len(whole) // 2], whole[:100]):
        for rest in tmp_path.glob("*.sqlite3-*"):
            rest.unlink()
        file.write_bytes(damage)
        with opened() as cache:
            assert cache.get(cache.key("a")) is None
            cache.put(cache.key("a"), b"new")
        with opened() as cache:
            assert cache.get(cache.key("a")) in (b"new", None)
    with AnswerCache(tmp_path / "file-in-the-way" / "x", b"v") as cache:
        assert cache.get(b"k") is None


def test_a_cache_that_cannot_be_there_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with AnswerCache(tmp_path / "file", b"v") as cache:
        cache.put(b"k", b"answer")
        assert cache.get(b"k") == b"answer"
        cache.flush()
        assert cache.get(b"k") is None


def test_many_write_to_one_cache(tmp_path: Path) -> None:
    def write(writer: int) -> None:
        with AnswerCache(tmp_path, b"v") as cache:
            for n in range(200):
                cache.put(cache.key(f"{writer}:{n}"), f"{writer}:{n}".encode())
                cache.put(cache.key(f"shared:{n}"), f"shared:{n}".encode())

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    with AnswerCache(tmp_path, b"v") as cache:
        for name in ("0", "1", "2", "3", "shared"):
            for n in range(200):
                assert cache.get(cache.key(f"{name}:{n}")) == f"{name}:{n}".encode()
