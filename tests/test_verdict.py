"""The verdict as text, and what it says of packages whose files could not be seen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import explint
from case_files import base_package
from explint.model import Confidence, Finding, Severity
from explint.verdict import describe


def error(path: str, line: int, message: str, help: str, rule: str) -> Finding:
    return Finding(
        rule=rule,
        code="X001",
        severity=Severity.ERROR,
        confidence=Confidence.HIGH,
        message=message,
        help=help,
        path=path,
        line=line,
        criteria=(1,),
    )


def test_files_with_the_same_defect_share_a_sentence() -> None:
    files = base_package()
    for path in ("src/train.py", "src/model.py"):
        files[path] = ""
    (package,) = explint.check(files).packages
    assert package.verdict.code_issue.startswith(
        "`src/model.py` and `src/train.py`: each is required by the protocol and is empty. "
        "Write the complete contents of each of them. (structure/empty-file)"
    )


def test_places_with_the_same_message_share_a_sentence() -> None:
    many = [error("a.py", n, "It is bad.", "Mend it.", "complete/x") for n in range(1, 12)]
    text = describe([*many, error("b.py", 1, "`b.py` is not wanted.", "Drop it.", "structure/y")])
    assert text.split("\n") == [
        "1. `b.py` is not wanted. Drop it. (structure/y)",
        "2. a.py:1, 2, 3, 4, 5, 6, 7, 8 and 3 more: It is bad. Mend it. (complete/x)",
    ]


def test_many_messages_of_one_rule_are_cut_and_counted() -> None:
    many = [error("a.py", n, f"{n} is bad.", f"Mend {n}.", "complete/x") for n in range(1, 12)]
    text = describe(many)
    assert text.startswith("a.py:1: 1 is bad. Mend 1. a.py:2: 2 is bad. Mend 2.")
    assert text.endswith("a.py:6: 6 is bad. Mend 6. And 5 more. (complete/x)")


def test_a_stub_that_nothing_needs_does_not_decide() -> None:
    files = base_package()
    files["src/train.py"] = ""
    files["src/main.py"] = files["src/main.py"].replace("src.train", "src.inference")
    (package,) = explint.check(files, profile="sanity-pilot").packages
    ready = package.verdict.is_code_ready
    assert ready == (not package.verdict.code_issue), package.verdict


def test_a_required_file_that_is_a_pipe_is_named(tmp_path: Path) -> None:
    for path, text in base_package().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    (tmp_path / "src/model.py").unlink()
    os.mkfifo(tmp_path / "src/model.py")
    (package,) = explint.check(tmp_path).packages
    assert not package.verdict.is_code_ready
    assert [(f.rule, f.path) for f in package.findings] == [
        ("structure/unreadable-file", "src/model.py")
    ]


def test_a_lone_file_is_judged_by_itself(tmp_path: Path) -> None:
    for path, text in base_package().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    model = tmp_path / "src/model.py"
    model.write_text(model.read_text(encoding="utf-8") + "# TODO: more\n", encoding="utf-8")
    (package,) = explint.check(model).packages
    assert [f.rule for f in package.findings] == ["complete/todo-marker"]
    assert package.verdict.criteria["5"] == "unknown"
    assert package.notes


def test_notes_of_the_input_reach_the_report(tmp_path: Path) -> None:
    twice = tmp_path / "twice.json"
    twice.write_text('{"files": {"src/main.py": "x = 1\\n", "src/main.py": "y = 2\\n"}}')
    (package,) = explint.check(twice).packages
    assert package.notes == ("the key 'src/main.py' occurs twice: the last one counts",)


def test_what_lies_in_an_unreadable_folder_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, text in base_package().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    scandir = os.scandir

    def refuse_config(path: str) -> Any:  # noqa: ANN401 - the iterator's type has no public name
        if Path(path).name == "config":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    # The mode of a folder does not stop a test that runs as root.
    monkeypatch.setattr(os, "scandir", refuse_config)
    (package,) = explint.check(tmp_path).packages
    assert [(f.rule, f.path) for f in package.findings] == [("structure/unreadable-file", "config")]
    assert [f.path for f in package.coverage.failed] == ["config"]
