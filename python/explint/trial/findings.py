"""What a run shows, as findings at the lines of the package it comes from."""

from __future__ import annotations

import ast
import fnmatch
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Literal

import msgspec

from explint.compose import started_module
from explint.compose.tree import ConfigTree
from explint.model import Finding, PackageReport, Related, Severity
from explint.package import Package
from explint.protocol import Profile
from explint.protocol.load import load_profile
from explint.protocol.profile import Mode
from explint.regex import regex
from explint.rules.table import rules_by_name
from explint.trial.events import Error, Frame, Observation, Optimizer, Pass, Place, Seen
from explint.trial.outcome import Outcome

Job = Literal["train", "evaluate"]

MOST_RELATED = 8
LONGEST_TEXT = 240
STEPS_WITHOUT_LOADER = 10
"""How many times the allowed batches an optimizer may step that no loader feeds: several steps on
one batch, as in L-BFGS or an inner loop, cannot be told from several batches."""

_FIGURES = (".pdf", ".png", ".svg", ".jpg", ".jpeg", ".eps")
_OUT_OF_MEMORY = regex(
    r"out of memory|CUBLAS_STATUS_ALLOC_FAILED|DefaultCPUAllocator: can't allocate"
)
_UNREACHABLE = regex(
    r"Connection|URLError|NameResolution|gaierror|Timeout|MaxRetry|ProxyError|SSLError|"
    r"OfflineMode|LocalEntryNotFound|CommError|NewConnection|Network is unreachable|"
    r"Temporary failure in name resolution|Couldn't reach|Name or service not known",
    re.I,
)
_TRACEBACK = regex(r'^\s*File "(?P<path>[^"\n]+)", line (?P<line>\d+), in (?P<function>.+)$', re.M)
_LAST_LINE = regex(
    r"^(?P<type>[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning))(?:: (?P<text>.*))?$",
    re.M,
)
_NAME = regex(r"[`'\"]([\w.-]+)[`'\"]")
_LIMITS = {
    "wall-clock": "its time was over",
    "memory": "it held more memory than it may",
    "processes": "it started more processes than it may",
    "file-size": "it wrote a larger file than it may",
    "disk": "it wrote more to disk than it may",
    "output": "it printed more than it may",
}


def findings(
    package: Package,
    outcome: Outcome,
    observation: Observation,
    static: PackageReport,
    *,
    profile: Profile | None = None,
    job: Job = "train",
    prepared: bool = False,
) -> list[Finding]:
    """The findings RUN001 to RUN008 and RUN010 of one run, in order of place.

    Args:
        package: The package as it was read, for its lines.
        outcome: What became of the run.
        observation: What its processes wrote down; may be empty.
        static: The report of ``check`` on the same package, whose findings may have predicted it.
        profile: The protocol; the one that the report names when left out.
        job: Whether the command was the training or the evaluation.
        prepared: The environment was given and not made from the package, so that a declared
            distribution that is missing from it is no fault of the package.
    """
    if profile is None:
        profile = load_profile(static.profile.name)
    run = _Run(package, outcome, observation, static, profile, job, prepared)
    return sorted(run.findings(), key=lambda f: f.sort_key)


def excuse(
    package: Package,
    outcome: Outcome,
    observation: Observation,
    static: PackageReport,
    *,
    profile: Profile | None = None,
    job: Job = "train",
) -> str:
    """Why a run in a prepared environment failed without a finding, in a sentence; empty where it
    was not for want of a distribution that the package declares."""
    if profile is None:
        profile = load_profile(static.profile.name)
    run = _Run(package, outcome, observation, static, profile, job, prepared=True)
    return run.excuse()


def joined(found: Iterable[Finding]) -> list[Finding]:
    """The findings of several runs, with what several say of one line told once for all of them."""
    known: dict[tuple[object, ...], Finding] = {}
    for f in found:
        key = (*f.sort_key, f.rule)
        first = known.get(key)
        if first is not None:
            runs = tuple(dict.fromkeys((*first.runs, *f.runs)))
            modes = tuple(dict.fromkeys((*first.modes, *f.modes)))
            f = msgspec.structs.replace(first, runs=runs, modes=modes)
        known[key] = f
    return sorted(known.values(), key=lambda f: f.sort_key)


class _Run:
    """One run, asked for each rule in turn."""

    def __init__(
        self,
        package: Package,
        outcome: Outcome,
        observation: Observation,
        static: PackageReport,
        profile: Profile,
        job: Job,
        prepared: bool,
    ) -> None:
        self.package = package
        self.outcome = outcome
        self.seen = observation
        self.static = static
        self.profile = profile
        self.job = job
        self.prepared = prepared
        self.mode = None if outcome.mode is None else profile.mode(outcome.mode)
        self.trees: dict[str, ast.Module | None] = {}
        command = profile.commands.train if job == "train" else profile.commands.evaluate
        self.entry = started_module(command) or next(iter(sorted(package.files)), "pyproject.toml")

    def findings(self) -> Iterator[Finding]:
        """Every finding of this run."""
        outcome = self.outcome
        if not outcome.started or outcome.interrupted:
            # What keeps a run from starting, or ends it from outside, is not the package's doing.
            return
        if not outcome.problem:
            yield from self._ending()
        yield from self._network()
        if self.job == "train":
            yield from self._unbounded()
            yield from self._wandb()
            yield from self._outputs()
            yield from self._losses()

    def _finding(
        self,
        rule: str,
        place: Place | None,
        message: str,
        help: str,
        related: Sequence[Related] = (),
        *,
        frame: Frame | None = None,
    ) -> Finding:
        row = rules_by_name()[rule]
        place = place if place is not None and place.path in self.package.files else None
        path, line = (self.entry, 1) if place is None else (place.path, place.line)
        column, end_line, end_column = self._span(path, line, frame)
        outcome = self.outcome
        return Finding(
            rule=row.name,
            code=row.code,
            severity=self.profile.severity.get(rule, row.severity),
            confidence=row.confidence,
            message=message,
            help=help,
            path=path,
            line=line,
            column=column,
            end_line=end_line,
            end_column=end_column,
            criteria=row.criteria,
            related=tuple(related)[:MOST_RELATED],
            runs=() if outcome.run_id is None else (outcome.run_id,),
            modes=() if outcome.mode is None else (outcome.mode,),
        )

    # How it ended -----------------------------------------------------------------------------

    def _ending(self) -> Iterator[Finding]:
        outcome = self.outcome
        error = self._fatal()
        if outcome.exceeded is not None:
            yield self._exceeded(outcome.exceeded, error)
            return
        if outcome.succeeded:
            hidden = self._hidden()
            if hidden is not None:
                yield from self._crash(hidden, hidden=True)
            return
        if error is not None:
            yield from self._crash(error)
        else:
            yield from self._unexplained()

    def _exceeded(self, limit: str, error: Error | None) -> Finding:
        place = self._place_of(error) if error is not None else self._last_place()
        stopped = error is not None and error.inside
        where = "here" if stopped else "last seen here" if place is not None else "unobserved"
        related = self._stack(error) if error is not None else []
        after = f" after {_seconds(self.outcome.seconds)}"
        what = "The evaluation" if self.job == "evaluate" else "The run"
        if limit == "memory":
            return self._finding(
                "run/out-of-memory",
                place,
                f"{what} was ended{after} because {_LIMITS[limit]} ({where}).",
                "Keep less in memory at a time, or raise the limit if the full run has more.",
                related,
            )
        return self._finding(
            "run/timeout",
            place,
            f"{what} was ended{after} because {_LIMITS[limit]} ({where}).",
            "Bound the work that this line does or waits for.",
            related,
        )

    def _fatal(self) -> Error | None:
        """The error that the command ended with: the child's where the command passes it on."""
        ending = [e for e in self.seen.errors if e.how in ("uncaught", "exit")]
        if not ending:
            return None
        first = self.seen.processes[0].pid if self.seen.processes else None
        own = [e for e in ending if e.pid == first]
        others = [e for e in ending if e.pid != first and e.inside]
        if own and not (_is_of_child(own[-1]) and others):
            return own[-1]
        return others[-1] if others else ending[-1]

    def _hidden(self) -> Error | None:
        """An error of a child that the command does not pass on."""
        if not self.seen.processes:
            return None
        first = self.seen.processes[0].pid
        for error in self.seen.errors:
            ended = error.pid != first and error.how in ("uncaught", "exit") and error.inside
            commands = [p.command for p in self.seen.processes if p.pid == error.pid]
            if ended and any(self._is_module_of_package(words) for words in commands):
                return error
        return None

    def _is_module_of_package(self, command: Sequence[str]) -> bool:
        for option, word in pairwise(command):
            if option == "-m":
                return f"{word.replace('.', '/')}.py" in self.package.files
        return any(word.endswith(".py") and self._relative(word) for word in command[1:3])

    def _crash(self, error: Error, *, hidden: bool = False) -> Iterator[Finding]:
        if error.type == "KeyboardInterrupt":
            return
        if self._is_for_want_of_network(error):
            place = self._place_of(error)
            hosts = sorted({h.what for h in self.seen.hosts})
            yield self._finding(
                "run/network",
                place,
                f"The run ends here because {_listed(hosts) or 'a host'} cannot be reached.",
                "Allow the host for the trial, or have what is loaded in the cache before.",
                self._stack(error),
            )
            return
        module = self._missing_module(error)
        if self._is_excused(error):
            return
        place = self._place_of(error)
        related = [*self._predictions(error), *self._values(error), *self._stack(error)]
        if _is_out_of_memory(error):
            yield self._finding(
                "run/out-of-memory",
                place,
                f"Memory does not suffice here: {_told(error)}.",
                "Keep less in memory at a time: a smaller batch, or no graph where none is needed.",
                related,
            )
            return
        rule = "run/crash" if self.job == "train" else "run/evaluate-crash"
        what = "evaluation" if self.job == "evaluate" else "run"
        message = f"The {what} ends here with {_told(error)}."
        if hidden:
            message = (
                f"A process of the {what} ends here with {_told(error)}, which goes unnoticed."
            )
        frame = error.inside[-1] if error.inside and error.source is None else None
        yield self._finding(rule, place, message, _advice(error, module), related, frame=frame)

    def _unexplained(self) -> Iterator[Finding]:
        """An exit code or a signal without an exception that was seen."""
        outcome = self.outcome
        rule = "run/crash" if self.job == "train" else "run/evaluate-crash"
        what = "evaluation" if self.job == "evaluate" else "run"
        from_log = self._from_log()
        if from_log is not None:
            yield from self._crash(from_log)
            return
        if outcome.signal is not None:
            yield self._finding(
                rule,
                self._last_place(),
                f"The {what} is ended by {outcome.signal}, and was last seen here.",
                "Find what native code fails here: the end of the log may say.",
            )
            return
        left = [e for e in self.seen.exits if any(f.ours for f in e.frames)]
        place = _innermost(left[-1].frames) if left else None
        status = f" ({_short(left[-1].status)})" if left and not left[-1].status.isdigit() else ""
        said = _last_words(outcome.tail)
        message = f"The {what} exits with code {outcome.exit_code}{status}"
        message += f"; the log ends with “{said}”." if said and not status else "."
        yield self._finding(rule, place, message, "Let it end without an error.")

    def _from_log(self) -> Error | None:
        """The last traceback that was printed, where no process could be observed."""
        tail = self.outcome.tail
        start = tail.rfind("Traceback (most recent call last):")
        if start < 0 or self.seen.processes:
            return None
        block = tail[start:]
        last = _LAST_LINE.search(block)
        if last is None:
            return None
        frames = []
        for found in _TRACEBACK.finditer(block, 0, last.start()):
            path = self._relative(found["path"])
            function = found["function"]
            frames.append(Frame(path or found["path"], int(found["line"]), function, bool(path)))
        return Error(
            pid=0,
            at=0.0,
            how="uncaught",
            type=last["type"],
            text=(last["text"] or "").strip(),
            frames=tuple(frames),
        )

    def _is_for_want_of_network(self, error: Error) -> bool:
        """Whether an error follows from a host that the sandbox keeps away."""
        if self.outcome.sandbox.network == "all":
            return False
        said = f"{error.type} {error.text} {error.cause}"
        return bool(self.seen.hosts) and _UNREACHABLE.search(said) is not None

    def excuse(self) -> str:
        """What ``findings`` does not blame the package for."""
        error = None if self.outcome.succeeded else self._fatal()
        if error is None or not self._is_excused(error):
            return ""
        module = self._lacks(error)
        place = self._place_of(error)
        where = "" if place is None else f" ({place.path}:{place.line})"
        return f"The environment lacks `{module}`{where}, which is no fault of the package."

    def _is_excused(self, error: Error) -> bool:
        return self.prepared and self._lacks(error) is not None

    def _lacks(self, error: Error) -> str | None:
        """The declared distribution's module that a prepared environment lacks.

        An import that falls back on another way hides it behind the error of the other way.
        """
        for said in (f"{error.type}: {error.text}", error.cause):
            found = re.match(r"ModuleNotFoundError: No module named '([\w.]+)'", said)
            if found and self._is_declared(found[1]):
                return found[1]
        return None

    def _missing_module(self, error: Error) -> str | None:
        if error.type != "ModuleNotFoundError":
            return None
        found = re.search(r"No module named '([\w.]+)'", error.text)
        return found[1] if found else None

    def _is_declared(self, module: str) -> bool:
        """Whether a module is another's and reading found nothing wrong with its import."""
        top = module.partition(".")[0]
        names = {part for p in self.package.files for part in PurePosixPath(p).parts}
        if top in names or f"{top}.py" in names:
            return False
        return not any(
            f.rule
            in ("env/undeclared-dependency", "complete/unresolved-import", "env/no-project-table")
            and top in f.message
            for f in self.static.findings
        )

    # Places -----------------------------------------------------------------------------------

    def _place_of(self, error: Error) -> Place | None:
        if error.source is not None and error.source.path in self.package.files:
            return error.source
        return _innermost(error.frames)

    def _last_place(self) -> Place | None:
        """Where training was last seen."""
        passes = [p.place for p in self.seen.passes if p.place is not None]
        if passes:
            return passes[-1]
        seen = self.seen
        groups = (seen.losses, seen.loaders, seen.wandb, seen.studies, seen.written)
        for group in groups:
            places = [item.place for item in group if item.place is not None]
            if places:
                return places[-1]
        return None

    def _relative(self, path: str) -> str | None:
        """A path of the run in the package; None for what is not the package's."""
        root = str(self.outcome.root).rstrip("/") + "/"
        inside = path.removeprefix(root)
        return inside if inside in self.package.files else None

    def _line(self, path: str, line: int) -> str:
        file = self.package.files.get(path)
        lines = ((file.text if file is not None else None) or "").splitlines()
        return lines[line - 1] if 0 < line <= len(lines) else ""

    def _span(self, path: str, line: int, frame: Frame | None) -> tuple[int, int, int]:
        """First column, last line and column past the end: of an expression, else of the line."""
        if (
            frame is not None
            and frame.span is not None
            and (frame.path, frame.line) == (path, line)
        ):
            first, last, past = frame.span
            column = _characters(self._line(path, line), first) + 1
            return column, last, _characters(self._line(path, last), past) + 1
        text = self._line(path, line)
        column = len(text) - len(text.lstrip()) + 1
        return column, line, max(column, len(text.rstrip()) + 1)

    # What stands beside a crash ---------------------------------------------------------------

    def _stack(self, error: Error) -> list[Related]:
        """The frames of the package that led to the last one, the nearest first."""
        inside = list(error.inside)
        if error.source is None:
            inside = inside[:-1]
        return [
            Related(path=f.path, line=f.line, message=f"`{f.function}` calls it here.")
            for f in reversed(inside)
            if f.path in self.package.files and f.function != "<module>"
        ][:4]

    def _predictions(self, error: Error) -> list[Related]:
        """The findings of reading that stand on the way to the error, or speak of its name."""
        ways = {(f.path, f.line) for f in error.inside}
        if error.source is not None:
            ways.add((error.source.path, error.source.line))
        files = {path for path, _ in ways}
        names = set(_NAME.findall(error.text))
        found = []
        for f in self.static.findings:
            # What stands at the top of a file is said of the file, and a warning stops no run.
            if (f.line, f.column) == (1, 1) or f.severity is not Severity.ERROR:
                continue
            on_the_way = any(p == f.path and f.line <= n <= f.end_line for p, n in ways)
            said = names & set(_NAME.findall(f.message)) if f.path in files else set()
            if on_the_way or said:
                message = f"Reading the package predicts it ({f.rule}): {f.message}"
                found.append((not on_the_way, f, message))
        found.sort(key=lambda item: (item[0], item[1].sort_key))
        return [Related(path=f.path, line=f.line, message=m) for _, f, m in found[:2]]

    def _values(self, error: Error) -> list[Related]:
        """The config values that the failing line reads, and shapes of what it computes with."""
        inside = error.inside
        if not inside:
            return []
        frame = inside[-1]
        statement = self._statement(frame.path, frame.line)
        if statement is None:
            return []
        found: list[Related] = []
        for chains in _chains(statement, frame):
            found = found or self._read_by(chains, error.config)
        values = error.values[-1] if error.values else {}
        names = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)}
        shapes = [f"`{name}` was {_short(values[name])}" for name in values if name in names]
        if shapes and frame.path in self.package.files:
            message = f"{', '.join(shapes[:5])}."
            found.append(Related(path=frame.path, line=frame.line, message=message))
        return found[:6]

    def _read_by(self, chains: Sequence[str], config: dict[str, str]) -> list[Related]:
        found = []
        told: list[str] = []
        for chain in chains:
            if any(longer.startswith(f"{chain}.") for longer in told):
                continue
            read = [key for key in config if key == chain or key.startswith(f"{chain}.")]
            told += [chain] if read else []
            for key in read[:3]:
                path, line, full = self._defined(key, config[key])
                if path is not None:
                    message = f"`{full}` was {_short(config[key])} in this run."
                    found.append(Related(path=path, line=line, message=message))
        return found

    def _defined(self, key: str, value: str) -> tuple[str | None, int, str]:
        """Where the files give a config value its value, and its full path."""
        leaf = key.partition(".")[2]
        ends = [k for k in self.seen.config if k == leaf or k.endswith(f".{leaf}")]
        same = [k for k in ends if self.seen.config[k] == value] or ends
        full = leaf if leaf in ends else same[0] if len(same) == 1 else leaf
        tree = ConfigTree.of(self.package)
        keys = tuple(full.split("."))
        config = self.profile.config
        places: list[tuple[str, tuple[str, ...]]] = []
        if config.run_file is not None and self.outcome.run_id is not None:
            path = config.run_file.replace("{run_id}", self.outcome.run_id)
            places += [(path, keys[1:]) if keys[0] == "run" else (path, keys), (path, keys)]
        if config.primary is not None:
            places.append((config.primary, keys))
        for path, at in places:
            mark = tree.mark(path, at) if at and path in self.package.files else None
            if mark is not None:
                return path, mark.line, full
        return None, 1, full

    def _statement(self, path: str, line: int) -> ast.stmt | None:
        """The innermost statement that holds a line."""
        if path not in self.trees:
            file = self.package.files.get(path)
            try:
                self.trees[path] = ast.parse((file.text if file is not None else None) or "")
            except (SyntaxError, ValueError, RecursionError):
                self.trees[path] = None
        tree = self.trees[path]
        best: ast.stmt | None = None
        for node in ast.walk(tree) if tree is not None else ():
            if not isinstance(node, ast.stmt):
                continue
            holds = node.lineno <= line <= (node.end_lineno or node.lineno)
            if holds and (best is None or node.lineno >= best.lineno):
                best = node
        if best is not None and (best.end_lineno or 0) - best.lineno > 20:
            return None
        return best

    # What it reached for ----------------------------------------------------------------------

    def _network(self) -> Iterator[Finding]:
        if self.outcome.sandbox.network == "all":
            return
        allowed = {host.partition(":")[0].lower() for host in self.outcome.sandbox.hosts}
        started = {(w.place.path, w.place.line) for w in self.seen.wandb if w.place is not None}
        ended = self._fatal() if not self.outcome.succeeded else None
        told = self._place_of(ended) if ended and self._is_for_want_of_network(ended) else None
        by: dict[Place, list[str]] = {}
        for host in self.seen.hosts:
            place = host.place
            # What a library reaches for by itself is not a line of the package.
            if place is None or (place.path, place.line) in started or place == told:
                continue
            if not any(fnmatch.fnmatch(host.what.lower(), pattern) for pattern in allowed):
                by.setdefault(place, []).append(host.what)
        for place, hosts in by.items():
            yield self._finding(
                "run/network",
                place,
                f"This line reaches for {_listed(sorted(set(hosts)))}, which the run may not.",
                "Allow the host for the trial, or have what is loaded in the cache before.",
            )

    # What it did ------------------------------------------------------------------------------

    def _unbounded(self) -> Iterator[Finding]:
        mode = self.mode
        if mode is None:
            return
        if mode.max_batches is not None:
            yield from self._batches(mode, mode.max_batches)
        if mode.epochs is not None:
            yield from self._epochs(mode, mode.epochs)
        if mode.n_trials is not None:
            yield from self._trials(mode, mode.n_trials)

    def _batches(self, mode: Mode, most: int) -> Iterator[Finding]:
        worst: dict[Place | None, tuple[int, Pass]] = {}
        for p in self.seen.passes:
            number = p.trained or p.drawn
            if number > (most if p.trained else most + 1):
                known = worst.get(p.place)
                if known is None or known[0] < number:
                    worst[p.place] = (number, p)
        for place, (number, p) in worst.items():
            what = "trains on" if p.trained else "goes through"
            yield self._finding(
                "run/not-bounded",
                place,
                f"With {_switch(mode)} this pass {what} {number:,} batches, where {most:,} are "
                "allowed.",
                "End the loop after the allowed number of batches in this mode, for example with "
                "`itertools.islice`.",
            )
        if worst or self.seen.passes:
            return
        allowed = most * max(1, mode.epochs or 1)
        for optimizer in self.seen.optimizers:
            if optimizer.steps > STEPS_WITHOUT_LOADER * allowed:
                yield self._finding(
                    "run/not-bounded",
                    optimizer.stepped or optimizer.place,
                    f"With {_switch(mode)} the optimizer makes {optimizer.steps:,} steps, where "
                    f"{most:,} batches are allowed.",
                    "End the loop after the allowed number of batches in this mode.",
                )

    def _epochs(self, mode: Mode, most: int) -> Iterator[Finding]:
        passes: dict[tuple[int, int, int], list[Pass]] = {}
        for p in self.seen.passes:
            for optimizer in p.optimizers:
                passes.setdefault((p.pid, p.loader, optimizer), []).append(p)
        worst: dict[Place | None, int] = {}
        for group in passes.values():
            if len(group) > most:
                place = group[-1].place
                worst[place] = max(worst.get(place, 0), len(group))
        for place, number in worst.items():
            yield self._finding(
                "run/not-bounded",
                place,
                f"With {_switch(mode)} the optimizer is trained for {number:,} epochs, where "
                f"{most:,} {_is_are(most)} allowed.",
                f"Set the number of epochs to {most:,} in this mode.",
            )

    def _trials(self, mode: Mode, most: int) -> Iterator[Finding]:
        for study in self.seen.studies:
            if study.asked > most:
                yield self._finding(
                    "run/not-bounded",
                    study.optimized or study.place,
                    f"With {_switch(mode)} the search makes {study.asked:,} "
                    f"{_plural(study.asked, 'trial')}, where {most:,} {_is_are(most)} allowed.",
                    "Leave the search out when the mode asks for no trials.",
                )

    def _wandb(self) -> Iterator[Finding]:
        if self.mode is None or self.mode.wandb != "disabled":
            return
        told = set()
        for started in self.seen.wandb:
            mode = started.mode if started.by == "argument" and started.mode else started.asked
            if mode in ("disabled", "dryrun-disabled") or started.place in told:
                continue
            told.add(started.place)
            by = {
                "argument": f"is asked for `{started.asked}`",
                "environment": f"gets `{started.asked}` from the environment",
                "default": "is given no mode, which means `online`",
            }[started.by if started.by in ("argument", "environment") else "default"]
            yield self._finding(
                "run/wandb-online",
                started.place,
                f"With {_switch(self.mode)} W&B {by}, where it must be disabled.",
                "Pass `wandb.init` a `mode` from a config value that this mode sets to `disabled`.",
            )

    def _outputs(self) -> Iterator[Finding]:
        jobs = self.profile.files.jobs
        entry = {path for path, job in jobs.items() if job in ("entry", "train")}
        by_module = self.profile.artifacts.forbidden.items()
        forbidden = [name for path, names in by_module if path in entry for name in names]
        told: set[str] = set()
        for written in self.seen.written:
            name = Path(written.what).name
            if any(fnmatch.fnmatch(name, pattern) for pattern in forbidden):
                told.add(written.what)
                yield self._output(written.place, name)
        if set(self.profile.figures.forbidden_in) & entry:
            for place, paths in _by_place(self.seen.figures).items():
                told.update(paths)
                name = Path(paths[0]).name
                more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
                yield self._finding(
                    "run/forbidden-output",
                    place,
                    f"Training saves the figure {name}{more} here, where figures are left to the "
                    "evaluation.",
                    "Log the values to W&B, and draw the figure in `src/evaluate.py`.",
                )
        yield from self._unseen_outputs(forbidden, told)

    def _unseen_outputs(self, forbidden: Sequence[str], told: set[str]) -> Iterator[Finding]:
        """What lies in the results and nothing was seen writing."""
        known = {Path(path).name for path in told}
        for file in self.outcome.written:
            name = PurePosixPath(file.path).name
            if (
                file.change == "removed"
                or file.place not in ("results", "package")
                or name in known
            ):
                continue
            if any(fnmatch.fnmatch(name, pattern) for pattern in forbidden):
                known.add(name)
                yield self._output(None, name)

    def _output(self, place: Place | None, name: str) -> Finding:
        return self._finding(
            "run/forbidden-output",
            place,
            f"Training writes {name}, which the protocol forbids.",
            "Log the values to W&B and to its summary, where the evaluation reads them.",
        )

    def _losses(self) -> Iterator[Finding]:
        for loss in self.seen.losses:
            if loss.value is not None and not math.isfinite(loss.value):
                yield self._finding(
                    "run/loss-not-finite",
                    loss.place,
                    f"The loss is {_number(loss.value)} at backward call {loss.number:,}.",
                    "Keep what is divided by or taken the logarithm of away from 0, and look at "
                    "the learning rate.",
                )
                break
        else:
            yield from self._logged_losses()
        unmoved = [o for o in self.seen.optimizers if _is_unmoved(o)]
        for optimizer in unmoved[:1]:
            yield self._finding(
                "run/loss-not-finite",
                optimizer.stepped or optimizer.place,
                f"{optimizer.steps:,} {_plural(optimizer.steps, 'step')} of {optimizer.type} "
                "changed none of its parameters.",
                "Let the loss reach the parameters that the optimizer holds.",
            )

    def _logged_losses(self) -> Iterator[Finding]:
        for row in self.seen.logged:
            for key, value in row.values.items():
                broken = isinstance(value, float) and not math.isfinite(value)
                if broken and "loss" in key.lower():
                    yield self._finding(
                        "run/loss-not-finite",
                        row.place,
                        f"`{key}` is logged as {_number(value)}.",
                        "Keep what is divided by or taken the logarithm of away from 0.",
                    )
                    return


def _innermost(frames: Sequence[Frame]) -> Place | None:
    return next((f.place for f in reversed(frames) if f.ours), None)


def _is_of_child(error: Error) -> bool:
    """Whether an error only says that a child process failed."""
    return error.type.endswith(("CalledProcessError", "ProcessRaisedException", "ChildFailedError"))


def _is_out_of_memory(error: Error) -> bool:
    return error.type.endswith(("MemoryError", "OutOfMemoryError")) or (
        error.type == "RuntimeError" and _OUT_OF_MEMORY.search(error.text) is not None
    )


def _is_unmoved(optimizer: Optimizer) -> bool:
    return (
        optimizer.steps > 0
        and optimizer.moved == 0
        and bool(optimizer.sampled)
        and optimizer.rate > 0
    )


def _chains(statement: ast.stmt, frame: Frame) -> Iterator[list[str]]:
    """The dotted paths that the failing expression reads, then those of its line and of its
    statement; each time the longest first.

    ``cfg.run.model`` is read by each of ``cfg.run.model``, ``cfg["run"].model`` and
    ``cfg.run.get("model")``.
    """
    found: dict[str, tuple[int, int]] = {}
    for node in ast.walk(statement):
        path = _dotted(node)
        if path is not None and "." in path and isinstance(node, ast.expr):
            found.setdefault(path, (node.lineno, node.col_offset))
    ordered = sorted(found, key=lambda path: -path.count("."))
    if frame.span is not None:
        first, last, past = frame.span
        yield [path for path in ordered if (frame.line, first) <= found[path] < (last, past)]
    yield [path for path in ordered if found[path][0] == frame.line]
    yield ordered


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return None if inner is None else f"{inner}.{node.attr}"
    key: ast.AST | None = None
    if isinstance(node, ast.Subscript):
        inner, key = _dotted(node.value), node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        if node.func.attr != "get":
            return None
        inner, key = _dotted(node.func.value), node.args[0]
    else:
        return None
    if inner is None or not isinstance(key, ast.Constant) or not isinstance(key.value, str):
        return None
    return f"{inner}.{key.value}"


def _told(error: Error) -> str:
    """An exception in one clause, without a full stop."""
    name = error.type.rpartition(".")[2]
    text = next((line.strip() for line in error.text.splitlines() if line.strip()), "")
    key = re.search(r"^\s*full_key: (\S+)$", error.text, re.M)
    # OmegaConf tells on a line of its own which key of the whole config it is.
    where = f" (`{key[1]}`)" if key else ""
    return name if not text else f"{name}: {_short(text.rstrip('.'))}{where}"


def _advice(error: Error, module: str | None) -> str:
    if module is not None:
        return f"Declare the distribution that brings `{module}`, or import what is there."
    if error.type.startswith(("omegaconf.errors.", "hydra.errors.")):
        return "Read what the composed config holds, or add it; `explint compose` shows the config."
    if error.type == "FileNotFoundError":
        return "Make the file or folder before it is used, or name the place where it lies."
    return "Make this line hold for the values that it got in this run."


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _characters(line: str, offset: int) -> int:
    """How many characters the first bytes of a line are."""
    return len(line.encode()[:offset].decode(errors="ignore"))


def _last_words(tail: str) -> str:
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return _short(lines[-1]).rstrip(".") if lines else ""


def _by_place(seen: Iterable[Seen]) -> dict[Place | None, list[str]]:
    found: dict[Place | None, list[str]] = {}
    for item in seen:
        if item.what.lower().endswith(_FIGURES):
            found.setdefault(item.place, []).append(item.what)
    return found


def _switch(mode: Mode) -> str:
    return mode.override or f"the mode {mode.name}"


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinite"


def _seconds(value: float) -> str:
    return f"{value:.0f} seconds" if value >= 10 else f"{value:.1f} seconds"


def _plural(number: int, word: str) -> str:
    return word if number == 1 else f"{word}s"


def _is_are(number: int) -> str:
    return "is" if number == 1 else "are"


def _listed(words: Sequence[str]) -> str:
    shown = [*words[:4], *([f"{len(words) - 4} more"] if len(words) > 4 else [])]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
