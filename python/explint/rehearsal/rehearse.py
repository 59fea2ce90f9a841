"""The rehearsal: training writes to the stand-in, then the package's own evaluation reads from it.

Evaluation compares what whole runs log, and a protocol's cheap mode mostly disables W&B. So a
rehearsal trains in the first mode that keeps W&B on, held back from outside: every pass over a
loader is cut after a few batches, a search gets one trial. Only when that takes too long, or on
demand, the cheap mode is taken and W&B forced on in it; a package may well log less there, so that
nothing is then said of runs that logged nothing.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from explint.protocol.profile import Mode, Profile
from explint.rehearsal.outputs import Problem, listing, problems
from explint.rehearsal.server import Entry, LocalWandb
from explint.rehearsal.store import Run
from explint.trial import events, observer, sandbox
from explint.trial.network import Network
from explint.trial.outcome import Outcome
from explint.trial.places import Places
from explint.trial.run import Limits, run_command

_KEYS: Final = 40


class NotRehearsedError(Exception):
    """The profile does not say how, or there is nothing to rehearse."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """How a rehearsal runs.

    Attributes:
        python: The interpreter of the prepared environment.
        mode: The mode of the profile to train in; None to choose.
        batches: The most batches of one pass over a loader, where the mode itself does not bound.
        trials: The most trials of a search, likewise.
        limits: What each command may use.
        hosts: Hosts that the commands may reach beside the stand-in.
        sandbox: The sandbox to use.
        readable: More files and folders that the commands may read.
        passed: Variables to hand on.
        gpus: CUDA_VISIBLE_DEVICES; empty for none, None to leave it alone.
    """

    python: Path
    mode: str | None = None
    batches: int = 2
    trials: int = 1
    limits: Limits = msgspec.field(default_factory=Limits)
    hosts: tuple[str, ...] = ()
    sandbox: sandbox.Wish = "auto"
    readable: tuple[Path, ...] = ()
    passed: tuple[str, ...] = ()
    gpus: str | None = None


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """What the stand-in held of a run when training was over.

    ``path`` is ``entity/project/id``; ``keys`` are those of its history.
    """

    path: str
    state: str
    rows: int
    keys: tuple[str, ...] = ()
    summary: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: Run) -> Logged:
        """A run of the stand-in, its long lists cut."""
        summary = sorted(key for key in run.summary if not key.startswith("_"))
        return cls(
            path=run.path,
            state=run.state,
            rows=len(run.history()),
            keys=run.keys()[:_KEYS],
            summary=tuple(summary[:_KEYS]),
        )


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A command that was run, and what its processes wrote down."""

    outcome: Outcome
    observation: events.Observation


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What a rehearsal showed.

    Attributes:
        mode: The mode training ran in.
        forced: W&B was put on although this mode disables it.
        bounded: Training was held back from outside.
        trained: The training runs, in order.
        logged: What they logged.
        evaluation: The evaluation; None when it was not run.
        problems: What is wrong with its outputs; empty when it did not end well.
        refused: What clients asked of the stand-in that it does not serve.
        notes: What kept the rehearsal from showing more, in sentences.
    """

    mode: str
    forced: bool
    bounded: bool
    trained: tuple[Done, ...] = ()
    logged: tuple[Logged, ...] = ()
    evaluation: Done | None = None
    problems: tuple[Problem, ...] = ()
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def decided(self) -> bool:
        """Whether it shows how evaluation does, for better or worse."""
        done = self.evaluation
        return done is not None and (done.outcome.succeeded or not self.refused)


class _Attempt(msgspec.Struct, frozen=True):
    mode: Mode
    forced: bool

    @property
    def bounded(self) -> bool:
        return not self.mode.cheap


def rehearse(
    profile: Profile,
    run_ids: Sequence[str],
    *,
    package: str,
    copy: Callable[[Path], object],
    folder: Path,
    setting: Setting,
    say: Callable[[str], None] = lambda _: None,
    watch: Callable[[bytes], None] | None = None,
) -> Rehearsal:
    """Trains every run against the stand-in, then evaluates them.

    Args:
        profile: The protocol, whose command lines are used.
        run_ids: The runs to train and to compare.
        package: The id of the package, for the outcomes.
        copy: Writes the package into the folder it is given.
        folder: What everything is written to; emptied first.
        setting: How to run.
        say: Told in a few words what comes next.
        watch: Called with what the commands print, as it comes.

    Raises:
        NotRehearsedError: the profile has no commands, or there are no runs.
        MissingExtraError: a library of the extra ``rehearsal`` is not installed.
        SandboxError: there is no sandbox, or not the one asked for.
        OSError: the folder cannot be written.
    """
    if profile.commands.train is None or profile.commands.evaluate is None:
        raise NotRehearsedError(
            f"the profile {profile.name} has no command lines for training and evaluation"
        )
    if not run_ids:
        raise NotRehearsedError("the package has no runs")
    attempts = _attempts(profile, setting.mode)
    for number, attempt in enumerate(attempts, 1):
        place = folder / f"rehearsal-{number}"
        shutil.rmtree(place, ignore_errors=True)
        stage = _Stage(profile, tuple(run_ids), package, place, setting, attempt, say, watch)
        last = number == len(attempts)
        found = stage.perform(copy, give_up=last)
        if found is not None:
            return found
        say(f"mode {attempt.mode.name} takes too long; trying mode {attempts[number].mode.name}")
    raise AssertionError("the last attempt gives a rehearsal")


def _attempts(profile: Profile, wanted: str | None) -> list[_Attempt]:
    modes = profile.trial.modes or [Mode(name="")]
    if wanted is not None:
        mode = profile.mode(wanted)
        if mode is None:
            names = ", ".join(m.name for m in modes if m.name)
            raise NotRehearsedError(
                f"the profile {profile.name} has no mode {wanted}, only {names}"
            )
        return [_Attempt(mode, forced=mode.wandb == "disabled")]
    logging = [m for m in modes if m.wandb != "disabled"]
    cheap = [m for m in logging if m.cheap]
    if cheap:
        return [_Attempt(cheap[0], forced=False)]
    full = [_Attempt(m, forced=False) for m in logging[:1]]
    return full + [_Attempt(m, forced=True) for m in modes if m.cheap][:1]


class _Stage:
    """One attempt, in folders of its own."""

    def __init__(
        self,
        profile: Profile,
        run_ids: tuple[str, ...],
        package: str,
        folder: Path,
        setting: Setting,
        attempt: _Attempt,
        say: Callable[[str], None],
        watch: Callable[[bytes], None] | None,
    ) -> None:
        self._profile = profile
        self._run_ids = run_ids
        self._package = package
        self._folder = folder
        self._setting = setting
        self._attempt = attempt
        self._say = say
        self._watch = watch
        self._done: list[Done] = []

    def perform(self, copy: Callable[[Path], object], *, give_up: bool) -> Rehearsal | None:
        """The rehearsal; None when training went over a limit and another attempt is left."""
        places = Places(self._folder / "run").make()
        copy(places.package)
        with LocalWandb(self._folder / "wandb") as server:
            for number, run_id in enumerate(self._run_ids, 1):
                self._say(f"training {run_id} ({number}/{len(self._run_ids)})")
                done = self._train(server, places, run_id)
                self._done.append(done)
                if done.outcome.interrupted:
                    return self._result(server, notes=["The rehearsal was interrupted."])
                if done.outcome.exceeded is not None and not give_up:
                    return None
                if not done.outcome.succeeded:
                    return self._result(server, notes=[self._failed(run_id, done.outcome)])
            server.settle()
            if notes := self._lacking(server):
                return self._result(server, notes=notes)
            return self._evaluate(server, places)

    def _train(self, server: LocalWandb, places: Places, run_id: str) -> Done:
        attempt, setting = self._attempt, self._setting
        bounds = observer.Bounds(
            batches=setting.batches if attempt.bounded else None,
            trials=setting.trials if attempt.bounded else None,
            wandb_offline=False,
            wandb_online=attempt.forced,
        )
        template = self._profile.train_command(attempt.mode) or ""
        command = _words(template, run_id=run_id, results_dir=str(places.results))
        done = self._run(server, places, command, bounds)
        outcome = msgspec.structs.replace(
            done.outcome, run_id=run_id, mode=attempt.mode.name or None
        )
        return Done(outcome=outcome, observation=done.observation)

    def _evaluate(self, server: LocalWandb, places: Places) -> Rehearsal:
        self._say("evaluating")
        logged = tuple(Logged.of(run) for run in server.runs())
        template = self._profile.commands.evaluate or ""
        command = _words(
            template, run_ids=json.dumps(list(self._run_ids)), results_dir=str(places.results)
        )
        before = listing(places.results)
        asked = len(server.refused())
        done = self._run(
            server, places, command, observer.Bounds(batches=None, trials=None, wandb_offline=False)
        )
        refused = _not_served(server.refused()[asked:])
        found: list[Problem] = []
        notes = []
        if done.outcome.succeeded:
            self._say("looking at what evaluation wrote")
            found = problems(
                self._profile,
                places.results,
                self._run_ids,
                before,
                one_epoch=self._attempt.mode.epochs == 1,
            )
        elif refused:
            notes.append(
                "Evaluation ended with an error after asking W&B for what the stand-in does not "
                "serve: whether it works is not decided."
            )
        return self._result(
            server, logged=logged, evaluation=done, problems=tuple(found), notes=notes
        )

    def _run(
        self, server: LocalWandb, places: Places, command: Sequence[str], bounds: observer.Bounds
    ) -> Done:
        """Runs one command; its log and events are kept under a number of their own."""
        setting = self._setting
        outcome = run_command(
            command,
            places=places,
            python=setting.python,
            package=self._package,
            environment={
                **server.environment,
                **observer.environment(places.events, bounds),
            },
            limits=setting.limits,
            network=Network(ports=(server.port,), hosts=setting.hosts),
            readable=(*setting.readable, observer.FOLDER),
            wish=setting.sandbox,
            visible_gpus=setting.gpus,
            passed=setting.passed,
            watch=self._watch,
        )
        observation = events.read(places.events)
        kept = self._folder / f"command-{len(self._done) + 1}"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        places.log.rename(kept / "log.txt")
        places.events.rename(kept / "events")
        outcome = msgspec.structs.replace(
            outcome,
            log=kept / "log.txt",
            events=None if outcome.events is None else kept / "events",
        )
        return Done(outcome=outcome, observation=observation)

    def _failed(self, run_id: str, outcome: Outcome) -> str:
        how = outcome.problem or _ending(outcome)
        under = f" in mode {self._attempt.mode.name}" if self._attempt.mode.name else ""
        held = f", held to {self._setting.batches} batches," if self._attempt.bounded else ""
        return (
            f"Evaluation was not rehearsed: training {run_id}{under}{held} {how}; its output is in "
            f"{outcome.log}."
        )

    def _lacking(self, server: LocalWandb) -> list[str]:
        """Why evaluation cannot be judged by what the runs logged."""
        if not self._attempt.forced:
            # What is missing here is missing in the real W&B as well.
            return []
        logged = {run.name for run in server.runs() if run.rows or run.summary}
        missing = [run_id for run_id in self._run_ids if run_id not in logged]
        if not missing:
            return []
        return [
            f"Evaluation was not rehearsed: in mode {self._attempt.mode.name} nothing of "
            f"{', '.join(missing)} was logged, although W&B was put on. Name a mode that logs with "
            "--rehearse-mode."
        ]

    def _result(
        self,
        server: LocalWandb,
        *,
        logged: tuple[Logged, ...] = (),
        evaluation: Done | None = None,
        problems: tuple[Problem, ...] = (),
        notes: Sequence[str] = (),
    ) -> Rehearsal:
        return Rehearsal(
            mode=self._attempt.mode.name,
            forced=self._attempt.forced,
            bounded=self._attempt.bounded,
            trained=tuple(self._done),
            logged=logged or tuple(Logged.of(run) for run in server.runs()),
            evaluation=evaluation,
            problems=problems,
            refused=_not_served(server.refused()),
            notes=tuple(notes),
        )


def _words(template: str, **values: str) -> list[str]:
    """The words a shell makes of a command line, with values put in where no shell splits them."""
    words = []
    for word in shlex.split(template):
        for name, value in values.items():
            word = word.replace(f"{{{name}}}", value)
        words.append(word)
    return words


def _ending(outcome: Outcome) -> str:
    if outcome.exceeded is not None:
        return f"went over its limit ({outcome.exceeded})"
    if outcome.signal is not None:
        return f"was ended by {outcome.signal}"
    return f"ended with exit code {outcome.exit_code}"


def _not_served(entries: Sequence[Entry]) -> tuple[str, ...]:
    """What the stand-in lacks; that a run or file is not there is an answer like any other."""
    return tuple(str(entry) for entry in entries if entry.status != 404 or entry.operation)
