"""What the source distribution holds, and which interpreters its wheel serves."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from explint import __version__, _core

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The paths in the source distribution, from its own folder downwards."""
    out = tmp_path_factory.mktemp("dist")
    maturin = Path(sys.executable).parent / "maturin"
    result = subprocess.run(
        [maturin, "sdist", "--out", out], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    (archive,) = out.iterdir()
    with tarfile.open(archive) as tar:
        return {name.partition("/")[2] for name in tar.getnames()}


def test_everything_needed_to_build_and_use_it_is_there(members: set[str]) -> None:
    expected = {"pyproject.toml", "README.md", "LICENSE", "Cargo.toml", "Cargo.lock"}
    expected |= {"python/explint/py.typed", "python/explint/_core.pyi"}
    for folder, pattern in (("python", "*.py"), ("python", "*.toml"), ("rust", "src/**/*.rs")):
        expected |= {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob(pattern)}
    assert expected <= members


def test_nothing_of_this_machine_is_in_it(members: set[str]) -> None:
    assert not [m for m in members if m.endswith((".so", ".pyc", ".pyd")) or "/target/" in m]


def test_one_binary_serves_every_supported_python() -> None:
    # The name that CPython's limited API asks for on Unix; a binary for one version has it inside.
    assert ".abi3." in Path(_core.__file__).name or sys.platform == "win32"


def test_python_and_rust_carry_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))["workspace"]["package"]
    assert project["version"] == cargo["version"] == __version__


def test_the_action_installs_this_version_beside_what_it_is_tested_with() -> None:
    action = ROOT / "action"
    release = json.loads((action / "release.json").read_text("utf-8"))
    assert release["version"] == __version__
    tested = pins(ROOT / "requirements" / "dev.txt")
    installed = pins(action / "requirements.txt")
    assert installed
    assert installed <= tested


def pins(lock: Path) -> set[str]:
    """The `name==version` of a lock, whatever its markers."""
    lines = lock.read_text("utf-8").splitlines()
    return {re.split(r"[ ;\\]", line)[0] for line in lines if line[:1].isalnum()}


LOCKS = ("requirements/dev.txt", "requirements/action.txt", "action/requirements.txt")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_hashes_everything(lock: str) -> None:
    lines = (ROOT / lock).read_text("utf-8").splitlines()
    assert not [line for line in lines if "://" in line or line.startswith("--")]
    pins = [number for number, line in enumerate(lines) if line[:1].isalnum()]
    assert pins
    assert all(lines[number].endswith("\\") for number in pins)
    assert all(lines[number + 1].lstrip().startswith("--hash=sha256:") for number in pins)


@pytest.mark.parametrize("lock", ["requirements/dev.txt", "action/requirements.txt"])
def test_a_lock_holds_what_explint_needs(lock: str) -> None:
    declared = {pin.split("==")[0] for pin in pins(ROOT / lock)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {word.split(">")[0].lower() for word in project["dependencies"]} <= declared


def test_a_release_names_the_sums_of_its_wheels_and_takes_no_other(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "release_hashes", ROOT / "scripts" / "release_hashes.py"
    )
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    dist, output = tmp_path / "dist", tmp_path / "release.json"
    dist.mkdir()
    with pytest.raises(SystemExit, match="holds no wheel"):
        script.main(str(dist), output)
    for platform in ("manylinux_2_17_x86_64", "macosx_11_0_arm64"):
        (dist / f"explint-{__version__}-cp311-abi3-{platform}.whl").write_text(platform)
    script.main(str(dist), output)
    made = json.loads(output.read_text())
    assert made["version"] == __version__
    assert made["hashes"] == sorted(
        hashlib.sha256(p.read_bytes()).hexdigest() for p in dist.iterdir()
    )
    written = output.read_text()
    (dist / "explint-0.0.9-cp311-abi3-manylinux_2_17_x86_64.whl").touch()
    with pytest.raises(SystemExit, match=r"is not of explint"):
        script.main(str(dist), output)
    assert output.read_text() == written
