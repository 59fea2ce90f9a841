"""The rules that composition decides: what is put together, what is unknown, which ids pass."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import experiment_of
from explint.compose import reference
from explint.compose.carry import refusal
from explint.experiment import Experiment
from explint.model import Confidence, SourceInfo
from explint.package import File, FileState, Package, Record, Run
from explint.rules.composition import (
    bad_override,
    composition_error,
    no_config_name,
    run_config_missing,
    unsafe_run_id,
)
from explint.rules.registry import Hit, PythonRule, Unknown

RULES = (no_config_name, composition_error, bad_override, unsafe_run_id, run_config_missing)
COMMAND = "uv run python -u -m src.main run={run_id} results_dir=out mode=trial"
CONFIG = "config/config.yaml"
PRIMARY = "defaults:\n- _self_\n- run: ???\nmode: full\nresults_dir: out\n"
MAIN = """\
import hydra
@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg):
    print(f"run={cfg.run.run_id}")
"""


def experiment(
    files: dict[str, str | None] | None = None,
    *,
    profile: str = "full-trial",
    runs: tuple[Run, ...] = (),
    record: Record | None = None,
) -> Experiment:
    """Two sound runs with these files put over them; None withholds a file's text."""
    texts: dict[str, str | None] = {
        CONFIG: PRIMARY,
        "src/main.py": MAIN,
        "config/run/one.yaml": "run_id: one\n",
        "config/run/two.yaml": "run_id: two\n",
    }
    texts |= files or {}
    held = {
        path: File(path, FileState.WITHHELD)
        if text is None
        else File(path, FileState.PRESENT if text else FileState.EMPTY, text.encode())
        for path, text in texts.items()
    }
    package = Package(
        id="p",
        source=SourceInfo(kind="folder", location="p"),
        files=held,
        runs=runs,
        record=record,
        partial=record is not None,
    )
    return experiment_of(package, profile)


def hits(rule: PythonRule, held: Experiment) -> list[Hit]:
    return [answer for answer in rule.function(held) if isinstance(answer, Hit)]


def unknowns(rule: PythonRule, held: Experiment) -> list[str]:
    return [answer.reason for answer in rule.function(held) if isinstance(answer, Unknown)]


# One cause, one finding ------------------------------------------------------------------------


def test_an_error_of_all_runs_and_modes_is_told_once() -> None:
    (hit,) = hits(composition_error, experiment({CONFIG: "mode: full\nresults_dir: out\n"}))
    assert (hit.path, hit.line) == (CONFIG, 1)
    assert (hit.runs, hit.modes) == (("one", "two"), ("trial", "full"))
    assert "Could not override 'run'. No match in the defaults list." in hit.message
    assert "`- run: ???`" in hit.help


def test_an_error_of_one_run_names_that_run() -> None:
    broken = "defaults: [common]\nrun_id: two\n"
    (hit,) = hits(composition_error, experiment({"config/run/two.yaml": broken}))
    assert (hit.path, hit.line, hit.runs) == ("config/run/two.yaml", 1, ("two",))


def test_an_error_of_one_mode_names_that_mode() -> None:
    primary = "defaults:\n- run: ???\n- mode: trial\nresults_dir: out\n"
    held = experiment({CONFIG: primary, "config/mode/trial.yaml": "epochs: 1\n"})
    (hit,) = hits(composition_error, held)
    assert (hit.runs, hit.modes) == (("one", "two"), ("full",))


def test_keys_that_are_missing_are_named_together() -> None:
    (hit,) = hits(bad_override, experiment({CONFIG: "defaults:\n- run: ???\nseed: 1\n"}))
    assert "`results_dir` and `mode` are in no config" in hit.message
    assert hit.help == f"Add `results_dir: ???` and `mode: full` to {CONFIG}."
    assert not hits(composition_error, experiment({CONFIG: "defaults:\n- run: ???\nseed: 1\n"}))


def test_hydra_is_shown_the_right_folder() -> None:
    main = MAIN.replace('"../config"', '"conf"')
    (hit,) = hits(composition_error, experiment({"src/main.py": main}))
    assert (hit.path, hit.line) == ("src/main.py", 2)
    assert hit.help == 'Write `config_path="../config", config_name="config"`.'


def test_yaml_is_told_here_when_no_other_rule_does() -> None:
    primary = PRIMARY.replace("- _self_", "- _self_\n- extra: a")
    held = experiment({CONFIG: primary, "config/extra/a.yaml": "a: 1\n---\nb: 2\n"})
    (hit,) = hits(composition_error, held)
    assert hit.path == "config/extra/a.yaml"
    assert not hits(composition_error, experiment({"config/run/one.yaml": "a: [\n"}))


def test_an_unsafe_id_does_not_hide_what_stands_behind_it() -> None:
    files: dict[str, str | None] = {"config/run/a (b).yaml": "defaults: [nothing]\nrun_id: a (b)\n"}
    held = experiment(files)
    (unsafe,) = hits(unsafe_run_id, held)
    assert (unsafe.path, unsafe.line, unsafe.runs) == ("config/run/a (b).yaml", 2, ("a (b)",))
    assert [(place.path, place.line) for place in unsafe.related] == [("src/main.py", 4)]
    (behind,) = hits(composition_error, held)
    assert behind.runs == ("a (b)",)


def test_wandbs_own_limits_are_less_sure() -> None:
    (hit,) = hits(unsafe_run_id, experiment({"config/run/a:b.yaml": "run_id: a:b\n"}))
    assert hit.confidence is Confidence.MEDIUM
    assert not hits(composition_error, experiment({"config/run/a:b.yaml": "run_id: a:b\n"}))


def test_an_id_that_is_no_name_of_a_file_has_a_place_in_the_code() -> None:
    runs = (Run("../x (1)", config="run_id: x\n"), Run("one"))
    held = experiment(runs=runs, record=Record())
    (hit,) = hits(unsafe_run_id, held)
    assert (hit.path, hit.line, hit.runs) == ("src/main.py", 4, ("../x (1)",))
    assert not hits(run_config_missing, held)


def test_a_missing_run_config_is_not_told_twice() -> None:
    held = experiment(runs=(Run("one"), Run("three")))
    (hit,) = hits(run_config_missing, held)
    assert hit.path == "config/run/three.yaml"
    assert not hits(composition_error, held)


# What cannot be told ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({CONFIG: None}, "content of config/config.yaml is not known"),
        ({CONFIG: ""}, "config/config.yaml has no text"),
        ({"src/main.py": None}, "src/main.py is not in the record"),
        ({"src/main.py": "import argparse\n"}, "does not use Hydra"),
        ({"src/main.py": MAIN.replace('"../config"', "folder()")}, "config_path is not a literal"),
        ({"src/main.py": f"import hydra.core.config_store.ConfigStore\n{MAIN}"}, "ConfigStore"),
        ({CONFIG: f"{PRIMARY}hydra: {{searchpath: [pkg://a]}}\n"}, "hydra.searchpath"),
    ],
)
def test_what_decides_is_not_there(files: dict[str, str | None], reason: str) -> None:
    for rule in (composition_error, bad_override):
        held = experiment(files)
        assert not hits(rule, held)
        assert any(reason in said for said in unknowns(rule, held))


def test_an_empty_search_path_adds_no_folder() -> None:
    primary = "mode: full\nresults_dir: out\nhydra: {searchpath: []}\n"
    assert len(hits(composition_error, experiment({CONFIG: primary}))) == 1


def test_a_cut_record_decides_no_missing_run() -> None:
    held = experiment(runs=(Run("three"),), record=Record(truncated=True))
    assert not hits(run_config_missing, held)
    assert unknowns(run_config_missing, held)


def test_hydra_core_is_asked_once_when_it_gives_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def silent(*args: object, **_: object) -> object:
        asked.append(args)
        from explint.compose.static import Unknown as NotComposed

        return NotComposed("no answer")

    monkeypatch.setattr(reference, "ask", silent)
    held = experiment({CONFIG: f"{PRIMARY}a: ${{b:${{mode}}}}\n"})
    (reason,) = unknowns(composition_error, held)
    assert reason.endswith("no answer")
    assert len(asked) == 1


def test_a_profile_without_a_command_line_demands_nothing() -> None:
    held = experiment({"src/main.py": "x = 1\n"}, profile="hydra-wandb")
    assert [answer for rule in RULES for answer in rule.function(held)] == []


@given(st.text(alphabet="ab:-[]{}$?_.=\n #'&*!", max_size=40), st.booleans())
def test_no_text_of_a_config_breaks_a_rule(text: str, primary: bool) -> None:
    held = experiment({CONFIG if primary else "config/run/one.yaml": text})
    for rule in RULES:
        for answer in rule.function(held):
            if isinstance(answer, Hit):
                assert answer.message.endswith(".")
                assert answer.help.endswith(".")


# Which ids pass -------------------------------------------------------------------------------

SPECIAL = " ()[]{}<>,;:=#&|!?*%$@~^'\"`\\+-./é0123456789eEtrunlafsib"


@given(st.text(alphabet=SPECIAL, min_size=1, max_size=8))
def test_hydra_reads_an_id_that_passes_as_it_is(run_id: str) -> None:
    parser = pytest.importorskip("hydra.core.override_parser.overrides_parser")
    if refusal(COMMAND, run_id, group=True) is None:
        override = parser.OverridesParser.create().parse_override(f"run={run_id}")
        assert override.value() == run_id


@pytest.mark.parametrize(
    "run_id",
    [
        *(
            "plain-1.5_b",
            "a b",
            "a(b",
            "a)b",
            "a;b",
            "a&b",
            "a|b",
            "a<b",
            "a>b",
            "a$b",
            "a$",
            "a`b",
        ),
        *(
            "a'b",
            'a"b',
            "a\\b",
            "a~b",
            "~a",
            "a#b",
            "a!b",
            "a*b",
            "a?b",
            "a%b",
            "a@b",
            "a:b",
            "a^b",
        ),
    ],
)
def test_a_shell_passes_on_what_the_shell_is_said_to_pass_on(run_id: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' run={run_id} end"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    passed = ran.stdout == f"run={run_id}\nend\n"
    refused = refusal(COMMAND, run_id, group=True)
    assert passed == (refused is None or refused.by == "hydra")
