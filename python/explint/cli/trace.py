"""``explint trace``: what a package's entry points do, line by line, without running them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from explint.cli import complete
from explint.cli.door import Trouble, note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explint.compose.entry import EntryPoint
    from explint.package import Package
    from explint.protocol import Profile
    from explint.report.terminal import ColorChoice, Painter
    from explint.trace.files import PackageFiles
    from explint.trace.specialise import Tree
    from explint.trace.view import Line, View

_USUAL = ("main", "train", "evaluate", "eval")
STYLES = {"problem": "error", "call": "bold", "write": "warning", "library": "info"}


@click.command()
@click.argument("path", default=".", metavar="[PATH]", shell_complete=complete.files)
@click.option("--entry", "entries", multiple=True, metavar="MODULE",
              help="Module that is started, such as src.train. May be repeated.  "
              "[default: main, train and evaluate]")  # fmt: skip
@click.option("--run", "run_id", metavar="ID", shell_complete=complete.runs,
              help="Show what happens in this run.")  # fmt: skip
@click.option("--mode", metavar="NAME", shell_complete=complete.modes,
              help="The mode of the run: trial, full, …")  # fmt: skip
@click.option("--profile", metavar="NAME|FILE", shell_complete=complete.profiles,
              help="Protocol profile, not detected.")  # fmt: skip
@click.option("--rev", metavar="REV", help="Read this git revision of PATH, without a checkout.")
@click.option("--all", "everything", is_flag=True, help="Show skipped branches and every call too.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True, help="Text for people, or one JSON document.")  # fmt: skip
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto",
              show_default=True, help="Whether to colour. NO_COLOR is respected.")  # fmt: skip
def trace(
    path: str,
    entries: tuple[str, ...],
    run_id: str | None,
    mode: str | None,
    profile: str | None,
    rev: str | None,
    everything: bool,
    form: str,
    color: ColorChoice,
) -> None:
    """Show what an experiment does: config values read, branches taken, calls that matter.

    Nothing of the experiment is executed. With --run the config of that run is composed, values
    are shown, and branches are decided where they follow from it.

    \b
    explint trace .
    explint trace . --entry src.train --run proposed-1 --mode trial
    """
    from explint import core
    from explint.protocol import ProfileError, choose_profile
    from explint.trace.view import view

    package = _package(path, rev)
    try:
        chosen, _ = choose_profile(package, profile)
    except ProfileError as error:
        raise Trouble(str(error)) from None
    wanted = list(entries) or _default_entries(package, chosen)
    document = core.Scanner(1).trace(package, wanted)
    lines_of = _lines(package)
    files = _files(package)
    views = []
    for name in wanted:
        entry = document.entry(name)
        if entry is None:
            from explint.nearmiss import did_you_mean

            modules = [f.removesuffix(".py").replace("/", ".") for f in document.files]
            raise Trouble(f"there is no module `{name}`.", did_you_mean(name, modules))
        config = _config(package, chosen, run_id, mode)
        views.append(view(document, entry, config, lines_of, files=files))
    if form == "json":
        import msgspec

        answer = {"schema_version": 1, "run": run_id, "mode": mode, "entries": views}
        click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())
        return
    _print(views, run_id, mode, color, everything=everything)


def _package(path: str, rev: str | None) -> Package:
    from explint.model import InputError
    from explint.source import open_sources

    found = list(open_sources([path], rev=rev))
    for item in found:
        if isinstance(item, InputError):
            raise Trouble(f"{item.location}: {item.message}", item.help)
    packages = [p for p in found if not isinstance(p, InputError)]
    if not packages:
        raise Trouble(f"there is no experiment package at {path}.")
    if len(packages) > 1:
        note(f"{len(packages)} packages found; showing {packages[0].id}")
    return packages[0]


def _default_entries(package: Package, profile: Profile) -> list[str]:
    jobs = ("entry", "train", "evaluate")
    paths = [p for job in jobs for p, j in profile.files.jobs.items() if j == job]
    if not paths:
        paths = [f"{folder}{name}.py" for folder in ("src/", "") for name in _USUAL]
    known = [p for p in paths if p in package.files and package.files[p].data]
    if not known:
        raise Trouble("no module looks like an entry point.", "Name one with --entry MODULE.")
    return [p.removesuffix(".py").replace("/", ".") for p in known]


def _lines(package: Package) -> dict[str, Sequence[str]]:
    return {
        p: file.data.decode("utf-8-sig", "replace").replace("\r\n", "\n").split("\n")
        for p, file in package.files.items()
        if p.endswith(".py") and file.data is not None
    }


def _files(package: Package) -> PackageFiles:
    from explint.compose.yaml import YamlDocument, YamlProblem, load_yaml
    from explint.trace.files import PackageFiles

    def read(path: str) -> YamlDocument | YamlProblem | None:
        file = package.files.get(path)
        text = None if file is None or file.data is None else file.data.decode("utf-8", "replace")
        return None if text is None else load_yaml(text)

    return PackageFiles(read, package.files)


def _config(package: Package, profile: Profile, run_id: str | None, mode: str | None) -> Tree:
    """The config of the run as a tree, or an Unknown that says why there is none."""
    from explint import core
    from explint.trace.specialise import Unknown

    if run_id is None and mode is None:
        return Unknown("no run was chosen")
    from explint.compose import compose_run, entry_of
    from explint.compose.entry import EntryPoint
    from explint.compose.static import Composed

    modes = {m.name: m for m in profile.trial.modes}
    if mode is not None and mode not in modes:
        from explint.nearmiss import did_you_mean

        raise Trouble(f"the profile {profile.name} has no mode `{mode}`.",
                      did_you_mean(mode, list(modes)) or f"Modes: {', '.join(modes)}.")  # fmt: skip
    chosen = modes.get(mode or "")
    command = profile.commands.train if chosen is None else profile.train_command(chosen)
    point = entry_of(package, command, core.Scanner(1).uses(package))
    if isinstance(point, EntryPoint):
        point = settled_entry(package, point)
    composed = compose_run(package, command, run_id, entry=point, quoted=True)
    if not isinstance(composed.result, Composed):
        result = composed.result
        why = getattr(result, "message", None) or getattr(result, "reason", "")
        note(f"note: there is no config to show values of: {why}")
        return Unknown("the config does not compose")
    opaque = {tuple(k.split(".")): Unknown(why) for k, why in composed.result.opaque.items()}
    return _with_unknowns(composed.result.value, (), opaque)


def settled_entry(package: Package, point: EntryPoint) -> EntryPoint:
    """An entry point whose arguments the text alone does not give, completed from the trace."""
    if point.unknown is None:
        return point
    from explint import core
    from explint.trace.hydra import hydra_main, settled

    module = point.path.removesuffix(".py").replace("/", ".")
    document = core.Scanner(1).trace(package, [module])
    entry = document.entry(module)
    return point if entry is None else settled(point, hydra_main(document, entry))


def _with_unknowns(tree: Any, at: tuple[str, ...], unknown: dict[tuple[str, ...], Any]) -> Any:  # noqa: ANN401
    if at in unknown:
        return unknown[at]
    if isinstance(tree, dict):
        return {k: _with_unknowns(v, (*at, str(k)), unknown) for k, v in tree.items()}
    if isinstance(tree, list):
        return [_with_unknowns(v, (*at, str(n)), unknown) for n, v in enumerate(tree)]
    return tree


# ---- text ----


def _print(
    views: Sequence[View],
    run_id: str | None,
    mode: str | None,
    color: ColorChoice,
    *,
    everything: bool,
) -> None:
    from explint.report.terminal import Painter, Terminal

    terminal = Terminal.detect(sys.stdout, color=color)
    painter = Painter(terminal)
    chosen = [f"run {run_id}"] * (run_id is not None) + [f"mode {mode}"] * (mode is not None)
    for number, shown in enumerate(views):
        if number:
            click.echo()
        title = painter.glyphs.dot.join(
            f" {part} " for part in [painter.paint(shown.entry, "bold"), *chosen]
        ).strip()
        click.echo(title)
        rows = shown.lines if everything else _readable(shown.lines)
        for line in rows:
            click.echo(_line(line, painter))
        _sections(shown, painter, with_run=bool(chosen))


def _readable(lines: Sequence[Line]) -> list[Line]:
    """The lines without headers under which nothing follows."""
    kept: list[Line] = []
    deepest = -1
    for line in reversed(lines):
        is_header = line.kind in ("call", "branch") and line.state is not False
        if is_header and deepest <= line.depth:
            deepest = min(deepest, line.depth)
            continue
        kept.append(line)
        deepest = line.depth
    return kept[::-1]


def _line(line: Line, painter: Painter) -> str:
    from explint.report.text import cells, cut, printable

    glyphs = painter.glyphs
    unicode = painter.terminal.unicode
    width = min(painter.terminal.width, 100)
    where = f"{line.path.rpartition('/')[2]}:{line.line}"
    where = printable(where, unicode)
    mark = {True: " ", False: glyphs.violated, None: glyphs.unknown}[line.state]
    indent = "  " * min(line.depth, 12)
    text = printable(line.text, unicode)
    if line.value:
        text += f" = {printable(line.value, unicode)}" if line.kind == "read" else (
            f"  ({printable(line.value, unicode)})"
        )  # fmt: skip
    word = {"read": "read ", "write": "set ", "call": ""}.get(line.kind, "")
    room = width - len(mark) - len(indent) - cells(where) - 3
    text = cut(word + text, max(room, 16), glyphs.ellipsis)
    pad = " " * max(room - cells(text), 0)
    style = "dim" if line.state is False else STYLES.get(line.kind, "")
    return painter.line(
        [(mark + " ", "dim"), (indent, ""), (text, style), (pad + " ", ""), (where, "dim")]
    )


def _sections(shown: View, painter: Painter, *, with_run: bool) -> None:
    from explint.report.text import cells, cut, printable

    def head(text: str) -> None:
        click.echo()
        click.echo(painter.paint(text, "bold"))

    unicode = painter.terminal.unicode
    if with_run and shown.missing:
        head("Keys read but not defined")
        for key in shown.missing:
            sure = "" if key.sure else " (on a way that is not decided)"
            hint = f"; there is {', '.join(key.found_at)}" if key.found_at else ""
            click.echo(printable(f"  {key.key}  {key.path}:{key.line}{sure}{hint}", unicode))
    if with_run and shown.open:
        head("Not decided")
        for text, why, path, line in shown.open:
            reason = f" {painter.glyphs.dash} {why}" if why else ""
            head_ = f"  {path}:{line}  "
            room = min(painter.terminal.width, 100) - cells(head_)
            if cells(text) + cells(reason) > room:
                text = cut(text, max(room - cells(reason), room // 2), painter.glyphs.ellipsis)
            whole = printable(f"{head_}{text}{reason}", unicode)
            click.echo(cut(whole, min(painter.terminal.width, 100), painter.glyphs.ellipsis))
    if shown.cuts:
        head("Not followed further")
        for reason, path, line in shown.cuts:
            click.echo(printable(f"  {path}:{line}  {_CUTS.get(reason, reason)}", unicode))


_CUTS = {
    "work": "the bound on work was reached",
    "depth": "too many calls inside one another",
    "nesting": "nested too deep",
    "syntax": "the file does not parse",
}
