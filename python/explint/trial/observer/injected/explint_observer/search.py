"""Optuna: studies, trials, what was suggested and what came of it."""

from __future__ import annotations

import functools
import weakref
from types import ModuleType
from typing import Any

from . import errors
from .journal import (
    Changed,
    around,
    bound,
    brief,
    count,
    emit,
    guarded,
    new_id,
    where,
)

_studies: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def studies(module: ModuleType) -> None:
    """Watches ``Study``; refuses trials where that is asked for."""
    around(module.Study, "__init__", None, _made)
    around(module.Study, "optimize", _optimize)
    around(module.Study, "ask", None, _asked)


def _made(token: Any, result: Any, study: Any, *args: Any, **kwargs: Any) -> None:
    _studies[study] = new_id()
    emit("study", id=_studies[study], name=brief(kwargs.get("study_name") or ""), place=where())


def _asked(token: Any, trial: Any, study: Any, *args: Any, **kwargs: Any) -> None:
    count("trial", _studies.get(study, 0))


def _optimize(study: Any, func: Any, *args: Any, **kwargs: Any) -> Changed:
    names = ("n_trials", "timeout", "n_jobs")
    given = {**dict(zip(names, args)), **{k: v for k, v in kwargs.items() if k in names}}
    number = _studies.get(study, 0)
    emit("optimize", study=number, place=where(), **{k: brief(v) for k, v in given.items()})
    most = bound("trials")
    trials = given.get("n_trials")
    if most is not None and (trials is None or trials > most):
        emit("bound", what="trials", most=most, place=where())
        args = (most, *args[1:]) if args else args
        kwargs = kwargs if args else {**kwargs, "n_trials": most}
    return Changed((study, _seen(func, number), *args), kwargs)


def _seen(objective: Any, study: int) -> Any:
    """The objective, with a note of what each trial got and gave."""
    if not callable(objective):
        return objective

    def seen(trial: Any) -> Any:
        try:
            value = objective(trial)
        except Exception as error:
            _note(trial, study, None, error)
            raise
        _note(trial, study, value, None)
        return value

    try:
        return functools.wraps(objective)(seen)
    except Exception:  # noqa: BLE001 - an objective may be any object
        return seen


@guarded
def _note(trial: Any, study: int, value: Any, error: Exception | None) -> None:
    parameters = {str(k): brief(v) for k, v in list(dict(trial.params).items())[:40]}
    emit(
        "trial",
        study=study,
        number=trial.number,
        parameters=parameters,
        value=value if isinstance(value, (int, float)) else brief(value),
        error=None if error is None else f"{type(error).__name__}: {brief(str(error))}",
    )
    if error is not None and type(error).__name__ != "TrialPruned":
        errors.note(error, "trial", trial.number)
