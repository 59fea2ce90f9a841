"""The sections of a profile. Rules read these and hold no fact of a protocol themselves.

In templates ``{run_id}``, ``{results_dir}``, ``{run_ids}`` and ``{topic}`` are placeholders. A
section left out of a profile, and of the profiles it extends, demands nothing.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from explint.model import Severity

Job = Literal["entry", "train", "evaluate", "preprocess", "model"]
ValueType = Literal["string", "integer", "number", "boolean", "mapping", "list", "null"]


class Section(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A table of a profile file; keys it does not know are errors."""


class Detect(Section, frozen=True):
    """How a package that follows this profile is recognised.

    Profiles are asked in falling ``priority``; 0 is never recognised by a switch. ``prompt`` are
    words of which one stands in a judge record's prompt. ``folders`` hold run configs no other
    profile has there. ``mode_values`` are values the code compares ``mode`` with, ``flags`` names
    that stand in code or in the primary config. ``layout`` are the files that tell this profile
    from another one when a package has the protocol's files and no switch at all.
    """

    priority: int = 0
    prompt: list[str] = []
    folders: list[str] = []
    mode_values: list[str] = []
    flags: list[str] = []
    layout: list[str] = []


class Files(Section, frozen=True):
    """Which files a package holds.

    ``required`` are exact paths. A path that matches one of ``unexpected`` and is neither required
    nor matched by ``allowed`` (glob patterns; ``**`` crosses folders) must not be there. ``jobs``
    maps a required module to the job it does. ``explained_stubs`` are modules that may do nothing
    when they say why.
    """

    required: list[str] = []
    allowed: list[str] = []
    unexpected: list[str] = []
    jobs: dict[str, Job] = {}
    explained_stubs: list[str] = []


class Config(Section, frozen=True):
    """Where configuration stands and what a run config holds.

    ``folders`` hold YAML that Hydra loads, ``primary`` is the primary config, ``run_file`` the
    template of a run config's path. ``run`` says what ``run={run_id}`` on the command line is: an
    option of the config group ``run``, or a plain string that the code turns into a file.
    ``sections`` must stand in every run config, ``optional_sections`` may. ``types`` maps a dotted
    path in a run config to the types its value may have; null, ``???`` and interpolations are
    never a wrong type.
    """

    folders: list[str] = []
    primary: str | None = None
    run_file: str | None = None
    run: Literal["group", "string"] = "group"
    sections: list[str] = []
    optional_sections: list[str] = []
    types: dict[str, list[ValueType]] = {}

    @property
    def run_folder(self) -> str | None:
        """The folder of the run configs, without a trailing slash."""
        return None if self.run_file is None else self.run_file.partition("/{run_id}")[0]


class Commands(Section, frozen=True):
    """The command lines the protocol fixes; a mode adds its own words to ``train``."""

    train: str | None = None
    evaluate: str | None = None


class Mode(Section, frozen=True):
    """One value of the switch and what holds under it.

    ``override`` is the word on the command line, empty where the mode is the absence of one.
    ``aliases`` are other spellings of the value seen in practice. ``cheap`` marks a mode that only
    shows that the code works. Of the effects, None means that the mode leaves a setting alone:
    the W&B mode, the number of epochs, the most batches in a loop, Optuna's trials, whether the
    evaluation subset is small. ``project_suffix`` is appended to the W&B project. ``prints`` are
    regular expressions: a line matching each is printed.
    """

    name: str
    override: str = ""
    aliases: list[str] = []
    cheap: bool = False
    wandb: Literal["online", "disabled"] | None = None
    epochs: int | None = None
    max_batches: int | None = None
    n_trials: int | None = None
    small_evaluation: bool = False
    project_suffix: str = ""
    prints: list[str] = []


class Trial(Section, frozen=True):
    """The switch between a cheap trial and the full experiment.

    ``key`` is the config key that holds it, ``required`` whether the command line must give it.
    ``results_differ``: different methods must not report identical results. ``no_mock``: a mode
    that swaps in mock models or data must not pass.
    """

    key: str | None = None
    required: bool = False
    modes: list[Mode] = []
    results_differ: bool = False
    no_mock: bool = False


class Evaluation(Section, frozen=True):
    """How the evaluation script works.

    It runs by itself (``called_by_main`` false), takes ``run_ids`` as a JSON list in a key=value
    word, and gets ``reads`` of every run from the W&B API.
    """

    module: str | None = None
    called_by_main: bool = True
    run_ids: Literal["json-list"] | None = None
    through_api: bool = False
    reads: list[Literal["history", "summary", "config"]] = []
    derived_metric: bool = False
    significance_test: bool = False


class Artifacts(Section, frozen=True):
    """What evaluation writes, as path templates.

    ``aggregated_keys`` are the keys of the aggregated metrics file; ``gap_follows_direction`` says
    that the sign of ``gap`` is positive when the proposed method is better, whether the metric is
    to be maximised or minimised. ``forbidden`` maps a module to files it must not write.
    """

    per_run: list[str] = []
    comparison: list[str] = []
    aggregated_keys: list[str] = []
    gap_follows_direction: bool = False
    forbidden: dict[str, list[str]] = {}


class Figures(Section, frozen=True):
    """Where figures go, how they are named and what they show.

    ``per_run`` and ``comparison`` are the names as the protocol writes them,
    ``per_run_pattern`` and ``comparison_pattern`` regular expressions for the whole file name in
    which ``{run_id}`` stands for the escaped id. ``forbidden_in`` are modules that draw none.
    """

    format: str | None = None
    per_run_folder: str | None = None
    comparison_folder: str | None = None
    per_run: str | None = None
    comparison: str | None = None
    per_run_pattern: str | None = None
    comparison_pattern: str | None = None
    forbidden_in: list[str] = []
    quality: list[Literal["legend", "annotation", "tight-layout"]] = []


class Wandb(Section, frozen=True):
    """What the protocol asks of Weights & Biases.

    ``required_keys`` are dotted keys that ``settings_file`` must give a value.
    ``evaluation_settings`` are the files evaluation may take them from. ``initialised_in`` is the
    module that starts the run and logs. ``logging`` and ``summary`` say how often metrics are
    logged and how final values are kept; ``same_names`` that logged names are the history keys
    evaluation asks for; ``optuna_trials`` whether trials of a search may be logged.
    """

    required_keys: list[str] = []
    settings_file: str | None = None
    evaluation_settings: list[str] = []
    initialised_in: str | None = None
    logging: Literal["unspecified", "all-metrics", "as-often-as-possible"] = "unspecified"
    summary: Literal["unspecified", "last-log-suffices", "required"] = "unspecified"
    same_names: bool = False
    optuna_trials: Literal["unspecified", "forbidden"] = "unspecified"


class Data(Section, frozen=True):
    """``cache_dir`` is the cache folder of every dataset and model."""

    cache_dir: str | None = None


class Safety(Section, frozen=True):
    """What later versions of the protocol check before results count.

    ``required`` is false where only some versions of the protocol ask for them.
    """

    required: bool = False
    leakage: bool = False
    metric_validity: bool = False
    assertions: list[Literal["pad-token-set", "gradients-exist", "gradients-not-zero"]] = []


class Profile(Section, frozen=True):
    """A protocol: everything rules need to know of what was asked of a package.

    ``extends`` names the profile this one changes: a shipped one, or a file relative to this one.
    ``severity`` maps rule names to the severity they have under this protocol; it decides the
    verdict, where a severity in a configuration file does not.
    """

    name: str
    version: str
    title: str = ""
    summary: str = ""
    extends: str | None = None
    detect: Detect = Detect()
    files: Files = Files()
    config: Config = Config()
    commands: Commands = Commands()
    trial: Trial = Trial()
    evaluation: Evaluation = Evaluation()
    artifacts: Artifacts = Artifacts()
    figures: Figures = Figures()
    wandb: Wandb = Wandb()
    data: Data = Data()
    safety: Safety = Safety()
    severity: dict[str, Severity] = {}

    def mode(self, value: str) -> Mode | None:
        """The mode of that name or alias."""
        return next((m for m in self.trial.modes if value == m.name or value in m.aliases), None)

    def train_command(self, mode: Mode) -> str | None:
        """The training command line under a mode, placeholders unfilled."""
        if self.commands.train is None:
            return None
        return f"{self.commands.train} {mode.override}".rstrip()

    def figure_pattern(self, run_id: str | None) -> re.Pattern[str] | None:
        """The pattern of a run's figure names, or with None of the comparison figures'."""
        if run_id is None:
            pattern = self.figures.comparison_pattern
        else:
            pattern = self.figures.per_run_pattern
            pattern = pattern and pattern.replace("{run_id}", re.escape(run_id))
        return None if pattern is None else re.compile(pattern)
