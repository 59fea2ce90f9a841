"""Verdicts of LLM judges beside the code: split into claims, confirmed, refuted or left open.

All verdicts here are our own words. The package behind them is the sound example, so that whatever
a verdict finds wrong with it can be told right or wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from explint.cli import cli
from explint.judge.claims import split_verdict
from explint.judge.compare import NoVerdict, judged
from explint.judge.topics import TOPICS
from explint.model.judgement import Claim, ClaimKind, ClaimState, JudgedPackage
from explint.report.schema import judgement_schema
from explint.request import CheckOptions
from explint.rules.table import rules_by_name
from source_helpers import KEYS, record_text

ROOT = Path(__file__).resolve().parent.parent
SOUND = ROOT / "examples" / "sound-digits"


def code_of(folder: Path, changed: Mapping[str, str] | None = None) -> dict[str, str]:
    texts = {key: (folder / path).read_text("utf-8") for key, path in KEYS.items()}
    return texts | dict(changed or {})


def runs_of(folder: Path) -> list[tuple[str, str]]:
    paths = sorted((folder / "config" / "run").glob("*.yaml"))
    return [(path.stem, path.read_text("utf-8")) for path in paths]


def record(
    issue: str,
    *,
    ready: bool = False,
    folder: Path = SOUND,
    changed: Mapping[str, str] | None = None,
) -> str:
    verdict = json.dumps({"is_code_ready": ready, "code_issue": issue})
    command = "`python -u -m src.main run={run_id} results_dir={path} mode=full`"
    return record_text(
        code_of(folder, changed), runs_of(folder), verdict, extra=f"- also {command}"
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "record.txt"


def compare(
    place: Path,
    issue: str,
    *,
    ready: bool = False,
    folder: Path = SOUND,
    changed: Mapping[str, str] | None = None,
) -> JudgedPackage:
    place.write_text(record(issue, ready=ready, folder=folder, changed=changed), "utf-8")
    (found,) = judged([str(place)], CheckOptions(isolated=True, jobs=1))
    assert isinstance(found, JudgedPackage)
    return found


def only_claim(place: Path, issue: str, changed: Mapping[str, str] | None = None) -> Claim:
    (claim,) = compare(place, issue, changed=changed).claims
    return claim


def texts(issue: str) -> list[str]:
    return [statement.text for statement in split_verdict(issue)[0]]


class TestSplitting:
    def test_numbered_points_stand_for_themselves(self) -> None:
        statements, remarks = split_verdict(
            "The package fails several checks:\n"
            "1. train.py never calls the optimizer.\n"
            "2) The cache is not used; every run downloads\n   the data again.\n"
            "Until both are repaired nothing can be run."
        )
        assert [s.text for s in statements] == [
            "train.py never calls the optimizer.",
            "The cache is not used; every run downloads the data again.",
        ]
        assert remarks == [
            "The package fails several checks:",
            "Until both are repaired nothing can be run.",
        ]
        assert statements[0].context == ("The package fails several checks:",)

    def test_points_numbered_within_a_line(self) -> None:
        assert texts("Two faults: (1) no seed is set; (2) the loader is empty.") == [
            "no seed is set",
            "the loader is empty.",
        ]

    def test_what_a_heading_denies_is_denied_of_its_points(self) -> None:
        assert texts(
            "1. evaluate.py draws one chart; it does NOT\n   - test for significance\n"
            "   - write a table\n"
        ) == ["it does NOT test for significance", "it does NOT write a table"]

    def test_sentences_of_prose_are_taken_one_by_one(self) -> None:
        assert texts("main.py drops the mode. The run id is not quoted.") == [
            "main.py drops the mode.",
            "The run id is not quoted.",
        ]

    def test_advice_states_nothing(self) -> None:
        statements, remarks = split_verdict(
            "The label column is dropped. Keep it out of `remove_columns`.\n\n"
            "Suggested fixes:\n- Pass the label on.\n- Test the loader.\n"
        )
        assert statements[0].text == "The label column is dropped."
        assert remarks[-3:] == ["Suggested fixes:", "Pass the label on.", "Test the loader."]

    def test_a_concession_ends_where_it_turns(self) -> None:
        statements, _ = split_verdict("All other criteria are met, but no seed is set.")
        assert [(s.text, s.kind) for s in statements] == [
            ("All other criteria are met", ClaimKind.CONCESSION),
            ("no seed is set.", ClaimKind.PROBLEM),
        ]

    def test_other_things_that_are_wrong_are_no_concession(self) -> None:
        (statement,) = split_verdict("All other files are not complete.")[0]
        assert statement.kind is ClaimKind.PROBLEM

    def test_typographic_signs_are_read_as_plain_ones(self) -> None:
        typed = "\u201cmode\u201d isn\u2019t read \u2013 ever."
        assert texts(typed) == ['"mode" isn\'t read - ever.']

    @given(st.lists(st.text("ab \n.:;-1)(•", max_size=30), max_size=12).map("".join))
    def test_no_word_is_lost(self, issue: str) -> None:
        statements, remarks = split_verdict(issue)
        kept = " ".join([*(s.text for s in statements), *remarks, *_contexts(statements)])
        words = [w for w in issue.replace("•", " ").split() if set(w) <= {"a", "b"} and len(w) > 1]
        assert all(word in kept for word in words)


def _contexts(statements: object) -> Iterator[str]:
    for statement in statements:  # type: ignore[attr-defined]
        yield from statement.context


REFUTED = [
    "`src/model.py` is empty.",
    "src/train.py and src/evaluate.py are missing, so nothing can be trained.",
    "All other required files are empty: only src/train.py was written.",
    "src/preprocess.py contains a syntax error and cannot be started.",
    "The run configs are missing from the package.",
    "`config_path='../config'` in src/main.py is relative to the current working directory, so "
    "Hydra finds no config.",
    "`cfg.run.training.epochs` is not defined in the config.",
    "`build_model` is not defined in src/model.py.",
    "src/model.py does not define `DigitClassifier`.",
    "torch and scipy are not listed in pyproject.toml.",
    "There is no `src/__init__.py`, so `from src.model import build_model` raises an ImportError.",
    "config/config.yaml does not define `wandb.project`.",
]


@pytest.mark.parametrize("issue", REFUTED)
def test_what_the_files_disprove_is_refuted(place: Path, issue: str) -> None:
    claim = only_claim(place, issue)
    assert claim.state is ClaimState.REFUTED, claim
    for point in claim.points:
        for evidence in point.evidence:
            assert evidence.line >= 1
            assert evidence.text.endswith(".")


UNDECIDED = {
    "it only supposes": "If `src/model.py` is missing, training cannot start.",
    "something in the file is missing": "src/evaluate.py is missing the box plots.",
    "the file lacks a thing of that name": "src/model.py does not define dropout.",
    "another syntax": "The override of src/main.py has a syntax error in Hydra's grammar.",
    "to compile has two meanings": "src/train.py does not compile a list of metrics.",
    "the key is really absent": "`cfg.run.model.depth` is not defined in the config.",
    "W&B's copy of the config is meant": "`cfg.run.training.epochs` is missing in what W&B keeps.",
    "a method, not a function of the module": "`self.project` is not defined in src/model.py.",
    "it is really not declared": "polars is not listed in pyproject.toml.",
    "a part of it may be right": "1. src/train.py is empty. A NameError follows: `foo` is not "
    "defined in src/model.py.",
    "nothing looks at it": "The optimizer is wrong for this model and will diverge.",
    "the rule is silent, which proves nothing": "No statistical significance test is computed.",
}


@pytest.mark.parametrize("issue", UNDECIDED.values(), ids=UNDECIDED)
def test_what_the_files_leave_open_stays_undecided(place: Path, issue: str) -> None:
    assert only_claim(place, issue).state is ClaimState.UNDECIDED


def test_findings_confirm_what_is_claimed_at_their_place(place: Path) -> None:
    broken = {"model_py": code_of(SOUND)["model_py"].replace("import torch\n", "", 1)}
    claim = only_claim(place, "NameError in src/model.py: `torch` is never imported.", broken)
    assert claim.state is ClaimState.CONFIRMED
    assert {e.rule for p in claim.points for e in p.evidence} == {"complete/undefined-name"}
    assert claim.criteria == (1,)


@pytest.mark.parametrize(
    "issue",
    [
        "NameError in src/train.py: `torch` is never imported.",
        "NameError in src/model.py: `numpy` is never imported.",
    ],
)
def test_a_finding_elsewhere_or_of_another_name_confirms_nothing(place: Path, issue: str) -> None:
    broken = {"model_py": code_of(SOUND)["model_py"].replace("import torch\n", "", 1)}
    package = compare(place, issue, changed=broken)
    assert package.claims[0].state is ClaimState.UNDECIDED
    assert "complete/undefined-name" in {f.rule for f in package.missed}


def test_some_of_the_files_that_a_claim_names_are_empty(place: Path) -> None:
    issue = "src/model.py and src/train.py are empty."
    package = compare(place, issue, changed={"model_py": "\n"})
    (claim,) = package.claims
    assert (claim.state, claim.partial) == (ClaimState.CONFIRMED, True)
    by_state = {point.state: [e.path for e in point.evidence] for point in claim.points}
    assert by_state[ClaimState.CONFIRMED] == ["src/model.py"]
    assert by_state[ClaimState.REFUTED] == ["src/train.py"]


def test_a_sweeping_concession_is_refuted_by_what_it_overlooks(place: Path) -> None:
    issue = "No seed is set. All other criteria are satisfied."
    package = compare(place, issue, changed={"model_py": ""})
    concession = package.claims[-1]
    assert concession.kind is ClaimKind.CONCESSION
    assert concession.state is ClaimState.REFUTED
    assert concession.points[0].evidence[0].rule == "structure/empty-file"
    assert [f.rule for f in package.missed] == ["structure/empty-file"]


@pytest.mark.parametrize(
    "issue",
    [
        "src/model.py is empty. All other criteria are satisfied.",
        "No seed is set. All other criteria are largely satisfied.",
    ],
)
def test_a_concession_that_overlooks_nothing_or_hedges_is_left_alone(
    place: Path, issue: str
) -> None:
    package = compare(place, issue, changed={"model_py": ""})
    assert package.claims[-1].state is ClaimState.UNDECIDED


def test_a_sound_package_called_ready(place: Path) -> None:
    package = compare(place, "", ready=True)
    assert package.judge_ready
    assert package.explint_ready
    assert not package.claims
    assert not package.missed


def test_a_config_key_that_no_module_names_is_ignored(place: Path) -> None:
    runs = [(name, f"{text}\nextra:\n  warmup_ratio: 0.1\n") for name, text in runs_of(SOUND)]
    verdict = json.dumps(
        {"is_code_ready": False, "code_issue": "train.py ignores `extra.warmup_ratio`."}
    )
    place.write_text(record_text(code_of(SOUND), runs, verdict), "utf-8")
    (package,) = judged([str(place)], CheckOptions(isolated=True, jobs=1))
    assert isinstance(package, JudgedPackage)
    assert package.claims[0].state is ClaimState.CONFIRMED


def test_packages_without_a_verdict_are_counted_apart(tmp_path: Path) -> None:
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    paths[0].write_text(record_text(code_of(SOUND), runs_of(SOUND), None), "utf-8")
    paths[1].write_text(record("No seed is set."), "utf-8")
    found = list(judged([str(p) for p in paths], CheckOptions(isolated=True, jobs=1)))
    assert [type(item) for item in found] == [NoVerdict, JudgedPackage]


def test_topics_name_rules_that_exist() -> None:
    known = rules_by_name()
    assert [r for topic in TOPICS for r in topic.rules if r not in known] == []
    titles = [topic.title for topic in TOPICS]
    assert len(titles) == len(set(titles))


def invoke(*words: str) -> Result:
    return CliRunner().invoke(cli, ["judge", *words])


class TestCommand:
    def test_the_text_names_claims_places_and_what_was_missed(self, place: Path) -> None:
        issue = "1. `src/train.py` is empty.\n2. The optimizer is wrong."
        place.write_text(record(issue, changed={"model_py": ""}), "utf-8")
        result = invoke(str(place), "--color", "never")
        assert result.exit_code == 0, result.output
        assert "refuted    1. `src/train.py` is empty." in result.output
        assert "but src/train.py:1:" in result.output
        assert "undecided  2. The optimizer is wrong." in result.output
        assert "missed     structure/empty-file at src/model.py:1" in result.output
        assert "judge: not ready" in result.output
        assert max(map(len, result.output.splitlines())) <= 80

    def test_tables_alone(self, place: Path) -> None:
        place.write_text(record("The optimizer is wrong."), "utf-8")
        result = invoke(str(place), "--tables", "--color", "never")
        assert result.output.startswith("1 package with a verdict\n")
        assert "optimizer" not in result.output

    def test_the_json_follows_its_schema(self, place: Path, tmp_path: Path) -> None:
        place.write_text(record(REFUTED[0]), "utf-8")
        out = tmp_path / "judgement.json"
        assert invoke(str(place), "-o", f"json:{out}").exit_code == 0
        document = json.loads(out.read_text("utf-8"))
        jsonschema.validate(document, judgement_schema())
        assert document["summary"]["claims"]["refuted"] == 1
        assert document["summary"]["agreement"]["only_explint_ready"] == 1

    def test_hostile_verdicts_are_shown_harmlessly(self, place: Path) -> None:
        place.write_text(record("1. \x1b[31mred\x07 ::error:: `src/\u202etrain.py`."), "utf-8")
        output = invoke(str(place), "--color", "never").output
        assert "\x1b" not in output
        assert "\u202e" not in output

    def test_many_records_are_compared_in_their_order(self, tmp_path: Path) -> None:
        for number in range(12):
            at = tmp_path / f"{number:02}.txt"
            at.write_text(record(f"No seed number {number} is set."), "utf-8")
        result = invoke(str(tmp_path), "--color", "never", "--jobs", "2")
        heads = [x for x in result.output.splitlines() if x.startswith("──")]
        assert heads == [f"── {number:02}" for number in range(12)]

    def test_exit_codes(self, place: Path, tmp_path: Path) -> None:
        place.write_text(record_text(code_of(SOUND), runs_of(SOUND), None), "utf-8")
        assert invoke(str(place)).exit_code == 3
        assert invoke(str(tmp_path / "nowhere.txt")).exit_code == 2
        assert invoke(str(place), "-o", "pdf").exit_code == 2
        assert invoke().exit_code == 2


RECORDS = ROOT.parent / "shared" / "seeds"


@pytest.mark.skipif(not RECORDS.is_dir(), reason="no sample records beside the checkout")
class TestSampleRecords:
    def judged(self, number: str) -> JudgedPackage:
        (path,) = RECORDS.glob(f"{number}_*.txt")
        (package,) = judged([str(path)], CheckOptions(isolated=True, jobs=1))
        assert isinstance(package, JudgedPackage)
        return package

    def test_the_five_claims_of_a_whole_record_are_confirmed(self) -> None:
        package = self.judged("001")
        assert [c.state for c in package.claims] == [ClaimState.CONFIRMED] * 5
        first = package.claims[0].points[0].evidence[0]
        assert (first.rule, first.path) == ("hydra/key-in-wrong-section", "src/preprocess.py")
        missed = {f.rule for f in package.missed}
        assert {"hydra/unsafe-run-id", "hydra/bad-override"} <= missed
        assert "model/config-ignored" not in missed

    @pytest.mark.parametrize("number", ["000", "004"])
    def test_the_empty_files_are_confirmed(self, number: str) -> None:
        package = self.judged(number)
        claim = package.claims[0]
        assert claim.state is ClaimState.CONFIRMED
        assert len(claim.points[0].evidence) == 6
        assert not any(f.rule == "structure/empty-file" for f in package.missed)
