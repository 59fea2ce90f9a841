"""The rules about run configs and W&B settings, asked through an experiment built by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import experiment_of
from explint.compose.yaml import YamlDocument, YamlProblem
from explint.experiment import Experiment
from explint.model import SourceInfo
from explint.package import File, FileState, Package, Run
from explint.rules import python_rules
from explint.rules.hydra import invalid_run_config, missing_section
from explint.rules.registry import Hit, PythonRule, Unknown
from explint.rules.wandb import no_project

CONFIG = "config/config.yaml"
PRIMARY = """\
defaults:
  - _self_
  - run: ???
mode: full
wandb:
  entity: reading-group
  project: tiny-study
results_dir: ???
trial_mode: false
"""
MAIN = """\
import hydra


@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg):
    print(cfg)
"""
RUN = """\
run_id: one
method: proposed
model:
  name: tiny
dataset:
  name: digits
training:
  epochs: 4
  learning_rate: 2e-4
optuna:
  n_trials: 20
"""


def experiment(
    files: dict[str, str | None],
    *,
    profile: str = "full-trial",
    runs: tuple[Run, ...] = (),
) -> Experiment:
    """A sound package with these files put over it; None takes a file away."""
    base: dict[str, str | None] = {
        CONFIG: PRIMARY,
        "config/run/one.yaml": RUN,
        "src/main.py": MAIN,
    }
    texts = {path: text for path, text in (base | files).items() if text is not None}
    package = Package(
        id="p",
        source=SourceInfo(kind="folder", location="p"),
        files={
            path: File(path, FileState.PRESENT if text else FileState.EMPTY, text.encode())
            for path, text in texts.items()
        },
        runs=runs,
    )
    return experiment_of(package, profile)


def hits(rule: PythonRule, made: Experiment) -> list[Hit]:
    return [result for result in rule.function(made) if isinstance(result, Hit)]


def unknowns(rule: PythonRule, made: Experiment) -> list[Unknown]:
    return [result for result in rule.function(made) if isinstance(result, Unknown)]


def run(**changes: str | None) -> dict[str, str | None]:
    """config/run/one.yaml with top-level keys replaced, or taken away by None."""
    blocks: dict[str, str] = {}
    for line in RUN.splitlines(keepends=True):
        if not line.startswith(" "):
            key = line.partition(":")[0]
            blocks[key] = ""
        blocks[key] += line
    for key, text in changes.items():
        if text is None:
            del blocks[key]
        else:
            blocks[key] = f"{key}: {text}\n"
    return {"config/run/one.yaml": "".join(blocks.values())}


# The table -------------------------------------------------------------------------------------


def test_rules_are_sorted_and_every_page_has_the_fixed_headings() -> None:
    rules = python_rules()
    assert [r.row.code for r in rules] == sorted(r.row.code for r in rules)
    for r in rules:
        assert r.row.summary.endswith(".")
        headings = [line for line in r.row.doc.splitlines() if line.startswith("## ")]
        assert headings == [
            "## What it does",
            "## Why is this bad",
            "## Example",
            "## Use instead",
            "## References",
        ]


@pytest.mark.parametrize("rule", python_rules(), ids=lambda r: r.row.name)
@pytest.mark.parametrize("profile", ["trial-mode", "full-trial", "sanity-pilot", "hydra-wandb"])
def test_a_sound_package_is_sound(rule: PythonRule, profile: str) -> None:
    answers = list(rule.function(experiment({}, profile=profile)))
    # What the package leaves out for brevity may keep a rule from deciding.
    assert not [answer for answer in answers if isinstance(answer, Hit)]


# The experiment --------------------------------------------------------------------------------


def test_run_configs_are_named_by_their_file_and_read_once() -> None:
    made = experiment({"config/run/a (b).yaml": "run_id: a (b)\n", "config/run/note.txt": "x"})
    assert [(r.run_id, r.path) for r in made.run_configs()] == [
        ("a (b)", "config/run/a (b).yaml"),
        ("one", "config/run/one.yaml"),
    ]
    assert made.yaml("config/run/one.yaml") is made.yaml("config/run/one.yaml")
    assert isinstance(made.yaml("config/run/one.yaml"), YamlDocument)


def test_texts_lose_the_byte_order_mark_and_unreadable_ones_are_none() -> None:
    made = experiment({"a.yaml": "\ufeffx: 1\n", "empty.yaml": ""})
    assert made.text("a.yaml") == "x: 1\n"
    assert made.text("empty.yaml") == ""
    assert made.text("absent.yaml") is None
    assert made.yaml("absent.yaml") is None
    made.package.files["b"] = File("b", FileState.PRESENT, b"caf\xe9")
    made.package.files["w"] = File("w", FileState.WITHHELD, b"")
    assert made.text("b") is None
    assert made.text("w") is None
    assert isinstance(experiment({"c.yaml": "a: ["}).yaml("c.yaml"), YamlProblem)


# hydra/missing-section -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run_id", "method", "model", "dataset", "training", "optuna"])
def test_each_section_is_demanded(name: str) -> None:
    (hit,) = hits(missing_section, experiment(run(**{name: None})))
    assert hit.message == f"The run config lacks {name}."
    assert (hit.path, hit.line, hit.column, hit.runs) == ("config/run/one.yaml", 1, 1, ("one",))
    assert name in hit.help


def test_sections_are_told_in_one_finding() -> None:
    (hit,) = hits(missing_section, experiment(run(model=None, dataset=None, optuna=None)))
    assert hit.message == "The run config lacks model, dataset and optuna."
    (hit,) = hits(missing_section, experiment({"config/run/one.yaml": "# nothing yet\n"}))
    assert "run_id, method, model, dataset, training and optuna" in hit.message


def test_a_run_of_the_record_is_judged_whatever_its_file_is_called() -> None:
    files: dict[str, str | None] = {"config/run/default.yaml": "run_id: default\n"}
    assert hits(missing_section, experiment(files)) == []
    (hit,) = hits(missing_section, experiment(files, runs=(Run("default"),)))
    assert hit.path == "config/run/default.yaml"


def test_config_runs_looks_in_its_folder_and_accepts_what_the_code_merges() -> None:
    nested = run(run_id=None)["config/run/one.yaml"]
    files: dict[str, str | None] = {
        "config/run/one.yaml": "nothing: here\n",
        "config/runs/one.yaml": f"run:\n  run_id: one\n{nested}",
    }
    made = experiment(files, profile="config-runs")
    assert [r.path for r in made.run_configs()] == ["config/runs/one.yaml"]
    assert hits(missing_section, made) == []
    assert hits(invalid_run_config, made) == []


def test_what_cannot_be_decided_is_unknown() -> None:
    (absent,) = unknowns(missing_section, experiment({"config/run/one.yaml": None}))
    assert absent.decided_by == "config/run/{run_id}.yaml"
    made = experiment({})
    made.package.files["config/run/two.yaml"] = File("config/run/two.yaml", FileState.WITHHELD)
    (withheld,) = unknowns(missing_section, made)
    assert withheld.path == "config/run/two.yaml"
    assert hits(missing_section, made) == []
    derived = {"config/run/one.yaml": "defaults: [base]\nrun_id: one\n"}
    assert len(unknowns(missing_section, experiment({**derived}))) == 1


# hydra/invalid-run-config ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "line", "column", "message", "help_"),
    [
        ({"run_id": "two"}, 1, 9, 'run_id is "two", but run=one chooses', 'Write `run_id: "one"`'),
        ({"run_id": "1e-4"}, 1, 9, "run_id is the float 0.0001", 'Write `run_id: "one"`'),
        ({"run_id": "null"}, 1, 9, "run_id has no value", 'Write `run_id: "one"`'),
        ({"run_id": ""}, 1, 8, "run_id has no value", 'Write `run_id: "one"`'),
        ({"training": "[a, b]"}, 7, 11, "training is a list, not a mapping", "without dashes"),
        ({"training": "fast"}, 7, 11, 'training is the string "fast"', "below `training:`"),
        ({"method": "[a]"}, 2, 9, "method is a list, not a string or a mapping", "settings of"),
        ({"optuna": "{n_trials: '20'}"}, 10, 20, 'optuna.n_trials is the string "20"',
         "Write `n_trials: 20` without quotes."),
        ({"optuna": "{n_trials: many}"}, 10, 20, "not an integer", "`n_trials: 10`"),
        ({"optuna": "{n_trials: true}"}, 10, 20, "the boolean true", "Write a number"),
        ({"training": "{epochs: '3'}"}, 7, 20, 'training.epochs is the string "3"',
         "without quotes"),
    ],
)  # fmt: skip
def test_wrong_values_are_found_at_their_place(
    changes: dict[str, str], line: int, column: int, message: str, help_: str
) -> None:
    (hit,) = hits(invalid_run_config, experiment(run(**changes)))
    assert (hit.path, hit.line, hit.column) == ("config/run/one.yaml", line, column)
    assert message in hit.message
    assert help_ in hit.help
    assert hit.runs == ("one",)


@pytest.mark.parametrize(
    "changes",
    [
        {"run_id": "'one'"},
        {"run_id": "${hydra:runtime.choices.run}"},
        {"method": "{name: gated}"},
        {"model": "resnet18"},
        {"dataset": "[a, b]"},
        {"training": "null"},
        {"training": "${base.training}"},
        {"training": "???"},
        {"optuna": "null"},
        {"optuna": "false"},
        {"optuna": "{n_trials: 20.0}"},
        {"optuna": "{n_trials: '${trials}'}"},
        {"training": "{epochs: 0.5}"},
    ],
)
def test_values_that_may_be_right_are_left_alone(changes: dict[str, str]) -> None:
    assert hits(invalid_run_config, experiment(run(**changes))) == []


@pytest.mark.parametrize(
    ("path", "text", "line", "column", "message", "help_"),
    [
        (
            "config/run/one.yaml",
            RUN + "method: again\n",
            12,
            1,
            '"method" stands twice',
            "Keep one",
        ),
        ("config/run/one.yaml", RUN + "extra: [1, 2\n", 13, 1, "flow sequence", "Correct the YAML"),
        ("config/run/one.yaml", "run_id: one\n\tmethod: x\n", 2, 1, "'\\t'", "Indent with spaces"),
        ("config/run/one.yaml", RUN + "~: 1\n", 12, 1, "null is no key", "quote it"),
        ("config/run/one.yaml", RUN + "---\n", 12, 1, "second document", "remove the `---`"),
        ("config/run/one.yaml", "- run_id: one\n", 1, 1, "The config is a list", "`key: value`"),
        ("config/run/one.yaml", "one\n", 1, 1, 'the string "one"', "`key: value`"),
        (CONFIG, "a: 1\na: 2\n", 2, 1, '"a" stands twice', "Keep one"),
        (CONFIG, "[]\n", 1, 1, "The config is a list", "`key: value`"),
        ("config/model/big.yaml", "a: 1\na: 2\n", 2, 1, '"a" stands twice', "Keep one"),
    ],
)
def test_files_that_hydra_cannot_load(
    path: str, text: str, line: int, column: int, message: str, help_: str
) -> None:
    (hit,) = hits(invalid_run_config, experiment({path: text}))
    assert (hit.path, hit.line, hit.column) == (path, line, column)
    assert message in hit.message
    assert help_ in hit.help
    # One root cause, one finding.
    assert hits(missing_section, experiment({path: text})) == []
    assert hits(no_project, experiment({path: text})) == []


def test_other_yaml_in_the_folder_need_not_be_hydras() -> None:
    files: dict[str, str | None] = {
        "config/jobs/two.yaml": "a: 1\n---\nb: 2\n",
        "config/lists/names.yaml": "[a, b]\n",
        "config/cloud/stack.yaml": "bucket: !Ref Bucket\n",
        "config/chart/values.yaml": "name: {{ release }}\n",
        "deploy/broken.yaml": "a: [\n",
    }
    assert hits(invalid_run_config, experiment(files)) == []
    generic = experiment({"configs/train.yaml": "a: 1\na: 2\n"}, profile="hydra-wandb")
    (hit,) = hits(invalid_run_config, generic)
    assert hit.path == "configs/train.yaml"


def test_a_nested_run_id_is_compared_too() -> None:
    text = "# @package _global_\nrun:\n  run_id: two\n"
    (hit,) = hits(invalid_run_config, experiment({"config/run/one.yaml": text}))
    assert (hit.line, hit.column) == (3, 11)


# wandb/no-project ------------------------------------------------------------------------------


def settings(text: str) -> dict[str, str | None]:
    return {CONFIG: "defaults: [_self_, {run: '???'}]\n" + text}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("mode: full\n", 1, "The config lacks wandb.entity and wandb.project."),
        ("wandb:\n", 2, "The config lacks wandb.entity and wandb.project."),
        ("wandb: online\n", 2, "The config lacks wandb.entity and wandb.project."),
        ("wandb:\n  project: p\n", 2, "The config lacks wandb.entity."),
        ("wandb:\n  entity: e\n", 2, "The config lacks wandb.project."),
        ("wandb:\n  entity: null\n  project: p\n", 3, "wandb.entity is null, which names no"),
        ("wandb:\n  entity: ''\n  project: p\n", 3, 'wandb.entity is "", which names no entity.'),
        ("wandb:\n  entity: ???\n  project: p\n", 3, 'wandb.entity is "???"'),
        ("wandb:\n  entity: YOUR_WANDB_ENTITY\n  project: p\n", 3, "wandb.entity is"),
        ("wandb:\n  entity: e\n  project: <project>\n", 4, "wandb.project is"),
    ],
)
def test_settings_that_name_nothing(text: str, line: int, message: str) -> None:
    (hit,) = hits(no_project, experiment(settings(text)))
    assert (hit.path, hit.line) == (CONFIG, line)
    assert message in hit.message
    assert hit.help


@pytest.mark.parametrize(
    "text",
    [
        "wandb: {entity: e, project: p}\n",
        "wandb: {entity: '${oc.env:WANDB_ENTITY}', project: 250101}\n",
        "wandb: {entity: yourlab, project: entity-linking}\n",
        "wandb: {entity: e, project: project-x}\n",
    ],
)
def test_settings_that_name_something(text: str) -> None:
    assert list(no_project.function(experiment(settings(text)))) == []


@pytest.mark.parametrize(
    "files",
    [
        {CONFIG: None},
        {CONFIG: ""},
        {CONFIG: "# settings follow\n"},
        {CONFIG: "a: ["},
        {CONFIG: "- a\n"},
        {CONFIG: "wandb: ${logging.wandb}\n"},
        {CONFIG: "defaults: [base, _self_]\nmode: full\n"},
        {CONFIG: "defaults: [{wandb: cloud}, _self_]\n"},
        {CONFIG: "defaults: [wandb/cloud]\n", "config/wandb/cloud.yaml": "defaults: [x]\n"},
        {
            CONFIG: "mode: full\n",
            "config/run/one.yaml": "# @package _global_\n" + RUN + "wandb: {entity: e}\n",
        },
    ],
)
def test_settings_that_may_stand_elsewhere_are_unknown(files: dict[str, str | None]) -> None:
    made = experiment(files)
    assert hits(no_project, made) == []
    assert len(unknowns(no_project, made)) == 1


def test_the_group_of_the_defaults_list_is_looked_at() -> None:
    files: dict[str, str | None] = {
        CONFIG: "defaults: [_self_, {'override hydra/job_logging': none}, {wandb: cloud}]\n",
        "config/wandb/cloud.yaml": "entity: e\nproject: p\n",
    }
    assert list(no_project.function(experiment(files))) == []
    files["config/wandb/cloud.yaml"] = "entity: e\nmode: online\n"
    (hit,) = hits(no_project, experiment(files))
    assert (hit.path, hit.line) == ("config/wandb/cloud.yaml", 1)
    assert "wandb.project" in hit.message


# Hostile input ---------------------------------------------------------------------------------


@given(
    st.recursive(
        st.sampled_from(["null", "1", "x", "'${a}'", "???", "true", "1e-4", "''"]),
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
            | st.dictionaries(
                st.sampled_from(["run_id", "run", "optuna", "n_trials", "wandb", "defaults", "1"]),
                inner,
                max_size=4,
            ).map(lambda d: "{" + ", ".join(f"{k}: {v}" for k, v in d.items()) + "}")
        ),
        max_leaves=12,
    )
)
def test_no_config_makes_a_rule_raise(text: str) -> None:
    made = experiment({CONFIG: text, "config/run/one.yaml": text, "config/wandb/x.yaml": text})
    for rule in python_rules():
        for result in rule.function(made):
            if isinstance(result, Hit):
                assert result.line >= 1
                assert result.message.endswith(".")
                assert result.help.endswith(".")
