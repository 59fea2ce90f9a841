"""Experiments as a check makes them, for rules that are asked one by one."""

from __future__ import annotations

from explint.core import FileProtocol, Job, Scanner
from explint.experiment import Experiment
from explint.model import ProfileChoice
from explint.package import Package
from explint.protocol import load_profile

_ANY_FILES = FileProtocol(required=[], allowed=[], unexpected=[], jobs={}, explained_stubs=[])


def experiment_of(package: Package, profile: str = "full-trial") -> Experiment:
    """The package as rules see it, scanned under a profile whose file list asks for nothing."""
    ((facts, _),) = Scanner(1).scan([Job(package, _ANY_FILES, 11)])
    choice = ProfileChoice(name=profile, reason="the test chose it")
    return Experiment(package, load_profile(profile), choice, facts)
