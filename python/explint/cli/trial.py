"""``explint trial``: runs packages for real, in a sandbox, and reports what happened."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from explint.cli import complete
from explint.cli.check import Presentation, check, check_selectors, run
from explint.cli.door import Trouble, note

if TYPE_CHECKING:
    from explint.model import InputError, PackageReport
    from explint.request import CheckOptions, PackageText, Seen
    from explint.trial.campaign import TrialOptions
    from explint.trial.executors import Executor

SHARED = (
    "output",
    "verdict_detail",
    "statistics",
    "select",
    "ignore",
    "preview",
    "profile",
    "rev",
    "fail_on",
    "exit_zero",
    "require_complete",
    "config_file",
    "isolated",
    "color",
    "quiet",
)
"""Options of ``explint check`` that mean the same here."""


class Size(click.ParamType[int]):
    """A number of bytes such as ``512M`` or ``16G``."""

    name = "size"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> int:
        """The number of bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)i?B?", str(value).strip(), re.IGNORECASE)
        if found is None:
            self.fail(f"`{value}` is no size such as 512M or 16G.", param, ctx)
        return int(float(found[1]) * 1024 ** "_KMGT".index(found[2].upper() or "_"))


@click.command(epilog="Exit code 1 means findings at or above --fail-on; `explint --help` has all.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", shell_complete=complete.files)
@click.option(
    "--run",
    "runs",
    multiple=True,
    metavar="ID",
    shell_complete=complete.runs,
    help="Try this run. May be repeated.",
)
@click.option(
    "--mode",
    metavar="NAME",
    shell_complete=complete.modes,
    help="The mode.  [default: the profile's first cheap one]",
)
@click.option(
    "--command",
    metavar="TEXT",
    help="Run this, not the profile's command line; {run_id} and {results_dir} are filled in.",
)
@click.option(
    "--override",
    "overrides",
    multiple=True,
    metavar="WORD",
    help="One more word at the end of the command line. May be repeated.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("explint-trial"),
    show_default=True,
    help="Folder for logs, events and outcomes; what is done in it is not done again.",
)
@click.option("--again", is_flag=True, help="Do all runs, also those that are done.")
@click.option(
    "--env",
    "--python",
    "environment",
    metavar="PATH",
    type=click.Path(exists=True, path_type=Path),
    help="A prepared environment, or an interpreter, to run in; without it uv makes one.",
)
@click.option("--offline", is_flag=True, help="Let uv take everything from its cache.")
@click.option(
    "--uv-cache",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Cache that the environments of all trials share.  [default: ~/.cache/explint/uv]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=900.0,
    show_default=True,
    metavar="SECONDS",
    help="Wall-clock time of a run.",
)
@click.option("--memory", type=Size(), default="16G", show_default=True, help="Memory of a run.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    help="Processes of a run.",
)
@click.option("--file-size", type=Size(), default="8G", show_default=True, help="One file's size.")
@click.option("--disk", type=Size(), default="16G", show_default=True, help="All that it writes.")
@click.option("--log-size", type=Size(), default="64M", show_default=True, help="All it prints.")
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="Let runs reach this host, or *.HOST, through a proxy. May be repeated.",
)
@click.option(
    "--env-pass",
    "passed",
    multiple=True,
    metavar="NAME",
    help="Hand this variable of the environment on. May be repeated.",
)
@click.option(
    "--read",
    "readable",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help="Let runs read this file or folder too. May be repeated.",
)
@click.option(
    "--sandbox",
    type=click.Choice(["auto", "bubblewrap", "landlock"]),
    default="auto",
    show_default=True,
    help="What keeps a run inside its own folders.",
)
@click.option("--no-sandbox", is_flag=True, help="Run the code with all that you may do yourself.")
@click.option(
    "--enforce",
    is_flag=True,
    help="Bound runs from outside: loaders, Optuna trials, W&B offline.",
)
@click.option(
    "--rehearse",
    is_flag=True,
    help="Then train against a W&B of this machine, and run and judge the evaluation.",
)
@click.option(
    "--rehearse-mode",
    metavar="NAME",
    help="The mode to train in for it.  [default: the first one that keeps W&B on]",
)
@click.option(
    "--executor",
    "executor_name",
    type=click.Choice(["local", "slurm", "ray"]),
    default="local",
    show_default=True,
    help="Where runs are done.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Runs at a time; 0 for one per GPU, one on the CPU, an array without a bound.  "
    "[default: 0]",
)
@click.option(
    "--gpus",
    type=click.IntRange(min=0),
    metavar="N",
    help="GPUs for each run.  [default: 1 where this machine runs them and has one, else 0]",
)
@click.option("--partition", metavar="NAME", help="Slurm: the partition.")
@click.option("--gres", metavar="TEXT", help="Slurm: resources such as gpu:a100:1, for --gpus.")
@click.option("--account", metavar="NAME", help="Slurm: the account that pays.")
@click.option(
    "--time",
    "minutes",
    type=click.IntRange(min=1),
    metavar="MINUTES",
    help="Slurm: the job's time limit.  [default: --timeout and what ending takes]",
)
@click.option("--address", metavar="TEXT", help="Ray: the cluster; without it Ray starts here.")
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Ray: how often a run is begun anew whose node was lost.",
)
@click.option("--cpus", type=click.IntRange(min=1), metavar="N", help="Processors for each run.")
def trial(
    paths: tuple[str, ...],
    **given: Any,  # noqa: ANN401 - every option is typed where it is used
) -> None:
    """Run experiment packages for real: bounded, observed, in a sandbox.

    Every run of each package is done as the profile mandates it, in its cheap mode, in a private
    copy. The report holds what reading finds and what the runs showed, as findings at the lines of
    the package. The code of the packages is executed: without a sandbox nothing runs unless
    --no-sandbox is given.

    \b
    explint trial .
    explint trial . --run proposed-cifar10 --env .venv --timeout 300
    explint trial . --env .venv --rehearse
    explint trial packages/ --out results --executor slurm --gpus 1
    """
    ctx = click.get_current_context()
    if given["isolated"] and given["config_file"] is not None:
        raise click.UsageError("--isolated reads no configuration, so it excludes --config.", ctx)
    from explint.request import CheckOptions

    config = given["config_file"]
    options = CheckOptions(
        rev=given["rev"],
        isolated=given["isolated"],
        config=None if config is None else Path(config),
        flags={name: given[name] for name in ("profile", "select", "ignore", "preview")},
        jobs=1,
    )
    how = Presentation(
        **{name: given[name] for name in Presentation._fields if name != "against"}, against=None
    )
    check_selectors(given["select"], given["ignore"], quiet=how.quiet)
    trial_options = _trial_options(given)
    executor = _executor(given, trial_options, quiet=how.quiet)
    then = None
    if given["rehearse"] or given["rehearse_mode"] is not None:
        then = _rehearsal(trial_options, given["rehearse_mode"])

    def stream(
        locations: Sequence[str], check_options: CheckOptions, stdin: BinaryIO | None
    ) -> Iterator[tuple[PackageReport, PackageText] | InputError]:
        return _tried(
            locations, check_options, trial_options, executor, stdin, then, quiet=how.quiet
        )

    ctx.exit(run(paths or (".",), options, how, stream, progress=False))


trial.params += [p for p in check.params if p.name in SHARED]


def _tried(
    locations: Sequence[str],
    check_options: CheckOptions,
    options: TrialOptions,
    executor: Executor,
    stdin: BinaryIO | None,
    then: Callable[..., Seen] | None,
    *,
    quiet: bool,
) -> Iterator[tuple[PackageReport, PackageText] | InputError]:
    from explint.source import open_sources
    from explint.trial.campaign import tried
    from explint.trial.dataset import Dataset
    from explint.trial.display import Display
    from explint.trial.executors import ExecutorError
    from explint.trial.sandbox import SandboxError, choose

    try:
        choose(options.sandbox)
        packages = open_sources(
            locations, rev=check_options.rev, limits=check_options.limits, stdin=stdin
        )
        enabled = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        with executor, Display(executor, sys.stderr, enabled=enabled) as display:

            def tell(remark: str) -> None:
                if not quiet:
                    with display.out_of_the_way():
                        note(remark)

            profile = check_options.flags.get("profile")
            dataset = Dataset(
                options.out, locations, None if profile is None else str(profile), tell
            )
            after = None if then is None else partial(then, tell=tell)
            done = tried(
                packages, check_options, options, executor, tell=tell, keep=dataset.add, then=after
            )
            complete = False
            try:
                for item in done:
                    with display.out_of_the_way():
                        yield item
                complete = True
            finally:
                dataset.write(complete=complete)
    except (ExecutorError, SandboxError) as error:
        raise Trouble(str(error), error.help) from None


def _rehearsal(options: TrialOptions, mode: str | None) -> Callable[..., Seen]:
    """What is done after a package's trial runs.

    Raises:
        Trouble: a library that only rehearsals need is not installed.
    """
    from explint.rehearsal.campaign import rehearsed
    from explint.rehearsal.errors import MissingExtraError, need

    try:
        need("graphql", "pypdf")
    except MissingExtraError as error:
        raise Trouble(str(error), error.help) from None
    return partial(rehearsed, options=options, mode=mode)


def _trial_options(given: dict[str, Any]) -> TrialOptions:
    from explint.trial.campaign import TrialOptions
    from explint.trial.run import Limits

    cache = given["uv_cache"]
    if cache is None:
        base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        cache = Path(base, "explint", "uv")
    return TrialOptions(
        out=given["out"],
        runs=given["runs"],
        mode=given["mode"],
        command=given["command"],
        overrides=given["overrides"],
        environment=given["environment"],
        uv_cache=cache,
        offline=given["offline"],
        limits=Limits(
            seconds=given["timeout"],
            memory=given["memory"],
            processes=given["processes"],
            file_size=given["file_size"],
            disk=given["disk"],
            output=given["log_size"],
        ),
        hosts=given["hosts"],
        readable=tuple(path.resolve() for path in given["readable"]),
        passed=given["passed"],
        sandbox="none" if given["no_sandbox"] else given["sandbox"],
        enforce=given["enforce"],
        gpus=_gpus(given),
        again=given["again"],
    )


def _gpus(given: dict[str, Any]) -> int:
    if given["gpus"] is not None:
        return int(given["gpus"])
    if given["executor_name"] != "local":
        return 0
    from explint.trial.gpu import found

    return 1 if found() else 0


def _executor(given: dict[str, Any], options: TrialOptions, *, quiet: bool) -> Executor:
    def tell(remark: str) -> None:
        if not quiet:
            note(remark)

    if given["executor_name"] == "slurm":
        from explint.trial.executors.slurm import SlurmExecutor, SlurmOptions

        wanted = SlurmOptions(
            partition=given["partition"],
            gres=given["gres"],
            minutes=given["minutes"],
            account=given["account"],
            cpus=given["cpus"],
            concurrency=given["concurrency"],
        )
        return SlurmExecutor(wanted, options.out, tell=tell)
    if given["executor_name"] == "ray":
        from explint.trial.executors.ray import RayExecutor

        return RayExecutor(
            address=given["address"],
            cpus=given["cpus"] or 1,
            concurrency=given["concurrency"],
            retries=given["retries"],
        )
    from explint.trial.executors.local import LocalExecutor

    return LocalExecutor(concurrency=given["concurrency"], gpus_per_run=options.gpus)
