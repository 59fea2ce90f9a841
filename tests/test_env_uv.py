"""env/invalid-pyproject against uv itself: the same files are rejected, at the same line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from env_helpers import PROJECT
from explint.environment.pyproject import Pyproject, problems, read_pyproject

UV = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))

pytestmark = [
    pytest.mark.differential,
    pytest.mark.skipif(UV is None, reason="uv is not installed: nothing to compare with"),
]

# What uv says when it went on past the file: to resolving, to building, to choosing a Python.
WENT_ON = (
    "No solution found",
    "incompatible with the project's Python requirement",
    "wheel filename",
    "Network connectivity is disabled",
)


def uv_rejects(folder: Path, text: str) -> tuple[bool, int | None, str]:
    """Whether uv rejects the file, the line it names, and all it says."""
    assert UV is not None
    (folder / "pyproject.toml").write_text(text, encoding="utf-8", newline="")
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "UV_CACHE_DIR": str(folder / ".cache"),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    command = [UV, "lock", "--offline", "--no-progress", "--python", sys.executable]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    (folder / "uv.lock").unlink(missing_ok=True)
    said = done.stderr
    assert "For more information, try" not in said, said
    # A project without build system is built only to read what uv itself could not.
    built = "Failed to build" in said
    if done.returncode == 0 or (not built and any(words in said for words in WENT_ON)):
        return False, None, said
    line = re.search(r"cause: TOML parse error at line (\d+)", said)
    return True, int(line[1]) if line else None, said


def explint_rejects(text: str) -> tuple[bool, set[int]]:
    """Whether explint rejects the file, and the lines it names."""
    file = read_pyproject(text.removeprefix("\ufeff"))
    if not isinstance(file, Pyproject):
        # Where a construct that never ends is to blame is a matter of taste.
        return True, set(range(1, text.count("\n") + 2))
    lines = {problem.mark.line for problem in problems(file)}
    return bool(lines), lines


def agree(folder: Path, text: str) -> None:
    theirs, line, said = uv_rejects(folder, text)
    ours, lines = explint_rejects(text)
    assert ours == theirs, f"{text}\nuv: {said}\nexplint: {lines}"
    if line is not None:
        assert line in lines, f"{text}\nuv: {said}\nexplint: {lines}"


def project(**fields: str) -> str:
    """A `[project]` table with these fields over a sound one; a dash takes a field away."""
    base = {"name": '"demo"', "version": '"0.1.0"', "requires-python": '">=3.10"'}
    table = base | {key.replace("_", "-"): value for key, value in fields.items()}
    return "[project]\n" + "".join(f"{k} = {v}\n" for k, v in table.items() if v != "-")


CASES = {
    "sound": PROJECT,
    "empty": "",
    "only a comment": "# packages\n",
    "only a build system": '[build-system]\nrequires = ["hatchling"]\n',
    "Poetry": '[tool.poetry]\nname = "x"\n[tool.poetry.dependencies]\npython = "^3.10"\n',
    "dependencies as a table": PROJECT + '[project.dependencies]\ntorch = "*"\n',
    "dependencies as a string": PROJECT + 'dependencies = "torch"\n',
    "dependencies of numbers": PROJECT + "dependencies = [1]\n",
    "dependencies of tables": PROJECT + 'dependencies = [{ name = "torch" }]\n',
    "no name": project(name="-"),
    "name as a number": project(name="1"),
    "name with a blank": project(name='"my study"'),
    "name that ends in a dash": project(name='"study-"'),
    "empty name": project(name='""'),
    "name in Japanese": project(name='"実験"'),
    "no version": project(version="-"),
    "version as a number": project(version="1"),
    "version as a word": project(version='"latest"'),
    "version as a date": project(version='"2025-10-20"'),
    "version with a suffix": project(version='"0.1-exp"'),
    "version with v": project(version='"v1.0"'),
    "Poetry's Python": project(requires_python='"^3.10"'),
    "a bare Python": project(requires_python='"3.10"'),
    "a Python as a float": project(requires_python="3.10"),
    "Python with a wildcard": project(requires_python='">=3.8.*"'),
    "Python with one segment": project(requires_python='"~=3"'),
    "Python with a comma at the end": project(requires_python='">=3.8,"'),
    "Python without a comma": project(requires_python='">=3.8 <4"'),
    "no Python at all": project(requires_python='">=3.11,<3.10"'),
    "empty Python": project(requires_python='""'),
    "a blank for Python": project(requires_python='" "'),
    "any Python": project(requires_python='"*"'),
    "extras as a list": PROJECT + 'optional-dependencies = ["pytest"]\n',
    "an extra as a string": PROJECT + '[project.optional-dependencies]\ndev = "pytest"\n',
    "an extra with a blank": PROJECT + '[project.optional-dependencies]\n"d e v" = []\n',
    "a caret in an extra": PROJECT + '[project.optional-dependencies]\ndev = ["torch^1"]\n',
    "a caret in a group": PROJECT + '[dependency-groups]\ndev = ["torch^1"]\n',
    "a caret in another group": PROJECT + '[dependency-groups]\nplots = ["torch^1"]\n',
    "a repaired requirement in a group": PROJECT + '[dependency-groups]\ndev = ["torch>=2<3"]\n',
    "a group as a string": PROJECT + '[dependency-groups]\ndev = "pytest"\n',
    "groups as a list": "dependency-groups = []\n" + PROJECT,
    "a group that is not there": PROJECT
    + '[dependency-groups]\ndev = [{ include-group = "plots" }]\n',
    "a group in a circle": PROJECT + '[dependency-groups]\ndev = [{ include-group = "dev" }]\n',
    "a group with a blank": PROJECT + '[dependency-groups]\n"d v" = []\n',
    "a group with a table": PROJECT + '[dependency-groups]\ndev = [{ name = "torch" }]\n',
    "a group of numbers": PROJECT + "[dependency-groups]\ndev = [1]\n",
    "dynamic as a string": PROJECT + 'dynamic = "version"\n',
    "project as a list": "project = []\n",
    "project as a list of tables": '[[project]]\nname = "demo"\nversion = "1"\n',
    "dotted keys": 'project.name = "demo"\nproject.version = "1"\n',
    "tool as a string": 'tool = "x"\n' + PROJECT,
    "uv as a string": PROJECT + '[tool]\nuv = "x"\n',
    "package as a string": PROJECT + '[tool.uv]\npackage = "no"\n',
    "an unknown uv setting": PROJECT + "[tool.uv]\ncolour = 1\n",
    "a caret in uv's dependencies": PROJECT + '[tool.uv]\ndev-dependencies = ["torch^1"]\n',
    "uv's dependencies as a string": PROJECT + '[tool.uv]\ndev-dependencies = "torch"\n',
    "an unknown source": PROJECT + '[tool.uv.sources]\ntorch = { place = "x" }\n',
    "a source nobody uses": PROJECT + '[tool.uv.sources]\ntorch = { index = "gpu" }\n',
    "an index without a url": PROJECT + '[[tool.uv.index]]\nname = "gpu"\n',
    "a default group that is not there": PROJECT + '[tool.uv]\ndefault-groups = ["plots"]\n',
    "dev as a default group": PROJECT + '[tool.uv]\ndefault-groups = ["dev"]\n',
    "authors as strings, nothing built": PROJECT + 'authors = ["A <a@b.c>"]\n',
    "a readme that is not there, nothing built": PROJECT + 'readme = "README.md"\n',
    "an unknown field, nothing built": PROJECT + "colour = 1\n",
    "TOML 1.1": PROJECT + 'authors = [{\n  name = "A",\n}]\n',
    "an unclosed list": PROJECT + "dependencies = [\n",
    "a key twice": PROJECT + 'version = "2"\n',
    "a table twice": PROJECT + PROJECT,
    "a Cyrillic key": PROJECT + "ключ = 1\n",
    "a comma missing": PROJECT + 'dependencies = ["torch" "numpy"]\n',
    "a line end missing": PROJECT + 'description = "a" keywords = []\n',
    "Windows line ends": PROJECT.replace("\n", "\r\n"),
    "a byte order mark": "\ufeff" + PROJECT,
}


@pytest.mark.parametrize("text", CASES.values(), ids=CASES.keys())
def test_uv_rejects_the_same_files(tmp_path: Path, text: str) -> None:
    agree(tmp_path, text)


REQUIREMENTS = [
    "torch",
    "torch>=2.1",
    "torch >= 2.1",
    "torch (>=2.1)",
    "torch>=2.1,",
    "torch==2.*",
    "torch>=2.*",
    "torch>2.*",
    "torch>=2<3",
    "torch>=2 <3",
    "torch!=~2.1",
    "torch>='2.1'",
    "torch==v2.1",
    "torch=2.1",
    "torch==2.1.",
    "torch==>2",
    "torch>==2",
    "torch~=2",
    "torch===2.1",
    "torch>=2.1-exp",
    "torch == latest",
    "torch^2.1",
    "torch>=^2.1",
    'torch = \\"*\\"',
    "torch 2.1",
    "torch-2.1",
    "torch>=2.1 # the newest",
    "torch>=2.1;",
    "torch; python_version >= '3.10'",
    "torch; python_version >= 3.10",
    "torch; pythn == 'x'",
    "torch[",
    "torch[all]>=2",
    "-torch",
    "tor ch",
    "",
    "git+https://example.invalid/a/b",
    "./local",
]


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_uv_rejects_the_same_requirements(tmp_path: Path, requirement: str) -> None:
    agree(tmp_path, PROJECT + f'dependencies = ["{requirement}"]\n')


names = st.text("aZ0-_. é", max_size=5)
versions = st.text("01.abv-+!* ", max_size=6)
specifiers = st.text("3.10<>=~!,*^ ", max_size=7)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=names, version=versions, python=specifiers, data=st.data())
def test_uv_rejects_the_same_generated_files(
    tmp_path: Path, name: str, version: str, python: str, data: st.DataObject
) -> None:
    # One field at a time, or nearly every file is rejected for several reasons.
    fields = {"name": name, "version": version, "requires_python": python}
    chosen = data.draw(st.sampled_from(sorted(fields)))
    agree(tmp_path, project(**{chosen: f'"{fields[chosen]}"'}))
