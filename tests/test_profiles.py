"""Profiles: what the shipped ones say, inheritance, errors, the schema, and detection."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explint.model import SourceInfo
from explint.package import File, FileState, Package, Record
from explint.protocol import (
    Profile,
    ProfileError,
    builtin_profiles,
    choose_profile,
    load_profile,
    profile_schema,
)
from explint.protocol.load import _checked

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "python" / "explint" / "protocol" / "profiles"
SCHEMA = ROOT / "docs" / "schemas" / "profile.schema.json"
FULL_TRIAL_FILES = load_profile("full-trial").files.required


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


HEAD = 'name = "lab"\nversion = "1"\ntitle = "Lab"\nsummary = "Ours."\n'


# What the shipped profiles say -----------------------------------------------------------------


def test_every_shipped_file_is_a_profile_of_its_name() -> None:
    names = sorted(path.stem for path in SHIPPED.glob("*.toml"))
    assert names == sorted(profile.name for profile in builtin_profiles())


@pytest.mark.parametrize("name", ["trial-mode", "full-trial", "config-runs", "sanity-pilot"])
def test_protocol_profiles_share_the_seven_files_and_the_command_lines(name: str) -> None:
    profile = load_profile(name)
    assert len(profile.files.required) == 7
    assert set(profile.files.jobs.values()) == {
        "entry", "train", "evaluate", "preprocess", "model",
    }  # fmt: skip
    assert profile.commands.train is not None
    assert profile.commands.train.startswith("uv run python -u -m src.main run={run_id}")
    assert profile.wandb.required_keys == ["wandb.entity", "wandb.project"]
    assert profile.evaluation.called_by_main is False
    assert profile.data.cache_dir == ".cache"


def test_the_trial_switch_of_each_profile() -> None:
    lines = {
        profile.name: [profile.train_command(mode) for mode in profile.trial.modes]
        for profile in builtin_profiles()
    }
    base = "uv run python -u -m src.main run={run_id} results_dir={results_dir}"
    assert lines["trial-mode"] == [f"{base} trial_mode=true", base]
    assert lines["full-trial"] == [f"{base} mode=trial", f"{base} mode=full"]
    assert lines["config-runs"] == lines["full-trial"]
    assert lines["sanity-pilot"] == [f"{base} mode={m}" for m in ("sanity", "pilot", "full")]
    assert lines["hydra-wandb"] == []


def test_what_sets_the_protocols_apart() -> None:
    trial_mode, full_trial, config_runs, sanity, generic = builtin_profiles()
    assert [p.trial.key for p in (trial_mode, full_trial, generic)] == ["trial_mode", "mode", None]
    assert not trial_mode.trial.required
    assert full_trial.trial.required
    full = full_trial.mode("full")
    assert full is not None
    assert full.wandb == "online"
    plain = trial_mode.mode("full")
    assert plain is not None
    assert plain.wandb is None
    assert trial_mode.wandb.summary == "last-log-suffices"
    assert full_trial.wandb.summary == "required"
    assert full_trial.wandb.optuna_trials == "forbidden"
    assert "{results_dir}/config.yaml" in trial_mode.wandb.evaluation_settings
    assert full_trial.wandb.evaluation_settings == ["config/config.yaml"]
    assert config_runs.config.run_folder == "config/runs"
    assert config_runs.config.run == "string"
    assert "gap" in config_runs.artifacts.aggregated_keys
    assert config_runs.safety.assertions
    assert sanity.config.run_folder == "config/run"
    assert sanity.files.explained_stubs == ["src/train.py", "src/model.py"]
    assert {"src/inference.py", "Dockerfile"} <= set(sanity.files.allowed)
    check = sanity.mode("sanity_check")
    assert check is not None
    assert (check.name, check.wandb, check.project_suffix) == ("sanity", "online", "-sanity")
    assert re.fullmatch(check.prints[0], "SANITY_VALIDATION: FAIL reason=missing_metrics")
    assert sanity.trial.no_mock
    assert generic.files.required == []
    assert generic.commands.train is None
    assert generic.figures.format is None
    assert generic.wandb.required_keys == []


@pytest.mark.parametrize(
    ("name", "run_id", "figure", "fits"),
    [
        ("full-trial", "run-1", "run-1_learning_curve.pdf", True),
        ("full-trial", "run-1", "learning_curve.pdf", False),
        ("full-trial", "run-1", "run-1_learning_curve.png", False),
        ("full-trial", "a (b)", "a (b)_confusion_matrix_pair2.pdf", True),
        ("full-trial", None, "comparison_accuracy_bar_chart.pdf", True),
        ("full-trial", None, "accuracy_bar_chart.pdf", False),
        ("trial-mode", "run-1", "learning_curve_val_loss.pdf", True),
        ("trial-mode", None, "accuracy.svg", False),
    ],
)
def test_figure_patterns(name: str, run_id: str | None, figure: str, fits: bool) -> None:
    pattern = load_profile(name).figure_pattern(run_id)
    assert pattern is not None
    assert bool(pattern.fullmatch(figure)) is fits


# Files -----------------------------------------------------------------------------------------


def test_tables_are_merged_and_lists_replaced_unless_they_take_the_inherited_items(
    tmp_path: Path,
) -> None:
    path = write(
        tmp_path,
        "lab.toml",
        HEAD
        + 'extends = "full-trial"\n'
        + '[files]\nrequired = ["src/main.py"]\nallowed = ["first/**", "...", "last/**"]\n'
        + '[wandb]\nsummary = "unspecified"\n',
    )
    parent, lab = load_profile("full-trial"), load_profile(path)
    assert lab.name == "lab"
    assert lab.files.required == ["src/main.py"]
    assert lab.files.allowed == ["first/**", *parent.files.allowed, "last/**"]
    assert lab.files.jobs == parent.files.jobs
    assert lab.wandb.summary == "unspecified"
    assert lab.wandb.required_keys == parent.wandb.required_keys


def test_a_file_extends_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write(
        tmp_path / "inner", "base.toml", HEAD + 'extends = "trial-mode"\n[data]\ncache_dir = "c"\n'
    )
    path = write(tmp_path, "lab.toml", HEAD + 'extends = "inner/base.toml"\n')
    lab = load_profile(path)
    assert lab.data.cache_dir == "c"
    assert lab.trial.key == "trial_mode"


def error(path: str) -> ProfileError:
    with pytest.raises(ProfileError) as raised:
        load_profile(path)
    assert str(raised.value).startswith(path if not raised.value.file else raised.value.file)
    return raised.value


@pytest.mark.parametrize(
    ("text", "key", "message", "help_"),
    [
        ('name = "x', "", "not TOML", "correct the file"),
        ('name = "x"\ntitle = "t"\n', "version", "missing", "add version"),
        (HEAD + "[fils]\n", "fils", "no such key", "write files"),
        (HEAD + '[files]\nrequird = ["a"]\n', "files.requird", "no such key", "write required"),
        (HEAD + '[[trial.modes]]\nname = "x"\nepoch = 1\n', "trial.modes[0].epoch", "no such key",
         "write epochs"),
        (HEAD + "[zzz]\n", "zzz", "no such key", "choose among name"),
        (HEAD + '[files]\nrequired = "src/main.py"\n', "files.required", "expected `array`",
         "of that type"),
        (HEAD + "[files]\nrequired = [1]\n", "files.required[0]", "expected `str`", "of that type"),
        (HEAD + '[files.jobs]\n"a.py" = "cook"\n', "files.jobs[...]", "invalid enum value 'cook'",
         "of that type"),
        (HEAD + "[[trial.modes]]\ncheap = true\n", "trial.modes[0].name", "missing", "add name"),
        (HEAD + 'detect = 3\n', "detect", "expected `object`", "of that type"),
        (HEAD + 'extends = "full-tril"\n', "extends", "nearest is full-trial", "name one of"),
        (HEAD + 'extends = "gone.toml"\n', "extends", "there is no profile", "name one of"),
        (HEAD + 'extends = "lab.toml"\n', "extends", "extends itself", "chain end"),
        (HEAD + '[figures]\nper_run_pattern = "("\n', "figures.per_run_pattern",
         "no regular expression", "correct the pattern"),
        (HEAD + '[config]\nrun_file = "config/x.yaml"\n', "config.run_file", "{run_id}",
         "write a path"),
    ],
)  # fmt: skip
def test_an_error_names_file_key_and_remedy(
    tmp_path: Path, text: str, key: str, message: str, help_: str
) -> None:
    path = write(tmp_path, "lab.toml", text)
    found = error(path)
    assert found.file == path
    assert found.key == key
    assert message in found.message
    assert help_ in found.help


def test_an_error_in_an_extended_file_names_that_file(tmp_path: Path) -> None:
    base = write(tmp_path, "base.toml", HEAD + "[wandbb]\n")
    path = write(tmp_path, "lab.toml", HEAD + 'extends = "base.toml"\n')
    assert error(path).file == base


def test_a_longer_cycle_is_found(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", HEAD + 'extends = "b.toml"\n')
    write(tmp_path, "b.toml", HEAD + 'extends = "c.toml"\n')
    write(tmp_path, "c.toml", HEAD + 'extends = "a.toml"\n')
    assert "extends itself" in error(str(tmp_path / "a.toml")).message


def test_a_name_that_is_none_and_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "nearest is sanity-pilot" in error("sanity-pilots").message
    assert "cannot be read" in error(str(tmp_path / "gone.toml")).message
    (tmp_path / "folder.toml").mkdir()
    assert "cannot be read" in error(str(tmp_path / "folder.toml")).message
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"\n')
    assert "not UTF-8" in error(str(tmp_path / "latin.toml")).message


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*Profile.__struct_fields__, "other"]), json_values))
def test_wrong_tables_give_profile_errors_and_nothing_else(table: dict[str, Any]) -> None:
    # JSON and TOML have the same tables but for null, which the checks must survive too.
    try:
        profile = _checked(table, "lab.toml")
    except ProfileError as found:
        key = found.key
    else:
        key = ""
        assert profile.name == table["name"]
    assert key == "" or key.split(".")[0].split("[")[0] in {*Profile.__struct_fields__, "other"}


# Schema ----------------------------------------------------------------------------------------


def test_the_published_schema_is_current() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == profile_schema(), (
        "docs/schemas/profile.schema.json is stale"
    )


def test_the_shipped_profiles_fit_the_schema_and_a_misspelt_key_does_not() -> None:
    schema = profile_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for path in sorted(SHIPPED.glob("*.toml")):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        jsonschema.validate(table, schema)
        table["files"] = {"requird": []}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(table, schema)


# Detection -------------------------------------------------------------------------------------


def package(files: dict[str, str], *, prompt: str | None = None, partial: bool = False) -> Package:
    return Package(
        id="p",
        source=SourceInfo(kind="folder", location="p"),
        files={
            path: File(path, FileState.PRESENT if text else FileState.EMPTY, text.encode())
            for path, text in files.items()
        },
        record=None if prompt is None else Record(prompt=prompt),
        partial=partial,
    )


def layout(**changes: str) -> dict[str, str]:
    """The seven files; keyword ``src_main_py`` gives the text of src/main.py, and so on."""
    files = dict.fromkeys(FULL_TRIAL_FILES, "x = 1\n")
    names = {re.sub(r"\W", "_", path): path for path in files}
    return files | {names[key]: text for key, text in changes.items()}


def chosen(made: Package) -> tuple[str, str]:
    profile, choice = choose_profile(made, None)
    assert profile.name == choice.name
    return choice.name, choice.reason


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("Supports trial_mode=true for a light run (sets wandb.mode=disabled)", "trial-mode"),
        ("`src.main run={run_id} results_dir={path} mode=trial`", "full-trial"),
        ("mode=full and configs in `config/runs/`", "config-runs"),
        ("mode=trial, later mode=sanity", "sanity-pilot"),
    ],
)
def test_a_records_prompt_decides_first(prompt: str, name: str) -> None:
    code = layout(src_main_py='if cfg.mode == "pilot":\n    pass\n')
    assert chosen(package(code, prompt=prompt, partial=True))[0] == name


def test_a_prompt_without_a_switch_leaves_it_to_the_code() -> None:
    code = layout(src_train_py="if cfg.trial_mode:\n    limit = 2\n")
    made = package(code, prompt="wandb.mode=full is no switch", partial=True)
    assert chosen(made) == ("trial-mode", "src/train.py:1 names trial_mode")


@pytest.mark.parametrize(
    "line",
    [
        'if cfg.mode == "pilot":',
        "if 'pilot' == mode:",
        'if cfg["mode"] not in {"full", "pilot"}:',
        'if cfg.get("mode", "full") == "pilot":',
        'VALID_MODES = ("pilot", "full")',
        'parser.add_argument("--mode", choices=["pilot", "full"])',
    ],
)
def test_values_compared_with_mode_decide(line: str) -> None:
    code = layout(src_main_py=f"import hydra\n\n{line}\n", src_train_py='mode == "trial"\n')
    assert chosen(package(code)) == (
        "sanity-pilot",
        'src/main.py:3 compares mode with "pilot"',
    )


def test_a_match_statement_compares_too() -> None:
    code = layout(src_main_py='match cfg.mode:\n    case "trial":\n        epochs = 1\n')
    assert chosen(package(code)) == ("full-trial", 'src/main.py:2 compares mode with "trial"')


@pytest.mark.parametrize(
    "text",
    [
        '# if cfg.mode == "pilot":\n',
        '"""Say mode == "pilot" to see it."""\n',
        'if cfg.wandb.mode == "disabled":\n    pass\n',
        'if cfg.model == "pilot":\n    pass\n',
        'print("pilot mode")\n',
        "x = {'pilot': 1}\n",
    ],
)
def test_words_that_are_no_comparison_decide_nothing(text: str) -> None:
    name, reason = chosen(package(layout(src_main_py=text)))
    assert name == "full-trial"
    assert "nothing reads a switch" in reason


def test_run_configs_in_config_runs_decide_before_the_mode() -> None:
    code = layout(src_main_py='if cfg.mode == "trial":\n    pass\n')
    assert chosen(package(code | {"config/runs/a.yaml": "run_id: a\n"})) == (
        "config-runs",
        "run configs stand in config/runs/",
    )
    code = layout(src_train_py='p = Path("config") / "runs" / f"{cfg.run}.yaml"\n')
    assert chosen(package(code)) == ("config-runs", "src/train.py:1 looks for config/runs/")
    # Where the files stand in config/run/, a path in the code is not the layout.
    assert chosen(package(code | {"config/run/a.yaml": "run_id: a\n"}))[0] == "full-trial"


def test_a_flag_in_the_primary_config_decides_unless_it_is_a_comment() -> None:
    assert chosen(package(layout(config_config_yaml="a: 1\ntrial_mode: false\n"))) == (
        "trial-mode",
        "config/config.yaml:2 names trial_mode",
    )
    assert chosen(package(layout(config_config_yaml="a: 1  # trial_mode\n")))[0] == "full-trial"


def test_inference_and_a_dockerfile_without_a_switch_are_the_latest_layout() -> None:
    extra = {"src/inference.py": "", "Dockerfile": "FROM scratch\n"}
    assert chosen(package(layout() | extra))[0] == "sanity-pilot"
    assert chosen(package(layout() | {"Dockerfile": "FROM scratch\n"}))[0] == "full-trial"


def test_a_lightning_repository_is_generic() -> None:
    files = {
        "src/train.py": "import hydra\nmode: str = 'min'\nif mode == 'full':\n    pass\n",
        "src/eval.py": "import hydra\n",
        "src/__init__.py": "",
        "pyproject.toml": "[tool.x]\n",
        "configs/train.yaml": "defaults: [_self_]\n",
        "configs/experiment/a.yaml": "# @package _global_\n",
    }
    assert chosen(package(files)) == (
        "hydra-wandb",
        "the package has 2 of the 7 files of the experiment protocol",
    )
    assert chosen(package({}))[0] == "hydra-wandb"


def test_a_package_that_lost_files_is_still_the_protocols() -> None:
    files = layout(src_main_py='if cfg.mode == "trial":\n    pass\n')
    for gone in ("src/train.py", "src/model.py", "src/preprocess.py", "pyproject.toml"):
        del files[gone]
    assert chosen(package(files))[0] == "full-trial"
    assert chosen(package({"src/train.py": "x = 1\n"}, partial=True))[0] == "full-trial"
    assert chosen(package({"src/train.py": "x = 1\n"}))[0] == "hydra-wandb"


def test_a_request_beats_everything_and_may_be_a_file(tmp_path: Path) -> None:
    code = package(layout(src_main_py='if cfg.mode == "pilot":\n    pass\n'))
    profile, choice = choose_profile(code, "trial-mode")
    assert (profile.name, choice.name, choice.reason) == (
        "trial-mode",
        "trial-mode",
        "it was asked for",
    )
    path = write(tmp_path, "lab.toml", HEAD)
    assert choose_profile(code, path)[1].name == "lab"
    with pytest.raises(ProfileError):
        choose_profile(code, "no-such")


@given(st.binary(max_size=300))
def test_any_bytes_can_be_scanned(data: bytes) -> None:
    files = {p: File(p, FileState.PRESENT, data) for p in FULL_TRIAL_FILES}
    made = Package(id="p", source=SourceInfo(kind="folder", location="p"), files=files)
    assert choose_profile(made, None)[1].reason
