"""The one door errors leave by: usage errors, internal errors, Ctrl-C and closed pipes."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from explint.cli import exits

DEBUG = "EXPLINT_DEBUG"

COMMANDS = (
    "audit",
    "baseline",
    "check",
    "completion",
    "compose",
    "config",
    "judge",
    "profile",
    "rule",
    "rules",
    "trace",
    "trial",
)


class Trouble(click.ClickException):
    """Something the user can put right: what is wrong, and what to do about it."""

    exit_code = exits.USAGE

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(f"{message}\n  {help}" if help else message)

    def format_message(self) -> str:
        """The message without control characters: it may quote names from audited files."""
        return shown(self.message)


def shown(text: str) -> str:
    """Text for a terminal: control characters other than line breaks are escaped."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def note(message: str) -> None:
    """A remark on standard error."""
    click.echo(shown(message), err=True)


class Door(click.Group):
    """Turns whatever ends a command into an exit code and a message that helps.

    A command ``NAME`` is the object ``NAME`` of the module ``explint.cli.NAME``.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names of the commands, in the order of the help text."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None when there is none."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(f"explint.cli.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        """Runs the command."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (KeyboardInterrupt, click.Abort):
            note("interrupted")
            ctx.exit(exits.INTERRUPTED)
        except BrokenPipeError:
            # The reader has what it wanted (`explint rules | head`).
            close_stdout()
            ctx.exit(exits.CLEAN)
        except Exception as error:  # noqa: BLE001 - the last door: nothing may leave as a traceback
            _internal_error(error)
            ctx.exit(exits.INTERNAL)
        except BaseException as error:
            # A panic in the Rust core arrives as a BaseException of pyo3.
            if type(error).__name__ != "PanicException":
                raise
            _internal_error(error)
            ctx.exit(exits.INTERNAL)
        return result

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command, or says which one was probably meant."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            from explint.nearmiss import did_you_mean

            commands = self.list_commands(ctx)
            meant = did_you_mean(name, commands) or f"Commands are {', '.join(commands)}."
            raise click.UsageError(f"there is no command `{shown(name)}`. {meant}", ctx)
        return super().resolve_command(ctx, args)


def close_stdout() -> None:
    """Sends what is still buffered for standard output nowhere.

    Without this the interpreter would meet the closed pipe once more when it flushes at its end.
    """
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


def _internal_error(error: BaseException) -> None:
    click.echo(shown(f"internal error: {type(error).__name__}: {error}"), err=True)
    click.echo(
        "This is a defect of explint, not of the package. Please report it to the project's\n"
        "issue tracker with the command line, the output of `explint --version`, the input if\n"
        f"you can share it, and the traceback that {DEBUG}=1 prints.",
        err=True,
    )
    if os.environ.get(DEBUG, "") not in ("", "0"):
        import traceback

        traceback.print_exception(error)
