"""The command line as a process: exit codes, Ctrl-C, closed pipes, terminals, start-up."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXPLINT = (sys.executable, "-m", "explint")


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*EXPLINT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def heed_ctrl_c() -> None:
    """A test run in the background may have been told to ignore it, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A package with errors: code that does not parse, and no W&B project."""
    package = tmp_path / "broken"
    for name in ("main", "train", "evaluate", "preprocess", "model"):
        (package / "src").mkdir(parents=True, exist_ok=True)
        (package / "src" / f"{name}.py").write_text("def main(:\n", encoding="utf-8")
    (package / "config").mkdir()
    (package / "config" / "config.yaml").write_text("results_dir: ???\n", encoding="utf-8")
    return package


def test_exit_codes(broken: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("check", broken).returncode == 1
    assert run("check", broken, "--exit-zero").returncode == 0
    assert run("check", tmp_path / "missing").returncode == 2
    assert run("check", broken, tmp_path / "missing").returncode == 1
    nothing = run("check", tmp_path / "empty")
    assert nothing.returncode == 3
    assert f"nothing to check in {tmp_path / 'empty'}" in nothing.stderr
    assert run("chek").returncode == 2


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_within_a_second_and_keeps_what_was_checked(
    broken: Path, tmp_path: Path, sign: signal.Signals
) -> None:
    report = tmp_path / "r.json"
    process = subprocess.Popen(
        # A missing path makes the pipeline finish what it has read before it goes on.
        [*EXPLINT, "check", str(broken), "missing", "-", "-o", "jsonl", "-o", f"json:{report}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_ctrl_c,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        # The first package is out; the second is awaited on a standard input that stays open.
        ready, _, _ = select.select([process.stdout], [], [], 20)
        if not ready:
            process.kill()
        first = json.loads(process.stdout.readline())
        assert first["findings"]
        process.send_signal(sign)
        sent = time.monotonic()
        assert process.wait(timeout=30) == 130
        assert time.monotonic() - sent < 1.0
        assert b"Traceback" not in process.stderr.read()
    written = json.loads(report.read_text(encoding="utf-8"))
    assert len(written["packages"]) == 1
    assert written["summary"]["interrupted"] is True


@pytest.mark.parametrize("command", [("rules",), ("rule", "SUP001"), ("config", "schema")])
def test_a_reader_that_goes_away_is_no_error(command: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = subprocess.run(
            [*EXPLINT, *command], stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False
        )
    finally:
        os.close(writing)
    assert (process.returncode, process.stderr) == (0, b"")


def test_a_check_whose_reader_went_away_still_writes_its_files(
    broken: Path, tmp_path: Path
) -> None:
    report = tmp_path / "r.json"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = subprocess.run(
            [*EXPLINT, "check", str(broken), "-o", "full", "-o", f"json:{report}"],
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    finally:
        os.close(writing)
    assert (process.returncode, process.stderr) == (1, b"")
    assert json.loads(report.read_text(encoding="utf-8"))["packages"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_under_standard_output_is_told(broken: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [*EXPLINT, "check", str(broken)],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    assert process.returncode == 2
    assert b"cannot write to standard output: No space left on device" in process.stderr
    assert b"Traceback" not in process.stderr


def test_an_ascii_terminal_is_no_obstacle(broken: Path) -> None:
    assert run("rule", "SUP001", PYTHONIOENCODING="ascii").returncode == 0
    assert run("check", broken, PYTHONIOENCODING="ascii").returncode == 1


def test_the_bar_shows_on_a_terminal_after_a_second_and_is_wiped(tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [*EXPLINT, "check", "-", "-o", "json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=end,
        env={**os.environ, "TERM": "xterm"},
        cwd=tmp_path,
    )
    with process:
        os.close(end)
        ready, _, _ = select.select([terminal], [], [], 20)
        shown = os.read(terminal, 65536) if ready else b""
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdin.close()
        assert json.loads(process.stdout.read())["schema_version"] == 1
        process.wait(timeout=30)
        while True:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # the other end is closed
                break
    os.close(terminal)
    assert b"packages done: 0" in shown
    # The cursor is shown again, and the line of the bar erased.
    assert b"\x1b[?25h" in shown
    assert shown.rindex(b"\x1b[2K") > shown.rindex(b"packages done")


def test_no_bar_away_from_a_terminal(broken: Path) -> None:
    assert run("check", broken).stderr == ""


def test_starting_imports_nothing_but_click() -> None:
    code = (
        "import sys, explint.cli; "
        "print([m for m in ('msgspec', 'rich', 'yaml', 'pathspec', 'zstandard', 'tomllib', "
        "'explint.model', 'explint.pipeline', 'explint._core') if m in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert process.stdout.strip() == "[]"
