"""Prints a Markdown table of explint's speed and memory beside yardsticks measured in the same run.

    make bench                    # 1,000 packages; memory up to 10,000
    make bench ARGS='--quick'     # 50 packages; memory up to 500

Absolute times differ from machine to machine; ratios of things measured in turns, in one run, hold.
Each figure is the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from corpus import corpus, write

ROOT = Path(__file__).resolve().parent.parent
OUT = Path(__file__).resolve().parent / "out"
BIN = Path(sys.executable).parent
RUFF_RULES = "E9,F,FIX,PIE790"
# An installed package has its bytecode; without it every start would compile every module.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took: wall-clock seconds and its peak of resident memory in MB."""

    seconds: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    measured: str
    beside: str
    ratio: str
    target: str = ""


def cost(command: Sequence[str | Path], accepted: tuple[int, ...] = (0,)) -> Cost:
    """Runs a command, its output thrown away.

    Raises:
        SystemExit: the command failed; what it wrote to standard error is shown.
    """
    # A file and not a pipe: a pipe nobody reads while the process is waited for could fill up.
    log = OUT / "stderr.txt"
    with log.open("wb") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, cwd=OUT, env=ENVIRONMENT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in accepted:
        words = " ".join(map(str, command))
        text = log.read_text(errors="replace")[-2000:]
        raise SystemExit(f"`{words}` ended with {process.returncode}:\n{text}")
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(seconds, usage.ru_maxrss * unit / 1e6)


def in_turns(commands: dict[str, Sequence[str | Path]], rounds: int) -> dict[str, list[Cost]]:
    """Runs every command once per round, after one round that only warms the caches up."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            # ruff says with 1 that it found something.
            measured = cost(command, accepted=(0, 1) if name == "ruff" else (0,))
            if number:
                costs[name].append(measured)
    return costs


def seconds(costs: Sequence[Cost]) -> float:
    """The median of the wall-clock times."""
    return statistics.median(c.seconds for c in costs)


def check(
    folder: Path, *, jobs: int | None = None, form: str = "jsonl", known: bool = False
) -> list[str | Path]:
    """The command line of a check that streams its findings, from the cache when they are known."""
    command: list[str | Path] = [BIN / "explint", "check", folder, "--isolated", "--exit-zero"]
    command += ["-o", form]
    if not known:
        command.append("--no-cache")
    if jobs is not None:
        command += ["--jobs", str(jobs)]
    return command


def prepare(count: int, seed: int) -> tuple[Path, int]:
    """A corpus of ``count`` packages, written unless it is there, and its bytes of Python."""
    folder = OUT / f"corpus-{seed}-{count}"
    size_file = OUT / f"corpus-{seed}-{count}.size"
    if not size_file.exists():
        shutil.rmtree(folder, ignore_errors=True)
        size_file.write_text(str(write(folder, corpus(count, seed=seed))))
    return folder, int(size_file.read_text())


def core_rows(folder: Path, threads: Sequence[int], rounds: int) -> list[Row]:
    """The core's scan beside a bare parse, and how it gains from more threads."""
    command = ["cargo", "bench", "--quiet", "--locked", "--package", "explint-core"]
    command += ["--bench", "scan", "--", str(folder), ",".join(map(str, threads)), str(rounds)]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    measured = {}
    for line in output.splitlines():
        entry = json.loads(line)
        measured[entry["what"], entry["threads"]] = entry
    rows = []
    for count in threads:
        parse, scan = measured["parse", count], measured["scan", count]
        pairs = zip(scan["seconds"], parse["seconds"], strict=True)
        ours, theirs = (rate(e["bytes"], statistics.median(e["seconds"])) for e in (scan, parse))
        rows.append(
            Row(
                f"core scan, {plural(count, 'thread')}",
                ours,
                f"bare tree-sitter parse: {theirs}",
                f"{statistics.median(s / p for s, p in pairs):.2f} times the time",
                "≤ 1.5",
            )
        )
    few, many = threads[0], threads[-1]
    for what in ("parse", "scan"):
        pairs = zip(measured[what, few]["seconds"], measured[what, many]["seconds"], strict=True)
        gain = statistics.median(one / more for one, more in pairs)
        target = "≥ 1.8" if what == "scan" else ""
        rows.append(
            Row(
                f"{what}, {few} → {plural(many, 'thread')}",
                "",
                "",
                f"{gain:.2f} times as fast",
                target,
            )
        )
    return rows


def process_rows(folder: Path, count: int, size: int, rounds: int) -> list[Row]:
    """Whole processes over one corpus: explint, explint on one thread, ruff."""
    ruff: list[str | Path] = [
        BIN / "ruff",
        "check",
        "--isolated",
        "--select",
        RUFF_RULES,
        "--no-cache",
        folder,
    ]
    costs = in_turns({"explint": check(folder), "one": check(folder, jobs=1), "ruff": ruff}, rounds)
    ours, one, theirs = (seconds(costs[name]) for name in ("explint", "one", "ruff"))
    return [
        Row(
            "`explint check -o jsonl`, whole process",
            f"{ours:.2f} s, {count / ours:.0f} packages/s, {rate(size, ours)}",
            f"`ruff check --select {RUFF_RULES}`: {theirs:.2f} s",
            f"{ours / theirs:.2f} times the time",
        ),
        Row(
            "`explint check --jobs 1`",
            f"{one:.2f} s, {count / one:.0f} packages/s",
            f"all {os.cpu_count()} processors: {ours:.2f} s",
            f"{one / ours:.2f} times the time",
        ),
    ]


def memory_row(few: int, many: int, seed: int) -> Row:
    """The peak of memory over few and over many packages."""
    small, large = (cost(check(prepare(count, seed)[0])).peak_mb for count in (few, many))
    return Row(
        f"peak memory, {many:,} packages",
        f"{large:.0f} MB",
        f"{few:,} packages: {small:.0f} MB",
        f"{(large - small) / (many - few) * 1000:+.1f} MB per 1,000 packages",
        "flat",
    )


def start_rows(folder: Path, rounds: int) -> list[Row]:
    """One package from the shell beside the interpreter's own start: for the first time, and as it
    was checked before."""
    package = min(folder.glob("package-*"))
    # Single processes of some 100 ms need more rounds than whole corpora to give a steady median.
    costs = in_turns(
        {
            "first": check(package, form="full"),
            "again": check(package, form="full", known=True),
            "python": [sys.executable, "-c", "pass"],
        },
        3 * rounds,
    )
    theirs = seconds(costs["python"])
    return [
        Row(
            what,
            f"{ours * 1000:.0f} ms",
            f"`python -c pass`: {theirs * 1000:.0f} ms",
            f"{(ours - theirs) * 1000:+.0f} ms",
            "≤ +100 ms",
        )
        for what, ours in (
            ("one package from the shell", seconds(costs["first"])),
            ("the same, from the cache", seconds(costs["again"])),
        )
    ]


def rate(size: int, duration: float) -> str:
    """Bytes of Python per second."""
    return f"{size / duration / 1e6:.1f} MB/s"


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| what | measured | beside | ratio | target |", "|---|---|---|---|---|"]
    lines += [f"| {r.what} | {r.measured} | {r.beside} | {r.ratio} | {r.target} |" for r in rows]
    return "\n".join(lines)


def main() -> None:
    """Measures everything and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", type=int, default=1000, help="size of the corpus")
    parser.add_argument("--memory-packages", type=int, default=10_000, help="the larger corpus")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each thing")
    parser.add_argument("--threads", default="1,2", help="thread counts of the core, fewest first")
    parser.add_argument("--seed", type=int, default=0, help="which corpus")
    parser.add_argument(
        "--quick", action="store_true", help="50 packages, 500 for memory, 3 rounds"
    )
    words = parser.parse_args()
    if words.quick:
        words.packages, words.memory_packages, words.rounds = 50, 500, 3
    OUT.mkdir(exist_ok=True)
    folder, size = prepare(words.packages, words.seed)
    threads = [int(word) for word in words.threads.split(",")]
    rows = [
        *core_rows(folder, threads, words.rounds),
        *process_rows(folder, words.packages, size, words.rounds),
        memory_row(words.packages, words.memory_packages, words.seed),
        *start_rows(folder, words.rounds),
    ]
    print(
        f"{words.packages:,} packages, {size / 1e6:.1f} MB of Python, "
        f"{plural(os.cpu_count() or 1, 'processor')}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, explint {version('explint')}, "
        f"ruff {version('ruff')}, median of {plural(words.rounds, 'round')}.\n"
    )
    print(table(rows))


if __name__ == "__main__":
    main()
