"""What only a judge record says: its hypothesis against the code, its text against itself."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from case_files import base_package
from experiments import experiment_of
from explint.experiment import Experiment
from explint.package import Record
from explint.rules.contradiction import contradiction
from explint.rules.registry import Hit
from explint.rules.results import expected_number
from explint.source import package_of_files

HYPOTHESIS = (
    "method='Train for 12.5 epochs.' "
    "expected_result='The baseline reaches 71.25 %, the method 74.5 % after 12.5 epochs.' "
    "expected_conclusion='It helps.'"
)


def experiment(record: Record, train: str | None = None) -> Experiment:
    files: dict[str, str | bytes] = dict(base_package())
    if train is not None:
        files["src/train.py"] = train
    package = replace(package_of_files(files), record=record)
    return experiment_of(package)


@pytest.mark.parametrize(
    ("line", "column"),
    [("accuracy = 0.745", 12), ("scores = {'ours': 71.25}", 19), ("x = min(0.7125, y)", 9)],
)
def test_expected_numbers_in_the_code_are_found(line: str, column: int) -> None:
    (hit,) = expected_number.function(experiment(Record(hypothesis=HYPOTHESIS), f"{line}\n"))
    assert isinstance(hit, Hit)
    assert (hit.path, hit.line, hit.column) == ("src/train.py", 1, column)


@pytest.mark.parametrize(
    "line",
    [
        "epochs = 12.5",  # The method's own setting.
        "# The hypothesis expects 74.5.",
        "text = 'expects 0.745'",
        "rate = 0.75",
        "version = '1.74.5'",
    ],
)
def test_settings_comments_and_texts_are_left_alone(line: str) -> None:
    assert not list(expected_number.function(experiment(Record(hypothesis=HYPOTHESIS), line)))


def test_without_an_expected_result_nothing_is_compared() -> None:
    assert not list(expected_number.function(experiment(Record(hypothesis="It helps by 74.5 %."))))


def test_a_text_that_contradicts_its_command_lines_is_told() -> None:
    record = Record(prompt="Use args.run_ids. Trial: trial_mode=true, or mode=trial.")
    messages = [h.message for h in contradiction.function(experiment(record)) if isinstance(h, Hit)]
    assert len(messages) == 2
    assert "args.run_ids" in messages[0]
    assert "`trial_mode=true` and `mode=trial`" in messages[1]
