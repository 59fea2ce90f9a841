"""``explint compose``: the config a run gets, with the origin of every value."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from explint.cli import complete, exits
from explint.cli.door import Trouble, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from explint.compose import RunComposition
    from explint.compose.errors import CompositionError
    from explint.compose.render import Line
    from explint.compose.shell import ShellProblem
    from explint.compose.static import Composed, Unknown
    from explint.package import Package
    from explint.protocol.profile import Mode, Profile
    from explint.report.terminal import ColorChoice, Painter

SHORTEST_REMARK = 24
"""Cells below which a remark is not cut, but put on a line of its own."""


@click.command()
@click.argument("path", default=".", shell_complete=complete.files)
@click.option(
    "--run",
    "run_id",
    metavar="ID",
    shell_complete=complete.runs,
    help="The run; needless when there is one only.",
)
@click.option(
    "--mode",
    metavar="NAME",
    shell_complete=complete.modes,
    help="The mode.  [default: the profile's first]",
)
@click.option("--entry", metavar="MODULE", help="The module that starts Hydra, such as src.main.")
@click.option(
    "--override",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="One more override at the end of the command line. May be repeated.",
)
@click.option(
    "--quote",
    is_flag=True,
    help="Compose as if the run id were quoted for the shell and for Hydra.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "yaml", "json"]),
    default="text",
    show_default=True,
    help="With origins, as plain YAML with interpolations as written, or everything for programs.",
)
@click.option(
    "--profile",
    "profile_name",
    metavar="NAME|FILE",
    shell_complete=complete.profiles,
    help="The protocol profile.",
)
@click.option("--rev", metavar="REV", help="Read this git revision of PATH, without a checkout.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Whether to colour. NO_COLOR is respected.",
)
@click.pass_context
def compose(
    ctx: click.Context,
    path: str,
    run_id: str | None,
    mode: str | None,
    entry: str | None,
    overrides: tuple[str, ...],
    quote: bool,
    form: str,
    profile_name: str | None,
    rev: str | None,
    color: ColorChoice,
) -> None:
    """Print the config that Hydra composes for a run, without running anything.

    The protocol's command line is split as a shell splits it and composed with what the code gives
    @hydra.main. Every value carries the file and line it comes from.

    \b
    explint compose . --run proposed-cifar10 --mode trial
    explint compose . --override run.training.lr=0.1
    """
    from explint import core
    from explint.compose import compose_run, entry_of
    from explint.compose.entry import find_entry
    from explint.protocol import ProfileError, choose_profile

    package = _package(path, rev)
    try:
        profile, _ = choose_profile(package, profile_name)
    except ProfileError as error:
        raise Trouble(str(error)) from None
    chosen_run = _run(package, profile, run_id)
    chosen_mode = _mode(profile, mode)
    command = profile.commands.train
    if chosen_mode is not None:
        command = profile.train_command(chosen_mode)
    uses = core.Scanner(1).uses(package)
    if entry is None:
        point = entry_of(package, command, uses)
    else:
        point = find_entry(package, _module_file(entry), uses)
        if isinstance(point, str):
            raise Trouble(point, "Name the module that @hydra.main stands in.")
    if not isinstance(point, str):
        from explint.cli.trace import settled_entry

        point = settled_entry(package, point)
    answer = compose_run(package, command, chosen_run, entry=point, extra=overrides, quoted=quote)
    name = None if chosen_mode is None else chosen_mode.name
    ctx.exit(_print(answer, name, package, form, color))


def _package(path: str, rev: str | None) -> Package:
    from explint.model import InputError
    from explint.source import open_sources

    found: list[Package] = []
    for item in open_sources([path], rev=rev):
        if isinstance(item, InputError):
            raise Trouble(f"{item.location}: {item.message}", item.help)
        found.append(item)
        if len(found) > 1:
            raise Trouble(f"{path} holds several packages", "Name the folder of one of them.")
    if not found:
        raise Trouble(f"there is no package at {path}", "Name the folder of a package.")
    return found[0]


def _run(package: Package, profile: Profile, run_id: str | None) -> str | None:
    from explint.compose import run_ids

    if "{run_id}" not in (profile.commands.train or ""):
        if run_id is not None:
            raise Trouble(
                f"the profile {profile.name} has no command line with a run in it",
                f"Give the choice as Hydra takes it, such as --override run={run_id}, or another "
                "--profile.",
            )
        return None
    known = run_ids(package, profile.config.run_folder)
    if run_id is None:
        if not known:
            return None
        if len(known) == 1:
            return known[0]
        listed = "".join(f"\n    {name}" for name in known)
        raise Trouble("the package has several runs; name one with --run", f"Runs are:{listed}")
    if known and run_id not in known:
        from explint.nearmiss import did_you_mean

        hint = did_you_mean(run_id, known) or f"Runs are {', '.join(known[:12])}."
        raise Trouble(f"the package has no run `{run_id}`", hint)
    return run_id


def _mode(profile: Profile, name: str | None) -> Mode | None:
    modes = profile.trial.modes
    if name is None:
        return modes[0] if modes else None
    found = profile.mode(name)
    if found is None:
        from explint.nearmiss import did_you_mean

        names = [m.name for m in modes]
        hint = did_you_mean(name, names) or (
            f"Modes are {', '.join(names)}." if names else "This profile has no modes."
        )
        raise Trouble(f"the profile {profile.name} has no mode `{name}`", hint)
    return found


def _module_file(module: str) -> str:
    return module if module.endswith(".py") else module.replace(".", "/") + ".py"


def _print(
    answer: RunComposition, mode: str | None, package: Package, form: str, color: ColorChoice
) -> int:
    from explint.compose.errors import CompositionError
    from explint.compose.shell import ShellProblem
    from explint.compose.static import Composed, Unknown

    result = answer.result
    code = exits.INCOMPLETE if isinstance(result, Unknown) else exits.FINDINGS
    if isinstance(result, Composed):
        code = exits.CLEAN
    if form == "json":
        _echo(_json(answer, mode))
        return code
    from explint.report.terminal import Painter, Terminal

    if isinstance(result, Composed):
        painter = Painter(Terminal.detect(sys.stdout, color=color))
        if form == "text":
            _text(answer, result, painter)
        else:
            _yaml(result)
        return code
    painter = Painter(Terminal.detect(sys.stderr, color=color))
    if isinstance(result, ShellProblem):
        _shell_problem(answer, result, painter)
    elif isinstance(result, CompositionError):
        _error(answer, mode, result, package, painter)
    else:
        _unknown(result, painter)
    return code


def _echo(text: str, *, err: bool = False) -> None:
    # Whether there is colour has been decided; click would decide again by the stream alone.
    click.echo(text, err=err, color=True)


# A composed config


def _text(answer: RunComposition, composed: Composed, painter: Painter) -> None:
    from explint.compose.render import yaml_lines

    for line in _head(answer, composed):
        _echo(painter.paint(f"# {shown(line)}", "dim"))
    lines = list(yaml_lines(composed, resolved=True))
    for text in _with_remarks(lines, painter):
        _echo(text)


def _head(answer: RunComposition, composed: Composed) -> Iterable[str]:
    yield answer.command or "no command line is part of this profile"
    if answer.entry is not None:
        name = answer.entry.config_name or "no config name"
        yield f"{answer.entry.path}:{answer.entry.line} starts Hydra with {name}"
    if answer.answered_by == "hydra-core":
        yield "composed by hydra-core itself, which does not tell where values come from"
    if any(len(path) > 40 for path in composed.files):
        yield "composed of"
        yield from (f"  {path}" for path in composed.files)
    for option in composed.assumed:
        yield f"{option} is taken to come from a plugin of Hydra"


def _with_remarks(lines: Sequence[Line], painter: Painter) -> Iterable[str]:
    """Remarks in one column behind the values; one that does not fit stands above its value."""
    from explint.report.text import cells, printable

    width = painter.terminal.width
    unicode = painter.terminal.unicode
    shown_lines = [
        (printable(line.text, unicode), printable(line.remark, unicode), line.bad) for line in lines
    ]
    column = max((cells(t) for t, remark, _ in shown_lines if remark and cells(t) < 40), default=0)
    for text, remark, bad in shown_lines:
        if not remark:
            yield text
            continue
        comment = f"# {remark}"
        spare = width - max(cells(text), column) - 2
        if cells(comment) > spare >= SHORTEST_REMARK and remark.isascii():
            # The end of a path says more than its beginning; the head lists the files in full.
            # Remarks that say more than a path hold a dot that is not ASCII, and are left whole.
            ellipsis = painter.glyphs.ellipsis
            comment = f"# {ellipsis}{remark[len(remark) + 2 + cells(ellipsis) - spare :]}"
        room = width - cells(text) - cells(comment)
        painted = painter.paint(comment, "error" if bad else "dim")
        if room < 2:
            indent = " " * (len(text) - len(text.lstrip(" ")))
            yield indent + painted
            yield text
        else:
            yield text + " " * min(max(column + 2 - cells(text), 2), room) + painted


def _yaml(composed: Composed) -> None:
    from explint.compose.render import yaml_lines

    for line in yaml_lines(composed, resolved=False):
        _echo(shown(line.text))


def _json(answer: RunComposition, mode: str | None) -> str:
    import json

    from explint.compose.errors import CompositionError
    from explint.compose.render import plain
    from explint.compose.shell import ShellProblem
    from explint.compose.static import Composed
    from explint.report.text import safe_json

    result = answer.result
    document: dict[str, Any] = {
        "run": answer.run_id,
        "mode": mode,
        "command": answer.command,
        "overrides": list(answer.words),
        "entry": None
        if answer.entry is None
        else {"path": answer.entry.path, "line": answer.entry.line},
        "answered_by": answer.answered_by,
    }
    if isinstance(result, Composed):
        document["config"] = plain(result.value)
        document["hydra"] = plain(result.hydra)
        document["origins"] = {
            ".".join(map(str, path)): {
                "path": origin.path,
                "line": origin.line,
                "column": origin.column,
                "override": origin.override,
            }
            for path, _, origin in result.leaves()
        }
        document["missing"] = list(result.missing)
        document["opaque"] = result.opaque
        document["broken"] = {path: e.message for path, e in result.broken.items()}
    elif isinstance(result, CompositionError):
        document["error"] = {
            "kind": result.kind,
            "message": result.message,
            "more": result.more,
            "path": result.path,
            "line": result.line,
            "column": result.column,
            "override": result.override,
        }
    elif isinstance(result, ShellProblem):
        document["error"] = {
            "kind": "shell",
            "message": result.message,
            "offset": result.offset,
            "fatal": result.fatal,
        }
    else:
        document["unknown"] = result.reason
    return safe_json(json.dumps(document, indent=2, ensure_ascii=False), _is_utf8())


def _is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


# No config


def _shell_problem(answer: RunComposition, problem: ShellProblem, painter: Painter) -> None:
    says = "The shell says" if problem.fatal else "The shell does something else"
    _say(painter, f"the command line is not what it looks like. {says}: {problem.message}.")
    _mark(answer.command, problem.offset, 1, painter)
    _echo("  --quote shows the config behind a run id that needs quotes.", err=True)


def _error(
    answer: RunComposition,
    mode: str | None,
    error: CompositionError,
    package: Package,
    painter: Painter,
) -> None:
    run = f" run {answer.run_id}" if answer.run_id else ""
    under = f" in mode {mode}" if mode else ""
    _say(painter, f"Hydra does not compose{run or ' the config'}{under}. It says:")
    said = [error.message, *error.more.split("\n")] if error.more else [error.message]
    for line in said:
        _echo(f"    {shown(line.replace(chr(9), '  '))}", err=True)
    if error.override is not None:
        word = answer.words[error.override]
        offset = answer.command.rfind(word)
        if offset >= 0:
            _mark(answer.command, offset, len(word), painter)
        else:
            _echo(f"  in the override {shown(word)}", err=True)
    elif error.path is not None and error.line is not None:
        _frame(error.path, error.line, error.column or 1, error.message, package, painter)


def _unknown(unknown: Unknown, painter: Painter) -> None:
    _echo(
        f"{painter.paint('unknown', 'warning')}: the config cannot be composed from here: "
        f"{shown(unknown.reason)}",
        err=True,
    )


def _say(painter: Painter, text: str) -> None:
    _echo(f"{painter.paint('error', 'error')}: {shown(text)}", err=True)


def _mark(command: str, offset: int, length: int, painter: Painter) -> None:
    """The command line with a part of it marked, cut to what surrounds the part."""
    from explint.report.text import cells, printable

    room = painter.terminal.width - 4
    start = max(0, min(offset - room // 3, len(command) - room))
    if offset + length - start > room:
        start = offset
    head = printable(command[start:offset])
    part = printable(command[offset : offset + length])
    tail = printable(command[offset + length : start + room])
    ellipsis = painter.glyphs.ellipsis if start else ""
    _echo(f"  {ellipsis}{head}{part}{tail}", err=True)
    indent = " " * (2 + cells(ellipsis) + cells(head))
    _echo(indent + painter.paint("^" * max(1, min(cells(part), room)), "error"), err=True)


def _frame(
    path: str, line: int, column: int, message: str, package: Package, painter: Painter
) -> None:
    from explint.model import Confidence, Finding, Severity
    from explint.report.frame import code_frame

    file = package.files.get(path)
    data = b"" if file is None or file.data is None else file.data
    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    here = lines[line - 1] if line <= len(lines) else ""
    finding = Finding(
        rule="hydra/composition-error",
        code="HYD004",
        severity=Severity.ERROR,
        confidence=Confidence.HIGH,
        message=message,
        help="",
        path=path,
        line=line,
        column=column,
        end_line=line,
        end_column=max(len(here.rstrip()) + 1, column + 1),
    )
    terminal = painter.terminal
    frame = code_frame(
        lines, finding, width=terminal.width, unicode=terminal.unicode, glyphs=painter.glyphs
    )
    place = f"{shown(path)}:{line}:{column}"
    if frame is None:
        _echo(f"  {place}", err=True)
        return
    digits, rows = frame
    corner = painter.paint(painter.glyphs.corner, "label")
    _echo(f"{' ' * digits} {corner} {place}", err=True)
    for row in rows:
        _echo(painter.line(row), err=True)
