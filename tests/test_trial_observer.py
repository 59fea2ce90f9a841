"""What the observer sees of real libraries, what it costs a program, and what it leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import torch_env
from explint.trial import events
from explint.trial.events import Observation, Place
from explint.trial.observer import FOLDER, Bounds, environment

PYENV = Path.home() / ".pyenv" / "versions"


@pytest.fixture(scope="session")
def torch_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return torch_env.make(tmp_path_factory.mktemp("torch") / "env")


class Ran:
    """A program that ran under the observer."""

    def __init__(self, done: subprocess.CompletedProcess[str], seen: Observation) -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr
        self.seen = seen


def run(
    folder: Path,
    program: str,
    *,
    python: Path | str = sys.executable,
    bounds: Bounds | None = None,
    options: tuple[str, ...] = (),
    **more: str,
) -> Ran:
    (folder / "program.py").write_text(textwrap.dedent(program), encoding="utf-8")
    written = folder.parent / f"{folder.name}-events"
    written.mkdir()
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder.parent),
        **environment(written, bounds),
        **more,
    }
    done = subprocess.run(
        [str(python), *options, "-u", "program.py"],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    seen = events.read(written)
    assert not seen.troubles
    return Ran(done, seen)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    folder.mkdir()
    return folder


def test_an_error_is_told_with_its_frames_and_values(package: Path) -> None:
    ran = run(
        package,
        """\
        import json

        def outer(settings):
            rate = 0.5
            api_key = "not to be told"
            return json.loads(settings)

        outer("{")
        """,
    )
    assert ran.code == 1
    assert "JSONDecodeError" in ran.err
    (error,) = ran.seen.errors
    assert (error.how, error.type) == ("uncaught", "json.decoder.JSONDecodeError")
    assert [(f.path, f.line, f.function) for f in error.inside] == [
        ("program.py", 8, "<module>"),
        ("program.py", 6, "outer"),
    ]
    assert error.frames[-1].function == "raw_decode"
    assert error.values[-1] == {"settings": "'{'", "rate": "0.5"}


def test_what_a_handler_turns_into_an_exit_code_is_told(package: Path) -> None:
    ran = run(
        package,
        """\
        import sys, traceback
        try:
            {}["missing"]
        except KeyError:
            traceback.print_exc()
            sys.exit(3)
        """,
    )
    assert ran.code == 3
    (error,) = ran.seen.errors
    assert (error.how, error.type, error.inside[-1].line) == ("exit", "KeyError", 3)


def test_an_exit_without_an_error_is_told_with_its_place(package: Path) -> None:
    ran = run(package, "import sys\ndef stop():\n    sys.exit('no data')\nstop()\n")
    assert (ran.code, ran.err) == (1, "no data\n")
    assert not ran.seen.errors
    (left,) = ran.seen.exits
    assert left.status == "no data"
    assert (left.frames[-1].path, left.frames[-1].line) == ("program.py", 3)


def test_what_hydra_prints_and_swallows_is_told_with_its_config(package: Path) -> None:
    (package / "config.yaml").write_text("run:\n  training:\n    rate: 0.1\n    token: secret\n")
    ran = run(
        package,
        """\
        import hydra

        def train(cfg):
            return cfg.run.training.epochs

        @hydra.main(version_base="1.3", config_path=".", config_name="config")
        def main(cfg):
            train(cfg)

        main()
        """,
    )
    assert ran.code == 1
    (error,) = ran.seen.errors
    assert error.how == "exit"
    assert error.type == "omegaconf.errors.ConfigAttributeError"
    assert [f.line for f in error.inside] == [10, 8, 4]
    assert error.config == {"cfg.run.training.rate": "0.1"}
    assert ran.seen.config == {"run.training.rate": "0.1"}


def test_children_are_seen_also_where_their_environment_is_made_anew(package: Path) -> None:
    ran = run(
        package,
        """\
        import os, subprocess, sys
        child = "import sys; open('made.txt', 'w').close(); sys.exit(4)"
        subprocess.run([sys.executable, "-c", child], env={"PATH": os.environ["PATH"]})
        os.environ["PYTHONPATH"] = os.getcwd()
        subprocess.run([sys.executable, "-c", child])
        assert "explint" not in os.environ["PYTHONPATH"]
        """,
    )
    assert ran.code == 0, ran.err
    assert [c.details["code"] for c in ran.seen.children] == [4, 4]
    assert [c.place for c in ran.seen.children] == [
        Place("program.py", 3, "<module>"),
        Place("program.py", 5, "<module>"),
    ]
    assert len(ran.seen.processes) == 3
    assert {Path(w.what).name for w in ran.seen.written} == {"made.txt"}


def test_forks_write_files_of_their_own(package: Path) -> None:
    ran = run(
        package,
        """\
        import multiprocessing, os

        def work(number):
            with open(f"part-{number}.txt", "w") as file:
                file.write("x")

        if __name__ == "__main__":
            open("whole.txt", "w").close()
            children = [
                multiprocessing.get_context(kind).Process(target=work, args=(n,))
                for n, kind in enumerate(["fork", "spawn"])
            ]
            for child in children:
                child.start()
            for child in children:
                child.join()
        """,
    )
    assert ran.code == 0, ran.err
    names = sorted(Path(w.what).name for w in ran.seen.written)
    assert names == ["part-0.txt", "part-1.txt", "whole.txt"]
    assert len({w.pid for w in ran.seen.written}) == 3


def test_a_killed_process_keeps_its_events(package: Path) -> None:
    ran = run(
        package,
        """\
        import os, signal
        open("written.txt", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert ran.code == -9
    assert [Path(w.what).name for w in ran.seen.written] == ["written.txt"]
    assert ran.seen.processes[0].seconds is None


def test_a_last_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    whole = b'{"e": "process", "at": 1.0, "pid": 7, "parent": 1}\n'
    line = b'{"e": "write", "t": 0.1, "path": "/a", "place": "src/a.py:3:f"}\n'
    (tmp_path / "7-1.jsonl").write_bytes(whole + line + line[:30])
    (tmp_path / "8-2.jsonl").write_bytes(b"")
    (tmp_path / "9-3.jsonl").write_bytes(whole + b'{"e": "loader"}\n[1]\n')
    (tmp_path / "10-4.jsonl").symlink_to(tmp_path / "7-1.jsonl")
    seen = events.read(tmp_path)
    assert [w.place for w in seen.written] == [Place("src/a.py", 3, "f")]
    assert seen.troubles == ["an event of kind loader cannot be read"]
    assert events.read(tmp_path / "nowhere").processes == []


def test_events_are_bounded_and_counts_go_on(package: Path) -> None:
    ran = run(
        package,
        """\
        import warnings
        warnings.simplefilter("always")
        for number in range(5000):
            warnings.warn(f"number {number}")
        """,
    )
    assert ran.code == 0
    assert len(ran.seen.warnings) == 400
    assert ran.seen.cut
    size = sum(p.stat().st_size for p in package.parent.glob("*-events/*"))
    assert size < 200_000


def test_hosts_are_told_also_when_they_cannot_be_reached(package: Path) -> None:
    ran = run(
        package,
        """\
        import socket
        for host in ("127.0.0.1", "localhost", "data.invalid"):
            try:
                socket.create_connection((host, 9), timeout=1)
            except OSError:
                pass
        """,
    )
    assert [(h.what, h.details["port"]) for h in ran.seen.hosts] == [("data.invalid", 9)]


def test_another_sitecustomize_runs_too(package: Path) -> None:
    other = package.parent / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text("import builtins\nbuiltins.greeting = 'hello'\n")
    ran = run(package, "print(greeting)", PYTHONPATH=f"{FOLDER}{os.pathsep}{other}")
    assert ran.out == "hello\n", ran.err


def test_isolated_python_is_not_seen(package: Path) -> None:
    ran = run(package, "print('alone')", options=("-I",))
    assert ran.out == "alone\n"
    assert ran.seen.processes == []


def test_nothing_is_imported_for_a_program_that_does_not_ask_for_it(package: Path) -> None:
    ran = run(
        package,
        """\
        import sys
        heavy = {"torch", "numpy", "optuna", "wandb", "hydra", "omegaconf", "pathlib", "logging"}
        print(sorted(heavy & sys.modules.keys()))
        """,
        options=("-S",),
        PYTHONSTARTUP="",
    )
    assert ran.out == "[]\n"
    program = (
        "import sys, explint_observer.libraries\nprint(sorted({'torch', 'numpy'} & {*sys.modules}))"
    )
    folder = package.parent / "second"
    folder.mkdir()
    assert run(folder, program).out == "[]\n"


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.12", "3.13"])
def test_it_runs_under_other_versions_of_python(package: Path, version: str) -> None:
    found = sorted(PYENV.glob(f"{version}.*/bin/python"))
    if not found:
        pytest.skip(f"no Python {version} on this machine")
    ran = run(package, "open('made.txt', 'w').close()\n1 / 0\n", python=found[-1])
    assert ran.code == 1
    assert ran.err.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert [Path(w.what).name for w in ran.seen.written] == ["made.txt"]
    assert [e.type for e in ran.seen.errors] == ["ZeroDivisionError"]


WANDB = """\
import os
import wandb

run = wandb.init(mode=os.environ.get("MODE"), project="p", id="first", dir=os.environ["HOME"])
run.log({"loss": 2.0, "epoch": 1})
wandb.log({"loss": float("nan")}, step=5)
run.summary["best"] = 0.5
wandb.run.summary.update({"last": 1})
run.finish()
"""


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_wandb(package: Path, mode: str) -> None:
    ran = run(package, WANDB, MODE=mode)
    assert ran.code == 0, ran.err
    (started,) = ran.seen.wandb
    assert (started.asked, started.by, started.mode, started.id) == (
        mode,
        "argument",
        mode,
        "first",
    )
    assert started.arguments["project"] == "p"
    assert started.place == Place("program.py", 4, "<module>")
    first, second = ran.seen.logged
    assert (first.values, first.place) == (
        {"loss": 2.0, "epoch": 1},
        Place("program.py", 5, "<module>"),
    )
    assert second.values["loss"] != second.values["loss"]
    assert second.step == 5
    assert ran.seen.summary == {"best": 0.5, "last": 1}
    assert ran.seen.counts["log"] == 2
    assert ran.seen.finished == 1


def test_wandb_is_forced_offline(package: Path) -> None:
    ran = run(package, WANDB, MODE="online", bounds=Bounds(), WANDB_API_KEY="0" * 40)
    assert ran.code == 0, ran.err
    (started,) = ran.seen.wandb
    assert (started.asked, started.mode) == ("online", "offline")
    assert [b.what for b in ran.seen.bounds] == ["wandb"]


OPTUNA = """\
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    if trial.number == 1:
        raise ValueError("bad luck")
    return x


study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
study.optimize(objective, n_trials=4, catch=(ValueError,))
print(len(study.trials), study.best_params)
"""


def test_optuna(package: Path) -> None:
    ran = run(package, OPTUNA)
    plain = subprocess.run(
        [sys.executable, "program.py"], cwd=package, capture_output=True, text=True, check=True
    )
    assert ran.out == plain.stdout
    (study,) = ran.seen.studies
    assert (study.asked, study.optimized) == (4, Place("program.py", 14, "<module>"))
    assert [t["error"] for t in study.trials] == [None, "ValueError: bad luck", None, None]
    assert [type(t["value"]) for t in study.trials] == [float, str, float, float]
    (error,) = ran.seen.errors
    assert (error.how, error.trial, error.inside[-1].line) == ("trial", 1, 9)


def test_optuna_trials_are_refused_beyond_the_bound(package: Path) -> None:
    ran = run(package, OPTUNA, bounds=Bounds(trials=1))
    assert ran.out.startswith("1 {'x'")
    assert [(b.what, b.details["most"]) for b in ran.seen.bounds] == [("trials", 1)]


TORCH = """\
import warnings

import torch
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
data = TensorDataset(torch.randn(40, 3), torch.randn(40, 1))
loader = DataLoader(data, batch_size=4, shuffle=True)
check = DataLoader(data, batch_size=8)
model = torch.nn.Linear(3, 1)
frozen = torch.nn.Parameter(torch.zeros(2), requires_grad=False)


class Plain(torch.optim.SGD):
    pass


optimizer = Plain([*model.parameters(), frozen], lr=0.1)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
for epoch in range(2):
    for number, (x, y) in enumerate(loader):
        if number >= 2:
            break
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
    scheduler.step()
    with torch.no_grad():
        for x, y in check:
            model(x)
print(loss.item(), [p.sum().item() for p in model.parameters()], torch.rand(3))
"""


def test_pytorch(package: Path, torch_python: Path) -> None:
    ran = run(package, TORCH, python=torch_python)
    assert ran.code == 0, ran.err
    plain = subprocess.run(
        [torch_python, "program.py"], cwd=package, capture_output=True, text=True, check=True
    )
    assert ran.out == plain.stdout, "the observer moved the random numbers"
    seen = ran.seen
    assert [(made.dataset, made.batch_size) for made in seen.loaders] == [
        ("TensorDataset", 4),
        ("TensorDataset", 8),
    ]
    assert [(p.drawn, p.trained, len(p.optimizers)) for p in seen.passes] == [
        (3, 2, 1),
        (5, 0, 0),
        (3, 2, 1),
        (5, 0, 0),
    ]
    assert (seen.batches, seen.epochs, seen.steps) == (16, 2, 4)
    (optimizer,) = seen.optimizers
    assert (optimizer.type, optimizer.moved, optimizer.sampled) == ("Plain", 2, 3)
    assert optimizer.stepped == Place("program.py", 27, "<module>")
    assert len(seen.losses) == 4
    assert all(loss.value is not None and loss.value > 0 for loss in seen.losses)
    assert (seen.processes[0].memory or 0) > 50 << 20
    assert not seen.bounds


def test_loaders_are_cut(package: Path, torch_python: Path) -> None:
    ran = run(package, TORCH, python=torch_python, bounds=Bounds(batches=1))
    assert ran.code == 0, ran.err
    assert [p.drawn for p in ran.seen.passes] == [1, 1, 1, 1]
    assert {b.what for b in ran.seen.bounds} == {"batches"}


def test_workers_that_stay_are_counted_pass_by_pass(package: Path, torch_python: Path) -> None:
    ran = run(
        package,
        """\
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        loader = DataLoader(
            TensorDataset(torch.arange(6.0)), num_workers=1, persistent_workers=True
        )
        for epoch in range(2):
            print([x.item() for (x,) in loader])
        """,
        python=torch_python,
    )
    assert ran.out == "[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]\n" * 2, ran.err
    assert [p.drawn for p in ran.seen.passes] == [6, 6]


def test_figures(package: Path, torch_python: Path) -> None:
    ran = run(
        package,
        """\
        import io

        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        plt.plot([1, 2])
        plt.savefig("curve.pdf")
        plt.savefig(io.BytesIO(), format="png")
        """,
        python=torch_python,
    )
    assert ran.code == 0, ran.err
    (figure,) = ran.seen.figures
    assert Path(figure.what) == package / "curve.pdf"
    assert figure.place == Place("program.py", 8, "<module>")


# Neither library is in the lock: both need a PyTorch from PyPI. These stand-ins have the parts that
# the observer touches, by the names of transformers 4 and Lightning 2.
TRANSFORMERS = """\
class Trainer:
    def __init__(self, args):
        self.args = args
        self.state = type("State", (), {"global_step": 0, "epoch": 0.0})()

    def train(self):
        self.state.global_step = self.args.max_steps if self.args.max_steps > 0 else 100
"""
LIGHTNING = """\
class Trainer:
    def __init__(self, *, max_epochs=None, limit_train_batches=None, limit_val_batches=None,
                 limit_test_batches=None, limit_predict_batches=None, num_sanity_val_steps=None):
        self.max_epochs, self.limit_train_batches = max_epochs, limit_train_batches
        self.limits = (limit_train_batches, limit_val_batches, limit_test_batches)
        self.global_step = self.current_epoch = 0

    def fit(self, model):
        self.global_step, self.current_epoch = self.limit_train_batches, self.max_epochs
"""


def library(folder: Path, path: str, text: str) -> Path:
    """A library of its own beside the package."""
    place = folder.parent / "site-packages" / path
    place.parent.mkdir(parents=True)
    for parent in place.relative_to(folder.parent / "site-packages").parents:
        (folder.parent / "site-packages" / parent / "__init__.py").touch()
    place.write_text(text, encoding="utf-8")
    return folder.parent / "site-packages"


@pytest.mark.parametrize(("bounds", "steps"), [(None, 100), (Bounds(batches=2), 2)])
def test_the_trainer_of_transformers(package: Path, bounds: Bounds | None, steps: int) -> None:
    folder = library(package, "transformers/trainer.py", TRANSFORMERS)
    ran = run(
        package,
        """\
        from types import SimpleNamespace
        from transformers.trainer import Trainer
        trainer = Trainer(SimpleNamespace(max_steps=-1, num_train_epochs=3.0))
        trainer.train()
        print(trainer.state.global_step)
        """,
        bounds=bounds,
        PYTHONPATH=f"{FOLDER}{os.pathsep}{folder}",
    )
    assert ran.out == f"{steps}\n", ran.err
    (loop,) = ran.seen.loops
    assert (loop.what, loop.details["library"], loop.details["steps"]) == (
        "train",
        "transformers",
        steps,
    )
    assert loop.details["settings"]["num_train_epochs"] == "3.0"
    assert loop.place == Place("program.py", 4, "<module>")


@pytest.mark.parametrize("name", ["pytorch_lightning", "lightning/pytorch"])
def test_the_trainer_of_lightning(package: Path, name: str) -> None:
    folder = library(package, f"{name}/trainer/trainer.py", LIGHTNING)
    program = f"""\
        from {name.replace("/", ".")}.trainer.trainer import Trainer
        trainer = Trainer(max_epochs=5, limit_train_batches=50, limit_val_batches=1)
        trainer.fit(None)
        print(trainer.max_epochs, trainer.limits)
        """
    paths = f"{FOLDER}{os.pathsep}{folder}"
    free = run(package, program, PYTHONPATH=paths)
    assert free.out == "5 (50, 1, None)\n", free.err
    assert [(x.what, x.details["steps"]) for x in free.seen.loops] == [("fit", 50)]
    second = package.parent / "second"
    second.mkdir()
    held = run(second, program, PYTHONPATH=paths, bounds=Bounds(batches=2))
    assert held.out == "1 (2, 1, 2)\n", held.err
    assert [b.what for b in held.seen.bounds] == ["lightning"]
