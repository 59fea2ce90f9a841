"""What the evaluation command does, for the rules that ask about it.

The trace of the evaluation script is worked out once per package, under the config its command
line composes where Hydra starts it, with what it reads, writes and draws.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from explint.package import FileState
from explint.rules.registry import Unknown
from explint.rules.started import tree_of, unread
from explint.syntax import parsed

if TYPE_CHECKING:
    from explint.artifacts.comparison import Comparison
    from explint.artifacts.figures import Figure
    from explint.artifacts.files import FileRead, Written
    from explint.artifacts.paths import Paths
    from explint.experiment import Experiment
    from explint.trace.facts import EntryTrace, LibraryCall, Place, TraceDocument
    from explint.trace.specialise import Specialised

_NOT_WHOLE = frozenset(
    {
        "structure/empty-file",
        "structure/gutted-module",
        "complete/syntax-error",
        "complete/truncated-code",
    }
)
_UNFINISHED = frozenset(
    {"complete/placeholder-body", "complete/omission-note", "complete/unresolved-import"}
)


class Evaluated(msgspec.Struct, dict=True):
    """The evaluation script of a package.

    ``gap`` says what is not followed, so that nothing can be said of what the script does not do;
    None when all of it is known.
    """

    experiment: Experiment
    path: str
    document: TraceDocument
    special: Specialised
    gap: str | None

    @property
    def entry(self) -> EntryTrace:
        """The script's trace."""
        return self.special.env.entry

    @cached_property
    def paths(self) -> Paths:
        """The texts of paths."""
        from explint.artifacts.paths import Paths

        return Paths(self.special.env)

    @cached_property
    def written(self) -> list[Written]:
        """The files that may be written."""
        from explint.artifacts.files import written

        return written(self.special, self.paths)

    @cached_property
    def read(self) -> list[FileRead]:
        """The files that may be read."""
        from explint.artifacts.files import files_read

        return files_read(self.special, self.paths)

    @cached_property
    def figures(self) -> list[Figure]:
        """The figures that may be drawn."""
        from explint.artifacts.figures import figures

        return figures(self.special, self.paths)

    @cached_property
    def comparison(self) -> Comparison:
        """The script's values for the package's runs."""
        from explint.artifacts.comparison import Comparison

        return Comparison(self.paths, self.experiment.run_ids(), logged_configs(self.experiment))

    @cached_property
    def modules(self) -> list[ast.Module]:
        """The syntax of the modules of the package whose functions the script calls."""
        functions = {call.function for call in self.entry.calls}
        found = []
        for path in self.document.files:
            name = path.removesuffix(".py").replace("/", ".")
            text = self.experiment.text(path)
            if text is None or not any(f == name or f.startswith(f"{name}.") for f in functions):
                continue
            module = parsed(text)
            if module is not None:
                found.append(module)
        return found

    def calls(self) -> Iterator[tuple[int, LibraryCall]]:
        """The library calls that may happen, in program order."""
        from explint.trace.facts import LibraryCall

        yield from self.special.happening_of(LibraryCall)

    def at(self, place: Place) -> dict[str, Any]:
        """A place as the fields of a hit."""
        return {
            "path": self.document.files[place.file],
            "line": place.line,
            "column": place.column,
            "end_line": place.end_line,
            "end_column": place.end_column,
        }

    def unknown(self, decided_by: str = "a trial run of the evaluation") -> Unknown:
        """The answer of a rule where something is not followed."""
        return Unknown(
            reason=self.gap or "it depends on values that only the run knows",
            decided_by=decided_by,
            path=self.path,
        )


def evaluated(experiment: Experiment) -> Evaluated | Unknown | None:
    """The evaluation script; None when the protocol has none, Unknown when it is not there."""
    if "evaluated" not in experiment.shared:
        experiment.shared["evaluated"] = _evaluated(experiment)
    found: Evaluated | Unknown | None = experiment.shared["evaluated"]
    return found


def _evaluated(experiment: Experiment) -> Evaluated | Unknown | None:
    path = experiment.profile.evaluation.module
    if path is None:
        return None
    lacking = unread(experiment, path)
    if lacking is not None:
        return lacking
    if any(found.path == path and found.rule in _NOT_WHOLE for found in experiment.facts.findings):
        return Unknown(reason=f"{path} is not whole", decided_by=path, path=path)
    module = path.removesuffix(".py").replace("/", ".")
    document = experiment.trace(module)
    entry = None if document is None else document.entry(module)
    if document is None or entry is None:
        return Unknown(reason=f"{path} cannot be read", decided_by=path, path=path)

    special = experiment.specialised(entry, _config(experiment, path))
    return Evaluated(experiment, path, document, special, _gap(experiment, entry))


def _config(experiment: Experiment, path: str) -> Any:  # noqa: ANN401
    from explint.trace.specialise import Unknown as NotKnown

    point = experiment.entry_at(path)
    command = experiment.profile.commands.evaluate
    if isinstance(point, str) or command is None:
        return NotKnown("no config is composed")
    from explint.compose import compose_run
    from explint.compose.static import Composed

    command = command.replace("{run_ids}", json.dumps(list(experiment.run_ids())))
    result = compose_run(
        experiment.package,
        command,
        None,
        tree=experiment.config_tree,
        entry=point,
        quoted=True,
        reference=False,
    ).result
    return tree_of(result) if isinstance(result, Composed) else NotKnown("it does not compose")


def _gap(experiment: Experiment, entry: EntryTrace) -> str | None:
    from explint.trace.facts import Cut, Import

    path = experiment.profile.evaluation.module
    if any(f.path == path and f.rule in _UNFINISHED for f in experiment.facts.findings):
        return "a part of it is still to be written"
    for _, event in entry.events_of(Cut, Import):
        if isinstance(event, Cut):
            return "the evaluation is too large to be followed to its end"
        if isinstance(event, Import) and event.own:
            path = f"{event.name.replace('.', '/')}.py"
            if experiment.state(path) is FileState.WITHHELD:
                return f"it uses {path}, which is not in the record"
    return None


def logged_configs(experiment: Experiment) -> Mapping[str, Any]:
    """What W&B holds as the config of each run: what training hands to ``wandb.init``.

    A run whose config cannot be told is left out.
    """
    if "logged configs" not in experiment.shared:
        experiment.shared["logged configs"] = dict(_logged_configs(experiment))
    found: Mapping[str, Any] = experiment.shared["logged configs"]
    return found


def _logged_configs(experiment: Experiment) -> Iterator[tuple[str, Any]]:
    from explint.rules.logged import full_logs
    from explint.trace.facts import LibraryCall
    from explint.trace.specialise import evaluate

    given: dict[str, list[Any]] = {}
    for log in full_logs(experiment):
        if log.run_id is None:
            continue
        trees = given.setdefault(log.run_id, [])
        for init in log.inits:
            value = init.given.get("config")
            special = init.process.special
            trees.append(None if value is None else evaluate(value, special.env))
            if any(
                event.name.endswith("config.update")
                for _, event in special.happening_of(LibraryCall)
            ):
                trees.append(None)
    for run_id, trees in given.items():
        if trees and all(isinstance(tree, Mapping) and tree == trees[0] for tree in trees):
            yield run_id, trees[0]


def training(experiment: Experiment) -> Iterator[Specialised | None]:
    """What the modules of the training command do; None for one that is not known."""
    from explint.trace.specialise import Unknown as NotKnown

    for path, job in experiment.profile.files.jobs.items():
        if job not in ("entry", "train"):
            continue
        module = path.removesuffix(".py").replace("/", ".")
        document = experiment.trace(module)
        entry = None if document is None else document.entry(module)
        if entry is None or entry.is_cut:
            yield None
        else:
            yield experiment.specialised(entry, NotKnown("no run is chosen"))


def listed(names: Sequence[str]) -> str:
    """Names as code, joined for a sentence."""
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
