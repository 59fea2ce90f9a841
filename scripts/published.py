"""Published releases, as the configured package index hands them to pip.

Only pip speaks to the index, so that its configuration (mirror, certificates, proxy) is the only
one.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from pathlib import Path

from packaging.version import InvalidVersion, Version

PYTHONS = ("3.11", "3.13", "3.10", "3.9")
# Wheels for macOS hold the same Python files as those for Linux, without the CUDA libraries.
PLATFORMS = (
    "macosx_14_0_arm64",
    "macosx_12_0_arm64",
    "macosx_11_0_arm64",
    "macosx_10_9_universal2",
)
_TEXTS = (".py", ".pyi")


@dataclass(frozen=True)
class Release:
    """What one published wheel says: its Python files by path, its metadata, and its compiled
    modules by name."""

    name: str
    version: Version
    file: str
    sha256: str
    metadata: Message
    texts: dict[str, str]
    binaries: frozenset[str]

    @property
    def requires_python(self) -> str:
        """The versions of Python it runs on."""
        return self.metadata.get("Requires-Python") or ""

    @property
    def requires(self) -> list[str]:
        """Its requirements, as PEP 508 texts."""
        return [str(line) for line in self.metadata.get_all("Requires-Dist") or []]


def pip(*words: str) -> subprocess.CompletedProcess[str]:
    """Runs pip of this interpreter."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def versions(name: str) -> list[Version]:
    """The final releases of a distribution that have a wheel, oldest first."""
    found: set[Version] = set()
    for python in PYTHONS[:2]:
        done = pip("index", "versions", name, "--only-binary", ":all:", *_target(python))
        listed = re.search(r"^Available versions: (.*)$", done.stdout, re.MULTILINE)
        for text in listed[1].split(",") if listed else ():
            try:
                version = Version(text.strip())
            except InvalidVersion:
                continue
            if not version.is_prerelease:
                found.add(version)
    if not found:
        raise SystemExit(f"pip finds no release of {name}: is there a network and an index?")
    return sorted(found)


def read_wheel(path: Path, modules: list[str]) -> Release:
    """Reads a wheel without unpacking or running it."""
    texts: dict[str, str] = {}
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        inner = next(n for n in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        metadata = message_from_string(wheel.read(inner).decode("utf-8", "replace"))
        binaries = {n for n in names if n.endswith((".so", ".pyd")) and n.split("/")[0] in modules}
        for name in sorted(names):
            if name.endswith(_TEXTS) and name.split("/")[0] in modules:
                texts[name] = wheel.read(name).decode("utf-8-sig", "replace")
    return Release(
        name=str(metadata["Name"]),
        version=Version(str(metadata["Version"])),
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        metadata=metadata,
        texts=texts,
        binaries=frozenset(n.partition(".")[0].replace("/", ".") for n in binaries),
    )


def download(name: str, version: Version, folder: Path) -> Path:
    """The wheel of a release in ``folder``, fetched unless it is there.

    Raises:
        FileNotFoundError: pip finds no wheel of the release.
    """
    normal = re.sub(r"[-_.]+", "_", name).lower()
    for path in sorted(folder.glob("*.whl")):
        if path.name.lower().startswith(f"{normal}-{version}-"):
            return path
    said = ""
    for python in PYTHONS:
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            done = pip(
                "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", fresh,
                *_target(python), f"{name}=={version}",
            )  # fmt: skip
            for path in Path(fresh).glob("*.whl"):
                return path.rename(folder / path.name)
        said = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""
    raise FileNotFoundError(f"{name} {version}: {said}")


def _target(python: str) -> list[str]:
    words = ["--python-version", python]
    for platform in PLATFORMS:
        words += ["--platform", platform]
    return words
