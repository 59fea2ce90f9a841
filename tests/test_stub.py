"""The stub of the extension says what the binary holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def stubtest(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_stub_matches_the_binary(tmp_path: Path) -> None:
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nmypy_path = python\n")
    result = stubtest("explint._core", "--mypy-config-file", str(config))
    assert result.returncode == 0, result.stdout + result.stderr
