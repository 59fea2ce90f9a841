"""Findings of runs: each rule of the family on a real run of a broken sibling of an example.

The siblings are made here by replacing a few words of ``examples/sound-digits``. They run on CPU
under the observer, without a sandbox; what only an executor can tell is made up beside them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import explint
import torch_env
from explint.model import Finding, PackageReport
from explint.package import Package
from explint.rules.table import rule_table
from explint.source import package_of_files
from explint.trial import events
from explint.trial.events import (
    Error,
    Frame,
    Logged,
    Loss,
    Observation,
    Optimizer,
    Pass,
    Place,
    Process,
    Seen,
    Started,
)
from explint.trial.findings import excuse, findings, joined
from explint.trial.observer import Bounds, environment
from explint.trial.outcome import Outcome, Sandbox, Written

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "sound-digits"
RUN = "proposed-learned-pooling-digits"
TRAIN = "src/train.py"
SANDBOX = Sandbox(kind="bubblewrap", network="none")


@pytest.fixture(scope="session")
def torch_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return torch_env.make(tmp_path_factory.mktemp("torch") / "env")


def package_in(folder: Path) -> tuple[Package, PackageReport]:
    """The package and what reading it says."""
    names = ["pyproject.toml", "src/*.py", "config/**/*.yaml"]
    paths = [p for name in names for p in sorted(folder.glob(name))]
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}
    (report,) = explint.check(files).packages
    return package_of_files(files), report


class Trial:
    """One run of the example, or of a sibling of it."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        self.python = python
        self.events = folder.parent / "events"
        self.events.mkdir()
        shutil.copytree(EXAMPLE, folder)

    def replace(self, path: str, old: str, new: str) -> None:
        """Breaks something."""
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        file.write_text(text.replace(old, new), encoding="utf-8")

    def run(
        self,
        *,
        bounds: Bounds | None = None,
        mode: str = "trial",
        until: str = "",
        words: tuple[str, ...] = (),
        prepared: bool = False,
    ) -> tuple[Observation, list[Finding]]:
        package, static = package_in(self.folder)
        results = self.folder / "results"
        command = [str(self.python), "-u", "-m", "src.main", f"run={RUN}", "results_dir=results"]
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.folder.parent)}
        process = subprocess.Popen(
            [*command, f"mode={mode}", *words],
            cwd=self.folder,
            env={**variables, **environment(self.events, bounds)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        exceeded = None
        if until:
            assert process.stdout is not None
            assert any(until in line for line in process.stdout)
            exceeded = "wall-clock"
            process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=400)
        written = [p for p in sorted(results.rglob("*")) if p.is_file()]
        outcome = Outcome(
            package=package.id,
            run_id=RUN,
            mode=mode,
            command=tuple(command),
            exit_code=process.returncode,
            timed_out=exceeded is not None,
            exceeded=exceeded,  # type: ignore[arg-type]
            seconds=25,
            root=self.folder,
            results=results,
            log=self.folder.parent / "log",
            tail=said,
            written=tuple(
                Written(place="results", path=p.relative_to(results).as_posix(), size=1)
                for p in written
            ),
            sandbox=SANDBOX,
        )
        seen = events.read(self.events)
        assert not seen.troubles
        found = findings(package, outcome, seen, static, prepared=prepared)
        for f in found:
            assert f.runs == (RUN,)
            assert f.modes == (mode,)
            assert f.message.endswith("."), f.message
            assert f.help.endswith("."), f.help
        return seen, found

    def line(self, path: str, text: str) -> int:
        """The line that a text stands in."""
        lines = (self.folder / path).read_text(encoding="utf-8").splitlines()
        (number,) = [n for n, line in enumerate(lines, 1) if text in line]
        return number


@pytest.fixture
def trial(tmp_path: Path, torch_python: Path) -> Trial:
    return Trial(tmp_path / "package", torch_python)


def places(found: list[Finding]) -> list[tuple[str, str, int]]:
    return [(f.rule, f.path, f.line) for f in found]


def test_the_sound_example_passes(trial: Trial) -> None:
    seen, found = trial.run()
    assert found == []
    assert [(p.drawn, p.trained) for p in seen.passes] == [(2, 2), (2, 0), (2, 0)]
    assert (seen.epochs, seen.steps, seen.trials) == (1, 2, 0)
    assert [(s.asked, s.mode) for s in seen.wandb] == [("disabled", "disabled")]
    assert {"train_loss", "val_loss"} <= {key for row in seen.logged for key in row.values}
    assert {"best_epoch", "test_accuracy"} <= seen.summary.keys()


def test_crash(trial: Trial) -> None:
    """RUN001, with the way that led there and the config values in play."""
    trial.replace(
        TRAIN,
        "settings.learning_rate, weight",
        "settings.learning_rate * settings.warmup, weight",
    )
    _, (found,) = trial.run()
    line = trial.line(TRAIN, "settings.warmup")
    assert places([found]) == [("run/crash", TRAIN, line)]
    assert found.message.startswith("The run ends here with ConfigAttributeError: ")
    assert found.message.endswith("Key 'warmup' is not in struct (`run.training.warmup`).")
    text = (trial.folder / TRAIN).read_text(encoding="utf-8").splitlines()[found.line - 1]
    assert text[found.column - 1 : found.end_column - 1] == "settings.warmup"
    told = {(r.path, r.line): r.message for r in found.related}
    assert told[TRAIN, trial.line(TRAIN, "best_accuracy = train(run_cfg, run)")] == (
        "`run_experiment` calls it here."
    )
    config = f"config/run/{RUN}.yaml"
    assert told[config, trial.line(config, "learning_rate: 2e-3")] == (
        "`run.training.learning_rate` was 0.002 in this run."
    )


def test_crash_in_the_arithmetic_of_the_model(trial: Trial) -> None:
    """RUN001 stands at the package's line, not in the library, with the shapes."""
    trial.replace("src/model.py", "mean.pow(1.0 / exponent).flatten(1)", "mean.flatten(0)")
    _, (found,) = trial.run()
    line = trial.line("src/model.py", "return self.head(")
    assert places([found]) == [("run/crash", "src/model.py", line)]
    assert "RuntimeError: " in found.message
    assert any("`images` was Tensor of shape (32, 1, 8, 8)" in r.message for r in found.related)


def test_timeout(trial: Trial) -> None:
    """RUN002 stands where the program was when its time was over."""
    trial.replace(
        TRAIN,
        "    best_accuracy, best_epoch = -1.0, 0",
        "    import time\n    print('asleep'); time.sleep(300)\n"
        "    best_accuracy, best_epoch = -1.0, 0",
    )
    _, (found,) = trial.run(until="asleep")
    assert places([found]) == [("run/timeout", TRAIN, trial.line(TRAIN, "time.sleep"))]
    assert found.message == "The run was ended after 25 seconds because its time was over (here)."


def test_out_of_memory(trial: Trial) -> None:
    """RUN003 for an allocation that fails."""
    trial.replace(
        TRAIN,
        "        model.train()",
        "        everything = torch.zeros(1 << 48)\n        model.train()",
    )
    _, (found,) = trial.run()
    line = trial.line(TRAIN, "everything =")
    assert places([found]) == [("run/out-of-memory", TRAIN, line)]


def test_batches_without_a_bound(trial: Trial) -> None:
    """RUN004 for batches trained on, and for batches only looked at."""
    trial.replace(TRAIN, "islice(train_loader, settings.max_batches)", "train_loader")
    trial.replace(TRAIN, "islice(loader, max_batches)", "islice(loader, 5)")
    _, found = trial.run()
    assert places(found) == [
        ("run/not-bounded", TRAIN, trial.line(TRAIN, "islice(loader, 5)")),
        ("run/not-bounded", TRAIN, trial.line(TRAIN, "in train_loader:")),
    ]
    assert [f.message for f in found] == [
        "With mode=trial this pass goes through 5 batches, where 2 are allowed.",
        "With mode=trial this pass trains on 37 batches, where 2 are allowed.",
    ]


def test_a_break_that_draws_one_more_is_bounded(trial: Trial) -> None:
    trial.replace(
        TRAIN,
        "        for images, labels in islice(train_loader, settings.max_batches):\n",
        "        for number, (images, labels) in enumerate(train_loader):\n"
        "            if settings.max_batches is not None and number >= settings.max_batches:\n"
        "                break\n",
    )
    seen, found = trial.run()
    assert (seen.passes[0].drawn, seen.passes[0].trained) == (3, 2)
    assert found == []


def test_epochs_and_trials_without_a_bound(trial: Trial) -> None:
    """RUN004 for epochs and for trials of the search."""
    trial.replace("src/main.py", "cfg.run.optuna.n_trials = 0", "cfg.run.optuna.n_trials = 1")
    trial.replace("src/main.py", "cfg.run.training.epochs = 1", "cfg.run.training.epochs = 3")
    _, found = trial.run()
    assert places(found) == [
        ("run/not-bounded", TRAIN, trial.line(TRAIN, "islice(train_loader")),
        ("run/not-bounded", TRAIN, trial.line(TRAIN, "study.optimize(")),
    ]
    assert [f.message for f in found] == [
        "With mode=trial the optimizer is trained for 3 epochs, where 1 is allowed.",
        "With mode=trial the search makes 1 trial, where 0 are allowed.",
    ]


def test_bounds_hold_a_full_run_back(trial: Trial) -> None:
    """With --enforce a package without a working switch can be tried: the full mode ends soon."""
    trial.replace("src/main.py", 'cfg.wandb.mode = "online"', "cfg.run.training.epochs = 2")
    seen, found = trial.run(
        mode="full", bounds=Bounds(batches=1, trials=1), words=("wandb.mode=online",)
    )
    assert found == []
    assert {p.drawn for p in seen.passes} == {1}
    assert seen.trials == 1
    assert [(s.asked, s.mode) for s in seen.wandb] == [("online", "offline")]
    assert {b.what for b in seen.bounds} == {"batches", "trials", "wandb"}


def test_network(trial: Trial) -> None:
    """RUN005 for a host that is out of reach, in the place of a crash."""
    trial.replace(
        "src/preprocess.py",
        "    cache = Path(dataset_cfg.cache_dir)",
        "    import urllib.request\n"
        "    urllib.request.urlopen('http://digits.invalid/digits.npz')\n"
        "    cache = Path(dataset_cfg.cache_dir)",
    )
    _, (found,) = trial.run()
    line = trial.line("src/preprocess.py", "urlopen")
    assert places([found]) == [("run/network", "src/preprocess.py", line)]
    assert found.message == "The run ends here because digits.invalid cannot be reached."


def test_wandb_online(trial: Trial) -> None:
    """RUN006 for a mode that nothing disables."""
    trial.replace("src/main.py", 'cfg.wandb.mode = "disabled"', 'cfg.wandb.mode = "offline"')
    _, (found,) = trial.run()
    assert places([found]) == [("run/wandb-online", TRAIN, trial.line(TRAIN, "wandb.init("))]
    assert found.message == (
        "With mode=trial W&B is asked for `offline`, where it must be disabled."
    )


def test_forbidden_output(trial: Trial) -> None:
    """RUN007 for a figure and a results file of the training."""
    trial.replace(
        TRAIN,
        "    run.finish()\n",
        "    import matplotlib\n"
        "    matplotlib.use('Agg')\n"
        "    import matplotlib.pyplot as plt\n"
        "    plt.plot([best_accuracy])\n"
        "    plt.savefig('results/curve.pdf')\n"
        "    with open('results/results.json', 'w') as file:\n"
        "        file.write('{}')\n"
        "    run.finish()\n",
    )
    _, found = trial.run()
    assert places(found) == [
        ("run/forbidden-output", TRAIN, trial.line(TRAIN, "plt.savefig")),
        ("run/forbidden-output", TRAIN, trial.line(TRAIN, "results/results.json")),
    ]


def test_loss_that_is_not_finite(trial: Trial) -> None:
    """RUN010 for a loss of NaN."""
    trial.replace(TRAIN, "loss.backward()", "(loss * (labels.sum() * 0 / 0)).backward()")
    _, found = trial.run()
    assert places(found) == [
        ("run/loss-not-finite", TRAIN, trial.line(TRAIN, "(loss * (labels")),
    ]
    assert found[0].message == "The loss is NaN at backward call 1."


def test_parameters_that_do_not_move(trial: Trial) -> None:
    """RUN010 for an optimizer without effect."""
    trial.replace(TRAIN, "optimizer.zero_grad()", "pass")
    trial.replace(
        TRAIN,
        "            optimizer.step()",
        "            optimizer.zero_grad()\n            optimizer.step()",
    )
    trial.replace(
        TRAIN, "weight_decay=settings.weight_decay", "weight_decay=0.0 * settings.weight_decay"
    )
    _, (found,) = trial.run()
    assert places([found]) == [
        ("run/loss-not-finite", TRAIN, trial.line(TRAIN, "            optimizer.step()"))
    ]
    assert found.message == "2 steps of AdamW changed none of its parameters."


# What needs no run ----------------------------------------------------------------------------


def files() -> dict[str, bytes]:
    return {
        "src/main.py": b"import src.train\n",
        "src/train.py": b"def train(cfg):\n    return 1 / cfg.run.training.rate\n",
        "src/evaluate.py": b"import json\n",
        "config/config.yaml": b"mode: trial\n",
        "config/run/a.yaml": b"run_id: a\ntraining:\n  rate: 0\n",
    }


@pytest.fixture(scope="module")
def static() -> PackageReport:
    (report,) = explint.check(files(), profile="full-trial").packages
    return report


def outcome(**changes: Any) -> Outcome:  # noqa: ANN401 - any attribute of it
    return Outcome(
        **{
            "package": "p",
            "run_id": "a",
            "mode": "trial",
            "exit_code": 0,
            "root": Path("/run/package"),
            "results": Path("/run/results"),
            "log": Path("/run/log"),
            "sandbox": SANDBOX,
            **changes,
        }
    )


def error(pid: int = 1, **changes: Any) -> Error:  # noqa: ANN401 - any attribute of it
    frames = (
        Frame("src/main.py", 1, "<module>", True),
        Frame("src/train.py", 2, "train", True),
        Frame("/usr/lib/other.py", 9, "deep", False),
    )
    return Error(
        **{
            "pid": pid,
            "at": 1.0,
            "how": "uncaught",
            "type": "ValueError",
            "text": "bad",
            "frames": frames,
            **changes,
        }
    )


FIRST = Process(pid=1, parent=0, command=("python", "-m", "src.main"))
SECOND = Process(pid=2, parent=1, command=("python", "-m", "src.train"))
AT = Place("src/train.py", 2, "train")

Judge = Callable[..., list[tuple[str, str, int]]]


@pytest.fixture
def judge(static: PackageReport) -> Judge:
    def judged(
        observation: Observation | None = None,
        more: dict[str, Any] | None = None,
        **changes: Any,  # noqa: ANN401 - any attribute of an outcome
    ) -> list[tuple[str, str, int]]:
        seen = observation or Observation()
        package = package_of_files(files())
        return places(findings(package, outcome(**changes), seen, static, **(more or {})))

    return judged


def test_what_is_not_the_packages_doing_is_no_finding(judge: Judge) -> None:
    crash = Observation(processes=[FIRST], errors=[error()])
    assert judge(crash, exit_code=1) == [("run/crash", "src/train.py", 2)]
    assert judge(crash, exit_code=1, started=False, problem="no environment") == []
    assert judge(crash, exit_code=None, problem="the node is lost") == []
    assert judge(crash, exit_code=None, signal="SIGINT", interrupted=True) == []
    assert judge(Observation(), exit_code=0) == []


def test_a_missing_distribution_of_a_prepared_environment_is_no_finding(
    judge: Judge, static: PackageReport
) -> None:
    missing: dict[str, Any] = {
        "type": "ModuleNotFoundError",
        "text": "No module named 'transformers.models'",
    }
    seen = Observation(processes=[FIRST], errors=[error(**missing)])
    crash = [("run/crash", "src/train.py", 2)]
    assert judge(seen, exit_code=1) == crash
    assert judge(seen, {"prepared": True}, exit_code=1) == []
    package = package_of_files(files())
    said = excuse(package, outcome(exit_code=1), seen, static)
    assert said == (
        "The environment lacks `transformers.models` (src/train.py:2), which is no fault of the "
        "package."
    )
    beside = {**missing, "text": "No module named 'train'"}
    seen = Observation(processes=[FIRST], errors=[error(**beside)])
    assert judge(seen, {"prepared": True}, exit_code=1) == crash
    assert excuse(package, outcome(exit_code=1), seen, static) == ""
    hidden = {**beside, "cause": "ModuleNotFoundError: No module named 'pandas'"}
    seen = Observation(processes=[FIRST], errors=[error(**hidden)])
    assert judge(seen, {"prepared": True}, exit_code=1) == []
    assert "lacks `pandas`" in excuse(package, outcome(exit_code=1), seen, static)
    own = {**missing, "text": "No module named 'src.models'"}
    seen = Observation(processes=[FIRST], errors=[error(**own)])
    assert judge(seen, {"prepared": True}, exit_code=1) == crash


def test_the_childs_error_is_the_one_that_counts(judge: Judge) -> None:
    passed_on = error(
        1, type="subprocess.CalledProcessError", frames=(Frame("src/main.py", 1, "main", True),)
    )
    seen = Observation(processes=[FIRST, SECOND], errors=[error(2), passed_on])
    assert judge(seen, exit_code=1) == [("run/crash", "src/train.py", 2)]
    own = error(1, at=3.0, frames=(Frame("src/main.py", 1, "main", True),))
    seen = Observation(processes=[FIRST, SECOND], errors=[error(2), own])
    assert judge(seen, exit_code=1) == [("run/crash", "src/main.py", 1)]


def test_a_childs_error_that_nobody_notices_is_a_crash(judge: Judge) -> None:
    seen = Observation(processes=[FIRST, SECOND], errors=[error(2)])
    assert judge(seen, exit_code=0) == [("run/crash", "src/train.py", 2)]
    helper = Process(pid=2, parent=1, command=("python", "-c", "probe"))
    seen = Observation(processes=[FIRST, helper], errors=[error(2)])
    assert judge(seen, exit_code=0) == []


def test_the_log_tells_where_nothing_was_observed(judge: Judge) -> None:
    tail = (
        "working\nTraceback (most recent call last):\n"
        '  File "/run/package/src/train.py", line 2, in train\n'
        "    return 1 / cfg.run.training.rate\n"
        '  File "/usr/lib/python3/x.py", line 7, in y\n    z()\n'
        "ZeroDivisionError: division by zero\n"
    )
    assert judge(exit_code=1, tail=tail) == [("run/crash", "src/train.py", 2)]
    assert judge(exit_code=2, tail="usage: main.py") == [("run/crash", "src/main.py", 1)]
    assert judge(exit_code=None, signal="SIGSEGV") == [("run/crash", "src/main.py", 1)]


def test_a_syntax_error_stands_in_its_own_file(judge: Judge) -> None:
    wrong = error(
        type="SyntaxError",
        text="invalid syntax",
        frames=(Frame("src/main.py", 1, "<module>", True),),
        source=Place("src/train.py", 2),
    )
    seen = Observation(processes=[FIRST], errors=[wrong])
    assert judge(seen, exit_code=1) == [("run/crash", "src/train.py", 2)]


def test_config_values_in_play(static: PackageReport) -> None:
    wrong = error(
        type="ZeroDivisionError",
        text="division by zero",
        config={"cfg.run.training.rate": "0", "cfg.mode": "trial"},
    )
    seen = Observation(processes=[FIRST], errors=[wrong], config={"run.training.rate": "0"})
    package = package_of_files(files())
    (found,) = findings(package, outcome(exit_code=1), seen, static)
    assert (found.line, found.column, found.end_column) == (2, 5, 37)
    assert [(r.path, r.line, r.message) for r in found.related] == [
        ("config/run/a.yaml", 3, "`run.training.rate` was 0 in this run.")
    ]


def test_the_finding_that_predicted_a_crash() -> None:
    text = (
        (EXAMPLE / TRAIN).read_text(encoding="utf-8").replace("cfg.wandb.entity", "cfg.wandb.team")
    )
    folder = {
        p.relative_to(EXAMPLE).as_posix(): p.read_bytes()
        for p in EXAMPLE.rglob("*.*")
        if p.suffix in (".py", ".yaml", ".toml")
    }
    folder[TRAIN] = text.encode()
    (report,) = explint.check(folder).packages
    (predicted,) = report.findings
    frame = Frame(TRAIN, predicted.line, "run_experiment", True)
    missing = error(type="omegaconf.errors.ConfigAttributeError", text="Missing", frames=(frame,))
    seen = Observation(processes=[FIRST], errors=[missing])
    at = outcome(exit_code=1, run_id=RUN)
    (found,) = findings(package_of_files(folder), at, seen, report)
    assert places([found]) == [("run/crash", TRAIN, predicted.line)]
    (related,) = found.related
    assert (related.path, related.line) == (TRAIN, predicted.line)
    assert related.message.startswith("Reading the package predicts it (hydra/undefined-key): ")


def test_limits(judge: Judge) -> None:
    seen = Observation(processes=[FIRST], passes=[Pass(pid=1, id=1, loader=1, place=AT)])
    killed: dict[str, Any] = {"exit_code": None, "signal": "SIGKILL"}
    at_loop = ("src/train.py", 2)
    assert judge(seen, exceeded="memory", **killed) == [("run/out-of-memory", *at_loop)]
    for limit in ("wall-clock", "processes", "file-size", "disk", "output"):
        assert judge(seen, exceeded=limit, **killed) == [("run/timeout", *at_loop)]
    memory = error(type="torch.cuda.OutOfMemoryError", text="CUDA out of memory.")
    seen = Observation(processes=[FIRST], errors=[memory])
    assert judge(seen, exit_code=1) == [("run/out-of-memory", "src/train.py", 2)]


def test_what_a_mode_leaves_alone_is_not_counted(judge: Judge) -> None:
    seen = Observation(
        passes=[
            Pass(pid=1, id=n, loader=1, place=AT, drawn=90, trained=90, optimizers={7})
            for n in (1, 2)
        ],
        wandb=[Started(pid=1, asked="online", by="default", place=AT)],
    )
    assert judge(seen, mode="full") == []
    assert judge(seen, mode=None) == []
    assert [rule for rule, _, _ in judge(seen)] == [
        "run/not-bounded", "run/not-bounded", "run/wandb-online"
    ]  # fmt: skip


def test_passes_that_are_no_epochs(judge: Judge) -> None:
    seen = Observation(
        passes=[
            Pass(pid=1, id=1, loader=1, place=AT, drawn=2, trained=2, optimizers={7}),
            # Another model is trained on the same loader.
            Pass(pid=1, id=2, loader=1, place=AT, drawn=2, trained=2, optimizers={8}),
            # The same program in another process.
            Pass(pid=2, id=1, loader=1, place=AT, drawn=2, trained=2, optimizers={7}),
            # A look at the first batch before training.
            Pass(pid=1, id=3, loader=1, place=AT, drawn=1),
            # Evaluation that draws one more before it breaks.
            Pass(pid=1, id=4, loader=2, place=AT, drawn=3),
        ]
    )
    assert judge(seen) == []


@pytest.mark.parametrize(
    ("steps", "expected"), [(20, []), (21, [("run/not-bounded", *("src/train.py", 2))])]
)
def test_steps_without_a_loader(
    judge: Judge, steps: int, expected: list[tuple[str, str, int]]
) -> None:
    seen = Observation(optimizers=[Optimizer(pid=1, id=1, steps=steps, stepped=AT, moved=1)])
    assert judge(seen) == expected


def test_hosts(judge: Judge) -> None:
    def host(name: str, place: Place | None = AT) -> Seen:
        return Seen(pid=1, what=name, place=place)

    network = [("run/network", "src/train.py", 2)]
    assert judge(Observation(hosts=[host("a.org"), host("b.org")])) == network
    assert judge(Observation(hosts=[host("telemetry.org", None)])) == []
    proxied = Sandbox(kind="bubblewrap", network="proxy", hosts=("a.org", "*.b.org:443"))
    assert judge(Observation(hosts=[host("a.org"), host("x.b.org")]), sandbox=proxied) == []
    assert judge(Observation(hosts=[host("c.org")]), sandbox=proxied) == network
    free = Sandbox(kind="none", network="all")
    assert judge(Observation(hosts=[host("a.org")]), sandbox=free) == []
    # W&B reaches for its own server: run/wandb-online tells of it.
    online = Started(pid=1, asked="online", by="default", place=AT)
    seen = Observation(hosts=[host("api.wandb.ai")], wandb=[online])
    assert judge(seen) == [("run/wandb-online", "src/train.py", 2)]


def test_results_that_nothing_was_seen_writing(judge: Judge) -> None:
    written = (Written(place="results", path="a/results.json", size=3),)
    assert judge(written=written) == [("run/forbidden-output", "src/main.py", 1)]
    removed = (msgspec.structs.replace(written[0], change="removed"),)
    assert judge(written=removed) == []
    assert judge(written=(Written(place="home", path="x/results.json", size=3),)) == []


def test_losses(judge: Judge) -> None:
    at = [("run/loss-not-finite", "src/train.py", 2)]
    assert judge(Observation(losses=[Loss(pid=1, value=float("inf"), number=3, place=AT)])) == at
    assert judge(Observation(losses=[Loss(pid=1, value=None, number=3, place=AT)])) == []
    row = {"val_loss": float("nan"), "ratio": 1.0}
    assert judge(Observation(logged=[Logged(pid=1, row=1, values=row, place=AT)])) == at
    other = {"ratio": float("nan"), "loss": 1.0}
    assert judge(Observation(logged=[Logged(pid=1, row=1, values=other, place=AT)])) == []
    still = Optimizer(pid=1, id=1, steps=2, stepped=AT, moved=0, sampled=4, rate=0.1, type="SGD")
    assert judge(Observation(optimizers=[still])) == at
    # A warm-up that begins at 0 moves nothing at first.
    warm = msgspec.structs.replace(still, rate=0.0)
    unknown = msgspec.structs.replace(still, moved=None, sampled=None)
    assert judge(Observation(optimizers=[warm, unknown])) == []


def test_an_evaluation_that_crashes(judge: Judge) -> None:
    """RUN008: the same error under another rule, and nothing that only training answers for."""
    wrong = error(frames=(Frame("src/evaluate.py", 1, "<module>", True),))
    online = Started(pid=1, asked="online", by="default", place=AT)
    seen = Observation(processes=[FIRST], errors=[wrong], wandb=[online])
    more = {"job": "evaluate"}
    at = [("run/evaluate-crash", "src/evaluate.py", 1)]
    assert judge(seen, more, exit_code=1, run_id=None, mode=None) == at
    assert judge(seen, more, exit_code=0, run_id=None, mode=None) == []


def test_several_runs_tell_the_same_once(static: PackageReport) -> None:
    seen = Observation(processes=[FIRST], errors=[error()])
    package = package_of_files(files())
    found = [
        f
        for run in ("a", "b")
        for f in findings(package, outcome(exit_code=1, run_id=run), seen, static)
    ]
    (both,) = joined(found)
    assert both.runs == ("a", "b")
    assert joined([]) == []


def test_every_rule_of_the_family_is_tested_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    rules = [rule.name for rule in rule_table() if rule.family == "run"]
    # What a rehearsed evaluation leaves is judged where it is rehearsed.
    missing = [r for r in rules if f'"{r}"' not in text and r != "run/evaluate-output"]
    assert not missing
