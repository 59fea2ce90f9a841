"""Writes the index of hub ids that data/invalid-hub-id asks (``make hub``).

Three sources, each of which can be left out and then keeps what it gave before:

- published packages: the ids and configurations that they ask the hub for, and the closed list of
  models without an owner. pip fetches the wheels; they are read as text, never installed or run.
- a git directory of the ``datasets`` repository (``--datasets-git``): the loading scripts of the
  datasets without an owner say which configurations there are, and whether one is the default.
- the hub's own API (``--hub``, or HF_ENDPOINT): which configurations each dataset has today.

Run with --help for its options.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.version import Version

from published import download, read_wheel, versions

ROOT = Path(__file__).resolve().parent.parent
INPUT = ROOT / "scripts" / "hub.toml"
OUTPUT = ROOT / "python" / "explint" / "rules" / "hub.json"

LOADERS = frozenset({"load_dataset", "load_dataset_builder", "hf_dataset"})
_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?", re.ASCII)
_ARCHIVE = re.compile(
    r"^\w+_PRETRAINED_(?:MODEL|CONFIG)_ARCHIVE_(?:LIST|MAP)\s*=\s*([\[{].*?^[\]}]|\[.*?\]|\{.*?\})",
    re.MULTILINE | re.DOTALL,
)
# Formats that load_dataset takes for an id.
_FORMATS = frozenset(
    {"json", "csv", "text", "parquet", "arrow", "pandas", "imagefolder", "audiofolder"}
)
_ATTEMPTS = 4


@dataclass
class Dataset:
    """What is known of one dataset.

    ``default`` is whether it can be had without naming a configuration, None when that is not
    known; ``complete`` whether ``configs`` are all that it has.
    """

    ids: set[str]
    configs: set[str] = field(default_factory=set)
    default: bool | None = None
    complete: bool = False
    by: set[str] = field(default_factory=set)

    def row(self) -> dict[str, Any]:
        """The row of the index."""
        return {
            "ids": sorted(self.ids, key=lambda name: ("/" in name, name)),
            "configs": sorted(self.configs),
            "default": self.default,
            "complete": self.complete,
            "by": sorted(self.by),
        }


# ---- published packages ----


def asked_for(text: str) -> Iterator[tuple[str, str | None]]:
    """The datasets that a Python file loads, with the configuration: None for none, ``?`` where it
    is not written down."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        called = node.func.id if isinstance(node.func, ast.Name) else called
        given = {k.arg: k.value for k in node.keywords if k.arg is not None}
        spread = any(k.arg is None for k in node.keywords)
        spread = spread or any(isinstance(a, ast.Starred) for a in node.args)
        if called in LOADERS:
            first = node.args[0] if node.args else given.get("path")
            second = node.args[1] if len(node.args) > 1 else given.get("name")
        elif "hf_repo" in given:
            first, second = given["hf_repo"], given.get("hf_subset")
        else:
            continue
        name = _text(first)
        if name is None or not _ID.fullmatch(name) or name in _FORMATS:
            continue
        if {"data_files", "data_dir"} & given.keys():
            continue
        if second is None or (isinstance(second, ast.Constant) and second.value is None):
            yield name, "?" if spread else None
        else:
            yield name, _text(second) or "?"


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def tasks_of(text: str) -> Iterator[tuple[str, str | None]]:
    """The dataset of a task file in YAML; nothing where it builds on another file."""
    if re.search(r"^(include|group|dataset_kwargs):", text, re.MULTILINE):
        return
    path = re.search(r"^dataset_path:\s*[\"']?([\w./-]+)", text, re.MULTILINE)
    name = re.search(r"^dataset_name:[ \t]*[\"']?([^\"'\r\n#]*)", text, re.MULTILINE)
    if path is not None and path[1] not in _FORMATS:
        config = name[1].strip() if name is not None else ""
        yield path[1], config if config not in ("", "null", "None", "~") else None


def read_package(path: Path) -> Iterator[tuple[str, str | None]]:
    """The datasets that a wheel's files ask for."""
    with zipfile.ZipFile(path) as wheel:
        for name in sorted(wheel.namelist()):
            if not name.endswith((".py", ".yaml", ".yml")):
                continue
            text = wheel.read(name).decode("utf-8-sig", "replace")
            if name.endswith(".py"):
                yield from asked_for(text) if "dataset" in text or "hf_repo" in text else ()
            else:
                yield from tasks_of(text)


def models_of(texts: Mapping[str, str]) -> list[str]:
    """The models without an owner that a release of transformers lists."""
    found: set[str] = set()
    for text in texts.values():
        for listed in _ARCHIVE.findall(text):
            found.update(re.findall(r"\"([a-z][\w.-]*)\"(?=\s*[:,\n\]])", listed))
    return sorted(found)


# ---- loading scripts ----


def script_of(text: str) -> tuple[set[str], bool, bool] | None:
    """The configurations that a loading script declares, whether these are all, and whether one is
    the default; None where it declares none.

    What ``datasets`` does without a configuration's name: it takes ``DEFAULT_CONFIG_NAME``, or the
    only configuration there is, and else raises "Config name is missing".
    """
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    names: set[str] = set()
    complete, default, found = True, False, False
    for node in ast.walk(module):
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        written = {t.id for t in targets if isinstance(t, ast.Name)}
        if "DEFAULT_CONFIG_NAME" in written:
            default = True
        if "BUILDER_CONFIGS" not in written:
            continue
        found = True
        items = node.value.elts if isinstance(node.value, ast.List) else [None]
        for item in items:
            name = None
            if isinstance(item, ast.Call):
                given = {k.arg: k.value for k in item.keywords}
                name = _text(given.get("name") or (item.args[0] if item.args else None))
            complete = complete and name is not None
            if name is not None:
                names.add(name)
    return (names, complete, default or "default" in names) if found else None


def scripts_of(git: Path, commit: str) -> Iterator[tuple[str, str, str | None]]:
    """Name, loading script and ``dataset_infos.json`` of every dataset in a commit."""
    listed = _git(git, "ls-tree", "-r", "--name-only", f"{commit}:datasets").split("\n")
    paths = set(listed)
    for path in listed:
        name, _, file = path.partition("/")
        if file != f"{name}.py":
            continue
        infos = f"{name}/dataset_infos.json"
        script = _shown(git, f"{commit}:datasets/{path}")
        if script is not None:
            told = _shown(git, f"{commit}:datasets/{infos}") if infos in paths else None
            yield name, script, told


def _shown(git: Path, name: str) -> str | None:
    """A file of a commit; None where the directory lacks it, as partial clones do."""
    command = ["git", "-C", str(git), "show", name]
    done = subprocess.run(command, capture_output=True, check=False)
    return None if done.returncode else done.stdout.decode("utf-8", "replace")


def _git(git: Path, *words: str) -> str:
    command = ["git", "-C", str(git), *words]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise SystemExit(f"{' '.join(command)}: {said}")
    return done.stdout.decode("utf-8", "replace")


# ---- the hub ----


class NoAnswerError(Exception):
    """The hub gave no usable answer."""


def ask(endpoint: str, name: str, *, pause: float = 1.0) -> dict[str, Any] | None:
    """What the hub says of a dataset; None when it has none of that name, or keeps it private.

    Raises:
        NoAnswerError: it could not be asked.
    """
    url = f"{endpoint.rstrip('/')}/api/datasets/{urllib.parse.quote(name)}"
    said = ""
    for attempt in range(_ATTEMPTS):
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                document = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404):
                return None
            said = f"HTTP {error.code}"
            if error.code != 429 and error.code < 500:
                break
        except (OSError, http.client.HTTPException, ValueError) as error:
            said = str(error)
        else:
            if isinstance(document, dict):
                return document
            said = "an answer that is no JSON object"
            break
        if attempt + 1 < _ATTEMPTS:
            time.sleep(pause * 2**attempt)
    raise NoAnswerError(f"{url}: {said}")


def configs_of(document: Mapping[str, Any]) -> tuple[set[str], bool] | None:
    """The configurations that a dataset's card declares, and whether one is the default; None where
    it declares none, so that its files decide."""
    card = document.get("cardData")
    declared = card.get("configs") if isinstance(card, dict) else None
    if not isinstance(declared, list) or not declared:
        return None
    names: set[str] = set()
    default = len(declared) == 1
    for one in declared:
        name = one.get("config_name") if isinstance(one, dict) else None
        if not isinstance(name, str):
            return None
        names.add(name)
        default = default or name == "default" or one.get("default") is True
    return names, default


def ask_all(
    endpoint: str, datasets: Sequence[Dataset], *, pause: float = 1.0
) -> tuple[list[Dataset], int]:
    """The datasets as the hub knows them today, and how many of them it knows.

    Those that the hub does not have any more are left out. Where a card declares nothing, what was
    known stays.
    """
    kept: list[Dataset] = []
    told = 0
    for dataset in datasets:
        owned = sorted(dataset.ids, key=lambda name: ("/" not in name, name))
        document = ask(endpoint, owned[0], pause=pause)
        if document is None:
            continue
        kept.append(dataset)
        told += 1
        if isinstance(document.get("id"), str):
            dataset.ids.add(document["id"])
        declared = configs_of(document)
        if declared is not None:
            dataset.configs, dataset.default = declared
            dataset.complete = True
            dataset.by = {"hub"}
    return kept, told


# ---- the index ----


def combined(
    scripts: Mapping[str, Dataset], packages: Mapping[str, Mapping[str, set[str | None]]]
) -> list[Dataset]:
    """One row per dataset, in order of name.

    An id with an owner is another name for a dataset without one when it has the same last part,
    and packages ask it for configurations of that dataset only, and never for none; of several such
    owners, those that several packages agree on.
    """
    rows = dict(scripts)
    lasts = Counter(name.rpartition("/")[2] for name in packages if "/" in name)
    for name, asked in sorted(packages.items()):
        configs: set[str | None] = set().union(*asked.values())
        named = {c for c in configs if c not in (None, "?")}
        last = name.rpartition("/")[2]
        same = rows.get(last)
        if same is not None:
            agreed = "/" not in name or lasts[last] == 1 or len(asked) > 1
            fits = bool(named) and named <= same.configs
            if agreed and fits and (None not in configs or same.default):
                same.ids.add(name)
                same.by.update(asked)
            continue
        if not named or None in configs or name in rows:
            continue
        rows[name] = Dataset({name}, {c for c in named if c}, by=set(asked))
    return sorted(rows.values(), key=lambda d: d.row()["ids"])


def written(index: Mapping[str, Any]) -> str:
    """JSON with one line per dataset, so that a refresh shows as a readable difference."""
    rows = ",\n".join(f"  {json.dumps(row)}" for row in index["datasets"])
    head = "".join(
        f"{json.dumps(k)}: {json.dumps(v)},\n" for k, v in index.items() if k != "datasets"
    )
    return f'{{{head}"datasets": [\n{rows}\n]}}\n'


def main(words: list[str] | None = None) -> None:
    """Writes the index anew.

    Raises:
        SystemExit: a source that was asked for does not answer; the index is left as it is.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--datasets-git", type=Path, help="git directory of the datasets library")
    parser.add_argument("--hub", help="address of the hub (HF_ENDPOINT when left out)")
    parser.add_argument("--no-packages", action="store_true", help="read no published packages")
    parser.add_argument("--wheels", type=Path, help="folder that keeps the wheels")
    parser.add_argument("--input", type=Path, default=INPUT, help="what to read")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the index")
    given = parser.parse_args(words)
    source = tomllib.loads(given.input.read_text(encoding="utf-8"))
    old: dict[str, Any] = {"sources": {}, "models": [], "datasets": []}
    if given.output.exists():
        old = json.loads(given.output.read_text(encoding="utf-8"))
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    sources = dict(old["sources"])
    models = list(old["models"])
    rows = [
        Dataset(set(r["ids"]), set(r["configs"]), r["default"], r["complete"], set(r["by"]))
        for r in old["datasets"]
    ]
    scripts = {min(d.ids, key=lambda i: "/" in i): d for d in rows if "scripts" in d.by}
    if given.datasets_git is not None:
        commit = _git(given.datasets_git, "rev-parse", source["datasets"]["commit"]).strip()
        scripts = dict(_from_scripts(given.datasets_git, commit))
        sources["scripts"] = {"repository": source["datasets"]["repository"], "commit": commit}
    if not given.no_packages:
        models, asked, read = _from_packages(source, given.wheels)
        sources["packages"] = read
        rows = combined(scripts, asked)
    elif given.datasets_git is not None:
        rows = combined(scripts, {})
    endpoint = given.hub or os.environ.get("HF_ENDPOINT")
    if endpoint is not None:
        try:
            rows, told = ask_all(endpoint, rows)
        except NoAnswerError as error:
            raise SystemExit(
                f"The hub does not answer, so the index stays as it is: {error}"
            ) from None
        sources["hub"] = {"asked": today, "known": told}
    index = {"sources": sources, "models": models, "datasets": [row.row() for row in rows]}
    given.output.write_text(written(index), encoding="utf-8")
    print(f"{len(models)} models, {len(rows)} datasets", file=sys.stderr)


def _from_scripts(git: Path, commit: str) -> Iterator[tuple[str, Dataset]]:
    for name, text, infos in scripts_of(git, commit):
        said = script_of(text)
        if said is None:
            continue
        configs, complete, default = said
        if not complete and infos is not None:
            try:
                configs |= set(json.loads(infos))
            except ValueError:
                continue
        if len(configs) > 1:
            yield name, Dataset({name}, configs, default, complete, {"scripts"})


def _from_packages(
    source: Mapping[str, Any], wheels: Path | None
) -> tuple[list[str], dict[str, dict[str, set[str | None]]], list[dict[str, str]]]:
    asked: dict[str, dict[str, set[str | None]]] = {}
    read: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = wheels or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        listed = source["models"]
        path = download(listed["package"], Version(listed["version"]), folder)
        release = read_wheel(path, [listed["package"]])
        models = models_of(release.texts)
        read.append(_provenance(release.name, path, release.sha256))
        for name in source["packages"]:
            path = download(name, versions(name)[-1], folder)
            release = read_wheel(path, [])
            read.append(_provenance(release.name, path, release.sha256))
            for dataset, config in read_package(path):
                asked.setdefault(dataset, {}).setdefault(name, set()).add(config)
    return models, asked, read


def _provenance(name: str, path: Path, sha256: str) -> dict[str, str]:
    return {"name": name, "file": path.name, "sha256": sha256}


if __name__ == "__main__":
    main()
