"""``explint judge``: measures the verdicts of an LLM judge against the code they speak of."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, TextIO, cast

import click

from explint.cli import complete, exits
from explint.cli.door import Trouble, note

if TYPE_CHECKING:
    from explint.cli.output import StandardOutput
    from explint.model.judgement import JudgementSummary
    from explint.report.judgement import JudgementReporter
    from explint.report.terminal import ColorChoice
    from explint.request import CheckOptions


@click.command(epilog="Exit code 0 means that all was compared, whatever the judge is worth.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=complete.files)
@click.option("-o", "--output", multiple=True, metavar="FORMAT[:FILE]",
              shell_complete=complete.formats(("text", "json")),
              help="Report to write: text or json. May be repeated.  [default: text]")  # fmt: skip
@click.option("--tables", is_flag=True, help="Show the tables only, not each claim.")
@click.option("--profile", metavar="NAME|FILE", shell_complete=complete.profiles,
              help="Protocol profile, not detected.")  # fmt: skip
@click.option("--rev", metavar="REV", help="Read this git revision of PATH, without a checkout.")
@click.option("--jobs", type=click.IntRange(min=0), default=0, metavar="N",
              help="Processes for more than a few packages; 0 for one per processor.  [default: 0]",
              )  # fmt: skip
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto",
              show_default=True, help="Whether to colour. NO_COLOR is respected.")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@click.pass_context
def judge(
    ctx: click.Context,
    paths: tuple[str, ...],
    output: tuple[str, ...],
    tables: bool,
    profile: str | None,
    rev: str | None,
    jobs: int,
    color: ColorChoice,
    quiet: bool,
) -> None:
    """Compare the verdicts of an LLM judge with the code, claim by claim.

    PATH is anything `explint check` takes that carries verdicts: judge records (.txt), JSON or
    JSONL, folders and archives of them, or - for standard input. Each claim of a verdict is
    confirmed by a finding, refuted by the files, or undecided; errors that no claim speaks of are
    listed as missed.

    \b
    explint judge record.txt
    explint judge records/ --tables -o text -o json:judgement.json
    """
    from explint.protocol import ProfileError, load_profile
    from explint.request import CheckOptions

    if paths.count("-") > 1:
        raise click.UsageError("standard input (-) can be read only once.", ctx)
    if "-" in paths and rev is not None:
        raise click.UsageError("--rev needs a repository; standard input is none.", ctx)
    if profile is not None:
        try:
            load_profile(profile)
        except ProfileError as error:
            raise Trouble(str(error)) from None
    options = CheckOptions(rev=rev, isolated=True, flags={"profile": profile}, jobs=jobs)
    ctx.exit(_run(paths, options, output or ("text",), color, tables_only=tables, quiet=quiet))


def _run(
    paths: Sequence[str],
    options: CheckOptions,
    output: Sequence[str],
    color: ColorChoice,
    *,
    tables_only: bool,
    quiet: bool,
) -> int:
    from explint.cli.output import FileSink, StandardOutput, parse_targets
    from explint.model.judgement import JudgementSummary
    from explint.report.judgement import FORMATS, create
    from explint.report.terminal import Terminal
    from explint.request import tool_info

    targets = parse_targets(output, FORMATS)
    stdout = StandardOutput(sys.stdout)
    summary = JudgementSummary()
    started = time.monotonic()
    with ExitStack() as stack:
        files: list[FileSink] = []
        reporters: list[JudgementReporter] = []
        for target in targets:
            if target.file is None:
                sink, seen = cast(TextIO, stdout), Terminal.detect(sys.stdout, color=color)
            else:
                file = FileSink(target.file)
                stack.callback(file.discard)
                files.append(file)
                sink = file.stream
                seen = Terminal.detect(sink, color="always" if color == "always" else "never")
            reporters.append(create(target.format, sink, seen, tables_only=tables_only))
        for reporter in reporters:
            reporter.start(tool_info())
        try:
            _compare(paths, options, summary, reporters, stdout, quiet=quiet)
        except KeyboardInterrupt:
            summary.interrupted = True
        summary.seconds = time.monotonic() - started
        for reporter in reporters:
            reporter.finish(summary)
        stdout.flush()
        for file in files:
            file.commit()
    if not any(t.file is None and t.format == "text" for t in targets):
        for error in summary.input_errors:
            note(f"error: {error.location}: {error.message}\n  {error.help}".rstrip())
    return _exit_code(summary, cut_short=stdout.closed_by_reader and not files)


def _compare(
    paths: Sequence[str],
    options: CheckOptions,
    summary: JudgementSummary,
    reporters: Sequence[JudgementReporter],
    stdout: StandardOutput,
    *,
    quiet: bool,
) -> None:
    from explint.cli.interrupts import Interrupts
    from explint.cli.progress import Progress
    from explint.judge.compare import NoVerdict, judged
    from explint.model import InputError

    stdin = sys.stdin.buffer if "-" in paths else None
    enabled = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    with Progress(sys.stderr, enabled=enabled) as progress, Interrupts() as interrupts:
        for item in judged(paths, options, stdin=stdin):
            if isinstance(item, InputError):
                summary.input_errors.append(item)
                continue
            if isinstance(item, NoVerdict):
                summary.without_verdict += 1
                continue
            with interrupts.held(), progress.out_of_the_way():
                summary.add(item)
                for reporter in reporters:
                    reporter.add(item)
                stdout.flush()
            progress.advance()


def _exit_code(summary: JudgementSummary, *, cut_short: bool) -> int:
    if summary.interrupted:
        return exits.INTERRUPTED
    if summary.input_errors:
        return exits.USAGE
    if cut_short:
        return exits.INCOMPLETE
    return exits.CLEAN if summary.packages else exits.NOTHING
