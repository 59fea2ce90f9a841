"""Writes deterministic corpora of generated-looking experiment packages, some with seeded defects.

    python benches/corpus.py OUT --packages 1000 --seed 7 --defective 0.5

Every package has the seven files of the protocol (30 to 45 KB of Python) and two run configs.
Names, constants and the choice of building blocks depend on the seed and the package's number, so
sound packages never share a Python file. ``OUT/truth.jsonl`` lists the seeded defects, one per
line: ``{"package", "rule", "path", "line"}`` with line 0 for a file as a whole. Packages without a
line in it are sound: a finding of the families structure and complete in them is wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

TEMPLATES = Path(__file__).resolve().parent / "templates"

PREFIXES = tuple(
    "Adaptive Balanced Calibrated Curvature Decoupled Elastic Entropic Factored Gated Harmonic "
    "Iterative Layered Momentum Nested Orthogonal Projected Quantile Recurrent Sparse Tempered "
    "Unified Variational Weighted".split()
)
NOUNS = tuple(
    "Alignment Annealing Consistency Contrast Curriculum Distillation Dropout Ensembling Matching "
    "Mixing Normalisation Pruning Regularisation Rescaling Reweighting Rotation Sampling "
    "Sharpening Smoothing Warping".split()
)
IDEAS = (
    "uncertain examples count for less as training goes on",
    "scores are kept from growing without bound",
    "the margin between the right class and the next one is widened",
    "predictions under a softened temperature agree with the sharp ones",
    "the entropy of the predictions is held down",
)
STRENGTHS = ("strength", "coupling", "penalty_weight", "mixing_rate", "regularisation")
# The datasets of torchvision differ in how a part of them is named.
_BY_FLAG = ("train=True", "train=False")
_BY_SPLIT = ('split="train"', 'split="test"')
IMAGES = (
    ("CIFAR10", 10, _BY_FLAG),
    ("CIFAR100", 100, _BY_FLAG),
    ("SVHN", 10, _BY_SPLIT),
    ("STL10", 10, _BY_SPLIT),
    ("GTSRB", 43, _BY_SPLIT),
)
TEXTS = (
    ("ag_news", "text", 4),
    ("imdb", "text", 2),
    ("rotten_tomatoes", "text", 2),
    ("dbpedia_14", "content", 14),
    ("trec", "text", 6),
)
TABLES = ("adult", "covertype", "letter", "phoneme", "satimage", "vehicle")
CURVES = (
    ("train_loss", "training loss"),
    ("train_accuracy", "training accuracy"),
    ("validation_loss", "validation loss"),
    ("validation_accuracy", "validation accuracy"),
    ("gradient_norm", "norm of the gradients"),
    ("learning_rate", "learning rate"),
)
COMPARISONS = (
    ("test_accuracy", "test accuracy"),
    ("test_loss", "test loss"),
    ("best_validation_accuracy", "best validation accuracy"),
    ("training_seconds", "seconds of training"),
    ("parameters", "number of weights"),
)
BLOCKS = tuple(
    "residual gate patches attention feedforward adapter spectral depth prototype focal contrast "
    "average".split()
)

Files = dict[str, str | bytes]


@dataclass(frozen=True, slots=True)
class Defect:
    """A seeded defect: the rule that has to name it, and where. Line 0 is the file as a whole."""

    rule: str
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class SeededPackage:
    """A package's files with the defects they hold."""

    name: str
    files: Files
    defects: tuple[Defect, ...]


@cache
def blocks(name: str) -> dict[str, Template]:
    """The named blocks of a template file; what precedes the first one is called ``head``."""
    parts = re.split(r"^#--- (\w+)\n", (TEMPLATES / f"{name}.txt").read_text("utf-8"), flags=re.M)
    return {
        block: Template(text.strip("\n"))
        for block, text in zip(["head", *parts[1::2]], parts[0::2], strict=True)
    }


def joined(parts: list[str]) -> str:
    """Blocks of Python, two blank lines apart."""
    return "\n\n\n".join(parts) + "\n"


class Experiment:
    """The choices behind one package, drawn once so that its files fit together."""

    def __init__(self, number: int, rng: random.Random) -> None:
        self.rng = rng
        self.prefix, self.noun = rng.choice(PREFIXES), rng.choice(NOUNS)
        self.method = f"{self.prefix} {self.noun}"
        self.slug = self.method.lower().replace(" ", "_")
        self.strength = rng.choice(STRENGTHS)
        self.kind = rng.choice(("image", "token", "table"))
        self.modes = rng.random() < 0.7
        self.loaders: list[tuple[str, str]] = []
        self.title = f"study {number}, {self.method} against a plain baseline"

    def number(self, low: float, high: float, digits: int = 4) -> str:
        """A constant that hardly any other package shares."""
        return str(round(self.rng.uniform(low, high), digits))

    def files(self) -> Files:
        """The whole package."""
        preprocess = self._preprocess()
        train = self._train()
        run_ids = [f"proposed-{self.slug}-{self.data}", f"comparative-1-baseline-{self.data}"]
        return {
            "pyproject.toml": self._pyproject(),
            "config/config.yaml": self._config(),
            f"config/run/{run_ids[0]}.yaml": self._run(run_ids[0], self.slug),
            f"config/run/{run_ids[1]}.yaml": self._run(run_ids[1], "baseline"),
            "src/main.py": self._main(),
            "src/train.py": train,
            "src/preprocess.py": preprocess,
            "src/model.py": self._model(),
            "src/evaluate.py": self._evaluate(),
        }

    @property
    def data(self) -> str:
        """The data set that both runs use: one of the kind the model takes."""
        return next(slug for slug, kind in self.loaders if kind == self.kind)

    def _main(self) -> str:
        if self.modes:
            values = {
                "modes_constant": 'MODES = ("trial", "full")\n',
                "check_switch": (
                    "    if cfg.mode not in MODES:\n"
                    '        raise ValueError(f"no mode {cfg.mode!r}; there are trial and full")\n'
                ),
                "switch_argument": 'f"mode={cfg.mode}"',
            }
        else:
            values = {
                "modes_constant": "",
                "check_switch": (
                    "    if not isinstance(cfg.trial_mode, bool):\n"
                    '        raise ValueError(f"trial_mode is {cfg.trial_mode!r}, not a truth")\n'
                ),
                "switch_argument": 'f"trial_mode={str(cfg.trial_mode).lower()}"',
            }
        return blocks("main")["head"].substitute(values, title=self.title) + "\n"

    def _preprocess(self) -> str:
        rng, parts = self.rng, blocks("preprocess")
        bodies = []
        for kind in sorted(
            {self.kind, *rng.sample(("image", "token", "table"), rng.randint(1, 3))}
        ):
            for _ in range(rng.randint(1, 2)):
                bodies += self._loader(kind)
        registry = "\n".join(f'    "{slug}": load_{slug},' for slug, _ in self.loaders)
        datasets = ", ".join(slug for slug, _ in self.loaders)
        return joined(
            [
                parts["head"].substitute(title=self.title, datasets=datasets),
                *bodies,
                parts["tail"].substitute(registry=registry),
            ]
        )

    def _loader(self, kind: str) -> list[str]:
        """One loader of the kind, unless the one drawn is there already."""
        rng, parts = self.rng, blocks("preprocess")
        if kind == "image":
            vision, classes, (training, test) = rng.choice(IMAGES)
            slug, block = vision.lower(), "image"
            values = {
                "Name": vision,
                "Vision": vision,
                "training_part": training,
                "test_part": test,
                "classes": str(classes),
                "padding": str(rng.randint(2, 8)),
                "flip": self.number(0.1, 0.9),
                **{f"m{i}": self.number(0.4, 0.6) for i in (1, 2, 3)},
                **{f"s{i}": self.number(0.2, 0.3) for i in (1, 2, 3)},
            }
        elif kind == "token":
            hub, column, count = rng.choice(TEXTS)
            slug, block = hub, "text"
            values = {"Name": hub, "hub": hub, "column": column, "classes": str(count)}
        else:
            hub = rng.choice(TABLES)
            slug, block = hub, "features"
            values = {"Name": hub.title(), "hub": hub, "clip": self.number(2, 6)}
        if (slug, kind) in self.loaders:
            return []
        self.loaders.append((slug, kind))
        return [parts[block].substitute(values, slug=slug)]

    def _model(self) -> str:
        rng, parts = self.rng, blocks("model")
        chosen = []
        for block in sorted(rng.sample(BLOCKS, rng.randint(2, 5))):
            chosen.append(
                parts[block].substitute(
                    Prefix=rng.choice(PREFIXES) + rng.choice(NOUNS),
                    kernel=str(rng.choice((3, 5, 7))),
                    momentum=self.number(0.01, 0.3),
                    reduction=str(rng.choice((4, 8, 16))),
                    temperature=self.number(0.05, 4.0),
                    patch=str(rng.choice((4, 8, 16))),
                    init_std=self.number(0.01, 0.05),
                    expansion=str(rng.randint(2, 6)),
                    epsilon=self.number(0.00001, 0.001, 6),
                    rank=str(rng.choice((2, 4, 8, 16))),
                    alpha=self.number(4, 32),
                    modes=str(rng.randint(4, 32)),
                    drop=self.number(0.05, 0.4),
                    sharpness=self.number(5, 30),
                    gamma=self.number(0.5, 4),
                    smoothing=self.number(0.01, 0.2),
                    warm=str(rng.randint(10, 500)),
                    decay=self.number(0.9, 0.9999),
                )
            )
        head = parts["head"].substitute(title=self.title, init_std=self.number(0.01, 0.05))
        tail = parts["tail"].substitute(heads=str(rng.choice((2, 4, 8))))
        return joined([head, *chosen, tail])

    def _train(self) -> str:
        rng, parts = self.rng, blocks("train")
        proposed = parts[rng.choice(("proposed", "margin", "noise"))].substitute(
            method_slug=self.slug,
            Method=self.method,
            idea=rng.choice(IDEAS),
            strength=self.strength,
            epsilon="1e-8",
            margin=self.number(0.1, 2),
            temperature=self.number(1, 5),
            smoothing=self.number(0.01, 0.2),
        )
        trial = 'str(cfg.mode) == "trial"' if self.modes else "bool(cfg.trial_mode)"
        head = parts["head"].substitute(
            title=self.title,
            trial_batches=str(rng.choice((1, 2))),
            clip_norm=self.number(0.5, 5),
            trial_test=trial,
            beta1=self.number(0.8, 0.95),
            beta2=self.number(0.95, 0.999),
            momentum=self.number(0.8, 0.99),
            floor=self.number(0.01, 0.2),
        )
        registry = f'    "{self.slug}": {self.slug},\n    "baseline": baseline,'
        tail = parts["tail"].substitute(registry=registry)
        return joined([head, proposed, parts["baseline"].template, tail])

    def _evaluate(self) -> str:
        rng, parts = self.rng, blocks("evaluate")
        curves = rng.sample(CURVES, rng.randint(2, 4))
        comparisons = rng.sample(COMPARISONS, rng.randint(2, 3))
        drawn = [
            parts[block].substitute(
                slug=column,
                column=column,
                Label=label.capitalize(),
                label=label,
                window=str(rng.randint(3, 50)),
                figure_width=self.number(4, 9, 1),
                figure_height=self.number(3, 6, 1),
                rotation=str(rng.choice((0, 15, 30, 45))),
            )
            for block, columns in (("curve", curves), ("comparison", comparisons))
            for column, label in columns
        ]
        head = parts["head"].substitute(
            title=self.title,
            confidence=rng.choice(("0.9", "0.95", "0.99")),
            samples=str(rng.randint(1000, 100_000)),
        )
        tail = parts["tail"].substitute(
            rounds=str(rng.randint(500, 5000)),
            bootstrap_seed=str(rng.randint(0, 10_000)),
            curve_calls="\n".join(f"        plot_{c}(data, folder)" for c, _ in curves),
            comparison_calls="\n".join(f"    compare_{c}(runs, folder)" for c, _ in comparisons),
        )
        return joined([head, *drawn, tail])

    def _pyproject(self) -> str:
        names = "datasets hydra-core matplotlib numpy omegaconf optuna pandas scikit-learn scipy"
        more = "torch torchvision transformers wandb"
        dependencies = "".join(f'    "{name}",\n' for name in f"{names} {more}".split())
        return (
            f'[project]\nname = "{self.slug.replace("_", "-")}"\nversion = "0.1.0"\n'
            f'requires-python = ">=3.11"\ndependencies = [\n{dependencies}]\n\n'
            "[tool.uv]\npackage = false\n"
        )

    def _config(self) -> str:
        switch = "mode: ???" if self.modes else "trial_mode: false"
        return (
            f"defaults:\n  - _self_\n  - run: ???\n\nresults_dir: ???\n{switch}\n\n"
            f"wandb:\n  entity: example-lab\n  project: {self.slug.replace('_', '-')}\n"
            "  mode: online\n"
        )

    def _run(self, run_id: str, method: str) -> str:
        rng = self.rng
        extra = {
            "image": "  image_size: 32\n",
            "token": f"  max_length: {rng.choice((64, 128, 256))}\n",
            "table": "  test_fraction: 0.2\n",
        }[self.kind]
        sizes = {
            "image": f"  widths: [{rng.randint(16, 64)}, {rng.randint(64, 128)}, 256]\n",
            "token": (
                "  tokenizer: bert-base-uncased\n  vocabulary: 30522\n"
                f"  width: {rng.choice((128, 256))}\n  depth: {rng.randint(2, 6)}\n"
            ),
            "table": f"  width: {rng.choice((64, 128, 256))}\n  depth: {rng.randint(2, 6)}\n",
        }[self.kind]
        setting = "label_smoothing" if method == "baseline" else self.strength
        return (
            f"run_id: {run_id}\n"
            f"method:\n  name: {method}\n  {setting}: {self.number(0.01, 0.5)}\n"
            f"model:\n  kind: {self.kind}\n  dropout: {self.number(0, 0.5)}\n{sizes}"
            f"dataset:\n  name: {self.data}\n  seed: {rng.randint(0, 9999)}\n"
            f"  validation_fraction: {self.number(0.05, 0.3)}\n{extra}"
            f"training:\n  epochs: {rng.randint(3, 100)}\n"
            f"  batch_size: {rng.choice((16, 32, 64, 128))}\n"
            f"  learning_rate: {self.number(0.0001, 0.01, 6)}\n"
            f"  weight_decay: {self.number(0.0001, 0.1)}\n"
            f"  warmup_fraction: {self.number(0.01, 0.2)}\n"
            f"  optimizer: {rng.choice(('adamw', 'sgd'))}\n  seed: {rng.randint(0, 9999)}\n"
            f"optuna:\n  n_trials: {rng.randint(5, 50)}\n  direction: maximize\n"
            "  batches_per_trial: 50\n  search_spaces:\n    learning_rate:\n      type: float\n"
            "      low: 0.0001\n      high: 0.1\n      log: true\n"
            "      target: run.training.learning_rate\n"
        )


def text_of(files: Files, path: str) -> str:
    """A file's text; the generator's own files are text before a defect is seeded."""
    content = files[path]
    if isinstance(content, bytes):
        raise TypeError(f"{path} holds bytes")
    return content


def append(files: Files, path: str, code: str, marker: str) -> int:
    """Adds ``code`` above the entry point, or at the end; the line of ``marker`` afterwards."""
    text = text_of(files, path)
    at = text.find('if __name__ == "__main__":')
    addition = code.strip("\n") + "\n"
    if at < 0:
        files[path] = text + "\n\n" + addition
    else:
        files[path] = text[:at] + addition + "\n\n" + text[at:]
    return line_of(files, path, marker)


def replace(files: Files, path: str, old: str, new: str, marker: str) -> int:
    """Replaces the first ``old``; the line of ``marker`` afterwards."""
    text = text_of(files, path)
    if old not in text:
        raise ValueError(f"{path} holds no {old!r}")
    files[path] = text.replace(old, new, 1)
    return line_of(files, path, marker)


def line_of(files: Files, path: str, marker: str) -> int:
    """The 1-based line where ``marker`` first stands."""
    text = text_of(files, path)
    return text.count("\n", 0, text.index(marker)) + 1


def missing_file(files: Files, _: random.Random) -> int:
    del files["src/evaluate.py"]
    return 0


def empty_file(files: Files, rng: random.Random) -> int:
    files["src/evaluate.py"] = rng.choice(("", "\n\n", "# evaluation of the runs\n"))
    return 0


def unexpected_file(files: Files, rng: random.Random) -> int:
    files["setup.py"] = f'"""Installs nothing."""\n\nVERSION = "{rng.randint(0, 9)}"\n'
    return 0


def unreadable_file(files: Files, rng: random.Random) -> int:
    data = bytearray(text_of(files, "src/evaluate.py").encode())
    data[rng.randrange(len(data))] = 0xFF
    files["src/evaluate.py"] = bytes(data)
    return 0


def gutted_module(files: Files, rng: random.Random) -> int:
    number = rng.randint(0, 9999)
    files["src/main.py"] = (
        f'"""Starts experiment {number}."""\n\n\ndef main() -> None:\n'
        f'    """Says that it starts."""\n    print("starting experiment {number}")\n\n\n'
        'if __name__ == "__main__":\n    main()\n'
    )
    return 0


def module_shim(files: Files, rng: random.Random) -> int:
    name = f"src.metrics_{rng.randint(0, 99)}"
    replace(files, "src/evaluate.py", "import sys\n", "import sys\nimport types\n", "import types")
    shim = f'sys.modules["{name}"] = types.ModuleType("{name}")\n\nPRIMARY ='
    return replace(files, "src/evaluate.py", "PRIMARY =", shim, "sys.modules[")


def syntax_error(files: Files, rng: random.Random) -> int:
    name = rng.choice(("finite(value: Any) -> Any", "wandb_path() -> str"))
    return replace(files, "src/evaluate.py", f"def {name}:", f"def {name}", f"def {name}")


def todo_marker(files: Files, rng: random.Random) -> int:
    what = rng.choice(("load the other splits", "handle missing labels", "tune the padding"))
    note = f"    # TODO: {what}\n    order ="
    return replace(files, "src/preprocess.py", "    order =", note, "# TODO")


def placeholder_body(files: Files, rng: random.Random) -> int:
    body = rng.choice(("pass", "...", "raise NotImplementedError"))
    code = f"def distil(teacher: nn.Module, student: nn.Module) -> nn.Module:\n    {body}\n"
    return append(files, "src/model.py", code, "def distil")


def omission_note(files: Files, rng: random.Random) -> int:
    what = rng.choice(("The remaining heads are", "The rest of the code is"))
    note = f"\n# {what} omitted for brevity.\ndef build_model("
    return replace(files, "src/model.py", "\ndef build_model(", note, "omitted for brevity")


def truncated_code(files: Files, _: random.Random) -> int:
    path = "src/evaluate.py"
    text = text_of(files, path)
    files[path] = text[: text.index('"best_proposed": None')]
    return 0


def constant_stub(files: Files, rng: random.Random) -> int:
    code = (
        "def compute_calibration_error(logits: torch.Tensor, labels: torch.Tensor) -> float:\n"
        f"    return 0.{rng.randint(1, 99):02}\n"
    )
    return append(files, "src/train.py", code, "def compute_calibration_error")


def undefined_name(files: Files, rng: random.Random) -> int:
    name = rng.choice(("batch_to_device", "move_batch"))
    call = f"{name}(batch, device)"
    return replace(files, "src/train.py", "to_device(batch, device)", call, call)


def unresolved_import(files: Files, _: random.Random) -> int:
    old, new = "import build_model, count_parameters", "import build_model, build_teacher"
    text = text_of(files, "src/train.py")
    files["src/train.py"] = text.replace('count_parameters(model)["total"]', "str(build_teacher)")
    return replace(files, "src/train.py", old, new, "from .model import")


def unbound_local(files: Files, rng: random.Random) -> int:
    code = (
        "def running_mean(values: list[float]) -> float:\n"
        f'    """The mean of the last {rng.randint(2, 9)} values."""\n'
        "    total = total + sum(values)\n    return total / max(1, len(values))\n"
    )
    return append(files, "src/train.py", code, "    total = total")


def swallowed_error(files: Files, rng: random.Random) -> int:
    code = (
        "def warm_up(model: nn.Module, batches: Iterable, optimizer: Any) -> None:\n"
        f'    """A few steps before the first epoch, {rng.randint(2, 99)} at most."""\n'
        "    for batch in batches:\n        try:\n            optimizer.zero_grad()\n"
        "            loss = forward(model, batch).mean()\n            loss.backward()\n"
        "            optimizer.step()\n        except Exception:\n            continue\n"
    )
    return append(files, "src/train.py", code, "        except Exception:")


def no_project(files: Files, _: random.Random) -> int:
    path = "config/config.yaml"
    files[path] = re.sub(r"  project: .*\n", "", text_of(files, path))
    return 0


SEEDERS: dict[str, tuple[str, Callable[[Files, random.Random], int]]] = {
    "structure/missing-file": ("src/evaluate.py", missing_file),
    "structure/empty-file": ("src/evaluate.py", empty_file),
    "structure/unexpected-file": ("setup.py", unexpected_file),
    "structure/unreadable-file": ("src/evaluate.py", unreadable_file),
    "structure/gutted-module": ("src/main.py", gutted_module),
    "structure/module-shim": ("src/evaluate.py", module_shim),
    "complete/syntax-error": ("src/evaluate.py", syntax_error),
    "complete/todo-marker": ("src/preprocess.py", todo_marker),
    "complete/placeholder-body": ("src/model.py", placeholder_body),
    "complete/omission-note": ("src/model.py", omission_note),
    "complete/truncated-code": ("src/evaluate.py", truncated_code),
    "complete/constant-stub": ("src/train.py", constant_stub),
    "complete/undefined-name": ("src/train.py", undefined_name),
    "complete/unresolved-import": ("src/train.py", unresolved_import),
    "complete/unbound-local": ("src/train.py", unbound_local),
    "complete/swallowed-error": ("src/train.py", swallowed_error),
    "wandb/no-project": ("config/config.yaml", no_project),
}
"""Rule to the file it is seeded into and how. A file takes one defect, so that each stays alone."""


def make(number: int, *, seed: int = 0, defective: float = 0.5) -> SeededPackage:
    """Package ``number`` of the corpus ``seed``; ``defective`` is the share that holds defects."""
    rng = random.Random(f"{seed}/{number}")
    files = Experiment(number, rng).files()
    defects: dict[str, Defect] = {}
    if rng.random() < defective:
        for rule in rng.sample(sorted(SEEDERS), rng.randint(1, 3)):
            path, seeder = SEEDERS[rule]
            if path not in defects:
                defects[path] = Defect(rule, path, seeder(files, rng))
    return SeededPackage(f"package-{number:05}", files, tuple(defects.values()))


def corpus(count: int, *, seed: int = 0, defective: float = 0.5) -> Iterator[SeededPackage]:
    """The first ``count`` packages of a corpus; a longer one begins with the same packages."""
    return (make(number, seed=seed, defective=defective) for number in range(count))


def write(folder: Path, packages: Iterator[SeededPackage]) -> int:
    """Writes packages and their ``truth.jsonl``; the bytes of Python written."""
    folder.mkdir(parents=True, exist_ok=True)
    size = 0
    with (folder / "truth.jsonl").open("w", encoding="utf-8", newline="\n") as truth:
        for package in packages:
            for path, content in package.files.items():
                target = folder / package.name / path
                target.parent.mkdir(parents=True, exist_ok=True)
                data = content.encode() if isinstance(content, str) else content
                target.write_bytes(data)
                size += len(data) if path.endswith(".py") else 0
            for defect in package.defects:
                row: dict[str, str | int] = {"package": package.name, "rule": defect.rule}
                row |= {"path": defect.path, "line": defect.line}
                truth.write(json.dumps(row) + "\n")
    return size


def main() -> None:
    """Writes a corpus as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--packages", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="which corpus (default: 0)")
    parser.add_argument("--defective", type=float, default=0.5, help="share with seeded defects")
    words = parser.parse_args()
    packages = corpus(words.packages, seed=words.seed, defective=words.defective)
    size = write(words.out, packages)
    print(f"{words.packages} packages with {size / 1e6:.1f} MB of Python in {words.out}")


if __name__ == "__main__":
    main()
