"""What a rehearsal says of a package, at which lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import explint
from explint.model import Finding, Severity
from explint.package import Package
from explint.protocol.load import load_profile
from explint.rehearsal.findings import findings
from explint.rehearsal.outputs import Problem
from explint.rehearsal.rehearse import Done, Rehearsal
from explint.source import open_sources
from explint.trial.events import Error, Frame, Observation, Place, Seen
from explint.trial.outcome import Outcome, Sandbox
from rehearsed import RUNS, write

MISSING = Problem(path="ours-toy/metrics.json", message="It lacks.", help="Write.", runs=RUNS)
BLANK = Problem(
    path="comparison/comparison_accuracy.pdf",
    message="It is blank.",
    help="Draw.",
    severity=Severity.WARNING,
)


def said(
    folder: Path,
    *,
    exit_code: int = 0,
    problems: Sequence[Problem] = (),
    seen: Observation | None = None,
    refused: tuple[str, ...] = (),
) -> list[Finding]:
    write(folder / "toy")
    [package] = open_sources([str(folder / "toy")])
    assert isinstance(package, Package)
    [static] = explint.check(folder / "toy", profile="full-trial").packages
    outcome = Outcome(
        package="toy",
        command=("python", "-m", "src.evaluate"),
        exit_code=exit_code,
        root=folder / "toy",
        results=folder / "results",
        log=folder / "log.txt",
        sandbox=Sandbox(kind="bubblewrap", network="loopback"),
    )
    rehearsal = Rehearsal(
        mode="full",
        forced=False,
        bounded=True,
        evaluation=Done(outcome=outcome, observation=seen or Observation()),
        problems=tuple(problems),
        refused=refused,
    )
    return findings(package, rehearsal, static, load_profile("full-trial"))


def line_of(text: str) -> int:
    from rehearsed import EVALUATE

    return next(n for n, line in enumerate(EVALUATE.splitlines(), 1) if text in line)


def test_outputs_stand_where_they_were_written(tmp_path: Path) -> None:
    line = line_of("path.write_bytes(out)")
    saved = Seen(
        pid=1,
        what=str(tmp_path / "results/comparison/comparison_accuracy.pdf"),
        place=Place("src/evaluate.py", line, "pdf"),
    )
    missing, blank = said(tmp_path, problems=[MISSING, BLANK], seen=Observation(written=[saved]))
    assert (missing.rule, missing.code) == ("run/evaluate-output", "RUN009")
    assert (missing.path, missing.line, missing.severity) == ("src/evaluate.py", 1, Severity.ERROR)
    assert (missing.runs, missing.modes, missing.criteria) == (RUNS, ("full",), (8,))
    assert (blank.line, blank.column, blank.severity) == (line, 5, Severity.WARNING)


def test_a_crash_stands_at_the_last_line_of_the_package(tmp_path: Path) -> None:
    line = line_of('run.summary["val_accuracy"]')
    error = Error(
        pid=1,
        at=0.0,
        how="uncaught",
        type="KeyError",
        text="'val_accuracy'",
        frames=(
            Frame("src/evaluate.py", line, "main", ours=True),
            Frame("/lib/wandb/summary.py", 104, "__getitem__", ours=False),
        ),
    )
    [crash] = said(tmp_path, exit_code=1, seen=Observation(errors=[error]))
    assert (crash.code, crash.path, crash.line) == ("RUN008", "src/evaluate.py", line)
    assert "KeyError" in crash.message


@pytest.mark.parametrize("exit_code", [0, 1])
def test_nothing_is_said_where_the_stand_in_may_be_to_blame(tmp_path: Path, exit_code: int) -> None:
    found = said(tmp_path, exit_code=exit_code, refused=("POST /graphql (Reports): no",))
    assert found == []
