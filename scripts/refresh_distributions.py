"""Rewrites explint's table of distributions from their published metadata.

Run it with the project's environment and a network: ``python scripts/refresh_distributions.py``.
It asks pip for metadata only (no wheel is downloaded where the index serves metadata by itself) and
follows the dependencies until the table is closed.
"""

from __future__ import annotations

import datetime
import json
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from published import pip

INPUT = Path(__file__).with_name("distributions.toml")
OUTPUT = Path(__file__).parents[1] / "python/explint/environment/data/distributions.json"

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
BATCH = 40
OLDER_LINES = 1
"""How many release lines (major versions) before the newest are looked at, for what they needed."""

# Extras for people who work on a distribution, not with it.
NOT_FOR_USERS = (
    "dev",
    "test",
    "doc",
    "lint",
    "quality",
    "style",
    "typing",
    "ci",
    "build",
    "release",
)


def ask_pip(requirements: list[str]) -> list[dict[str, Any]]:
    """The metadata of the newest release that each requirement admits; those that pip cannot find
    as a wheel are left out.
    """
    if not requirements:
        return []
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        words = ["install", "--dry-run", "--ignore-installed", "--no-deps"]
        words += ["--only-binary", ":all:", "--quiet", "--report", str(report)]
        done = pip(*words, *requirements)
        if done.returncode == 0:
            items = json.loads(report.read_text(encoding="utf-8"))["install"]
            return [item["metadata"] for item in items]
    if len(requirements) == 1:
        print(f"no wheel: {requirements[0]}", file=sys.stderr)
        return []
    half = len(requirements) // 2
    return ask_pip(requirements[:half]) + ask_pip(requirements[half:])


def ask_all(requirements: list[str]) -> list[dict[str, Any]]:
    """``ask_pip`` in batches."""
    found = []
    for start in range(0, len(requirements), BATCH):
        print(f"{start}/{len(requirements)}", file=sys.stderr)
        found += ask_pip(requirements[start : start + BATCH])
    return found


def needs(metadata: dict[str, Any], extra: str = "") -> list[str]:
    """What a release needs on Linux with any of ``PYTHONS``, as ``name`` or ``name[extra,…]``.

    With ``extra``, what it needs for that extra alone.
    """
    found = set()
    for line in metadata.get("requires_dist", []):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if not any(holds(requirement, python, extra) for python in PYTHONS):
            continue
        if extra and any(holds(requirement, python, "") for python in PYTHONS):
            continue
        name = canonicalize_name(requirement.name)
        extras = ",".join(sorted(map(canonicalize_name, requirement.extras)))
        found.add(f"{name}[{extras}]" if extras else name)
    return sorted(found)


def holds(requirement: Requirement, python: str, extra: str) -> bool:
    """Whether a requirement applies on Linux under this Python and this extra."""
    if requirement.marker is None:
        return True
    environment = {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "extra": extra,
    }
    return requirement.marker.evaluate(environment)  # type: ignore[arg-type]


def entry(metadata: dict[str, Any]) -> dict[str, Any]:
    """A row of the table."""
    extras = {
        canonicalize_name(extra): needs(metadata, extra)
        for extra in metadata.get("provides_extra", [])
        if not extra.lower().startswith(NOT_FOR_USERS)
    }
    row: dict[str, Any] = {"version": metadata["version"], "requires": needs(metadata)}
    kept = {extra: wanted for extra, wanted in sorted(extras.items()) if wanted}
    return row | ({"extras": kept} if kept else {})


def earlier(name: str, version: str) -> str:
    """The releases before the release line of ``version``."""
    release = Version(version).release
    line = f"{release[0]}" if release[0] else ".".join(map(str, release[:2]))
    return f"{name}<{line}"


def main() -> None:
    """Writes the table."""
    source = tomllib.loads(INPUT.read_text(encoding="utf-8"))
    modules: dict[str, list[str]] = source["modules"]
    listed = {str(canonicalize_name(name)) for name in source["distributions"]}
    listed |= {canonicalize_name(name) for names in modules.values() for name in names}

    table: dict[str, dict[str, Any]] = {}
    asked = set(source["without_wheel"])
    wanted = listed - asked
    while wanted:
        asked |= wanted
        for metadata in ask_all(sorted(wanted)):
            table[canonicalize_name(metadata["name"])] = entry(metadata)
        named = {n.partition("[")[0] for row in table.values() for n in row["requires"]}
        wanted = named - asked

    versions = {name: table[name]["version"] for name in sorted(listed & set(table))}
    for _ in range(OLDER_LINES):
        questions = [
            earlier(name, version)
            for name, version in versions.items()
            if Version(version).release[:2] > (0, 0)
        ]
        versions = {}
        for metadata in ask_all(questions):
            name = canonicalize_name(metadata["name"])
            versions[name] = metadata["version"]
            row = table[name]
            gone = set(needs(metadata)) - set(row["requires"])
            if gone:
                row["earlier"] = sorted(gone | set(row.get("earlier", [])))
    write(table, source)


def write(table: dict[str, dict[str, Any]], source: dict[str, Any]) -> None:
    """Writes what was found, and what the input says by hand."""
    modules: dict[str, list[str]] = source["modules"]
    listed = {str(canonicalize_name(name)) for name in source["distributions"]}
    listed |= {canonicalize_name(name) for names in modules.values() for name in names}
    # Only an extra that a project or another distribution can ask for is worth its place.
    asked_with_extras = {
        item.partition("[")[0]
        for row in table.values()
        for items in [row["requires"], *row.get("extras", {}).values()]
        for item in items
        if "[" in item
    }
    for name, row in table.items():
        if name not in listed | asked_with_extras:
            row.pop("extras", None)
    for name, needed in source["held_back"].items():
        table[name]["requires"] = sorted({*needed, *table[name]["requires"]})
    for name, needed in source["earlier"].items():
        row = table.get(name, {"requires": []})
        gone = {*needed, *row.get("earlier", [])} - set(row["requires"])
        if gone:
            row["earlier"] = sorted(gone)
    by_hand = {name: {"requires": needed} for name, needed in source["without_wheel"].items()}
    own = {name.replace("-", "_"): [name] for name in listed}
    document = {
        "source": "published metadata of the newest releases with a wheel for Linux",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "listed": sorted(listed),
        "modules": dict(sorted((own | modules).items())),
        "distributions": dict(sorted((by_hand | table).items())),
    }
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    parts = [f" {json.dumps(key)}: {rows(value)}" for key, value in document.items()]
    OUTPUT.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def rows(value: Any) -> str:  # noqa: ANN401
    """JSON with one line per row, so that a refresh shows as a readable difference."""
    if not isinstance(value, dict):
        return json.dumps(value, separators=(",", ":"))
    lines = [f"  {json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in value.items()]
    return "{\n" + ",\n".join(lines) + "\n }"


if __name__ == "__main__":
    main()
