"""``explint audit``: judges whole corpora and writes a dataset; its commands read datasets."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explint.cli import complete, exits
from explint.cli.door import Trouble, note

if TYPE_CHECKING:
    from explint.audit.run import AuditOptions
    from explint.audit.schema import About

COMMANDS: tuple[str, ...] = ("query", "report", "summary")
"""A command ``NAME`` is the object ``NAME`` of the module ``explint.cli.audit_NAME``."""


class AuditGroup(click.Group):
    """Commands about audits; any other first word is a source to audit."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts the hidden command ``run`` before what names no command."""
        if not args or args[0] not in (*COMMANDS, "--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The commands that read audits."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None when there is none."""
        if cmd_name in COMMANDS:
            command: click.Command = getattr(
                import_module(f"explint.cli.audit_{cmd_name}"), cmd_name
            )
            return command
        return super().get_command(ctx, cmd_name)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help of the audit itself, then the commands."""
        with click.Context(run, info_name=ctx.info_name, parent=ctx.parent) as of_run:
            run.format_help(of_run, formatter)
        self.format_commands(ctx, formatter)


class Unnamed(click.Command):
    """A command that nobody writes: messages speak of the group it belongs to."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - click's own signature
    ) -> click.Context:
        """The context, with the group's name."""
        if parent is not None:
            info_name, parent = parent.info_name, parent.parent
        return super().make_context(info_name, args, parent, **extra)


@click.group(cls=AuditGroup, options_metavar="", subcommand_metavar="SOURCE... --out DIR")
def audit() -> None:
    """Judge whole corpora and write a dataset of the results."""


@audit.command(
    cls=Unnamed,
    hidden=True,
    epilog="Exit code 0 means that every package has its row, whatever the rows say.",
)
@click.argument("sources", nargs=-1, metavar="SOURCE...", shell_complete=complete.files)
@click.option("--out", required=True, metavar="DIR", help="Folder of the dataset. An audit that "
              "was ended goes on where it was.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Begin anew although DIR holds an audit.")
@click.option("--from", "manifests", multiple=True, metavar="FILE",
              help="Audit the sources in this file too, one a line. May be repeated.")  # fmt: skip
@click.option("--map", "columns", multiple=True, metavar="TARGET=COLUMN",
              help="Where a row of a table or of JSONL holds a file, as in train_py=code.train or "
              "src/model.py=model, or is one of id, series, files, partial, runs, verdict, "
              "hypothesis, record, prompt and output. May be repeated.")  # fmt: skip
@click.option("--whole", is_flag=True, help="Rows hold whole packages: what they leave out is "
              "absent, and an empty text is an empty file.")  # fmt: skip
@click.option("--branches", is_flag=True, help="Of git repositories: the head of every branch.")
@click.option("--history", is_flag=True, help="Of git repositories: every version of a package in "
              "the history of HEAD, or with --branches of every branch.")  # fmt: skip
@click.option("--inherit", is_flag=True, help="Fill what a partial package leaves out from the "
              "one before it in its series.")  # fmt: skip
@click.option("--profile", metavar="NAME|FILE", shell_complete=complete.profiles,
              help="Protocol profile to judge by, not detected.")  # fmt: skip
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local",
              help="Where packages are judged.  [default: local]")  # fmt: skip
@click.option("--address", metavar="ADDRESS",
              help="Ray cluster; without it --engine ray starts one of its own.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=0), default=0, metavar="N",
              help="Processes; 0 for one per processor.  [default: 0]")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0.1), default=60.0, metavar="SECONDS",
              help="Longest time for one package.  [default: 60]")  # fmt: skip
@click.option("--memory", type=click.IntRange(min=256), default=2048, metavar="MIB",
              help="Most memory for one package, in MiB.  [default: 2048]")  # fmt: skip
@click.option("--cache", metavar="DIR", help="Folder of known answers.  [default: the user's own]")
@click.option("--no-cache", is_flag=True, help="Neither use nor keep known answers.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar and no summary.")
@click.pass_context
def run(
    ctx: click.Context,
    sources: tuple[str, ...],
    out: str,
    overwrite: bool,
    manifests: tuple[str, ...],
    columns: tuple[str, ...],
    whole: bool,
    branches: bool,
    history: bool,
    inherit: bool,
    profile: str | None,
    engine: str,
    address: str | None,
    jobs: int,
    timeout: float,
    memory: int,
    cache: str | None,
    no_cache: bool,
    quiet: bool,
) -> None:
    """Judge every package of the sources and write a dataset of the results.

    SOURCE is anything `explint check` takes as a PATH. Packages are judged by processes of their
    own; one that hangs, takes too much memory or crashes costs a row that says so. Comments and
    configuration in the packages are not obeyed.

    \b
    explint audit packages/ --out audit
    explint audit runs.jsonl archive.tar.gz --out audit --jobs 8
    """
    if no_cache and cache is not None:
        raise click.UsageError("--no-cache keeps no answers, so it excludes --cache.", ctx)
    if address is not None and engine != "ray":
        raise click.UsageError("--address is that of a Ray cluster: add --engine ray.", ctx)
    if not sources and not manifests:
        raise click.UsageError("name at least one SOURCE.", ctx)
    if sources.count("-") > 1:
        raise click.UsageError("standard input (-) can be read only once.", ctx)
    from explint.audit.inputs import InputOptions
    from explint.audit.inputs.columns import MappingError, parse_map
    from explint.audit.judging import JudgingOptions
    from explint.audit.run import AuditOptions
    from explint.request import cache_folder

    try:
        mapped = parse_map(columns, whole=whole)
    except MappingError as problem:
        raise Trouble(str(problem)) from None
    inputs = InputOptions(
        manifests=manifests, columns=mapped, branches=branches, history=history, inherit=inherit
    )
    own = cache_folder()
    folder = Path(cache) if cache is not None else own and own / "audit"
    options = AuditOptions(
        sources=sources,
        out=Path(out),
        inputs=inputs,
        judging=JudgingOptions(profile=profile),
        jobs=jobs,
        timeout=timeout,
        memory=memory << 20,
        cache=None if no_cache else folder,
        address=address,
        overwrite=overwrite,
    )
    ctx.exit(_audit(options, engine, quiet=quiet))


def _audit(options: AuditOptions, engine: str, *, quiet: bool) -> int:
    from explint.audit.run import Engine, LocalEngine
    from explint.audit.run import audit as audit_of
    from explint.audit.store import StoreError
    from explint.cli.audit_progress import AuditProgress
    from explint.cli.interrupts import Interrupts
    from explint.protocol import ProfileError

    start: Callable[[AuditOptions], Engine] = LocalEngine
    if engine == "ray":
        from explint.audit.ray_engine import RayEngine

        start = RayEngine
    enabled = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    try:
        with AuditProgress(sys.stderr, enabled=enabled) as progress, Interrupts() as interrupts:
            about = audit_of(options, engine=start, watch=progress.show, hold=interrupts.held)
    except StoreError as problem:
        raise Trouble(str(problem), problem.help) from None
    except ProfileError as problem:
        raise Trouble(str(problem)) from None
    except KeyboardInterrupt:
        if not quiet:
            note(
                f"interrupted: {options.out} holds what was judged so far; the same command goes on"
            )
        return exits.INTERRUPTED
    if not quiet:
        _summarise(options.out, about)
    return exits.CLEAN if about.counts.packages else exits.NOTHING


def _summarise(out: Path, about: About) -> None:
    from explint.report.base import counted

    counts = about.counts
    note(
        f"{counted(counts.packages, 'package')} in {out}: {counts.ready:,} ready, "
        f"{counts.unready:,} not, {counts.failed:,} failed; {counted(counts.errors, 'error')}, "
        f"{counted(counts.warnings, 'warning')}, {counted(counts.infos, 'remark')}"
    )
    if counts.failed:
        note(
            f"why some failed: explint audit query {out} "
            "\"SELECT id, failure FROM packages WHERE status = 'failed'\""
        )
