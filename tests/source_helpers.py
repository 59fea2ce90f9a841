"""Builders of inputs for the source tests: all text in them is our own."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from explint.model import InputError
from explint.package import Package
from explint.source import Limits, open_sources

KEYS = {
    "train_py": "src/train.py",
    "evaluate_py": "src/evaluate.py",
    "preprocess_py": "src/preprocess.py",
    "model_py": "src/model.py",
    "main_py": "src/main.py",
    "pyproject_toml": "pyproject.toml",
    "config_yaml": "config/config.yaml",
}

SMALL = {
    "src/train.py": "print('train')\n",
    "src/main.py": "print('main')\n",
    "config/config.yaml": "defaults: [_self_]\n",
    "config/run/a.yaml": "run_id: a\n",
    "pyproject.toml": "[project]\nname = 'x'\nversion = '1'\n",
    "README.md": "# x\n",
}


def write_tree(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for path, content in files.items():
        at = root / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def go_json(value: object) -> str:
    """JSON on one line with the escapes that records carry."""
    text = json.dumps(value, ensure_ascii=False)
    for char in "<>&'":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def record_text(
    code: Mapping[str, str] | None,
    runs: Iterable[tuple[str, str]] = (),
    verdict: str | None = '{\n    "is_code_ready": false,\n    "code_issue": "slow"\n}\n',
    *,
    run_folder: str = "config/run",
    extra: str = "",
) -> str:
    """A record in the layout of a judge's prompt."""
    blocks = "".join(
        f"\n- Run ID: {run_id}\n  Method: proposed\n  Model: tiny (1M)\n  Dataset: toy\n  \n"
        f"  Config Content:\n  ```yaml\n  {config}\n  ```\n  \n"
        for run_id, config in runs
    )
    asked = "" if code is None else go_json(dict(code))
    answer = "" if verdict is None else f"Output:\n{verdict}"
    return (
        "\nLLM Name: some-model\nInput:\nJudge this code.\n\n# Instructions\n"
        f"- Runs are in `{run_folder}/*.yaml`, start: `-m src.main run={{run_id}} mode=trial`\n"
        f"{extra}\n# Current Research Method\nSmaller steps converge.\n\n"
        "# Experimental Design\n- Strategy: compare\n"
        "- Evaluation Metrics: ['Accuracy', \"Rater's F1\"]\n\n# Experiment Runs\n"
        f"{blocks}\n\n# Generated Experiment Code (To be validated)\n{asked}\n\n"
        f"Analyze the code.\n{answer}"
    )


def collect(
    *locations: Path | str,
    rev: str | None = None,
    limits: Limits | None = None,
    stdin: BinaryIO | None = None,
) -> tuple[list[Package], list[InputError]]:
    items = list(open_sources([str(p) for p in locations], rev=rev, limits=limits, stdin=stdin))
    packages = [item for item in items if isinstance(item, Package)]
    return packages, [item for item in items if isinstance(item, InputError)]


def read_one(location: Path | str, **options: object) -> Package:
    packages, errors = collect(location, **options)  # type: ignore[arg-type]
    assert not errors, errors
    assert len(packages) == 1, [p.id for p in packages]
    return packages[0]


def texts(package: Package) -> dict[str, str]:
    """The files that were read."""
    return {p: f.data.decode() for p, f in package.files.items() if f.data is not None}


def zip_bytes(members: Iterable[tuple[Any, str | bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def tar_bytes(members: Iterable[tuple[Any, str | bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members:
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            if info.isreg():
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()
