"""Writes the SHA-256 sums of a release's wheels into ``action/release.json``.

``python scripts/release_hashes.py dist`` after the wheels of a version were built: the commit that
holds the result is what workflows pin the action to, and the action installs no other wheel.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

ROOT = Path(__file__).resolve().parents[1]


def release(folder: Path, version: str) -> dict[str, object]:
    """What ``release.json`` holds for the wheels in a folder.

    Raises:
        ValueError: there is no wheel, or one of another distribution or version.
    """
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise ValueError(f"{folder} holds no wheel; build them first with `make wheel`")
    for wheel in wheels:
        try:
            name, found, _, _ = parse_wheel_filename(wheel.name)
        except InvalidWheelFilename as error:
            raise ValueError(str(error)) from error
        if (name, str(found)) != ("explint", version):
            raise ValueError(f"{wheel.name} is not of explint {version}")
    sums = sorted(hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels)
    return {"version": version, "hashes": sums}


def main(folder: str, output: Path = ROOT / "action" / "release.json") -> None:
    """Reads the version from pyproject.toml and writes the file."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    try:
        made = release(Path(folder), version)
    except ValueError as error:
        sys.exit(f"error: {error}")
    output.write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/release_hashes.py FOLDER-OF-WHEELS")
    main(sys.argv[1])
