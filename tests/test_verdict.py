"""The verdict as text, and what it says of packages whose files could not be seen."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import fill
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

import explint
from case_files import base_package
from explint.model import Confidence, CriterionState, Finding, Severity, Verdict
from explint.rules.table import rule_table
from explint.verdict import STAGES, describe


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
        "It does not start:",
        "1. `b.py` is not wanted. Drop it. (structure/y)",
        "It stops on the way:",
        "2. a.py:1, 2, 3, 4, 5, 6, 7, 8 and 3 more: It is bad. Mend it. (complete/x)",
    ]


def test_many_causes_are_cut_and_counted() -> None:
    many = [error("a.py", n, f"{n} is bad.", f"Mend {n}.", "complete/x") for n in range(2, 32)]
    heading, first, *_, last, more = describe(many).split("\n")
    assert heading == "It stops on the way:"
    assert first == "1. a.py:2: 2 is bad. Mend 2. (complete/x)"
    assert last == "24. a.py:25: 25 is bad. Mend 25. (complete/x)"
    assert more == "And 6 more."


def test_many_places_of_one_cause_are_cut_and_counted() -> None:
    many = [
        error("a.py", n, f"{n} is to do.", f"Do {n}.", "complete/todo-marker") for n in range(2, 13)
    ]
    text = describe(many)
    assert text.startswith("a.py:2: 2 is to do. Do 2. a.py:3: 3 is to do. Do 3.")
    assert text.endswith("a.py:7: 7 is to do. Do 7. And 5 more. (complete/todo-marker)")


def test_rules_that_speak_of_one_line_share_a_point() -> None:
    keys = error("src/evaluate.py", 9, "The key is never logged.", "Log it.", "wandb/a")
    rows = error("src/evaluate.py", 9, "No row holds both.", "Ask apart.", "wandb/b")
    assert describe([keys, rows]) == (
        "src/evaluate.py:9: The key is never logged. Log it. "
        "src/evaluate.py:9: No row holds both. Ask apart. (wandb/a, wandb/b)"
    )


def test_every_stage_is_that_of_a_rule_or_family() -> None:
    names = {row.name for row in rule_table()}
    families = {f"{name.partition('/')[0]}/" for name in names} | {"data/", "model/"}
    assert {name for name in STAGES if name not in names} <= families


def note(verdict: Verdict) -> str:
    """A verdict as a person at 80 columns reads it."""
    lines = [*verdict.code_issue.split("\n"), ""]
    lines += [f"{n} {state}" for n, state in verdict.criteria.items()]
    lines += [f"{u.criterion}? {u.reason} [{u.decided_by}]" for u in verdict.undecided]
    hang = "   "
    return "".join(f"{fill(line, 80, subsequent_indent=hang)}\n" for line in lines)


def edited(*changes: tuple[str, str, str]) -> dict[str, str]:
    """The base package with texts replaced: path, what stands there, what to write."""
    files = base_package()
    for path, old, new in changes:
        assert old in files[path], (path, old)
        files[path] = files[path].replace(old, new)
    return files


BROKEN = edited(
    ("src/train.py", "islice(train_loader, training.max_batches)", "train_loader"),
    (
        "src/train.py",
        "training = cfg.run.training\n    set_seed",
        "training = cfg.training\n    set_seed",
    ),
    (
        "src/model.py",
        "from torch import nn\n",
        "from torch import nn\n\n# TODO: a deeper network\n",
    ),
    ("src/main.py", "cfg.run.optuna.n_trials = 0", "cfg.run.optuna.trials = 0"),
    ("src/evaluate.py", '"test_batch", "test_batch_accuracy"', '"test_batch", "batch_f1"'),
    ("src/evaluate.py", 'row["test_batch_accuracy"]', 'row["batch_f1"]'),
    ("src/evaluate.py", "stats.ttest_ind(*samples, equal_var=False)", "None"),
    ("src/evaluate.py", "float(test.statistic)", "0.0"),
    ("src/evaluate.py", "float(test.pvalue)", "0.0"),
    ("src/evaluate.py", '"comparison_test_accuracy.pdf"', '"accuracy.png"'),
    ("pyproject.toml", '    "optuna>=3.6",\n', ""),
)


def test_a_note_of_all_stages(golden: SnapshotAssertion) -> None:
    (package,) = explint.check(BROKEN, profile="full-trial").packages
    assert note(package.verdict) == golden


def test_a_note_of_a_part(golden: SnapshotAssertion) -> None:
    files = {**base_package(), "src/main.py": "", "src/model.py": "", "config/config.yaml": ""}
    (package,) = explint.check(files, profile="full-trial", partial=True).packages
    assert note(package.verdict) == golden


def test_the_evidence_stands_by_every_violated_criterion() -> None:
    (package,) = explint.check(BROKEN, profile="full-trial", select=["wandb"]).packages
    verdict = package.verdict
    violated = {n for n, state in verdict.criteria.items() if state is CriterionState.VIOLATED}
    assert verdict.evidence.keys() == violated
    assert {e.rule for e in verdict.evidence["9"]} >= {"trial/unbounded-batches"}


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
