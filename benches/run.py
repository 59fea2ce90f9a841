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


def audit(
    source: Path, out: str, *, cache: str | None, more: Sequence[str] = ()
) -> list[str | Path]:
    """The command line of an audit that begins anew, with a cache of its own or none."""
    kept = ["--no-cache"] if cache is None else ["--cache", OUT / cache]
    return [BIN / "explint", "audit", source, "--out", OUT / out, "--overwrite", "-q", *kept, *more]


def audit_rows(folder: Path, count: int, rounds: int) -> list[Row]:
    """Audits of a corpus that is new, of one that is known, and of one that repeats it."""
    for name in ("audit-cache", "audit-cold", "audit-known"):
        shutil.rmtree(OUT / name, ignore_errors=True)
    cost(audit(folder, "audit-known", cache="audit-cache"))
    costs = in_turns(
        {
            "cold": audit(folder, "audit-cold", cache=None),
            "known": audit(folder, "audit-known", cache="audit-cache"),
            "check": check(folder),
        },
        rounds,
    )
    cold, known, checked = (seconds(costs[name]) for name in ("cold", "known", "check"))
    rows = [
        Row(
            "`explint audit`, packages that are new",
            f"{cold:.2f} s, {count / cold:.0f} packages/s",
            f"`explint check -o jsonl`: {checked:.2f} s",
            f"{cold / checked:.2f} times the time",
            "≥ 150 packages/s",
        ),
        Row(
            "`explint audit`, packages that are known",
            f"{known:.2f} s, {count / known:.0f} packages/s",
            "the same audit without the cache",
            f"{cold / known:.1f} times as fast",
            "≥ 2,000 packages/s",
        ),
    ]
    small, large = (repeated(folder, times) for times in (1, REPEATED))
    # What a table cannot hold, such as bytes that are no text, is new to the cache.
    cost(audit(small, "audit-known", cache="audit-cache", more=("--whole",)))
    few, many = (
        cost(audit(rows_of, "audit-known", cache="audit-cache", more=("--whole",)))
        for rows_of in (small, large)
    )
    packages = count * REPEATED
    each = (many.seconds - few.seconds) / (packages - count)
    grown = (many.peak_mb - few.peak_mb) / (packages - count) * 1000
    rows.append(
        Row(
            f"`explint audit` of a table of {packages:,} rows, all known",
            f"{many.seconds:.1f} s, {1 / each:.0f} packages/s after the start, "
            f"{many.peak_mb:.0f} MB at most",
            f"{count:,} rows: {few.peak_mb:.0f} MB",
            f"{grown:+.2f} MB per 1,000 packages",
            "flat",
        )
    )
    return rows


REPEATED = 50
"""How often the rows of the larger table repeat the corpus."""


def repeated(folder: Path, times: int) -> Path:
    """A Parquet file with the packages of a corpus in its rows, so many times over."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = folder.with_name(f"{folder.name}-{times}.parquet")
    if file.exists():
        return file
    names, contents = [], []
    for package in sorted(folder.glob("package-*")):
        names.append(package.name)
        contents.append(
            [
                (path.relative_to(package).as_posix(), path.read_text("utf-8", "replace"))
                for path in sorted(package.rglob("*"))
                if path.is_file()
            ]
        )
    text = pa.string()
    schema = pa.schema([("id", text), ("files", pa.map_(text, text))])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for time_ in range(times):
            ids = [f"{name}-{time_}" for name in names]
            writer.write_table(pa.table({"id": ids, "files": contents}, schema=schema), 500)
    return file


def history_row(folder: Path, rounds: int) -> Row:
    """The audit of a history beside ruff over a checkout of each of its versions."""
    repository = OUT / "history.git"
    versions = history(folder, repository)
    checkouts = (
        f'for c in $(git --git-dir="{repository}" rev-list --all); do rm -rf w && mkdir w && '
        f'git --git-dir="{repository}" archive "$c" | tar -x -C w && '
        f'"{BIN / "ruff"}" check --isolated --no-cache --quiet w; done; true'
    )
    costs = in_turns(
        {
            "audit": audit(repository, "audit-history", cache=None, more=("--history",)),
            "ruff": ["sh", "-c", checkouts],
        },
        rounds,
    )
    ours, theirs = (seconds(costs[name]) for name in ("audit", "ruff"))
    return Row(
        f"`explint audit --history` of {versions} versions",
        f"{ours:.2f} s",
        f"`ruff check` over a checkout of each: {theirs:.2f} s",
        f"{ours / theirs:.2f} times the time",
        "≤ 1",
    )


def history(folder: Path, repository: Path) -> int:
    """A bare repository whose commits are packages of a corpus, each in place of the one before,
    unless it is there; the number of its commits."""
    packages = sorted(folder.glob("package-*"))[:40]
    if repository.exists():
        return len(packages)
    git = ["git", f"--git-dir={repository}", "-c", "user.name=b", "-c", "user.email=b@example.org"]
    subprocess.run([*git[:2], "init", "--quiet", "--bare"], check=True)
    for package in packages:
        tree = [*git, f"--work-tree={package}"]
        subprocess.run([*tree, "add", "--all"], check=True, cwd=package)
        subprocess.run([*tree, "commit", "--quiet", "-m", package.name], check=True, cwd=package)
    return len(packages)


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
        *audit_rows(folder, words.packages, words.rounds),
        history_row(folder, words.rounds),
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
