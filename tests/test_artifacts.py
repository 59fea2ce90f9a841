"""What an entry writes and draws, and the values that a comparison of runs works with."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest

from explint import core
from explint.artifacts.comparison import UNKNOWN, Column, Comparison
from explint.artifacts.figures import figures
from explint.artifacts.files import files_read, written
from explint.artifacts.paths import ANY, RESULTS, RUN, Paths, demanded, may_be, may_lie_in, shown
from explint.source import package_of_files
from explint.trace import facts as f
from explint.trace.specialise import Specialised, Unknown, specialise

START = """
import argparse, json, os, sys
from pathlib import Path
import matplotlib.pyplot as plt
import pandas as pd
import wandb
words = dict(word.split("=", 1) for word in sys.argv[1:])
results_dir, run_ids = Path(words["results_dir"]), json.loads(words["run_ids"])
api = wandb.Api()
"""
CONFIGS = {"proposed-a": {"method": "ours"}, "comparative-b": {"method": "theirs"}}


def traced(code: str) -> tuple[Specialised, Paths]:
    package = package_of_files({"src/evaluate.py": START + code})
    entry = core.Scanner(1).trace(package, ["src.evaluate"]).entry("src.evaluate")
    assert entry is not None
    special = specialise(entry, Unknown("no run is chosen"))
    return special, Paths(special.env)


def names(code: str) -> list[tuple[str, ...]]:
    special, paths = traced(code)
    return [tuple(shown(p) for p in w.paths) for w in written(special, paths)]


@pytest.mark.parametrize(
    ("made", "path"),
    [
        ('results_dir / r / "m.json"', "{results_dir}/{run_id}/m.json"),
        ('f"{results_dir}/{r}/m.json"', "{results_dir}/{run_id}/m.json"),
        ('os.path.join(words["results_dir"], r, "m.json")', "{results_dir}/{run_id}/m.json"),
        ('results_dir.resolve().joinpath(r, "m.json")', "{results_dir}/{run_id}/m.json"),
        ('(results_dir / r / "m").with_suffix(".json")', "{results_dir}/{run_id}/m.json"),
        ('(results_dir / "x.json").with_name(r)', "{results_dir}/{run_id}"),
        ('str(results_dir) + "/" + r', "{results_dir}/{run_id}"),
        ('(results_dir / r / "m").parent / "n"', "{results_dir}/{run_id}/n"),
        ('Path(__file__).resolve().parents[1] / "config" / "c.yaml"', "config/c.yaml"),
        ('Path.cwd() / results_dir / "m.json"', "{results_dir}/m.json"),
        ('results_dir / r.upper() / "m.json"', "{results_dir}/{…}/m.json"),
        ('results_dir / api.run(r).id / "m.json"', "{results_dir}/{run_id}/m.json"),
        ('results_dir / "{}.json".format(r)', "{results_dir}/{run_id}.json"),
        ("input()", "{…}"),
    ],
)
def test_a_path_is_read_however_it_is_made(made: str, path: str) -> None:
    assert names(f"for r in run_ids:\n    open({made}, 'w')\n") == [(path,)]


@pytest.mark.parametrize(
    "call",
    [
        "{path}.write_text(json.dumps(1))",
        "json.dump(1, open({path}, 'w'))",
        "json.dump(1, {path}.open(mode='w'))",
        "pd.DataFrame().to_json({path})",
        "pd.DataFrame().to_csv(path_or_buf={path})",
        "plt.savefig({path})",
        "plt.figure().savefig(fname={path})",
    ],
)
def test_every_way_of_writing_is_known(call: str) -> None:
    found = names(call.format(path='(results_dir / "out")') + "\n")
    assert found
    assert set(found) == {("{results_dir}/out",)}


def test_reading_is_told_from_writing() -> None:
    special, paths = traced("a = json.load(open(results_dir / 'a'))\nopen('b', 'w').write('')\n")
    assert [shown(r.paths[0]) for r in files_read(special, paths)] == ["{results_dir}/a"]


def test_names_that_a_list_gives_are_all_known() -> None:
    code = "for name in ['a', 'b']:\n    plt.savefig(results_dir / f'{name}.pdf')\n"
    assert {path for paths in names(code) for path in paths} == {
        "{results_dir}/a.pdf",
        "{results_dir}/b.pdf",
    }


def test_what_is_not_known_may_be_anything() -> None:
    wanted = demanded("{results_dir}/{run_id}/metrics.json")
    assert wanted == f"{RESULTS}/{RUN}/metrics.json"
    assert may_be(f"{RESULTS}/{ANY}", wanted)
    assert may_be(f"{ANY}.json", wanted)
    assert not may_be(f"{RESULTS}/{ANY}.csv", wanted)
    assert may_lie_in(f"{RESULTS}/{RUN}/{ANY}.pdf", f"{RESULTS}/{RUN}")
    assert may_lie_in(f"{ANY}/x.pdf", f"{RESULTS}/{RUN}")
    assert not may_lie_in(f"{RESULTS}/comparison/x.pdf", f"{RESULTS}/{RUN}")


def drawn(code: str) -> list[tuple[int, bool, bool, bool]]:
    special, paths = traced(code)
    return [
        (len(g.drawings), bool(g.legend_on), g.annotated, g.laid_out)
        for g in figures(special, paths)
    ]


@pytest.mark.parametrize(
    ("code", "shape"),
    [
        ("plt.plot([1]); plt.legend(); plt.savefig('a')", (1, True, False, False)),
        ("g, a = plt.subplots(1, 2); a[0].plot([1]); a[1].text(0, 0, 'x'); g.savefig('a')",
         (1, False, True, False)),
        ("g = plt.figure(layout='constrained'); a = g.add_subplot(); a.bar([1], [2]); "
         "a.get_figure().savefig('a')", (1, False, False, True)),
        ("g, a = plt.subplots(); plt.plot([1]); plt.savefig('a', bbox_inches='tight')",
         (1, False, False, True)),
    ],
)  # fmt: skip
def test_a_figure_is_followed_to_where_it_is_saved(
    code: str, shape: tuple[int, bool, bool, bool]
) -> None:
    assert drawn(code + "\n") == [shape]


def compared(expression: str, before: str = "") -> Any:  # noqa: ANN401
    special, paths = traced(f"{before}\nprint({expression})\n")
    event = [e for e in special.env.entry.events if isinstance(e, f.LibraryCall)][-1]
    assert event.name == "print"
    return Comparison(paths, list(CONFIGS), CONFIGS).value(event.args[0])


RUNS = "runs = {r: api.run(f'team/project/{r}') for r in run_ids}"
FRAME = (
    "frame = pd.DataFrame([{'run': r, 'method': api.run(f't/p/{r}').config['method'], "
    "'score': api.run(f't/p/{r}').summary['acc']} for r in run_ids])"
)


@pytest.mark.parametrize(
    ("expression", "before", "value"),
    [
        ("sorted(run_ids)[0]", "", "comparative-b"),
        ("run_ids[0]", "", "proposed-a"),
        ("[r for r in run_ids if 'proposed' in r]", "", ["proposed-a"]),
        ("next(r for r in run_ids if r.startswith('comp'))", "", "comparative-b"),
        ("sorted({r.config['method'] for r in runs.values()})[0]", RUNS, "ours"),
        ("{k: v.config.get('method', 'none') for k, v in runs.items()}", RUNS,
         {"proposed-a": "ours", "comparative-b": "theirs"}),
        ("{k: v.config.get('absent', 'none') for k, v in runs.items()}", RUNS,
         {"proposed-a": "none", "comparative-b": "none"}),
        ("list(frame['method'].unique())", FRAME, ["ours", "theirs"]),
        ("sorted(frame.groupby('method')['score'].mean().to_dict().keys())[-1]", FRAME, "theirs"),
        ("len(frame[frame.method == 'ours'])", FRAME, 1),
        ("'none' if 'none' in list(frame['method'].unique()) else run_ids[-1]", FRAME,
         "comparative-b"),
        ("frame[frame['method'] == 'ours']['score'].values", FRAME, Column((UNKNOWN,))),
        ("api.run(run_ids[0]).summary['acc']", "", UNKNOWN),
        ("max(runs, key=lambda r: runs[r].summary['acc'])", RUNS, UNKNOWN),
        ("sorted(json.load(open('methods.json')))[0]", "", UNKNOWN),
    ],
)  # fmt: skip
def test_values_are_worked_out_for_the_runs(expression: str, before: str, value: object) -> None:
    assert compared(expression, before) == value


@pytest.mark.parametrize(
    ("name", "is_nan"),
    [
        ("ttest_ind", True),
        ("ttest_rel", True),
        ("f_oneway", True),
        ("mannwhitneyu", False),
        ("wilcoxon", False),
        ("ks_2samp", False),
    ],
)
def test_scipy_says_nothing_of_single_values(name: str, is_nan: bool) -> None:
    stats = pytest.importorskip("scipy.stats")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {str(getattr(stats, name)([a], [b]).pvalue) for a, b in [(1.0, 2.0), (5.0, 0.5)]}
    assert len(found) == 1
    assert math.isnan(float(found.pop())) == is_nan


def test_nan_is_no_json() -> None:
    assert json.dumps(float("nan")) == "NaN"
    with pytest.raises(json.JSONDecodeError, match="Extra data"):
        json.loads('{"a": 1}\n{"a": 2}')


def test_relative_to_raises_outside(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not in the subpath"):
        (tmp_path / "results").relative_to(tmp_path / "work")


def test_seaborn_adds_the_legend_by_itself() -> None:
    seaborn = pytest.importorskip("seaborn")
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    axes = plt.subplots()[1]
    seaborn.lineplot(x=[1, 2], y=[1, 2], label="one", ax=axes)
    assert axes.get_legend() is not None
    axes = plt.subplots()[1]
    seaborn.lineplot(x=[1, 2, 1, 2], y=[1, 2, 3, 4], hue=["a", "a", "b", "b"], ax=axes)
    assert axes.get_legend() is not None
    axes = plt.subplots()[1]
    axes.plot([1, 2], label="one")
    assert axes.get_legend() is None
    plt.close("all")
