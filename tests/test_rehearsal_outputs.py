"""What is said of the outputs of an evaluation."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import torch_env
from explint.model import Severity
from explint.protocol.load import load_profile
from explint.rehearsal.outputs import listing, problems
from explint.rehearsal.pdf import read_figures

pytest.importorskip("pypdf")

FULL = load_profile("full-trial")
RUNS = ("ours", "theirs")
FRAME = "40 40 m 40 300 l S 40 40 m 400 40 l S "
GRID = "q 40 40 360 260 re W n 100 40 m 100 300 l S 40 80 m 400 80 l S Q "
LEGEND = (
    "60 60 m 90 60 l 91 60 92 61 92 62 c 92 80 l 92 81 91 82 90 82 c 60 82 l 59 82 58 81 58 80 c "
)
LEGEND += "58 62 l 58 61 59 60 60 60 c h B "
CURVE = "q 40 40 360 260 re W n 60 60 m 120 90 l 180 80 l S Q "


def pdf(path: Path, content: str, producer: str = "Matplotlib pdf backend v3.9.0") -> Path:
    """A page with that content, as a file."""
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, NameObject

    writer = PdfWriter()
    page = writer.add_blank_page(460, 345)
    stream = DecodedStreamObject()
    stream.set_data(content.encode())
    page[NameObject("/Contents")] = writer._add_object(stream)
    writer.add_metadata({"/Producer": producer})
    path.parent.mkdir(parents=True, exist_ok=True)
    writer.write(path)
    return path


def outputs(results: Path) -> Path:
    """Everything that the profile demands of two runs."""
    for run in RUNS:
        pdf(results / run / f"{run}_loss.pdf", FRAME + GRID + CURVE)
        (results / run / "metrics.json").write_text('{"val_accuracy": 0.9}')
    pdf(results / "comparison" / "comparison_accuracy.pdf", FRAME + CURVE)
    (results / "comparison" / "aggregated_metrics.json").write_text('{"gap": 0.1}')
    return results


def said(results: Path, profile: str = "full-trial") -> list[str]:
    return [problem.message for problem in problems(load_profile(profile), results, RUNS)]


def test_nothing_is_said_of_what_the_profile_demands(tmp_path: Path) -> None:
    assert said(outputs(tmp_path)) == []
    assert said(outputs(tmp_path), "trial-mode") == []


def test_missing_files_are_told_once_for_all_runs(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    found = problems(FULL, tmp_path, RUNS)
    assert [problem.message for problem in found] == [
        "Evaluation ends without writing `ours/metrics.json`, nor that of 1 more run.",
        "Evaluation ends without writing `comparison/aggregated_metrics.json`.",
        "Evaluation writes no figure to `ours`, nor that of 1 more run.",
        "Evaluation writes no figure to `comparison`.",
    ]
    assert found[0].runs == RUNS
    assert problems(load_profile("hydra-wandb"), tmp_path, RUNS) == []


@pytest.mark.parametrize(
    ("text", "message", "severity"),
    [
        ('{"a": [1, NaN], "b": {"c": -Infinity}}', "holds NaN and Infinity at `a[1]` and `b.c`",
         Severity.WARNING),
        ('{"a": 1}\n{"a": 2}\n', "is no JSON document: Extra data: line 2 column 1", None),
        ("", "is no JSON document: Expecting value: line 1 column 1 (char 0).", None),
        ("{}", "without anything in it", None),
        ("[" * 100_000, "is no JSON document", None),
    ],
)  # fmt: skip
def test_json_is_read(tmp_path: Path, text: str, message: str, severity: Severity | None) -> None:
    results = outputs(tmp_path)
    (results / "comparison" / "aggregated_metrics.json").write_text(text)
    [problem] = problems(FULL, results, RUNS)
    assert message in problem.message
    assert problem.path == "comparison/aggregated_metrics.json"
    assert problem.severity is severity


def test_keys_that_the_profile_names_are_asked_for(tmp_path: Path) -> None:
    results = outputs(tmp_path)
    assert said(results, "config-runs") == [
        "`comparison/aggregated_metrics.json` has no `primary_metric`, `metrics`, `best_proposed` "
        "and `best_baseline`."
    ]
    keys = dict.fromkeys(("primary_metric", "metrics", "best_proposed", "best_baseline", "gap"), 1)
    (results / "comparison" / "aggregated_metrics.json").write_text(json.dumps(keys))
    assert said(results, "config-runs") == []


def test_names_of_figures_follow_the_profile(tmp_path: Path) -> None:
    results = outputs(tmp_path)
    (results / "ours" / "loss.png").write_bytes(b"x")
    pdf(results / "comparison" / "accuracy.pdf", FRAME + CURVE)
    assert said(results) == [
        "The figure `ours/loss.png` does not have a name of the form "
        "`{run_id}_{topic}[_<condition>][_pairN].pdf`.",
        "The figure `comparison/accuracy.pdf` does not have a name of the form "
        "`comparison_{topic}[_<condition>][_pairN].pdf`.",
    ]
    before = listing(results)
    assert [p.message for p in problems(FULL, results, RUNS, before)] == [
        "Evaluation writes no figure to `ours`, nor that of 1 more run.",
        "Evaluation writes no figure to `comparison`.",
    ], "what training wrote is no output of evaluation"


def test_figures_that_cannot_be_opened_or_show_nothing(tmp_path: Path) -> None:
    results = outputs(tmp_path)
    whole = results / "ours" / "ours_loss.pdf"
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) // 2])
    (results / "theirs" / "theirs_loss.pdf").write_bytes(b"")
    pdf(results / "comparison" / "comparison_accuracy.pdf", FRAME + GRID + LEGEND)
    found = problems(FULL, results, RUNS)
    texts = {problem.path: problem.message for problem in found}
    assert texts["theirs/theirs_loss.pdf"] == (
        "The figure `theirs/theirs_loss.pdf` cannot be opened: it is empty."
    )
    assert "cannot be opened" in texts["ours/ours_loss.pdf"]
    assert texts["comparison/comparison_accuracy.pdf"] == (
        "Nothing is to be seen in the figure `comparison/comparison_accuracy.pdf`: its axes hold "
        "no line, bar, point or image."
    )


def test_a_single_point_is_no_fault_after_one_epoch(tmp_path: Path) -> None:
    results = outputs(tmp_path)
    point = "q 40 40 360 260 re W n 60 60 m S Q "
    pdf(results / "ours" / "ours_loss.pdf", FRAME + point)
    [problem] = problems(FULL, results, RUNS)
    assert "a line through a single point is drawn without a marker" in problem.message
    assert problems(FULL, results, RUNS, one_epoch=True) == []


SEEN: tuple[tuple[str, str, bool | None], ...] = (
    ("a frame with ticks", FRAME, True),
    ("a grid is no data", FRAME + GRID, True),
    ("nor is a legend", FRAME + GRID + LEGEND, True),
    ("a line", FRAME + CURVE, False),
    ("a bar", FRAME + "q 40 40 360 260 re W n 60 40 20 90 re f Q ", False),
    ("a bar of height 0", FRAME + "q 40 40 360 260 re W n 60 40 20 0 re f Q ", False),
    ("a marker or image", FRAME + "q 40 40 360 260 re W n 1 0 0 1 60 60 cm /M0 Do Q ", False),
    ("a tick drawn as a marker", FRAME + "1 0 0 1 60 40 cm /M0 Do ", True),
    ("an oblique line without a clip: an arrow, or 3-D", FRAME + "60 60 m 80 90 l S ", None),
    ("a pie", FRAME + "60 60 m 60 70 70 80 80 80 c f ", None),
    ("no axes at all: a text", "", False),
)


def test_what_is_seen_in_a_figure_of_matplotlib(tmp_path: Path) -> None:
    paths = [pdf(tmp_path / f"{n}.pdf", content) for n, (_, content, _) in enumerate(SEEN)]
    found = read_figures(paths)
    seen = {why: (f.problem, f.blank) for (why, _, _), f in zip(SEEN, found, strict=True)}
    assert seen == {why: ("", blank) for why, _, blank in SEEN}


def test_nothing_is_said_of_what_other_programs_draw(tmp_path: Path) -> None:
    [figure] = read_figures([pdf(tmp_path / "a.pdf", FRAME, "cairo 1.18")])
    assert (figure.problem, figure.pages, figure.blank) == ("", 1, None)


DRAW = """
import sys
import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot

cases = {
    "empty": lambda axes: axes.plot([], [], label="loss"),
    "nan": lambda axes: axes.plot([0, 1], [float("nan")] * 2, label="loss"),
    "point": lambda axes: axes.plot([0], [1], label="loss"),
    "line": lambda axes: axes.plot([0, 1, 2], [1, 3, 2], label="loss"),
    "bars": lambda axes: axes.bar(["a", "b"], [1, 2], label="loss"),
    "scatter": lambda axes: axes.scatter([0, 1, 2], [1, 2, 3], label="loss"),
    "image": lambda axes: axes.imshow([[0, 1], [1, 0]]),
}
for name, draw in cases.items():
    figure, axes = pyplot.subplots()
    draw(axes)
    axes.set_xlabel("epoch")
    axes.grid(True)
    axes.legend()
    figure.tight_layout()
    figure.savefig(f"{sys.argv[1]}/{name}.pdf")
"""


@pytest.mark.differential
def test_what_matplotlib_really_draws(tmp_path: Path) -> None:
    """matplotlib is not in the lock: that of the system's Python is asked, where there is one."""
    command = [str(torch_env.SYSTEM_PYTHON), "-c", DRAW, str(tmp_path)]
    if not torch_env.SYSTEM_PYTHON.is_file():
        pytest.skip(f"{torch_env.SYSTEM_PYTHON} is not there")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    if done.returncode:
        pytest.skip(f"{torch_env.SYSTEM_PYTHON} does not draw: {done.stderr.strip()[-200:]}")
    names = ("empty", "nan", "point", "line", "bars", "scatter", "image")
    found = read_figures([tmp_path / f"{name}.pdf" for name in names])
    assert {Path(f.path).stem: f.blank for f in found} == {
        name: name in ("empty", "nan", "point") for name in names
    }
    assert {Path(f.path).stem for f in found if f.lone_point} == {"point"}
