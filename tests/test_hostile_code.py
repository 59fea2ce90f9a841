"""Python files made to defeat a parser: the process survives, and answers in bounded time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MB = 1_000_000
# Far above what any of them takes (a second or two), far below what a quadratic walk would.
SECONDS = 60

SOUND = {
    "one line of 10 MB": 'x = "' + "a" * 10 * MB + '"\n',
    "10 MB of comments": "# a line that says nothing of note\n" * (10 * MB // 35),
    "a literal of 100,000 parts": "x = " + '"a" ' * 100_000 + "\n",
    "100,000 operators": "x = " + "1 + " * 100_000 + "1\n",
}
REJECTED = {
    "100,000 closed brackets": "x = " + "[" * 100_000 + "]" * 100_000 + "\n",
    "100,000 open brackets": "(" * 100_000,
    "200,000 elif": "if a:\n    pass\n" + "elif a:\n    pass\n" * 200_000,
    "100,000 blocks": "".join(" " * (n % 99) + "if a:\n" for n in range(100_000)),
}


def rules_of(text: str, folder: Path) -> set[str]:
    """What a process of its own finds, which a stack overflow would end without an answer."""
    (folder / "train.py").write_text(text)
    command = [sys.executable, "-m", "explint", "check", ".", "--isolated", "--exit-zero"]
    command += ["-o", "json", "--select", "complete"]
    run = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert run.stderr == ""
    (package,) = json.loads(run.stdout)["packages"]
    assert package["coverage"]["scanned"] == 1
    return {finding["rule"] for finding in package["findings"]}


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND)
def test_strange_but_sound(text: str, tmp_path: Path) -> None:
    assert "complete/syntax-error" not in rules_of(text, tmp_path)


@pytest.mark.parametrize("text", REJECTED.values(), ids=REJECTED)
def test_what_cpython_rejects_is_rejected(text: str, tmp_path: Path) -> None:
    assert rules_of(text, tmp_path) & {"complete/syntax-error", "complete/truncated-code"}
