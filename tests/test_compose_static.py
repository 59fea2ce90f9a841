"""The static composer: values, origins, and errors with their place."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compose_generator import case
from compose_helpers import composed, error, static, tree
from explint.compose.errors import CompositionError, ErrorKind, Unsupported
from explint.compose.interpolate import Broken, Opaque
from explint.compose.merge import leaves
from explint.compose.static import Composed, Origin, Unknown, compose
from explint.compose.tree import ConfigTree

FILES = {
    "config.yaml": """\
defaults:
  - _self_
  - run: ???
mode: full
results_dir: out
wandb:
  mode: online
  project: ${run.method}-study
lr: ${run.training.lr}
all: ${run.training}
when: ${now:%H}
home: ${oc.env:HOME}
bad: ${nope.x}
note: ???
hydra:
  run:
    dir: .
""",
    "run/a.yaml": """\
run_id: a
method: linear
training:
  lr: 1e-4
  betas: [0.9, 0.99]
  warm: ${.lr}
""",
}


def test_values_of_a_run() -> None:
    config = composed(FILES, "run=a", "results_dir=/tmp/x", "mode=trial")
    assert list(config.value) == [
        *("mode", "results_dir", "wandb", "lr", "all", "when", "home", "bad", "note", "run"),
    ]
    assert config.get("run.training") == {"lr": 1e-4, "betas": [0.9, 0.99], "warm": 1e-4}
    assert config.get("mode") == "trial"
    assert config.get("lr") == 1e-4
    assert config.get("all.betas[1]") == 0.99
    assert config.get("wandb.project") == "linear-study"
    assert config.get("run.model", "none") == "none"
    assert config.has("note")
    assert not config.has("hydra")
    assert config.hydra == {"run": {"dir": "."}}
    assert config.choices == {"run": "a"}
    assert config.files == ("config/config.yaml", "config/run/a.yaml")
    assert config.struct


def test_every_value_has_an_origin() -> None:
    config = composed(FILES, "run=a", "mode=trial", "+run.extra={depth: 2}")
    assert config.origin("run.training.lr") == Origin("config/run/a.yaml", 4, 3)
    assert config.origin("run.training.betas.1") == Origin("config/run/a.yaml", 5, 16)
    assert config.origin("run.training") == Origin("config/run/a.yaml", 3, 1)
    assert config.origin("wandb.mode") == Origin("config/config.yaml", 7, 3)
    assert config.origin("mode") == Origin(override=1)
    assert config.origin("run.extra.depth") == Origin(override=2)
    assert config.origin("nope") is None
    assert all(origin != Origin() for _, _, origin in config.leaves())


def test_what_has_no_value_is_told_apart() -> None:
    config = composed(FILES, "run=a")
    assert config.missing == ("note",)
    assert config.opaque == {
        "when": "the time of the run",
        "home": "environment variable HOME",
    }
    assert isinstance(config.get("when"), Opaque)
    assert isinstance(config.get("bad"), Broken)
    broken = config.broken["bad"]
    assert broken.kind is ErrorKind.INTERPOLATION
    assert broken.message == "Interpolation key 'nope.x' not found"
    assert (broken.path, broken.line) == ("config/config.yaml", 13)


def test_errors_stand_where_their_cause_is() -> None:
    at_choice = error(FILES, "mode=trial")
    assert (at_choice.kind, at_choice.path, at_choice.line, at_choice.column) == (
        *(ErrorKind.MANDATORY_CHOICE, "config/config.yaml", 3, 5),
    )
    assert at_choice.message == "You must specify 'run', e.g, run=<OPTION>"
    assert at_choice.more == "Available options:\n\ta"

    no_option = error(FILES, "mode=trial", "run=b")
    assert (no_option.kind, no_option.override) == (ErrorKind.MISSING_CONFIG, 1)
    assert no_option.message == "In 'config': Could not find 'run/b'"

    absent = error(FILES, "run=a", "trial_mode=true")
    assert (absent.kind, absent.override) == (ErrorKind.NOT_IN_STRUCT, 1)
    assert absent.message == "Could not override 'trial_mode'."
    assert "Key 'trial_mode' is not in struct" in absent.more

    yaml = error({"config.yaml": "a: 1\nb: [\n"})
    assert (yaml.kind, yaml.path, yaml.line) == (ErrorKind.INVALID_YAML, "config/config.yaml", 3)

    twice = error(
        {"config.yaml": "defaults:\n  - a: x\n  - a: y\n", "a/x.yaml": "", "a/y.yaml": ""}
    )
    assert (twice.kind, twice.line) == (ErrorKind.DUPLICATE_DEFAULT, 2)


@pytest.mark.parametrize(
    ("files", "overrides", "kind"),
    [
        ({"config.yaml": "a: 1"}, ["a=1,2"], ErrorKind.SWEEP),
        ({"config.yaml": "a: 1"}, ["a=choice(1,2)"], ErrorKind.SWEEP),
        ({"config.yaml": "a: 1", "a/x.yaml": ""}, ["a=x"], ErrorKind.NOT_IN_DEFAULTS),
        ({"config.yaml": "a: 1", "a/x.yaml": ""}, ["a=10"], ErrorKind.INVALID_CHOICE),
        ({"config.yaml": "a: 1", "a/x.yaml": ""}, ["++a=x"], ErrorKind.NOT_A_GROUP),
        ({"config.yaml": "a: 1"}, ["a@b=x"], ErrorKind.NOT_A_GROUP),
        ({"config.yaml": "a: 1"}, ["+a=2"], ErrorKind.CANNOT_ADD),
        ({"config.yaml": "a: 1"}, ["~b"], ErrorKind.CANNOT_DELETE),
        ({"config.yaml": "a: 1"}, ["~a=2"], ErrorKind.CANNOT_DELETE),
        ({"config.yaml": "a: {b: 1}"}, ["a=[1]"], ErrorKind.MERGE),
        ({"config.yaml": "- 1"}, [], ErrorKind.NOT_A_MAPPING),
        ({"config.yaml": "7"}, [], ErrorKind.NOT_A_MAPPING),
        ({"config.yaml": "# @package a b"}, [], ErrorKind.INVALID_HEADER),
        ({"config.yaml": "defaults: {a: b}"}, [], ErrorKind.INVALID_DEFAULTS),
        ({"config.yaml": "defaults: [x]"}, [], ErrorKind.MISSING_CONFIG),
        ({"config.yaml": "defaults: [config]"}, [], ErrorKind.RECURSIVE_DEFAULTS),
        ({"config.yaml": "hydra: {nope: 1}"}, [], ErrorKind.MERGE),
        ({"other.yaml": ""}, [], ErrorKind.NO_PRIMARY_CONFIG),
        ({}, [], ErrorKind.NO_CONFIG_FOLDER),
        ({"config.yaml": "a: 1"}, ["hydra.nope=1"], ErrorKind.NOT_IN_STRUCT),
    ],
)
def test_kinds_of_errors(files: dict[str, str], overrides: list[str], kind: ErrorKind) -> None:
    assert error(files, *overrides).kind is kind


@pytest.mark.parametrize(
    ("files", "overrides"),
    [
        ({"config.yaml": "a: ${b"}, []),
        ({"config.yaml": "a: ${f:'quoted'}"}, []),
        ({"config.yaml": "a: ${b}\nb: {c: 1}"}, ["+a=1"]),
        ({"config.yaml": "a: [1]"}, ["a.0=2"]),
        ({"config.yaml": "a: 1"}, ["~hydra.run"]),
        ({"config.yaml": "a: 1"}, ["hydra.sweeper.n_trials=3"]),
    ],
)
def test_what_is_left_to_hydra_core(files: dict[str, str], overrides: list[str]) -> None:
    assert isinstance(static(files, *overrides), Unsupported)


def test_what_the_package_does_not_hold_is_unknown() -> None:
    withheld = ConfigTree({"config/config.yaml": None})
    part = ConfigTree({"config/run/a.yaml": b"x: 1"}, partial=True)
    group = ConfigTree({"config/config.yaml": b"defaults: [run: null]"}, partial=True)
    outside = tree({"config.yaml": "hydra:\n  searchpath: [file:///etc]\n"})
    for files in (withheld, part, group, outside):
        overrides = ["run=a"] if files is group else []
        result = compose(files, config_dir="config", config_name="config", overrides=overrides)
        assert isinstance(result, Unknown), result


def test_options_of_plugins_are_assumed() -> None:
    config = composed(
        {"config.yaml": "defaults:\n  - override hydra/job_logging: colorlog\na: 1\n"}
    )
    assert config.assumed == ("hydra/job_logging=colorlog",)


def test_a_file_is_shared_and_never_changed_by_a_composition() -> None:
    files = tree(FILES)

    def run(*overrides: str) -> object:
        result = compose(files, config_dir="config", config_name="config", overrides=overrides)
        assert isinstance(result, Composed)
        return result.value

    first = run("run=a")
    assert run("run=a", "run.training.lr=5", "+wandb.tags=[x]", "~run.method") != first
    assert run("run=a") == first


def test_circles_and_bombs_end() -> None:
    started = time.perf_counter()
    circle = composed({"config.yaml": "a: ${b}\nb: ${c}\nc: ${a}\nd:\n  x: ${e}\ne:\n  y: ${d}\n"})
    assert isinstance(circle.get("a"), Broken)
    assert isinstance(circle.value, dict)
    rows = [", ".join([f'"${{k{i + 1}}}"'] * 9) for i in range(12)]
    lines = "\n".join(f"k{i}: [{row}]" for i, row in enumerate(rows))
    bomb = composed({"config.yaml": f"{lines}\nk12: 1\n"})
    assert isinstance(bomb.value, dict)
    wide = {f"g/o{i}.yaml": f"defaults: [o{i + 1}, o{i + 1}]" for i in range(30)}
    endless = static({**wide, "g/o30.yaml": "", "config.yaml": "defaults: [g: o0]"})
    assert isinstance(endless, Unsupported | CompositionError)
    assert time.perf_counter() - started < 5


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("ab:-?{}[]&*!|>'\"%@$#,. \n\t~"), max_size=60),
    st.lists(st.text(alphabet=st.sampled_from("ab=+~@./{}[],'$"), max_size=12), max_size=3),
)
def test_any_file_and_any_command_line_have_an_answer(text: str, overrides: list[str]) -> None:
    result = static({"config.yaml": text, "a/b.yaml": text}, *overrides)
    assert isinstance(result, Composed | CompositionError | Unsupported | Unknown)
    if isinstance(result, Composed):
        assert isinstance(result.value, dict)
        assert len(list(result.leaves())) >= len(result.missing)


def test_a_typical_run_is_fast() -> None:
    run = "run_id: r\n" + "".join(
        f"{section}:\n" + "".join(f"  key_{i}: {i}e-3\n" for i in range(8))
        for section in ("method", "model", "dataset", "training", "optuna")
    )
    files = tree({"config.yaml": FILES["config.yaml"], "run/r.yaml": run})
    best = 1.0
    for _ in range(200):
        started = time.perf_counter()
        overrides = ["run=r", "results_dir=x", "mode=trial"]
        result = compose(files, config_dir="config", config_name="config", overrides=overrides)
        assert isinstance(result, Composed)
        assert result.value
        best = min(best, time.perf_counter() - started)
    assert best < 1.5e-3


def test_every_origin_leads_to_the_value_it_is_given_for() -> None:
    checked = 0
    for seed in range(300):
        made = case(seed)
        files = tree(made.files)
        result = compose(
            files,
            config_dir="config",
            config_name=made.config_name,
            overrides=made.overrides,
            version_base=made.version_base,
        )
        if not isinstance(result, Composed):
            continue
        for path, node in leaves(result.root):
            if node.is_section:
                continue  # an empty one may be a whole file
            place = result.place(node)
            if place.override is not None:
                assert "=" in made.overrides[place.override]
                continue
            assert place.path is not None, (seed, path)
            line = made.files[place.path.removeprefix("config/")].split("\n")[(place.line or 0) - 1]
            assert line[(place.column or 0) - 1 :].strip(), (seed, path)
            if isinstance(path[-1], str) and "[" not in line:
                assert line[(place.column or 0) - 1 :].startswith(f"{path[-1]}:"), (seed, path)
                checked += 1
    assert checked > 400
