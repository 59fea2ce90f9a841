"""Facts about Optuna that the rules rely on, settled by Optuna itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import OmegaConf

from explint.rules.objective import SIGNATURES
from explint.rules.search import SUGGESTIONS

optuna = pytest.importorskip("optuna", reason="an older environment without the locked Optuna")


def first_trial(sample: Callable[[Any], object]) -> object:
    """What a single trial samples; raises what the call raises."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampled: list[object] = []

    def objective(trial: Any) -> float:  # noqa: ANN401 - Optuna is not typed for mypy here
        sampled.append(sample(trial))
        return 0.0

    optuna.create_study().optimize(objective, n_trials=1)
    return sampled[0]


def test_the_methods_that_sample_are_these() -> None:
    methods = {n for n in dir(optuna.Trial) if n.startswith("suggest_")}
    assert methods == SUGGESTIONS


@pytest.mark.parametrize("method", sorted(SIGNATURES))
def test_the_signatures_are_these(method: str) -> None:
    parameters = list(inspect.signature(getattr(optuna.Trial, method)).parameters.values())[1:]
    positional = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    keywords = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
    assert (positional, keywords) == SIGNATURES[method]


@pytest.mark.parametrize(
    ("sample", "error"),
    [
        (lambda t: t.suggest_float("x", type="float", low=0.0, high=1.0), TypeError),
        (lambda t: t.suggest_float("x", 0.1, 1.0, True), TypeError),
        (lambda t: t.suggest_float("x", None, None), TypeError),
        (lambda t: t.suggest_float("x", "1e-4", "1e-2"), ValueError),
        (lambda t: t.suggest_float("x", 2.0, 1.0), ValueError),
        (lambda t: t.suggest_float("x", 0.0, 1.0, log=True), ValueError),
        (lambda t: t.suggest_int("x", 0, 8, log=True), ValueError),
        (lambda t: t.suggest_int("x", 1, 8, log=True, step=2), ValueError),
        (lambda t: t.suggest_float("x", 0.1, 1.0, log=True, step=0.1), ValueError),
        (lambda t: t.suggest_int("x", 1, 8, step=0), ValueError),
        (lambda t: t.suggest_categorical("x", []), ValueError),
    ],
)
def test_these_calls_are_rejected(sample: Callable[[Any], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        first_trial(sample)


def test_equal_bounds_are_taken_and_give_the_one_value() -> None:
    assert first_trial(lambda t: t.suggest_float("x", 0.9, 0.9)) == 0.9
    assert first_trial(lambda t: t.suggest_int("x", 3, 3)) == 3


def test_a_config_list_serves_as_choices() -> None:
    choices = OmegaConf.create([32, 64])
    assert first_trial(lambda t: t.suggest_categorical("x", choices)) in (32, 64)


def test_integers_may_be_given_as_text() -> None:
    assert first_trial(lambda t: t.suggest_int("x", "3", "3")) == 3


@pytest.mark.parametrize("direction", ["max", "MAXIMIZE", "maximise"])
def test_only_two_words_are_directions(direction: str) -> None:
    with pytest.raises(ValueError, match="minimize"):
        optuna.create_study(direction=direction)


def test_a_study_without_a_direction_minimises() -> None:
    assert optuna.create_study().direction == optuna.study.StudyDirection.MINIMIZE


def test_no_trials_leave_no_best_parameters() -> None:
    study = optuna.create_study()
    study.optimize(lambda trial: 0.0, n_trials=0)
    assert not study.trials
    with pytest.raises(ValueError, match="No trials are completed"):
        study.best_params  # noqa: B018 - the access is what raises
