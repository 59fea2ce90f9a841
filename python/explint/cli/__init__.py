"""The command line: one file per command.

Only click is imported when it starts. A command's file is imported when the command is called for,
and imports what it needs when it runs, so that ``--help``, ``--version`` and shell completion
answer at once.
"""

from __future__ import annotations

import gc
import os
import sys

import click

from explint import __version__
from explint.cli.door import Door
from explint.cli.exits import INTERRUPTED

__all__ = ["cli", "main"]


@click.group(
    cls=Door,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit codes: 0 clean, 1 findings, 2 usage or configuration error, 3 nothing to "
    "check, 4 incomplete, 101 internal error, 130 interrupted.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Find what keeps a generated machine-learning experiment from running, and its numbers from
    meaning what they say. Nothing of the experiment is executed, except by `trial`.

    \b
    explint check .                        judge the package in this folder
    explint check runs.jsonl -o concise    judge every package of a file
    explint compose . --run ID             show the config a run gets
    explint trace . --run ID               show what the code does in a run
    explint trial .                        run it for real, in a sandbox
    explint rule complete/todo-marker      explain a rule
    """


def main() -> None:
    """Runs the command line on ``sys.argv`` and leaves the process with its exit code."""
    # Starting makes tens of thousands of objects that live to the end; looking for cycles among
    # them takes a tenth of a small check. Checking leaves few cycles, so memory stays flat.
    gc.set_threshold(50_000)
    for stream in (sys.stdout, sys.stderr):
        # A character the stream's encoding lacks is shown escaped rather than ending the run.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    try:
        cli(prog_name="explint")
    except SystemExit as end:
        if end.code == INTERRUPTED:
            # The interpreter would wait for worker threads that are deep in the core; everything
            # is written by now, so leave at once.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        raise
