"""From a package, a run and a mode to a config: the door, the reference, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from explint import core
from explint.cli import cli
from explint.compose import (
    RunComposition,
    compose_run,
    compose_tree,
    entry_of,
    quote,
    reference,
    run_ids,
)
from explint.compose.errors import CompositionError, ErrorKind
from explint.compose.overrides import parse_override
from explint.compose.reference import Reference, error_kind
from explint.compose.shell import ShellProblem
from explint.compose.static import Composed, Origin, Unknown
from explint.compose.tree import ConfigTree
from explint.package import Package, Run
from explint.protocol import load_profile
from explint.source import package_of_files

MAIN = """\
import hydra


@hydra.main(config_path="../config", config_name="config", version_base=None)
def main(cfg):
    print(cfg)
"""
FILES = {
    "src/main.py": MAIN,
    "src/train.py": "x = 1\n",
    "src/evaluate.py": "x = 1\n",
    "src/preprocess.py": "x = 1\n",
    "src/model.py": "x = 1\n",
    "pyproject.toml": "[project]\nname = 'x'\nversion = '1'\n",
    "config/config.yaml": "defaults: [_self_, run: null]\nmode: full\nresults_dir: out\n"
    "lr: ${run.lr}\nwhen: ${now:%H}\nbad: ${nope}\nmust: ???\n",
    "config/run/one.yaml": "run_id: one\nlr: 1e-4\n",
    "config/run/two.yaml": "run_id: two\nlr: 2e-4\n",
}
PROFILE = load_profile("full-trial")
TRIAL, FULL = (str(PROFILE.train_command(mode)) for mode in PROFILE.trial.modes)
FOLDER = PROFILE.config.run_folder


def package(**changes: str | None) -> Package:
    files = {path: text for path, text in FILES.items() if changes.get(path, text) is not None}
    return package_of_files({**files, **{p: t for p, t in changes.items() if t is not None}})


def composed(
    held: Package,
    command: str,
    run_id: str,
    *,
    tree: ConfigTree | None = None,
    results_dir: str = "/r",
    quoted: bool = False,
) -> RunComposition:
    point = entry_of(held, command, core.Scanner(1).uses(held))
    return compose_run(
        held, command, run_id, entry=point, tree=tree, results_dir=results_dir, quoted=quoted
    )


def test_each_run_and_mode_has_its_config() -> None:
    held = package()
    assert run_ids(held, FOLDER) == ["one", "two"]
    tree = ConfigTree.of(held)
    seen = []
    for run in ("one", "two"):
        for mode, command in (("trial", TRIAL), ("full", FULL)):
            answer = composed(held, command, run, tree=tree)
            assert isinstance(answer.result, Composed)
            assert answer.words == (f"run={run}", "results_dir=/r", f"mode={mode}")
            assert answer.answered_by == "static"
            assert answer.result.origin("run.lr") == Origin(f"config/run/{run}.yaml", 2, 1)
            seen.append((answer.result.get("mode"), answer.result.get("lr")))
    assert seen == [("trial", 1e-4), ("full", 1e-4), ("trial", 2e-4), ("full", 2e-4)]


def test_the_shell_comes_before_hydra() -> None:
    answer = composed(package(), TRIAL, "a(b)")
    assert isinstance(answer.result, ShellProblem)
    assert answer.command[answer.result.offset] == "("
    assert answer.answered_by is None


def test_the_config_behind_an_id_that_needs_quotes() -> None:
    odd = "it's (5%) $x=1, [a]"
    held = package(**{f"config/run/{odd}.yaml": "lr: 3\n"})
    assert isinstance(composed(held, TRIAL, odd).result, ShellProblem)
    answer = composed(held, TRIAL, odd, quoted=True)
    assert isinstance(answer.result, Composed), answer.result
    assert answer.result.get("run.lr") == 3
    assert odd in answer.command


@given(st.text(max_size=20))
def test_quoting_carries_any_text(text: str) -> None:
    assert parse_override(f"k={quote(text)}").value == text


def test_what_the_code_does_not_say_is_unknown() -> None:
    store = f"from hydra.core.config_store import ConfigStore\n{MAIN}"
    for main in ("x = 1\n", store, MAIN.replace('"../config"', "folder()")):
        answer = composed(package(**{"src/main.py": main}), TRIAL, "one")
        assert isinstance(answer.result, Unknown)
        assert answer.answered_by is None


def test_without_a_config_folder_there_is_no_primary_config() -> None:
    main = MAIN.replace('config_path="../config", ', "")
    result = composed(package(**{"src/main.py": main}), TRIAL, "one").result
    assert isinstance(result, CompositionError)
    assert result.kind is ErrorKind.NO_PRIMARY_CONFIG


def test_runs_of_a_record_are_its_own() -> None:
    from msgspec.structs import replace

    held = replace(package(), runs=(Run("two"), Run("three")))
    assert run_ids(held, FOLDER) == ["two", "three"]


# hydra-core as the reference

ODD = ConfigTree({"conf/config.yaml": b"a: ${b}\nb: {c: 1}\nhome: ${oc.env:HOME}\nx: ${no.key}\n"})


def test_hydra_core_answers_what_is_not_covered() -> None:
    pytest.importorskip("hydra")
    for _ in range(2):
        result, by = compose_tree(
            ODD, config_dir="conf", config_name="config", overrides=["+a={d: 2}", "~b.c", "+l=[1]"]
        )
        assert by == "hydra-core"
        assert isinstance(result, Composed), result
        assert result.get("a") == {"d": 2}
        assert result.opaque == {"home": "environment variable HOME"}
        assert set(result.broken) == {"x"}
        assert result.origin("a.d") == Origin()
    bad = ConfigTree({"conf/config.yaml": b"a: ${b\n"})
    result, by = compose_tree(bad, config_dir="conf", config_name="config", overrides=[])
    assert by == "hydra-core"
    assert isinstance(result, CompositionError)
    assert result.kind is ErrorKind.INTERPOLATION


def test_hydra_core_does_not_speak_for_plugins() -> None:
    pytest.importorskip("hydra")
    text = b"defaults: [override hydra/sweeper: optuna]\na: ${b}\nb: {c: 1}\n"
    result, _ = compose_tree(
        ConfigTree({"conf/config.yaml": text}),
        config_dir="conf",
        config_name="config",
        overrides=["+a={d: 2}"],
    )
    assert isinstance(result, Unknown)
    assert "plugin" in result.reason


def test_without_hydra_core_the_answer_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "available", lambda: False)
    result, by = compose_tree(ODD, config_dir="conf", config_name="config", overrides=["+a={d: 2}"])
    assert by == "static"
    assert isinstance(result, Unknown)
    assert "explint[hydra]" in result.reason


def test_an_answer_that_takes_too_long_is_unknown() -> None:
    pytest.importorskip("hydra")
    hasty = Reference(timeout=0.001)
    result = hasty.compose(ODD, config_dir="conf", config_name="config", overrides=[])
    hasty.close()
    assert isinstance(result, Unknown)
    assert "0.001 seconds" in result.reason


@pytest.mark.parametrize(
    ("tree", "folder", "overrides"),
    [
        (ConfigTree({"conf/config.yaml": None}), "conf", []),
        (ConfigTree({"conf/config.yaml": b""}, partial=True), "conf", []),
        (ConfigTree({"conf/config.yaml": b"hydra: {searchpath: [file:///]}"}), "conf", []),
        (ConfigTree({"conf/config.yaml": b""}), "conf", ["hydra.searchpath=[/etc]"]),
        (ConfigTree({"conf/config.yaml": b""}), "../elsewhere", []),
    ],
)
def test_the_worker_is_never_asked_beyond_the_package(
    tree: ConfigTree, folder: str, overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    worker = Reference()
    monkeypatch.setattr(worker, "_ask", asked.append)
    result = worker.compose(tree, config_dir=folder, config_name="config", overrides=overrides)
    assert isinstance(result, Unknown)
    assert not asked


def test_kinds_of_hydras_words() -> None:
    text = "Could not override 'run'.\nDid you mean to override run@x?"
    assert error_kind("ConfigCompositionException", text) is ErrorKind.NOT_IN_DEFAULTS
    text = "Could not override 'run'.\nTo append to your config use +run=1"
    assert error_kind("ConfigCompositionException", text) is ErrorKind.NOT_IN_STRUCT
    assert error_kind("ScannerError", "mapping values") is ErrorKind.INVALID_YAML


# The command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return tmp_path


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(cli, ["compose", *map(str, arguments)], env=environment)


def test_text_shows_values_with_their_origin(folder: Path) -> None:
    result = run(folder, "--run", "one")
    assert result.exit_code == 0, result.output
    assert (
        result.stdout
        == """\
# uv run python -u -m src.main run=one results_dir=.research/results mode=trial
# src/main.py:4 starts Hydra with config
mode: trial                     # command line: mode=trial
results_dir: .research/results  # command line: results_dir=.research/results
lr: 0.0001                      # config/config.yaml:4 · ${run.lr}
# config/config.yaml:5 · known in the run only: the time of the run
when: "${now:%H}"
bad: "${nope}"       # config/config.yaml:6 · Interpolation key 'nope' not found
must: ???                # config/config.yaml:7 · mandatory, and nobody gives it
run:
  run_id: one                   # config/run/one.yaml:1
  lr: 0.0001                    # config/run/one.yaml:2
"""
    )


def test_long_paths_are_cut_from_the_left(folder: Path) -> None:
    name = "a-run-id-as-long-as-generators-like-them-to-be-with-everything-in-it"
    (folder / f"config/run/{name}.yaml").write_text("lr: 1\n")
    lines = run(folder, "--run", name).stdout.split("\n")
    assert f"#   config/run/{name}.yaml" in lines
    assert all(len(line) <= 80 for line in lines if not line.startswith("#"))
    (cut,) = (line for line in lines if line.startswith("  lr: 1"))
    assert cut.endswith("-everything-in-it.yaml:1")
    assert "# …" in cut


def test_lines_fit_the_terminal(folder: Path) -> None:
    for width in (40, 60, 80):
        result = run(folder, "--run", "one", COLUMNS=str(width))
        values = [line for line in result.stdout.split("\n") if not line.strip().startswith("#")]
        assert all(len(line) <= width for line in values)


def test_origins_are_dim_where_there_is_colour(folder: Path) -> None:
    plain = run(folder, "--run", "one")
    coloured = run(folder, "--run", "one", "--color", "always")
    assert "\x1b" not in plain.stdout
    assert "\x1b[2m# config/run/one.yaml:2\x1b[0m" in coloured.stdout
    assert "\x1b[1;31m# config/config.yaml:7" in coloured.stdout


def test_yaml_reads_back_as_the_config(folder: Path) -> None:
    from explint.compose.yaml import YamlDocument, load_yaml

    odd = 'odd: ["1e-4", "null", "a: b", "#", " x ", "\\e[1m", 1e-7, .inf, 12, true, ""]\n'
    (folder / "config/run/one.yaml").write_text(f"{odd}deep:\n  - a: 1\n  - [x, [y]]\n")
    result = run(folder, "--run", "one", "--format", "yaml")
    document = load_yaml(result.stdout)
    assert isinstance(document, YamlDocument), result.stdout
    assert document.value["run"] == {
        "odd": ["1e-4", "null", "a: b", "#", " x ", "\x1b[1m", 1e-7, float("inf"), 12, True, ""],
        "deep": [{"a": 1}, ["x", ["y"]]],
    }
    assert document.value["lr"] == "${run.lr}"
    assert "\x1b" not in result.stdout


def test_json_tells_everything(folder: Path) -> None:
    result = run(folder, "--run", "one", "--format", "json")
    document = json.loads(result.stdout)
    assert document["config"]["run"] == {"run_id": "one", "lr": 1e-4}
    assert document["origins"]["run.lr"] == {
        "path": "config/run/one.yaml",
        "line": 2,
        "column": 1,
        "override": None,
    }
    assert document["origins"]["mode"]["override"] == 2
    assert document["missing"] == ["must"]
    assert document["answered_by"] == "static"
    assert set(document["broken"]) == {"bad"}
    failed = run(folder, "--run", "one", "--format", "json", "--override", "nope=1")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["error"]["kind"] == "not-in-struct"


def test_a_composition_error_is_shown_at_the_culprit(folder: Path) -> None:
    (folder / "config/run/one.yaml").write_text("a: 1\nb: [1, 2\nc: 3\n")
    result = run(folder, "--run", "one")
    assert result.exit_code == 1
    assert not result.stdout
    assert "Hydra does not compose run one in mode trial" in result.stderr
    assert "config/run/one.yaml:3:" in result.stderr
    assert "c: 3" in result.stderr


def test_a_bad_word_of_the_command_is_marked(folder: Path) -> None:
    (folder / "config/config.yaml").write_text("results_dir: x\nmode: full\n")
    result = run(folder, "--run", "two")
    assert result.exit_code == 1
    assert "Could not override 'run'. No match in the defaults list." in result.stderr
    command, marks = result.stderr.rstrip("\n").split("\n")[-2:]
    assert command[marks.index("^") : marks.rindex("^") + 1] == "run=two"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "several runs"),
        (["--run", "onee"], "Did you mean `one`?"),
        (["--run", "one", "--mode", "trail"], "Did you mean `trial`?"),
        (["--run", "one", "--entry", "src.nope"], "src/nope.py"),
        (["--run", "one", "--profile", "hydra-wandb"], "--override run=one"),
        (["--run", "one", "--profile", "nope"], "nope"),
    ],
)
def test_mistakes_of_the_user(folder: Path, arguments: list[str], says: str) -> None:
    result = run(folder, *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not result.stdout


def test_what_cannot_be_known_is_said(folder: Path) -> None:
    (folder / "src/main.py").write_text("print()\n")
    result = run(folder, "--run", "one")
    assert result.exit_code == 4
    assert "src/main.py does not use Hydra" in result.stderr
    assert run(folder, "--run", "one", "--format", "json").exit_code == 4


def test_nothing_of_a_package_reaches_the_terminal_raw(folder: Path) -> None:
    (folder / "config/run/one.yaml").write_text('"k\\e[31m": "\\e]0;x\\a\u202e"\n')
    for form in ("text", "yaml", "json"):
        out = run(folder, "--run", "one", "--format", form).stdout
        assert not {"\x1b", "\x07", "\u202e"} & set(out), form
    (folder / "config/run/one.yaml").write_text('a: 1\nb: "\\e[31m" : 2\n')
    failed = run(folder, "--run", "one", "--override", "x=\x1b[31m")
    assert failed.exit_code == 1
    assert "\x1b" not in failed.output


def test_other_repositories_have_no_runs(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/config.yaml").write_text("a: 1\n")
    main = MAIN.replace("../config", "conf")
    (tmp_path / "train.py").write_text(main)
    result = run(tmp_path, "--override", "a=2")
    assert result.exit_code == 0, result.output
    assert "a: 2  # command line: a=2" in result.stdout
