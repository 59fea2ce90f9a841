"""Rewrites explint's table of libraries from their published wheels.

Run it with the project's environment and a network: ``python scripts/refresh_libraries.py``, with
names of libraries to refresh these alone. Wheels are fetched by pip, read as text and never
installed; ``--wheels FOLDER`` keeps them for the next time, and ``--offline`` takes those that lie
there only.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import sys
import tempfile
import tomllib
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from library_reader import Library
from published import Release, download, read_wheel, versions

INPUT = Path(__file__).with_name("libraries.toml")
OUTPUT = Path(__file__).parents[1] / "python/explint/environment/data/libraries"
INDEX = "index.json"


def chosen(found: Sequence[Version], row: Mapping[str, Any]) -> list[Version]:
    """The releases that are read, oldest first."""
    found = [version for version in found if version >= Version(row["since"])]
    if row.get("all"):
        return found
    also = {Version(text) for text in row.get("also", ())}
    last = {version.release[:2]: version for version in found}
    lines = list(last)
    kept = []
    for number, line in enumerate(lines):
        ends = number + 1 == len(lines) or lines[number + 1][0] != line[0]
        begins = number == 0 or lines[number - 1][0] != line[0]
        if ends or begins or number % row.get("step", 1) == 0:
            kept.append(last[line])
    return sorted({*kept, *(also & set(found))})


def read(
    path: Path, row: Mapping[str, Any], stubbed: list[str], kwargs: Mapping[str, str]
) -> tuple[Release, dict[str, dict[str, str]]]:
    """A wheel's facts, and its table."""
    release = read_wheel(path, row["modules"])
    library = Library(
        release.texts,
        binaries=release.binaries,
        stubbed=stubbed,
        names_only=row.get("names_only", ()),
        skip=row.get("skip", ()),
        opened=row.get("open", ()),
        kwargs_into={function: f"@{below}" for function, below in kwargs.items()},
    )
    # Syntax trees are many small objects, and every collection would visit them all.
    gc.disable()
    try:
        table = library.table()
    finally:
        gc.enable()
    for below in sorted(set(kwargs.values())):
        table.setdefault(below, {"": "*"})["**"] = " ".join(library.words(below))
    release.texts.clear()
    return release, table


def combined(tables: Sequence[Mapping[str, Mapping[str, str]]]) -> dict[str, bytes]:
    """One document per module: for each name its value, or (first release, value) pairs in turn."""
    found = {}
    for module in sorted({name for table in tables for name in table}):
        columns = [table.get(module) for table in tables]
        rows: dict[str, Any] = {}
        for name in sorted({key for column in columns if column is not None for key in column}):
            values = [None if column is None else column.get(name) for column in columns]
            runs: list[Any] = []
            for number, value in enumerate(values):
                if not runs or runs[-1] != value:
                    runs += [number, value]
            rows[name] = runs[1] if len(runs) == 2 else runs
        found[module] = zlib.compress(msgspec.msgpack.encode(rows), 9)
    return found


def facts(release: Release) -> dict[str, Any]:
    """What the index says of a release."""
    row: dict[str, Any] = {
        "version": str(release.version),
        "file": release.file,
        "sha256": release.sha256,
        "python": release.requires_python,
    }
    requires = []
    for line in release.requires:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        # What an extra or another platform adds binds nobody else.
        marker = str(requirement.marker or "")
        if not any(word in marker for word in ("extra", "sys_platform", "platform_", "os_name")):
            requires.append(str(requirement))
    return row | {"requires": sorted(requires)}


def main(words: Sequence[str] | None = None) -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="libraries to refresh (all when left out)")
    parser.add_argument("--wheels", type=Path, help="folder that keeps the wheels")
    parser.add_argument("--offline", action="store_true", help="take what lies in --wheels")
    parser.add_argument("--input", type=Path, default=INPUT, help="what to read of which library")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the table")
    parser.add_argument("--jobs", type=int, default=2, help="wheels to read at a time")
    given = parser.parse_args(words)
    source = tomllib.loads(given.input.read_text(encoding="utf-8"))
    names = given.names or list(source["libraries"])
    unknown = sorted(set(names) - set(source["libraries"]))
    if unknown:
        parser.error(f"{given.input} does not name {', '.join(unknown)}")
    given.output.mkdir(parents=True, exist_ok=True)
    index = given.output / INDEX
    kept = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {"libraries": {}}
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.wheels or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            row = source["libraries"][name]
            paths = _wheels(name, row, folder, offline=given.offline)
            kwargs = source.get("kwargs", {}).get(name, {})
            work = partial(
                read, row=row, stubbed=source.get("stubbed", {}).get(name, []), kwargs=kwargs
            )
            if given.jobs > 1:
                with ProcessPoolExecutor(given.jobs, max_tasks_per_child=1) as pool:
                    results = list(pool.map(work, paths))
            else:
                results = [work(path) for path in paths]
            if not given.wheels:
                for path in paths:
                    path.unlink()
            modules = combined([table for _, table in results])
            data = msgspec.msgpack.encode(modules)
            given.output.joinpath(f"{name}.msgpack").write_bytes(data)
            kept["libraries"][name] = {
                "modules": row["modules"],
                **{key: row[key] for key in ("unsure", "skip") if key in row},
                **({"complete": True} if row.get("all") else {}),
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "releases": [facts(release) for release, _ in results],
            }
            print(f"{name}: {len(results)} releases, {len(data):,} bytes", file=sys.stderr)
    libraries = {name: kept["libraries"][name] for name in sorted(kept["libraries"])}
    index.write_text(_lines(libraries), encoding="utf-8")


def _wheels(name: str, row: Mapping[str, Any], folder: Path, *, offline: bool) -> list[Path]:
    """The wheels of the chosen releases, oldest first."""
    if offline:
        lying: dict[Version, Path] = {}
        for path in sorted(folder.glob("*.whl")):
            distribution, version, *_ = parse_wheel_filename(path.name)
            if distribution == canonicalize_name(name):
                lying[version] = path
        return [lying[v] for v in sorted(lying) if v >= Version(row["since"])]
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda v: download(name, v, folder), chosen(versions(name), row)))


def _lines(libraries: Mapping[str, Any]) -> str:
    """JSON with one line per release, so that a refresh shows as a readable difference."""
    parts = []
    for name, row in libraries.items():
        head = "".join(
            f"{json.dumps(k)}:{json.dumps(v)}," for k, v in row.items() if k != "releases"
        )
        lines = ",\n".join(f"    {json.dumps(release)}" for release in row["releases"])
        parts.append(f'  {json.dumps(name)}: {{{head}\n   "releases":[\n{lines}\n   ]}}')
    return '{"libraries": {\n' + ",\n".join(parts) + "\n}}\n"


if __name__ == "__main__":
    main()
