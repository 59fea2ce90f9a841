"""A prepared environment with PyTorch for tests that run experiments.

PyTorch is not in the lock: its wheels are gigabytes. Debian's build for its own Python is taken
where it is installed, with the libraries that scikit-learn, SciPy and Matplotlib are; Hydra, Optuna
and W&B come from the environment that runs the tests, for the same minor version of Python only.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

SYSTEM_PYTHON = Path("/usr/bin/python3")
LIBRARIES = ("hydra-core", "optuna", "wandb")
# Debian's PyTorch is built for the NumPy beside it.
FROM_THE_SYSTEM = frozenset({"numpy"})
NEEDED = ("torch", "numpy", "sklearn", "scipy", "matplotlib")


@functools.cache
def missing() -> str:
    """Why there is no such environment on this machine; empty when there is."""
    if not SYSTEM_PYTHON.is_file():
        return f"{SYSTEM_PYTHON} is not there"
    version = "{}.{}".format(*sys.version_info[:2])
    probe = f"import sys; assert '{version}' == '%d.%d' % sys.version_info[:2], 'version'\n"
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", probe + "".join(f"import {name}\n" for name in NEEDED)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["it fails"]
        return f"{SYSTEM_PYTHON} cannot run PyTorch experiments under Python {version}: {said[0]}"
    return ""


def make(folder: Path) -> Path:
    """Makes the environment in ``folder`` and gives its interpreter; skips the test without one."""
    if missing():
        pytest.skip(missing())
    subprocess.run(
        [SYSTEM_PYTHON, "-m", "venv", "--system-site-packages", "--without-pip", folder],
        check=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    python = folder / "bin" / "python"
    (packages,) = (folder / "lib").glob("python*/site-packages")
    for name in _closure():
        for source in _top_level(metadata.distribution(name)):
            target = packages / source.name
            if not target.exists():
                target.symlink_to(source)
    return python


def _closure() -> list[str]:
    """The libraries and what they require, as installed here."""
    found: dict[str, None] = {}
    queue = list(LIBRARIES)
    while queue:
        name = queue.pop().lower().replace("_", "-")
        if name in found or name in FROM_THE_SYSTEM:
            continue
        try:
            required = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:
            continue
        found[name] = None
        for text in required:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                queue.append(requirement.name)
    return list(found)


def _top_level(distribution: metadata.Distribution) -> Iterator[Path]:
    names = {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}
    for name in sorted(names - {"__pycache__"}):
        path = Path(str(distribution.locate_file(name)))
        if path.exists():
            yield path
