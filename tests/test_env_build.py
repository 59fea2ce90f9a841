"""env/build-fails against the build backends: the same projects cannot be built.

Each project is really built, as uv builds it (an editable wheel), by the backends that are
installed beside the tests; a backend that is not installed skips its cases and says so.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from env_helpers import PROJECT
from explint.environment.build import Tree, Undecided, build_problem
from explint.environment.pyproject import Problem, Pyproject, problems, read_pyproject

BUILD_SYSTEMS = {
    "hatchling": ("hatchling", "hatchling.build"),
    "setuptools": ("setuptools", "setuptools.build_meta"),
    "poetry.core": ("poetry-core", "poetry.core.masonry.api"),
    "flit_core": ("flit_core", "flit_core.buildapi"),
    "uv_build": ("uv_build", "uv_build"),
    "pdm.backend": ("pdm-backend", "pdm.backend"),
}
STUDY = ["src/main.py", "src/train.py", "config/config.yaml", "data/.gitkeep", "models/.gitkeep"]
LAYOUTS = {
    "a study": STUDY,
    "a package beside it": [*STUDY, "demo/__init__.py"],
    "a package in src": [*STUDY, "src/demo/__init__.py"],
    "a folder without init": [*STUDY, "demo/model.py"],
    "a folder in src without init": [*STUDY, "src/demo/model.py"],
    "a module beside it": [*STUDY, "demo.py"],
    "a module in src": [*STUDY, "src/demo.py"],
    "src as a package": [*STUDY, "src/__init__.py"],
    "a namespace": [*STUDY, "lab/demo/__init__.py"],
    "no src, folders": ["main.py", "conf/config.yaml", "outputs/log.txt"],
    "no src, modules": ["main.py", "train.py"],
    "no src, one folder": ["main.py", "train.py", "conf/config.yaml", "tests/a.py", ".ci/a.py"],
}


def build_system(backend: str, requires: str | None = None) -> str:
    distribution, name = BUILD_SYSTEMS[backend]
    return f'[build-system]\nrequires = ["{requires or distribution}"]\nbuild-backend = "{name}"\n'


def builds(folder: Path, backend: str) -> tuple[bool, str]:
    """Whether the backend makes an editable wheel of the folder, and what it says."""
    # uv asks for the requirements first, and setuptools judges the settings already there.
    script = (
        "import importlib, sys\n"
        "backend = importlib.import_module(sys.argv[1])\n"
        "getattr(backend, 'get_requires_for_build_editable', lambda: [])()\n"
        "backend.build_editable('../wheels')\n"
    )
    wheels = folder.parent / "wheels"
    wheels.mkdir()
    # uv_build is a program that lies beside the interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, BUILD_SYSTEMS[backend][1]],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return any(wheels.iterdir()), (done.stdout + done.stderr)[-2000:]


def agree(folder: Path, backend: str, text: str, files: list[str]) -> None:
    if importlib.util.find_spec(backend.partition(".")[0]) is None:
        pytest.skip(f"{backend} is not installed: nothing to compare with")
    folder = folder / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
    file = read_pyproject(text)
    assert isinstance(file, Pyproject)
    ours = build_problem(file, Tree(["pyproject.toml", *files]))
    assert not isinstance(ours, Undecided), ours
    rejected = ours is not None or any(True for _ in problems(file))
    built, said = builds(folder, backend)
    assert rejected is not built, f"{text}\nexplint: {ours}\n{backend}: {said}"


@pytest.mark.differential
@pytest.mark.parametrize("backend", BUILD_SYSTEMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_layouts_cannot_be_built(tmp_path: Path, backend: str, layout: str) -> None:
    text = PROJECT + 'description = "A study."\n' + build_system(backend)
    agree(tmp_path, backend, text, LAYOUTS[layout])


SETTINGS = {
    "setuptools finds in src": (
        "setuptools",
        '[tool.setuptools.packages.find]\nwhere = ["src"]\n',
    ),
    "setuptools finds elsewhere": (
        "setuptools",
        '[tool.setuptools.packages.find]\nwhere = ["lib"]\n',
    ),
    "setuptools, a named folder": ("setuptools", '[tool.setuptools]\npackages = ["src"]\n'),
    "setuptools, a missing folder": ("setuptools", '[tool.setuptools]\npackages = ["study"]\n'),
    "setuptools, a missing subfolder": ("setuptools", '[tool.setuptools]\npackages = ["src.x"]\n'),
    "setuptools, no package": ("setuptools", "[tool.setuptools]\npackages = []\n"),
    "setuptools, a missing module": ("setuptools", '[tool.setuptools]\npy-modules = ["x"]\n'),
    "setuptools, another source folder": (
        "setuptools",
        '[tool.setuptools]\npackage-dir = { "" = "lib" }\n',
    ),
    "hatchling, named packages": (
        "hatchling",
        '[tool.hatch.build.targets.wheel]\npackages = ["src"]\n',
    ),
    "hatchling, a missing package": (
        "hatchling",
        '[tool.hatch.build.targets.wheel]\npackages = ["study"]\n',
    ),
    "hatchling, only for the archive": (
        "hatchling",
        '[tool.hatch.build.targets.sdist]\npackages = ["src"]\n',
    ),
    "hatchling, for every target": ("hatchling", '[tool.hatch.build]\npackages = ["src"]\n'),
    "poetry, a named folder": ("poetry.core", '[tool.poetry]\npackages = [{ include = "src" }]\n'),
    "poetry, a missing folder": ("poetry.core", '[tool.poetry]\npackages = [{ include = "x" }]\n'),
    "poetry, a file in a folder": (
        "poetry.core",
        '[tool.poetry]\npackages = [{ include = "train.py", from = "src" }]\n',
    ),
    "poetry, no package": ("poetry.core", "[tool.poetry]\npackage-mode = false\n"),
    "flit, a named module": ("flit_core", '[tool.flit.module]\nname = "src"\n'),
    "uv, a named module": (
        "uv_build",
        '[tool.uv.build-backend]\nmodule-root = ""\nmodule-name = "src"\n',
    ),
    "uv, a namespace": (
        "uv_build",
        '[tool.uv.build-backend]\nmodule-root = ""\nmodule-name = "src"\nnamespace = true\n',
    ),
}


@pytest.mark.differential
@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_settings_cannot_be_built(tmp_path: Path, name: str) -> None:
    backend, settings = SETTINGS[name]
    text = PROJECT + 'description = "A study."\n' + build_system(backend) + settings
    agree(tmp_path, backend, text, STUDY)


FIELDS = [
    'authors = ["A <a@b.c>"]',
    'authors = [{ name = "A", email = "a@b.c" }]',
    'keywords = "x"',
    'urls = ["https://example.invalid"]',
    'urls = { home = "https://example.invalid" }',
    'scripts = ["train"]',
    'readme = "README.md"',
    'license = { file = "LICENSE" }',
    'license = { text = "MIT" }',
    'dependencies = ["torch^2.1"]',
    'dependencies = ["torch>=2<3"]',
    'dependencies = ["torch>=2"]',
    "colour = 1",
    'dynamic = ["version"]',
]


@pytest.mark.differential
@pytest.mark.parametrize("backend", BUILD_SYSTEMS)
@pytest.mark.parametrize("field", FIELDS)
def test_the_same_fields_stop_the_build(tmp_path: Path, backend: str, field: str) -> None:
    if backend == "flit_core" and "^" in field:
        pytest.skip("flit writes the requirement into the wheel as it stands, and uv rejects that")
    text = PROJECT + 'description = "A study."\n' + field + "\n" + build_system(backend)
    agree(tmp_path, backend, text, ["src/demo/__init__.py"])


def judged(text: str, files: list[str]) -> Problem | Undecided | None:
    file = read_pyproject(text)
    assert isinstance(file, Pyproject)
    return build_problem(file, Tree(["pyproject.toml", *files]))


def test_a_project_without_build_system_is_not_built() -> None:
    assert judged(PROJECT, ["main.py", "conf/a.yaml", "data/b.csv"]) is None


def test_uv_can_be_told_to_build_it_or_not() -> None:
    flat = ["main.py", "conf/a.yaml", "data/b.csv"]
    found = judged(PROJECT + "[tool.uv]\npackage = true\n", flat)
    assert isinstance(found, Problem)
    assert "`conf` and `data`" in found.message
    off = build_system("hatchling") + "[tool.uv]\npackage = false\n"
    assert judged(PROJECT + off, STUDY) is None


def test_a_backend_that_does_not_exist_is_named() -> None:
    text = PROJECT + build_system("setuptools").replace("build_meta", "build_backend")
    found = judged(text, STUDY)
    assert isinstance(found, Problem)
    assert "no build backend `setuptools.build_backend`" in found.message
    assert '"setuptools.build_meta"' in found.help
    assert found.mark.line == 7


def test_a_backend_that_requires_does_not_bring_is_named() -> None:
    found = judged(PROJECT + build_system("hatchling", requires="setuptools"), STUDY)
    assert isinstance(found, Problem)
    assert 'Add `"hatchling"`' in found.help
    # hatch-vcs needs hatchling itself.
    through = judged(
        PROJECT + build_system("hatchling", requires="hatch-vcs"), [*STUDY, "demo/__init__.py"]
    )
    assert through is None


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ('[build-system]\nrequires = ["maturin"]\nbuild-backend = "maturin"\n', STUDY),
        ('[build-system]\nrequires = []\nbuild-backend = "x"\nbackend-path = ["."]\n', STUDY),
        (build_system("setuptools"), ["setup.py", "main.py", "conf/a.yaml", "data/b.csv"]),
        (build_system("hatchling") + "[tool.hatch.build.hooks.custom]\npath = 'h.py'\n", STUDY),
        (build_system("hatchling"), [*STUDY, "hatch.toml"]),
    ],
)
def test_what_only_a_build_can_tell_is_left_open(text: str, files: list[str]) -> None:
    assert isinstance(judged(PROJECT + text, files), Undecided)
