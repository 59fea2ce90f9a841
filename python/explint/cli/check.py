"""``explint check``: judges packages and writes reports."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TextIO, cast, overload

import click

from explint.cli import complete, exits
from explint.cli.door import Trouble, note

if TYPE_CHECKING:
    from explint.cli.output import FileSink, StandardOutput, Target
    from explint.config import FailOn
    from explint.model import InputError, PackageReport, Rule, Summary
    from explint.report import ColorChoice, Reporter, SourceText
    from explint.request import CheckOptions, PackageText

    Stream = Callable[
        [Sequence[str], CheckOptions, BinaryIO | None],
        Iterator[tuple[PackageReport, PackageText] | InputError],
    ]

FOR_PEOPLE = ("full", "concise")


def split_selectors(
    _ctx: click.Context, _param: click.Parameter, values: Sequence[str]
) -> tuple[str, ...]:
    """The words of repeated, comma-separated lists; the rule table decides what they mean."""
    return tuple(word.strip() for value in values for word in value.split(",") if word.strip())


def _python_version(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and re.fullmatch(r"3\.(0|[1-9][0-9]?)", value) is None:
        raise click.BadParameter(f"`{value}` is not a Python 3 version such as 3.11.")
    return value


class Presentation(NamedTuple):
    """What of a check concerns only how it is shown and how it ends."""

    output: tuple[str, ...]
    verdict_detail: bool
    statistics: bool
    fail_on: str | None
    exit_zero: bool
    require_complete: bool
    color: ColorChoice
    quiet: bool
    against: str | None


@click.command(epilog="Exit code 1 means findings at or above --fail-on; `explint --help` has all.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", shell_complete=complete.files)
@click.option(
    "-o",
    "--output",
    multiple=True,
    metavar="FORMAT[:FILE]",
    shell_complete=complete.report_formats,
    help="Report to write: full, concise, json, jsonl, sarif, github, gitlab, junit, agent or "
    "verdict. May be repeated; one report goes to standard output, the others to files.  "
    "[default: full]",
)
@click.option("--verdict-detail", is_flag=True, help="Add the state of each criterion to verdicts.")
@click.option("--statistics", is_flag=True, help="Count findings by rule at the end.")
@click.option(
    "--select",
    callback=split_selectors,
    multiple=True,
    metavar="RULES",
    shell_complete=complete.selectors,
    help="Rules to show, comma-separated: names, codes, families, criterion:N, all.",
)
@click.option(
    "--ignore",
    callback=split_selectors,
    multiple=True,
    metavar="RULES",
    shell_complete=complete.selectors,
    help="Rules to hide, written alike.",
)
@click.option("--preview", is_flag=True, help="Show preview rules too.")
@click.option(
    "--profile",
    metavar="NAME|FILE",
    shell_complete=complete.profiles,
    help="Protocol profile to judge by, not detected.",
)
@click.option("--rev", metavar="REV", help="Judge this git revision of PATH, without a checkout.")
@click.option(
    "--against",
    metavar="REV",
    help="Tell new findings from those at the merge base with this git revision.",
)
@click.option(
    "--trial",
    "trial_folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Join what `explint trial --out DIR` saw of the same packages. Nothing is executed.",
)
@click.option(
    "--baseline",
    metavar="FILE",
    shell_complete=complete.files,
    help="Accept the findings listed in this file.",
)
@click.option(
    "--python",
    callback=_python_version,
    metavar="VERSION",
    help="Judge syntax by this Python version, not by requires-python.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info", "new-error", "new-warning", "never"]),
    help="Least severity that makes the exit code 1; new- asks for findings that --against REV "
    "does not have.  [default: error]",
)
@click.option("--exit-zero", is_flag=True, help="Exit with 0 although there are findings.")
@click.option(
    "--require-complete",
    is_flag=True,
    help="Exit with 4 when a file could not be read or a rule failed.",
)
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    shell_complete=complete.files,
    help="Read this configuration, only.",
)
@click.option("--isolated", is_flag=True, help="Read no configuration.")
@click.option(
    "--jobs",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Processes to use for more than a few packages; 0 for one per processor.  [default: 0]",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Whether to colour. NO_COLOR is respected.",
)
@click.option("--no-cache", is_flag=True, help="Judge anew what was judged before.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar and no notes.")
@click.pass_context
def check(
    ctx: click.Context,
    paths: tuple[str, ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    preview: bool,
    profile: str | None,
    rev: str | None,
    against: str | None,
    trial_folder: Path | None,
    baseline: str | None,
    python: str | None,
    config_file: str | None,
    isolated: bool,
    jobs: int,
    output: tuple[str, ...],
    verdict_detail: bool,
    statistics: bool,
    fail_on: str | None,
    exit_zero: bool,
    require_complete: bool,
    color: ColorChoice,
    no_cache: bool,
    quiet: bool,
) -> None:
    """Judge experiment packages without running them.

    PATH is a package folder, a folder of packages, a judge record (.txt), a JSON or JSONL file, a
    .zip, .tar.gz or .tar.zst archive, or - for standard input. Without PATH the current folder is
    judged.

    \b
    explint check .
    explint check packages/ -o concise -o sarif:report.sarif
    explint check repo.git --rev main --select structure,complete
    explint check . --against origin/main --fail-on new-error
    explint check record.txt -o verdict --verdict-detail
    """
    if isolated and config_file is not None:
        raise click.UsageError("--isolated reads no configuration, so it excludes --config.", ctx)
    if paths.count("-") > 1:
        raise click.UsageError("standard input (-) can be read only once.", ctx)
    if "-" in paths and rev is not None:
        raise click.UsageError("--rev needs a repository; standard input is none.", ctx)
    if fail_on is not None and fail_on.startswith("new-") and against is None:
        raise click.UsageError(f"--fail-on {fail_on} needs --against REV to tell what is new.", ctx)

    from explint.request import CheckOptions, cache_folder

    options = CheckOptions(
        rev=rev,
        isolated=isolated,
        config=None if config_file is None else Path(config_file),
        flags={
            "profile": profile,
            "select": select,
            "ignore": ignore,
            "python": python,
            "preview": preview,
            "baseline": baseline,
        },
        jobs=jobs,
        cache=None if no_cache else cache_folder(),
    )
    presentation = Presentation(
        output=output,
        verdict_detail=verdict_detail,
        statistics=statistics,
        fail_on=fail_on,
        exit_zero=exit_zero,
        require_complete=require_complete,
        color=color,
        quiet=quiet,
        against=against,
    )
    check_selectors(select, ignore, quiet=quiet)
    ctx.exit(run(paths or (".",), options, presentation, _stream_of(trial_folder)))


def _stream_of(trial_folder: Path | None) -> Stream:
    def stream(
        paths: Sequence[str], options: CheckOptions, stdin: BinaryIO | None
    ) -> Iterator[tuple[PackageReport, PackageText] | InputError]:
        if trial_folder is None:
            from explint.pipeline import check_stream

            return check_stream(paths, options, stdin=stdin)
        from explint.source import open_sources
        from explint.trial.campaign import joined

        packages = open_sources(paths, rev=options.rev, limits=options.limits, stdin=stdin)
        return joined(packages, options, trial_folder)

    return stream


def run(
    paths: Sequence[str],
    options: CheckOptions,
    how: Presentation,
    stream: Stream,
    *,
    progress: bool = True,
) -> int:
    """Writes the reports of what ``stream`` makes of ``paths``, and returns the exit code.

    With ``progress`` a bar counts the packages where a person looks on.
    """
    from explint.cli.output import StandardOutput, parse_targets
    from explint.report import FORMATS

    rules = _Rules()
    targets = parse_targets(how.output or ("full",), FORMATS)
    fail_on = _fail_on(paths[0], options, how)
    _check_profile(options.flags.get("profile"))

    stdout = StandardOutput(sys.stdout)
    with ExitStack() as stack:
        check = _Check(targets, how, rules, stdout, stack, stream, progress=progress)
        summary = check.run(paths, options, fail_on)
    if summary.input_errors and not any(t.file is None and t.format in FOR_PEOPLE for t in targets):
        for error in summary.input_errors:
            note(f"error: {error.location}: {error.message}\n  {error.help}".rstrip())
    if summary.interrupted and not how.quiet:
        note("interrupted: the reports hold what was checked so far")
    elif not (summary.packages or summary.input_errors or how.quiet):
        named = " ".join(paths)
        note(f"nothing to check in {named}: no experiment package and no judge record is there")
    return exits.of_run(
        summary,
        failing=check.failing and not how.exit_zero,
        cut_short=check.cut_short,
        require_complete=how.require_complete,
    )


class _Rules(Sequence["Rule"]):
    """The rule table, made when a report asks for it: that loads every rule."""

    @cached_property
    def _rows(self) -> Sequence[Rule]:
        from explint.rules.table import rule_table

        return rule_table()

    @overload
    def __getitem__(self, index: int) -> Rule: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Rule]: ...

    def __getitem__(self, index: int | slice) -> Rule | Sequence[Rule]:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)


def _check_profile(named: object) -> None:
    """Refuses a profile that cannot be used before any report is begun."""
    if not isinstance(named, str):
        return
    from explint.protocol import ProfileError, load_profile

    try:
        load_profile(named)
    except ProfileError as error:
        raise Trouble(str(error)) from None


def check_selectors(select: Sequence[str], ignore: Sequence[str], *, quiet: bool) -> None:
    """Refuses selectors that name no rule before any report is begun."""
    if not (select or ignore):
        return
    from explint.rules.table import rule_table
    from explint.select import Selection, SelectorError

    try:
        selection = Selection.from_selectors(select, ignore, rule_table())
    except SelectorError as error:
        raise Trouble(str(error), error.help) from None
    if not quiet:
        for remark in selection.notes:
            note(f"note: {remark}")


def _fail_on(first: str, options: CheckOptions, how: Presentation) -> FailOn:
    """From the flag, else from the configuration of the first path: a run has one exit code."""
    from explint.config import ConfigError, FailOn, resolve

    if how.fail_on is not None:
        return FailOn(how.fail_on)
    start = None if first == "-" else Path(first)
    try:
        settings = resolve(start, config=options.config, isolated=options.isolated)
    except ConfigError as error:
        if options.config is not None:
            raise Trouble(str(error), error.help) from None
        # A package's own broken configuration is reported with that package, and the others are
        # checked all the same.
        return FailOn.ERROR
    return settings.config.fail_on


class _Check:
    """One run: packages in, reports out."""

    def __init__(
        self,
        targets: Sequence[Target],
        how: Presentation,
        rules: Sequence[Rule],
        stdout: StandardOutput,
        stack: ExitStack,
        stream: Stream,
        *,
        progress: bool,
    ) -> None:
        from explint.cli.output import FileSink
        from explint.report import ReportOptions, Terminal, create

        self.failing = False
        self._how = how
        self._stream = stream
        self._progress = progress and not how.quiet
        self._rules = rules
        self._stdout = stdout
        self._files: list[FileSink] = []
        self._reporters: list[Reporter] = []
        self._format_on_stdout = next((t.format for t in targets if t.file is None), None)
        options = ReportOptions(verdict_detail=how.verdict_detail)
        for target in targets:
            if target.file is None:
                sink = cast(TextIO, stdout)
                terminal = Terminal.detect(sys.stdout, color=how.color)
            else:
                file = FileSink(target.file)
                stack.callback(file.discard)
                self._files.append(file)
                sink = file.stream
                terminal = Terminal.detect(
                    sink, color="always" if how.color == "always" else "never"
                )
            self._reporters.append(create(target.format, sink, terminal=terminal, options=options))

    @property
    def cut_short(self) -> bool:
        """Nobody reads the only report any more."""
        return self._stdout.closed_by_reader and not self._files

    def run(self, paths: Sequence[str], options: CheckOptions, fail_on: FailOn) -> Summary:
        """Checks everything and completes every report, whatever ends the run."""
        from explint.model import Summary
        from explint.request import tool_info

        summary = Summary()
        started = time.monotonic()
        tool = tool_info()
        for reporter in self._reporters:
            reporter.start(tool, self._rules)
        try:
            self._packages(paths, options, fail_on, summary)
        except KeyboardInterrupt:
            summary.interrupted = True
        except BaseException as error:
            # Also what is no Exception: a panic of the core must not cost the reports.
            summary.interrupted = True
            summary.seconds = time.monotonic() - started
            # The error is what has to be told; a report that cannot be ended is not news.
            with suppress(Exception):
                self._finish(summary)
            if (trouble := _as_trouble(error)) is not None:
                raise trouble from error
            raise
        summary.seconds = time.monotonic() - started
        self._finish(summary)
        return summary

    def _packages(
        self, paths: Sequence[str], options: CheckOptions, fail_on: FailOn, summary: Summary
    ) -> None:
        from explint.cli.interrupts import Interrupts
        from explint.cli.progress import Progress
        from explint.model import InputError

        stdin: BinaryIO | None = sys.stdin.buffer if "-" in paths else None
        enabled = self._progress and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        with Progress(sys.stderr, enabled=enabled) as progress, Interrupts() as interrupts:
            stream = self._stream(paths, options, stdin)
            if self._how.against is not None:
                from explint.compare import compared

                stream = compared(stream, self._how.against, options)
            for item in stream:
                if isinstance(item, InputError):
                    summary.input_errors.append(item)
                    continue
                with interrupts.held(), progress.out_of_the_way():
                    self._add(*item, fail_on, summary)
                progress.advance()
                if self.cut_short:
                    return

    def _add(
        self, package: PackageReport, sources: SourceText, fail_on: FailOn, summary: Summary
    ) -> None:
        summary.add(package)
        self.failing = self.failing or any(
            fail_on.fails(f.severity, f.change) for f in package.counted()
        )
        for reporter in self._reporters:
            reporter.add(package, sources)
        # Whoever reads the other end of a pipe sees a package as soon as it is judged.
        self._stdout.flush()

    def _finish(self, summary: Summary) -> None:
        for reporter in self._reporters:
            reporter.finish(summary)
        if self._how.statistics:
            self._statistics(summary)
        self._stdout.flush()
        for file in self._files:
            file.commit()

    def _statistics(self, summary: Summary) -> None:
        """After a report for people, and beside one for programs."""
        from explint.report import Terminal
        from explint.report.statistics import statistics

        for_people = self._format_on_stdout in (None, *FOR_PEOPLE)
        stream = sys.stdout if for_people else sys.stderr
        terminal = Terminal.detect(stream, color=self._how.color)
        text = statistics(summary, terminal, self._rules)
        if for_people:
            self._stdout.write(text)
        else:
            sys.stderr.write(text)


def _as_trouble(error: BaseException) -> Trouble | None:
    """A usage error for what the user can put right; None for anything else."""
    from explint.config import ConfigError
    from explint.protocol import ProfileError
    from explint.select import SelectorError

    if isinstance(error, ConfigError | SelectorError):
        return Trouble(str(error), error.help)
    if isinstance(error, ProfileError):
        return Trouble(str(error))
    return None
