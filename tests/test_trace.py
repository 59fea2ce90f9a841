"""The trace of whole packages, through the public interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from syrupy.assertion import SnapshotAssertion

from explint import core
from explint.cli import cli
from explint.package import File, FileState, Package
from explint.source import package_of_files as package_of
from explint.trace import facts as f
from explint.trace.describe import describe, dotted
from explint.trace.hydra import hydra_main
from explint.trace.specialise import Unknown, evaluate, specialise
from explint.trace.view import view

SCANNER, OTHER = core.Scanner(1), core.Scanner(1)

MAIN = """
import subprocess, sys
from pathlib import Path
import hydra
from omegaconf import DictConfig, OmegaConf

CONFIG = str(Path(__file__).resolve().parent.parent / "config")


@hydra.main(version_base=None, config_path=CONFIG, config_name="config")
def main(cfg: DictConfig) -> None:
    command = [sys.executable, "-m", "src.train", f"run={cfg.run.run_id}"]
    if cfg.trial:
        command.append("wandb.mode=disabled")
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
"""

TRAIN = """
import hydra
import optuna as opt
import wandb as wb
from omegaconf import OmegaConf as OC
from torch.utils.data import DataLoader

from src import model as models
from .data import Reader


def epoch(cfg, loader, net):
    limit = 2 if cfg.trial else None
    for number, batch in enumerate(loader):
        if limit is not None and number >= limit:
            break
        loss = net(batch)
        wb.log({"train/loss": loss})
    return loss


@hydra.main(version_base="1.3", config_path="../config", config_name="config")
def main(cfg):
    if cfg.trial:
        OC.set_struct(cfg, False)
        cfg.training.epochs = 1
    run = wb.init(project=cfg.wandb.project, config=OC.to_container(cfg, resolve=True))
    loader = DataLoader(Reader(cfg.run.dataset), batch_size=cfg.training.batch_size)
    net = models.build(cfg.run.model)
    for _ in range(cfg.training.epochs):
        loss = epoch(cfg, loader, net)
    run.summary["final"] = loss
    if cfg.optuna.n_trials > 0:
        study = opt.create_study(direction="minimize")

        def objective(trial):
            return trial.suggest_float("lr", 1e-4, 1e-2)

        study.optimize(objective, n_trials=cfg.optuna.n_trials)
    print(cfg.metrics.primary)


if __name__ == "__main__":
    main()
"""

MODEL = """
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, width, *, depth=2):
        super().__init__()
        self.body = nn.Linear(width, depth)

    def forward(self, x):
        return self.body(x)


def build(cfg):
    if cfg.name == "net":
        return Net(cfg.width, depth=cfg.get("depth", 3)).to("cuda")
    raise ValueError(f"unknown model {cfg.name}")


def forgotten(cfg):
    return cfg.nowhere.key
"""

DATA = """
class Reader:
    def __init__(self, cfg):
        self.name = cfg.name
"""

FILES = {
    "src/main.py": MAIN,
    "src/train.py": TRAIN,
    "src/model.py": MODEL,
    "src/data.py": DATA,
}

CONFIG: dict[str, Any] = {
    "trial": True,
    "run": {"run_id": "net-1", "model": {"name": "net", "width": 8}, "dataset": {"name": "x"}},
    "training": {"epochs": 20, "batch_size": 4},
    "wandb": {"project": "p"},
    "optuna": {"n_trials": 0},
    "deep": {"metrics": {"primary": "acc"}},
}


def document(files: dict[str, str], entries: list[str]) -> f.TraceDocument:
    return SCANNER.trace(package(files), entries)


def package(files: dict[str, str]) -> Package:
    return package_of(dict(files))


def traced(body: str, **files: str) -> f.EntryTrace:
    found = document({"main.py": body, **files}, ["main"]).entry("main")
    assert found is not None
    return found


def entry_of(files: dict[str, str], name: str) -> f.EntryTrace:
    found = document(files, [name]).entry(name)
    assert found is not None
    return found


def calls(entry: f.EntryTrace) -> list[str]:
    return [e.name for e in entry.events if isinstance(e, f.LibraryCall)]


def reads(entry: f.EntryTrace) -> list[str]:
    found = []
    for event in entry.events:
        if isinstance(event, f.Read):
            row = entry.values[event.at]
            assert isinstance(row, f.Config)
            found.append(dotted(row.path, entry))
    return found


def test_library_objects_have_canonical_names_through_aliases_and_results() -> None:
    names = calls(entry_of(FILES, "src.train"))
    for name in (
        "wandb.init",
        "wandb.log",
        "torch.utils.data.DataLoader",
        "optuna.create_study",
        "optuna.create_study().optimize",
        "optuna.trial.Trial.suggest_float",
        "torch.nn.Linear",
        "torch.nn.Module.to",
    ):
        assert name in names


LIGHTNING = """
import lightning as L
import torch


class Module(L.LightningModule):
    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.rate)

    def training_step(self, batch, index):
        return self(batch)

    def forward(self, images):
        return torch.relu(images)

    def test_step(self, batch, index):
        torch.save(batch, "test")


if __name__ == "__main__":
    trainer = L.Trainer(max_epochs=1)
    trainer.fit(Module(0.1), [])
"""


def test_a_lightning_trainer_calls_the_steps_of_the_module_that_it_fits() -> None:
    entry = entry_of({"src/train.py": LIGHTNING}, "src.train")
    found = [
        (event.name, entry.calls[event.call].function.rpartition(".")[2])
        for event in entry.events
        if isinstance(event, f.LibraryCall) and event.name.startswith("torch.")
    ]
    assert found == [
        ("torch.optim.AdamW", "configure_optimizers"),
        ("torch.relu", "forward"),
    ]


def test_configs_are_followed_through_modules_classes_and_parameters() -> None:
    found = reads(entry_of(FILES, "src.train"))
    for path in ("run.dataset.name", "run.model.name", "run.model.width", "run.model.depth"):
        assert path in found


def test_a_write_under_the_mode_bounds_the_loop_in_that_mode_only() -> None:
    entry = entry_of(FILES, "src.train")
    loop = next(row for row in entry.loops if row.kind == "for" and row.place.file == 3)
    for trial, epochs in ((True, 1), (False, 20)):
        special = specialise(entry, CONFIG | {"trial": trial})
        assert evaluate(loop.over, special.env) == range(epochs)


def test_the_break_carries_its_bound() -> None:
    entry = entry_of(FILES, "src.train")
    special = specialise(entry, CONFIG | {"trial": False})
    breaks = [
        state
        for state, event in zip(special.states, entry.events, strict=True)
        if isinstance(event, f.Break)
    ]
    assert breaks == [False]


def test_optuna_is_off_when_the_config_says_so() -> None:
    entry = entry_of(FILES, "src.train")
    special = specialise(entry, CONFIG)
    happening = [e for _, e in special.happening()]
    assert not any(isinstance(e, f.LibraryCall) and "optuna" in e.name for e in happening)


def test_the_child_process_gets_the_words_of_the_run() -> None:
    entry = entry_of(FILES, "src.main")
    special = specialise(entry, CONFIG)
    call = next(e for e in entry.events if isinstance(e, f.LibraryCall) and "run" in e.name)
    row = entry.values[call.args[0]]
    assert isinstance(row, f.Select)
    words = entry.values[row.yes]
    assert isinstance(words, f.ListValue)
    assert [evaluate(w, special.env) for w in words.items[1:]] == [
        "-m",
        "src.train",
        "run=net-1",
        "wandb.mode=disabled",
    ]


def test_the_arguments_of_hydra_main_follow_from_paths_made_from_the_file() -> None:
    traces = document(FILES, ["src.main", "src.train"])
    for name, base in (("src.main", None), ("src.train", "1.3")):
        entry = traces.entry(name)
        assert entry is not None
        found = hydra_main(traces, entry)
        assert found is not None
        assert (found.config_dir, found.config_name, found.version_base) == (
            "config",
            "config",
            base,
        )


def test_functions_that_no_entry_reaches_are_traced_apart() -> None:
    traces = document(FILES, ["src.main", "src.train", ""])
    train, rest = traces.entry("src.train"), traces.entry("")
    assert train is not None
    assert rest is not None
    assert "nowhere.key" not in reads(train)
    assert "nowhere.key" in reads(rest)


OMEGACONF = """
import copy, hydra
from omegaconf import OmegaConf, open_dict
@hydra.main(version_base=None, config_path=None)
def main(cfg):
    {}
    print(value)
main()
"""


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("value = OmegaConf.select(cfg, 'run.model.width')", 8),
        ("value = OmegaConf.select(cfg, 'run.absent', default=3)", 3),
        ("OmegaConf.update(cfg, 'run.model.width', 9); value = cfg.run.model.width", 9),
        ("value = OmegaConf.to_container(cfg.run)['model']['width']", 8),
        ("c = copy.deepcopy(cfg); c.trial = 5; value = cfg.trial", True),
        ("c = OmegaConf.create({'a': {'b': cfg.trial}}); value = c.a.b", True),
        ("c = OmegaConf.merge(cfg.run, {'model': {'width': 2}}); value = c.model.width", 2),
        ("c = OmegaConf.merge(cfg.run, {'model': {'width': 2}}); value = c.model.name", "net"),
        ("value = dict(cfg.run.model)['name']", "net"),
        ("def f(width, name): return width\n    value = f(**cfg.run.model)", 8),
        ("with open_dict(cfg):\n        cfg.new = 1\n    value = cfg.new", 1),
        ("cfg.run.model.update({'width': 1}); value = cfg.run.model.width", 1),
        ("value = cfg.run.model.pop('width')", 8),
        ("value = cfg.setdefault('late', 4) and cfg.late", 4),
        ("value = getattr(cfg.run, 'absent', 0)", 0),
        ("value = hasattr(cfg, 'run') and 'x' not in cfg", True),
        ("value = 'ne' in cfg.run.model.name", True),
        ("value = 'cnn' in cfg.run.model.name", False),
        ("cfg.run.model.name = ['a', 'b']; value = 'b' in cfg.run.model.name", True),
    ],
)
def test_what_omegaconf_does(code: str, value: object) -> None:
    entry = traced(OMEGACONF.format(code))
    special = specialise(entry, CONFIG)
    call = next(e for e in entry.events if isinstance(e, f.LibraryCall) and e.name == "print")
    assert evaluate(call.args[0], special.env) == value


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("f()", "missing 1 required argument: 'a'"),
        ("f(1, 2, 3)", "takes 2 positional arguments but 3 were given"),
        ("f(1, c=2)", "got an unexpected keyword argument 'c'"),
        ("f(1, a=2)", "got multiple values for argument 'a'"),
        ("x, y = f(1)", "3 values do not unpack into 2 names"),
    ],
)
def test_calls_that_the_signature_rejects(call: str, problem: str) -> None:
    entry = traced(f"def f(a, b=1):\n    return a, b, 3\n{call}\n")
    assert [e.problem for e in entry.events if isinstance(e, f.Mismatch)] == [problem]


@pytest.mark.parametrize(
    "call", ["f(*args)", "f(**args)", "f(1, 2)", "f(b=1, a=2)", "a, *b = f(1)", "g(1, x=3)"]
)
def test_calls_that_may_be_right_are_no_mismatch(call: str) -> None:
    text = "from lib import args\ndef f(a, b=1):\n    return a, b, 3\ndef g(*a, **k): pass\n"
    entry = traced(f"{text}{call}\n")
    assert not [e for e in entry.events if isinstance(e, f.Mismatch)]


def test_what_a_withheld_module_gives_is_unknown() -> None:
    whole = package({"src/train.py": "from src.model import build\nnet = build(1)\nprint(net)\n"})
    withheld = File("src/model.py", FileState.WITHHELD, b"")
    partial = replace(whole, files=whole.files | {withheld.path: withheld}, partial=True)
    entry = SCANNER.trace(partial, ["src.train"]).entry("src.train")
    assert entry is not None
    call = next(e for e in entry.events if isinstance(e, f.LibraryCall) and e.name == "?")
    assert describe(call.callee, entry) == "? (module)"


def test_an_optional_import_is_taken_to_succeed() -> None:
    text = """
try:
    import wandb
except ImportError:
    wandb = None
if wandb is not None:
    wandb.log({})
else:
    print("no wandb")
"""
    entry = traced(text)
    special = specialise(entry, {})
    happening = [e.name for _, e in special.happening() if isinstance(e, f.LibraryCall)]
    assert happening == ["wandb.log"]
    strict = specialise(entry, {}, exceptions=None)
    assert {"wandb.log", "print"} <= {
        e.name for _, e in strict.happening() if isinstance(e, f.LibraryCall)
    }


def test_recursion_is_unknown_and_ends() -> None:
    entry = traced("def f(n):\n    return f(n - 1) + 1\nprint(f(3))\n")
    call = next(e for e in entry.events if isinstance(e, f.LibraryCall))
    special = specialise(entry, Unknown("none"))
    found = evaluate(call.args[0], special.env)
    assert isinstance(found, Unknown)
    assert found.reason == "the function calls itself"


def test_work_is_bounded_and_the_cut_is_told() -> None:
    functions = ["def f0(x):\n    print(x)\n"]
    functions += [f"def f{n}(x):\n    f{n - 1}(x)\n    f{n - 1}(x + 1)\n" for n in range(1, 22)]
    entry = traced("".join(functions) + "f21(0)\n")
    assert [e.reason for e in entry.events if isinstance(e, f.Cut)] == ["work"]


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "(" * 3000 + "1" + ")" * 3000,
        "x = " + "-" * 5000 + "1",
        "x = " + "+".join(["1"] * 5000),
        "x" + ".a" * 5000,
        "x" + "()" * 3000,
        "if a:\n    pass\n" + "elif b:\n    pass\n" * 2000,
        "".join(" " * n + "if a:\n" for n in range(300)) + " " * 300 + "pass\n",
        "\x00",
        "def f(:\n",
        "class A(A): pass\nclass A(A): pass\nA().b\n",
        "import main\nfrom main import *\n",
        "x = []\nx.append(x)\nprint(x)\n",
        "d = {}\nd['d'] = d\nprint(d, f'{d}')\n",
        "for i in " + "[" * 200 + "]" * 200 + ":\n    print(i)\n",
    ],
    ids=range(14),
)
def test_hostile_sources_end(text: str) -> None:
    entry = traced(text)
    specialise(entry, {})


ALPHABET = st.sampled_from(
    ["def f(cfg):\n", "    ", "return ", "cfg.a", "if x:\n", "for i in y:\n", "x = ", "[", "]",
     "(", ")", "f(", "lambda: ", "yield ", "*a", "**k", "with z as w:\n", "try:\n",
     "except E:\n", "class C(D):\n", "import m\n", "\n", ": ", ", ", "'s'", "f'{x}'", "1",
     "match x:\n", "case _:\n", "é",
     "while True:\n", "break\n", "del x\n", "x.y = 1\n", "@d\n", "global x\n", "pass\n"]
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(ALPHABET, max_size=40))
def test_any_text_has_a_trace_and_always_the_same(pieces: list[str]) -> None:
    files = {"src/main.py": "".join(pieces)}
    wanted = ["src.main", ""]
    # Another scanner does not remember the answer.
    first, again = SCANNER.trace(package(files), wanted), OTHER.trace(package(files), wanted)
    for name in wanted:
        entry = first.entry(name)
        assert entry is not None
        assert entry == again.entry(name)
        specialise(entry, CONFIG)
        view(first, entry, CONFIG, {})


def test_an_entry_that_is_no_module_has_no_trace() -> None:
    assert document(FILES, ["src.nothing"]).entry("src.nothing") is None


# ---- the command ----


def written(folder: Path) -> str:
    for path, text in FILES.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return str(folder)


def test_the_view_of_a_run(snapshot: SnapshotAssertion) -> None:
    traces = document(FILES, ["src.train"])
    entry = traces.entry("src.train")
    assert entry is not None
    lines = {path: text.split("\n") for path, text in FILES.items()}
    shown = view(traces, entry, CONFIG, lines)
    assert [(m.key, m.sure, m.found_at) for m in shown.missing] == [
        ("metrics", True, ("deep.metrics",))
    ]
    assert [
        f"{line.state!s:5} {'  ' * line.depth}{line.kind} {line.text} {line.value}".rstrip()
        for line in shown.lines
    ] == snapshot


def test_the_command_prints_each_entry(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    result = CliRunner().invoke(cli, ["trace", written(tmp_path), "--entry", "src.main"])
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in result.output.splitlines())
    assert result.output == snapshot


def test_the_command_writes_json(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["trace", written(tmp_path), "--format", "json"])
    assert result.exit_code == 0
    answer = json.loads(result.output)
    assert [e["entry"] for e in answer["entries"]] == ["src.main", "src.train"]
    assert {line["kind"] for line in answer["entries"][0]["lines"]} >= {"read", "library"}


def test_a_misspelt_entry_is_told_with_the_nearest(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["trace", written(tmp_path), "--entry", "src.trian"])
    assert result.exit_code == 2
    assert "src.train" in result.output


def test_the_command_composes_the_run_whose_values_it_shows(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    written(folder)
    (folder / "config" / "run").mkdir(parents=True)
    (folder / "config" / "config.yaml").write_text(
        "defaults:\n  - _self_\n  - run: ???\nmode: full\ntrial: false\nresults_dir: r\n"
    )
    (folder / "config" / "run" / "net-1.yaml").write_text("run_id: net-1\n")
    words = ["trace", str(folder), "--entry", "src.main", "--profile", "full-trial"]
    result = CliRunner().invoke(cli, [*words, "--run", "net-1", "--mode", "trial"])
    assert result.exit_code == 0
    assert "read run.run_id = 'net-1'" in result.output
    assert "read trial = False" in result.output


def test_a_mode_that_the_profile_does_not_have_is_told(tmp_path: Path) -> None:
    words = ["trace", written(tmp_path), "--profile", "full-trial", "--mode", "trail"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert "trial" in result.output
