"""Rules about what libraries offer and ask for: does the code fit what is installed?

Criteria 1 and 5. The facts come from the table of ``explint.environment.libraries``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from explint.environment.libraries import Absent, Library, library, modules, span
from explint.environment.pyproject import PATH
from explint.environment.view import environment_of
from explint.model import Related, Severity
from explint.rules.registry import Hit, Unknown, rule
from explint.trace import facts as f

if TYPE_CHECKING:
    from packaging.version import Version

    from explint.environment.admitted import Admitted, Choice
    from explint.environment.uses import FileUses, Place
    from explint.environment.view import Environment
    from explint.experiment import Experiment

_ENTRIES = ("src.main", "src.train", "src.evaluate")
_MAX_RELATED = 10
_DEPTH = 20


@rule("env/api-not-in-version", code="ENV007", severity=Severity.ERROR, criteria=(5, 1))
def api_not_in_version(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The code uses what the installed release of a library does not have.

    ## What it does
    Compares the names and keyword arguments that the code takes from libraries with what their
    releases offer, by a table made from the published packages (`docs/libraries.md` lists them).
    Calls are followed through the code, so that a method of what a library handed out is judged
    too: `trial.suggest_float(…)`, `wandb.init().get_url()`.

    What counts is the release that `uv run` installs: the one in uv.lock, where pyproject.toml
    admits it, or else the newest that this and the other declared libraries admit. Where the
    newest has what is used and only older releases that a declared lower bound admits have not, the
    finding is a warning. It is a warning, too, where older releases have it and a distribution that
    the table does not know may hold the library back.

    Silent: names that a library makes at run time, keywords of functions whose `**kwargs` go where
    the table cannot follow, what stands in a `try` that goes on, below `hasattr` or a test of a
    version, and names that the package itself sets.

    ## Why is this bad
    The import or the call raises ImportError, AttributeError or TypeError: the run ends there,
    often after hours of training.

    ## Example
    ```python
    from transformers import AdamW

    lr = trial.suggest_float("lr", 1e-5, 1e-2, type="loguniform")
    ```

    ## Use instead
    ```python
    from torch.optim import AdamW

    lr = trial.suggest_float("lr", 1e-5, 1e-2, log=True)
    ```

    ## References
    - [uv: resolution](https://docs.astral.sh/uv/concepts/resolution/)
    - [NumPy: NEP 52, the clean-up for 2.0](https://numpy.org/neps/nep-0052-python-api-cleanup.html)
    """
    environment = environment_of(experiment)
    roots = frozenset(modules()) & environment.third_party.keys()
    if not roots:
        return
    from explint.environment.admitted import admitted_by

    admitted = admitted_by(environment)
    if admitted is None:
        return
    yield from _Search(experiment, environment, admitted, roots).hits()


class _Cause(msgspec.Struct):
    """One thing that a library lacks, with the places that use it."""

    table: Library
    choice: Choice
    owner: str
    name: str
    is_keyword: bool
    states: list[bool | None]
    places: list[tuple[str, Place]] = msgspec.field(default_factory=list)


class _Search:
    def __init__(
        self,
        experiment: Experiment,
        environment: Environment,
        admitted: Admitted,
        roots: frozenset[str],
    ) -> None:
        self.experiment = experiment
        self.environment = environment
        self.admitted = admitted
        self.tables: dict[str, tuple[Library, Choice]] = {}
        for root in sorted(roots):
            choice = admitted.choice(modules()[root])
            table = library(modules()[root]) if choice is not None else None
            if table is not None and choice is not None:
                self.tables[root] = (table, choice)
        self.roots = frozenset(self.tables)
        self.causes: dict[tuple[str, str, bool], _Cause] = {}
        self._uses: dict[str, FileUses] = {}
        self._set_here: dict[str, bool] = {}
        self._known: dict[tuple[str, str | None], bool] = {}

    def hits(self) -> Iterator[Hit]:
        """The findings, in order of place."""
        if not self.roots:
            return
        from explint.environment.uses import possible

        for path, text in self.environment.code.items():
            suspects = {name for name in possible(text, self.roots) if self._lacking(name)}
            for name in sorted(suspects):
                for place in self._read(path).names.get(name, ()):
                    self._note(name, None, path, place)
        self._calls()
        for cause in sorted(self.causes.values(), key=lambda c: min(c.places)):
            yield _hit(cause)

    def _calls(self) -> None:
        """What the calls of the trace lack."""
        seen: set[tuple[int, str, int, int]] = set()
        documents: dict[int, f.TraceDocument] = {}
        for entry in _ENTRIES:
            document = self.experiment.trace(entry)
            if document is not None:
                documents[id(document)] = document
        for document in documents.values():
            for trace in document.entries:
                for _, event in trace.events_of(f.LibraryCall):
                    at, name = event.place, event.name
                    if name.startswith("?"):
                        name = _name_of(event.callee, trace, 0) or name
                    key = (at.file, name, at.line, at.column)
                    if key in seen or name.partition(".")[0] not in self.roots:
                        continue
                    seen.add(key)
                    self._call(document.files[at.file], name, event)

    def _call(self, path: str, name: str, event: f.LibraryCall) -> None:
        if path not in self.environment.code:
            return
        at = event.place
        keywords = [key for key, _ in event.kwargs if key.isidentifier()]
        wrong: list[str | None] = [key for key in keywords if self._lacking(name, key)]
        if self._lacking(name):
            wrong = [None]
        # Before the file is parsed: most suspects are attributes of the package's own subclasses.
        wrong = [key for key in wrong if not self._is_set_here(self._missing(name, key))]
        if not wrong:
            return
        places = self._read(path).call_at(at.line, at.column)
        for keyword in wrong:
            place = places.get(keyword or "")
            if place is None:
                continue
            if keyword is None and not self._ends_in(path, place, name.rpartition(".")[2]):
                # The name was taken elsewhere, perhaps after a question whether it is there.
                continue
            self._note(name, keyword, path, place)

    def _ends_in(self, path: str, place: Place, name: str) -> bool:
        line = re.split(r"\r\n|\r|\n", self.environment.code[path])[place.end_line - 1]
        return line[: place.end_column - 1].endswith(f".{name}")

    def _read(self, path: str) -> FileUses:
        if path not in self._uses:
            from explint.environment.uses import read_uses

            self._uses[path] = read_uses(self.environment.code[path], self.roots)
        return self._uses[path]

    def _lacking(self, name: str, keyword: str | None = None) -> bool:
        """Whether an installed or a least admitted release lacks a name or keyword."""
        known = self._known.get((name, keyword))
        if known is None:
            known = self._known[name, keyword] = self._find_lacking(name, keyword)
        return known

    def _find_lacking(self, name: str, keyword: str | None) -> bool:
        table, choice = self.tables[name.partition(".")[0]]
        numbers = choice.newest
        if all(self._has(table, name, keyword, n) is False for n in numbers):
            return True
        return choice.has_floor and self._has(table, name, keyword, choice.admitted[0]) is False

    def _has(self, table: Library, name: str, keyword: str | None, number: int) -> bool | None:
        if keyword is not None:
            return table.takes(name, keyword, number)
        found = table.find(name, number)
        return None if found is None else not isinstance(found, Absent)

    def _missing(self, name: str, keyword: str | None) -> str:
        """What the package would have to set itself for a use of ``name`` to work."""
        if keyword is not None:
            return name.rpartition(".")[2]
        return self._absent(name).name

    def _absent(self, name: str) -> Absent:
        table, choice = self.tables[name.partition(".")[0]]
        numbers = (*choice.newest, choice.admitted[0])
        return next(a for n in numbers if isinstance(a := table.find(name, n), Absent))

    def _note(self, name: str, keyword: str | None, path: str, place: Place) -> None:
        table, choice = self.tables[name.partition(".")[0]]
        if keyword is None:
            absent = self._absent(name)
            owner, missing = absent.owner, absent.name
            states = table.attribute(f"{owner}.{missing}")
        else:
            owner, missing = name, keyword
            states = table.accepts(name, keyword)
        key = (owner, missing, keyword is not None)
        if key not in self.causes:
            if self._is_set_here(self._missing(name, keyword)):
                return
            self.causes[key] = _Cause(table, choice, owner, missing, keyword is not None, states)
        known = self.causes[key].places
        if not any(p == path and place.line == other.line for p, other in known):
            known.append((path, place))

    def _is_set_here(self, name: str) -> bool:
        """Whether the package itself sets an attribute of that name on something."""
        if name not in self._set_here:
            word = re.escape(name)
            pattern = re.compile(rf"\.{word}\s*=(?!=)|setattr\([^)\n]*[\"']{word}[\"']")
            self._set_here[name] = any(
                name in text and pattern.search(text) for text in self.environment.code.values()
            )
        return self._set_here[name]


def _name_of(value: f.ValueId, trace: f.EntryTrace, depth: int) -> str | None:
    """The canonical name of a value that is one thing of a library, or else None: a method called
    on None fails anyway."""
    if depth > _DEPTH:
        return None
    match trace.values[value]:
        case f.Library(name=name):
            return name
        case f.CallValue(callee=callee):
            inner = _name_of(callee, trace, depth + 1)
            return None if inner is None else f"{inner}()"
        case f.Attribute(of=of, name=name):
            inner = _name_of(of, trace, depth + 1)
            return None if inner is None else f"{inner}.{name}"
        case f.Select(yes=yes, no=no):
            sides = [side for side in (yes, no) if not _fails(side, trace, 0)]
            names = {_name_of(side, trace, depth + 1) for side in sides}
            return names.pop() if len(names) == 1 else None
    return None


def _fails(value: f.ValueId, trace: f.EntryTrace, depth: int) -> bool:
    """Whether a value is None, or what cannot be had from None."""
    match trace.values[value]:
        case f.Literal(value=literal):
            return literal is None
        case f.CallValue(callee=inner) | f.Attribute(of=inner):
            return depth < _DEPTH and _fails(inner, trace, depth + 1)
    return False


def _hit(cause: _Cause) -> Hit:
    choice, states = cause.choice, cause.states
    lacks_newest = all(states[n] is False for n in choice.newest)
    older = any(states[n] is True for n in choice.admitted)
    path, place = min(cause.places)
    return Hit(
        path=path,
        line=place.line,
        column=place.column,
        end_line=place.end_line,
        end_column=place.end_column,
        message=_message(cause, lacks_newest=lacks_newest),
        help=_help(cause, lacks_newest=lacks_newest),
        related=tuple(
            Related(path=other, line=at.line, message=f"`{cause.name}` is used here too.")
            for other, at in sorted(cause.places)
            if (other, at.line) != (path, place.line)
        )[:_MAX_RELATED],
        severity=Severity.WARNING if not lacks_newest or (older and not choice.is_sure) else None,
    )


def _message(cause: _Cause, *, lacks_newest: bool) -> str:
    choice, states = cause.choice, cause.states
    known = [release.version for release in choice.releases]
    having = [n for n, state in enumerate(states) if state is True]
    what, verb = f"`{cause.owner}.{cause.name}` does not exist", "have it"
    if cause.is_keyword:
        what, verb = f"`{cause.owner}` takes no argument `{cause.name}`", "take it"
    if all(state is False for state in states):
        verb = "takes it" if cause.is_keyword else "has it"
        return f"{what}: no release of {choice.name} from {known[0]} to {known[-1]} {verb}."
    numbers = choice.newest if lacks_newest else choice.admitted
    which = [known[n] for n in numbers if states[n] is False]
    asked = choice.asked if choice.asked == "uv.lock" else f"`{choice.asked}`"
    message = f"{what} in {choice.name} {span(which)}, which {asked} "
    message += "installs" if lacks_newest else "admits"
    if having:
        verb = verb if len(having) > 1 else verb.replace("take", "takes").replace("have", "has")
        message += f"; {_spans(having, known)} {verb}"
    return message + "."


def _spans(numbers: Sequence[int], known: Sequence[Version]) -> str:
    """Releases in words, with every stretch of them: `1.2.0 to 1.5.1 and 2.0.0`."""
    stretches: list[list[Version]] = []
    for at, number in enumerate(numbers):
        if not at or numbers[at - 1] != number - 1:
            stretches.append([])
        stretches[-1].append(known[number])
    return " and ".join(span(stretch) for stretch in stretches)


def _help(cause: _Cause, *, lacks_newest: bool) -> str:
    choice, states = cause.choice, cause.states
    having = [n for n, state in enumerate(states) if state is True]
    newest = len(states) - 1
    if not lacks_newest and having:
        first = choice.releases[having[0]].version
        return f'Ask for "{choice.name}>={first}" in pyproject.toml.'
    instead = _instead(cause)
    if instead is not None:
        return f"Write {instead}."
    last = f'ask for the last release that has it, "{choice.name}=={{}}"'
    pin = last.format(choice.releases[having[-1]].version) if having else ""
    if cause.is_keyword:
        signature = cause.table.signature(cause.owner, newest)
        offered = sorted(signature.keywords) if signature is not None else []
    else:
        offered = cause.table.members(cause.owner, newest)
    from difflib import get_close_matches

    near = get_close_matches(cause.name, offered, n=1, cutoff=0.75)
    if near:
        return f"Write `{near[0]}`" + (f", or {pin}." if pin else ".")
    if pin:
        return f"{pin[0].upper()}{pin[1:]}, or do without it."
    if cause.is_keyword and 0 < len(offered) <= 8:
        return f"Drop the argument: there are {', '.join(f'`{name}`' for name in offered)}."
    return "Drop the argument." if cause.is_keyword else "Do without it: there never was one."


def _instead(cause: _Cause) -> str | None:
    """What to write, where the table of replacements says so."""
    table = _replacements()
    owners = [cause.owner]
    for number in range(len(cause.choice.releases)):
        thing = cause.table.find(cause.owner, number)
        if not isinstance(thing, Absent) and thing is not None and thing.at[0]:
            owners.append(".".join(part for part in thing.at if part))
    return next((table[o][cause.name] for o in owners if cause.name in table.get(o, {})), None)


@cache
def _replacements() -> dict[str, dict[str, str]]:
    import tomli

    folder = Path(__file__).parent.parent / "environment" / "data"
    text = folder.joinpath("instead.toml").read_text("utf-8")
    found: dict[str, dict[str, str]] = {}
    waiting: list[tuple[str, dict[str, object]]] = [("", tomli.loads(text))]
    while waiting:
        owner, rows = waiting.pop()
        for key, value in rows.items():
            if isinstance(value, dict):
                waiting.append((f"{owner}.{key}" if owner else key, value))
            else:
                found.setdefault(owner, {})[key] = str(value)
    return found


@rule("env/unsatisfiable", code="ENV008", severity=Severity.ERROR, criteria=(5, 1))
def unsatisfiable(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """No set of published versions satisfies the requirements in pyproject.toml.

    ## What it does
    Compares the requirements with each other and with what the releases themselves ask for, by the
    metadata of published packages: bounds of one distribution that exclude each other, a release
    of one that needs other versions of a second than are asked for (every torchvision needs one
    torch), and versions that need a newer Python than the lowest that `requires-python` promises,
    for which uv resolves too.

    Only what follows from the releases in explint's table is told. Requirements with markers,
    sources of their own (`[tool.uv.sources]`) or overrides are let pass. A uv.lock that holds a
    version for each of them says that uv has found a solution; one that does not is older than
    pyproject.toml, and `uv run` resolves anew.

    ## Why is this bad
    `uv run` stops: "No solution found when resolving dependencies".

    ## Example
    ```toml
    [project]
    name = "tiny-study"
    version = "0.1.0"
    requires-python = ">=3.10"
    dependencies = ["torch==2.3.0", "torchvision==0.15.2"]
    ```

    ## Use instead
    ```toml
    [project]
    name = "tiny-study"
    version = "0.1.0"
    requires-python = ">=3.10"
    dependencies = ["torch==2.3.0", "torchvision==0.18.0"]
    ```

    ## References
    - [uv: resolution](https://docs.astral.sh/uv/concepts/resolution/)
    - [PyTorch: which versions belong together](https://pytorch.org/get-started/previous-versions/)
    """
    environment = environment_of(experiment)
    if not environment.is_uv:
        return
    from explint.environment.admitted import admitted_by
    from explint.environment.conflicts import conflicts

    admitted = admitted_by(environment)
    if admitted is None or admitted.is_settled:
        return
    for conflict in conflicts(admitted):
        mark = admitted.file.place(*conflict.declared.path)
        yield Hit(
            path=PATH,
            line=mark.line,
            column=mark.column,
            end_line=mark.end_line,
            end_column=mark.end_column,
            message=conflict.message,
            help=conflict.help,
            related=tuple(
                Related(
                    path=PATH,
                    line=admitted.file.place(*other.path).line,
                    message=f"`{other.requirement.full}` is asked for here.",
                )
                for other in conflict.others
            ),
        )
