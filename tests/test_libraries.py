"""The table of libraries: what its generator makes of wheels, what it says, whom it agrees with."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import version as installed_version
from pathlib import Path
from types import ModuleType

import pytest
from packaging.version import Version

import explint
from env_helpers import experiment, hits
from explint.environment.admitted import admitted_by
from explint.environment.conflicts import conflicts, is_empty
from explint.environment.libraries import Library, library, load, modules, releases
from explint.environment.view import environment_of
from explint.rules.libraries import unsatisfiable

ROOT = Path(__file__).resolve().parent.parent

TOOLS = """
from ._tools import old_helper, split
from .plain import *
from . import _hidden
from .shapes import Circle as Round

__all__ = ["split", "Round"]
answer: "Round | None" = None

def make(side, *, colour=None, **kwargs) -> Round:
    return _build(side, **kwargs)

def _build(side, depth=1, *, name="x"):
    return Round()

def swallow(**options):
    options["a"] = len(options)
    return options

def __getattr__(name):
    if name in ("lazy", "later"):
        return name
    raise AttributeError(name)
"""

SHAPES = """
from dataclasses import dataclass

class Shape:
    colour = "red"

    def __init__(self, side, *, depth=1):
        self.side = side
        self.name: str = ""

    def area(self, exact=False):
        return self.side

    @property
    def twin(self) -> "Circle":
        return self

class Circle(Shape):
    def radius(self, /, unit, *more):
        return unit

class Loose:
    def __getattr__(self, name):
        return name

@dataclass
class Options:
    size: int
    fast: bool = True

@dataclass
class MoreOptions(Options):
    seed: int = 0
"""

FIRST = {
    "shapely_like/__init__.py": TOOLS,
    "shapely_like/_tools.py": "def split(text, sep=None): ...\ndef old_helper(): ...\n",
    "shapely_like/_hidden.py": "",
    "shapely_like/plain.py": "def one(): ...\ndef _two(): ...\n",
    "shapely_like/shapes.py": SHAPES,
}
SECOND = FIRST | {
    "shapely_like/__init__.py": TOOLS.replace("old_helper, ", ""),
    "shapely_like/_tools.py": "def split(text, sep=None, *, limit=0): ...\n",
}

INPUT = """
[libraries]
shapely-like = { modules = ["shapely_like"], since = "1.0", all = true }
"""


def wheel(folder: Path, name: str, version: str, texts: Mapping[str, str], *lines: str) -> None:
    """Writes a wheel by hand: a zip with Python files and metadata."""
    stem = f"{name.replace('-', '_')}-{version}"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        for path, text in texts.items():
            archive.writestr(path, text)
        info = f"{stem}.dist-info"
        archive.writestr(f"{info}/METADATA", head + "".join(f"{line}\n" for line in lines))
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return importlib.import_module("refresh_libraries")
    finally:
        sys.path.remove(str(ROOT / "scripts"))


@pytest.fixture(scope="module")
def made(generator: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two releases of a stand-in library."""
    folder = tmp_path_factory.mktemp("wheels")
    needs = (
        "Requires-Python: >=3.9",
        "Requires-Dist: numpy>=1.20",
        "Requires-Dist: x; extra == 'y'",
    )
    wheel(folder, "shapely-like", "1.0.0", FIRST, *needs)
    wheel(folder, "shapely-like", "1.1.0", SECOND, *needs)
    source = folder / "libraries.toml"
    source.write_text(INPUT, encoding="utf-8")
    output = folder / "table"
    words = ["--offline", "--wheels", str(folder), "--input", str(source), "--output", str(output)]
    generator.main([*words, "--jobs", "1"])
    return output


@pytest.fixture(scope="module")
def tiny(made: Path) -> Library:
    return load(made, "shapely-like")


def test_the_index_says_where_the_table_comes_from(made: Path) -> None:
    row = json.loads((made / "index.json").read_text("utf-8"))["libraries"]["shapely-like"]
    first, second = row["releases"]
    assert (first["version"], second["version"]) == ("1.0.0", "1.1.0")
    assert first["file"] == "shapely_like-1.0.0-py3-none-any.whl"
    assert len(first["sha256"]) == 64
    assert first["requires"] == ["numpy>=1.20"]
    assert first["python"] == ">=3.9"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shapely_like.split", [True, True]),
        ("shapely_like.old_helper", [True, False]),
        ("shapely_like.one", [True, True]),
        ("shapely_like.lazy", [True, True]),
        ("shapely_like.nothing", [False, False]),
        ("shapely_like._private", [None, None]),
        ("shapely_like.shapes.Circle", [True, True]),
        ("shapely_like.shapes.nothing", [False, False]),
        ("shapely_like.Round.area", [True, True]),
        ("shapely_like.Round.nothing", [False, False]),
        ("shapely_like.Round().side", [True, True]),
        ("shapely_like.Round().twin.radius", [True, True]),
        ("shapely_like.Round().twin.nothing", [False, False]),
        ("shapely_like.make().radius", [True, True]),
        ("shapely_like.make().nothing", [False, False]),
        ("shapely_like.answer.nothing", [False, False]),
        ("shapely_like.swallow().nothing", [None, None]),
        ("shapely_like.make()[].nothing", [None, None]),
        ("shapely_like.shapes.Loose().nothing", [None, None]),
        ("elsewhere.nothing", [None, None]),
    ],
)
def test_names(tiny: Library, name: str, expected: list[bool | None]) -> None:
    assert tiny.attribute(name) == expected


@pytest.mark.parametrize(
    ("name", "keyword", "expected"),
    [
        ("shapely_like.split", "limit", [False, True]),
        ("shapely_like.make", "colour", [True, True]),
        ("shapely_like.make", "depth", [True, True]),
        ("shapely_like.make", "nothing", [False, False]),
        ("shapely_like.swallow", "nothing", [None, None]),
        ("shapely_like.Round", "depth", [True, True]),
        ("shapely_like.Round", "width", [False, False]),
        ("shapely_like.Round().area", "exact", [True, True]),
        ("shapely_like.Round().area", "self", [False, False]),
        ("shapely_like.Round().radius", "unit", [True, True]),
        ("shapely_like.shapes.MoreOptions", "size", [True, True]),
        ("shapely_like.shapes.MoreOptions", "nothing", [False, False]),
        ("shapely_like.lazy", "nothing", [None, None]),
    ],
)
def test_keywords(tiny: Library, name: str, keyword: str, expected: list[bool | None]) -> None:
    assert tiny.accepts(name, keyword) == expected


def test_the_same_wheels_make_the_same_table(
    generator: ModuleType, made: Path, tmp_path: Path
) -> None:
    words = [
        "--offline",
        "--wheels",
        str(made.parent),
        "--input",
        str(made.parent / "libraries.toml"),
    ]
    generator.main([*words, "--output", str(tmp_path), "--jobs", "1"])
    name = "shapely-like.msgpack"
    assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


# ---- the table that ships ----


@pytest.mark.parametrize("name", sorted(set(modules().values())))
def test_every_library_has_provenance_and_a_table(name: str) -> None:
    rows = releases(name)
    versions = [row.version for row in rows]
    assert versions == sorted(versions)
    assert len(versions) > 1
    table = library(name)
    assert table is not None
    for module in table.modules:
        assert table.attribute(module)[-1] is True


@pytest.mark.parametrize(
    ("name", "newest"),
    [
        ("omegaconf.OmegaConf.deepcopy", False),
        ("omegaconf.OmegaConf.to_json", False),
        ("omegaconf.OmegaConf.to_container", True),
        ("hydra.utils.get_original_cli_args", False),
        ("hydra.utils.get_original_cwd", True),
        ("scipy.stats.binom_test", False),
        ("scipy.stats.binomtest", True),
        ("numpy.float", False),
        ("numpy.bool", True),
        ("wandb.init().get_url", False),
        ("wandb.init().url", True),
        ("datasets.load_metric", False),
        ("transformers.AdamW", False),
        ("transformers.AutoModel", True),
    ],
)
def test_known_names(name: str, newest: bool) -> None:
    table = library(modules()[name.partition(".")[0]])
    assert table is not None
    assert table.attribute(name)[-1] is newest


def test_an_argument_that_came_with_a_release() -> None:
    table = library("timm")
    assert table is not None
    states = table.accepts("timm.create_model", "cache_dir")
    assert (states[0], states[-1]) == (False, True)


def test_torchvision_still_takes_the_old_argument() -> None:
    """`handle_legacy_interface` maps `pretrained` to `weights`, with a warning."""
    table = library("torchvision")
    assert table is not None
    assert False not in table.accepts("torchvision.models.resnet18", "pretrained")


@pytest.mark.differential
@pytest.mark.parametrize("root", ["hydra", "omegaconf", "optuna", "pandas"])
def test_the_installed_library_has_nothing_that_the_table_denies(root: str) -> None:
    table = library(modules()[root])
    assert table is not None
    installed = Version(installed_version(table.name))
    numbers = [n for n, row in enumerate(table.releases) if row.version == installed]
    if not numbers:
        pytest.skip(f"{table.name} {installed} is not in the table")
    denied = []
    for module in sorted(name for name in table._blobs if "_" not in name):
        try:
            real = importlib.import_module(module)
        except ImportError:
            continue
        for name, value in vars(real).items():
            dotted = f"{module}.{name}"
            if table.attribute(dotted)[numbers[0]] is False:
                denied.append(dotted)
            if isinstance(value, Callable) and not name.startswith("_"):  # type: ignore[arg-type]
                denied += _denied_keywords(table, dotted, value, numbers[0])
    assert not denied


def _denied_keywords(
    table: Library, dotted: str, value: Callable[..., object], number: int
) -> list[str]:
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    taken = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [
        f"{dotted}({parameter.name}=)"
        for parameter in parameters
        if parameter.kind in taken and table.takes(dotted, parameter.name, number) is False
    ]


# ---- requirements that exclude each other ----


@pytest.mark.parametrize(
    ("specifier", "expected"),
    [
        ("", False),
        (">=1,<2", False),
        (">=2,<2", True),
        (">=2,<=2", False),
        (">2,<=2", True),
        ("~=1.4,<1.4", True),
        ("~=1.4,>=2", True),
        ("~=1.4,>=1.9", False),
        ("==1.*,>=2", True),
        ("==1.5,>=1.4", False),
        ("==1.5,<1.5", True),
        ("==1.5,==1.6", True),
        ("!=1.5", False),
    ],
)
def test_empty_sets_of_versions(specifier: str, expected: bool) -> None:
    from packaging.specifiers import SpecifierSet

    assert is_empty(SpecifierSet(specifier)) is expected


UV = Path(sys.executable).parent / "uv"
PROJECTS = [
    (">=3.11", ["torch==2.4.1", "torchvision==0.19.1"]),
    (">=3.11", ["torch==2.4.1", "torchvision==0.17.0"]),
    (">=3.11", ["torch>=2.4", "torchvision==0.17.0"]),
    (">=3.11", ["torch<2.5", "torchvision==0.19.1"]),
    (">=3.11", ["torch>=2.5,<2.7", "torchvision>=0.16,<0.18"]),
    (">=3.11", ["torch>=2.0", "torchvision>=0.16,<0.20"]),
    (">=3.11", ["torch", "torchvision"]),
    (">=3.9", ["numpy==2.2.6"]),
    (">=3.10", ["numpy==2.2.6"]),
    (">=3.9", ["numpy>=1.26"]),
    (">=3.11", ["numpy>=2.0,<1.26"]),
]


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels with the metadata of the releases in the table, and every torch they ask for."""
    folder = tmp_path_factory.mktemp("index")
    torches = {release.version for release in releases("torch")}
    for name in ("torchvision", "numpy"):
        for release in releases(name):
            needs = [str(r) for r in release.requires if r.name == "torch"]
            torches |= {Version(need.rpartition("==")[2]) for need in needs if "==" in need}
            python = f"Requires-Python: {release.python}"
            lines = [f"Requires-Dist: {need}" for need in needs]
            wheel(folder, name, str(release.version), {}, python, *lines)
    for version in sorted(torches):
        wheel(folder, "torch", str(version), {}, "Requires-Python: >=3.8")
    return folder


@pytest.mark.differential
@pytest.mark.parametrize(("python", "requirements"), PROJECTS, ids=str)
def test_uv_finds_no_solution_where_a_conflict_is_told(
    stand_ins: Path, tmp_path: Path, python: str, requirements: list[str]
) -> None:
    if not UV.exists():
        pytest.skip("uv is not installed beside this Python")
    lines = ", ".join(f'"{requirement}"' for requirement in requirements)
    text = '[project]\nname = "demo"\nversion = "0.1.0"\n'
    text += f'requires-python = "{python}"\ndependencies = [{lines}]\n'
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    command = [str(UV), "lock", "--offline", "--no-index", "--find-links", str(stand_ins)]
    command += ["--no-cache", "--no-config", "--python", sys.executable]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    admitted = admitted_by(environment_of(experiment({"pyproject.toml": text})))
    assert admitted is not None
    told = list(conflicts(admitted))
    assert bool(told) == (done.returncode != 0), done.stderr
    if done.returncode:
        assert "No solution found" in done.stderr


LOCKS = [
    (["torch==2.4.1", "torchvision==0.19.1"], True),
    (["torch==2.4.1"], True),
    (["torch>=2.4", "torchvision==0.17.0"], False),
    (["torch==2.3.1", "torchvision==0.19.1"], False),
]


@pytest.mark.differential
@pytest.mark.parametrize(("requirements", "solvable"), LOCKS, ids=str)
def test_uv_resolves_anew_where_the_lock_is_left_behind(
    stand_ins: Path, tmp_path: Path, requirements: list[str], solvable: bool
) -> None:
    if not UV.exists():
        pytest.skip("uv is not installed beside this Python")
    command = [str(UV), "lock", "--offline", "--no-index", "--find-links", str(stand_ins)]
    command += ["--no-cache", "--no-config", "--python", sys.executable]
    head = '[project]\nname = "demo"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'

    def lock(wanted: list[str]) -> int:
        lines = ", ".join(f'"{requirement}"' for requirement in wanted)
        text = f"{head}dependencies = [{lines}]\n"
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert lock(["torch==2.4.1", "torchvision==0.19.1"]) == 0
    files: dict[str, str | None] = {"uv.lock": (tmp_path / "uv.lock").read_text("utf-8")}
    assert (lock(requirements) == 0) is solvable
    files["pyproject.toml"] = (tmp_path / "pyproject.toml").read_text("utf-8")
    assert (not hits(unsatisfiable, experiment(files))) is solvable


def test_the_lock_file_of_a_folder_is_read(tmp_path: Path) -> None:
    for path, text in {
        "pyproject.toml": '[project]\nname = "d"\nversion = "0"\ndependencies = ["scipy"]\n',
        "uv.lock": 'version = 1\n\n[[package]]\nname = "scipy"\nversion = "1.11.4"\n',
        "src/main.py": "from scipy.stats import binom_test\nfrom numpy import trapz\n",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    report = explint.check(tmp_path, select=["env/api-not-in-version"], isolated=True)
    assert not report.packages[0].findings
    (tmp_path / "uv.lock").unlink()
    report = explint.check(tmp_path, select=["env/api-not-in-version"], isolated=True)
    assert [finding.line for finding in report.packages[0].findings] == [1, 2]


def test_a_lock_file_decides() -> None:
    files: dict[str, str | None] = {
        "pyproject.toml": '[project]\nname = "d"\nversion = "0"\ndependencies = ["scipy>=1.9"]\n',
        "uv.lock": 'version = 1\n\n[[package]]\nname = "scipy"\nversion = "1.11.4"\n',
    }
    admitted = admitted_by(environment_of(experiment(files)))
    assert admitted is not None
    choice = admitted.choice("scipy")
    assert choice is not None
    assert [str(choice.releases[n].version) for n in choice.newest] == ["1.11.4"]
    # A lock that pyproject.toml has left behind is written anew.
    text = str(files["pyproject.toml"]).replace("scipy>=1.9", "scipy==1.12.0")
    left_behind = admitted_by(environment_of(experiment(files | {"pyproject.toml": text})))
    assert left_behind is not None
    choice = left_behind.choice("scipy")
    assert choice is not None
    assert [str(choice.releases[n].version) for n in choice.newest] == ["1.12.0"]
    # One whose text is not there may say anything.
    assert admitted_by(environment_of(experiment(files | {"uv.lock": None}))) is None
