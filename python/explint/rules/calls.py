"""The rule about calls of the package's own functions: criterion 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from explint.model import Related, Severity
from explint.package import FileState
from explint.rules.registry import Hit, Unknown, rule

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.trace.facts import EntryTrace, Guard, Mismatch, Place
    from explint.trace.specialise import Env

_LOOKING: Final = frozenset({"len", "isinstance", "issubclass", "type", "hasattr", "callable"})
_DEEPEST: Final = 8
_JOBS: Final = ("entry", "train", "evaluate")


class _Rejected(msgspec.Struct):
    """Calls that one signature rejects for one reason, in order of path and place."""

    function: str
    problem: str
    places: dict[tuple[str, int, int, int, int], None] = msgspec.field(default_factory=dict)


@rule("complete/call-signature", code="CMP009", severity=Severity.ERROR, criteria=(1,))
def call_signature(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A call does not fit the package's own function or class, or values do not fit their names.

    ## What it does
    Follows the main, training and evaluation module through the package's functions, methods and
    classes, and reports calls that the signature rejects: an argument too many, a required one
    that is missing, a name that no parameter has; dataclasses too. It also reports a tuple of
    known length that is unpacked into another number of names.

    Calls with `*args` or `**kwargs` of unknown content, functions behind a decorator of a library,
    classes that inherit from a library's class without an `__init__` of their own, and calls inside
    a `try` whose handler goes on are no findings. Nor are functions that none of the modules
    reaches.

    ## Why is this bad
    The call raises `TypeError` (`ValueError` where values are unpacked) as soon as it is reached,
    often after the data was downloaded and the model was built. It comes from two files that were
    written apart.

    ## Example
    `src/model.py`:
    ```python
    def build_model(cfg, num_classes): ...
    ```
    `src/train.py`:
    ```python
    model = build_model(cfg)
    ```

    ## Use instead
    ```python
    model = build_model(cfg, num_classes=10)
    ```

    ## References
    - Criterion 1 of the experiment protocol
    - [Python: calls](https://docs.python.org/3/reference/expressions.html#calls)
    """
    # Another function may stand in for any that is patched.
    texts = (experiment.text(p) or "" for p in experiment.package.files if p.endswith(".py"))
    if any("mock.patch" in text for text in texts):
        return
    found: dict[tuple[str, str, str], _Rejected] = {}
    for path in _modules(experiment):
        module = path.removesuffix(".py").replace("/", ".")
        document = experiment.trace(module)
        entry = None if document is None else document.entry(module)
        if document is None or entry is None:
            continue
        for event in _mismatches(entry, document.files, experiment):
            place = event.place
            here = document.files[place.file]
            rejected = found.setdefault(
                (here, event.function, event.problem), _Rejected(event.function, event.problem)
            )
            at = (here, place.line, place.column, place.end_line, place.end_column)
            rejected.places.setdefault(at)
    for rejected in found.values():
        yield _hit(rejected)


def _modules(experiment: Experiment) -> Iterator[str]:
    for job in _JOBS:
        for path, does in experiment.profile.files.jobs.items():
            if does == job and experiment.state(path) is FileState.PRESENT:
                yield path


def _mismatches(
    entry: EntryTrace, files: Sequence[str], experiment: Experiment
) -> Iterator[Mismatch]:
    """Calls and unpackings that fail wherever they are reached."""
    from explint.rules.keys import Certain
    from explint.trace import facts as f
    from explint.trace.specialise import Env as Bare
    from explint.trace.specialise import decide

    if not entry.events_of(f.Mismatch):
        return
    env = Bare(entry)
    certain = Certain(entry, env, lambda place: experiment.text(files[place.file]))
    for _, event in entry.events_of(f.Mismatch):
        if decide(event.guard, env) is not False:
            attempts = _attempts(entry, event.guard)
            if not (
                _is_one_of_several(entry, event.guard, event.place)
                or _is_looked_at(entry, event.guard, env)
            ) and all(certain.ends_in_error(row, attempt) for row, attempt in attempts):
                yield event


def _is_one_of_several(entry: EntryTrace, guard: int, place: Place) -> bool:
    """Whether the call has several possible callees or arguments, of which one does not fit: which
    of them go together is not known."""
    while guard:
        row = entry.guards[guard]
        if row.place == place:
            return True
        guard = row.parent
    return False


def _is_looked_at(entry: EntryTrace, guard: int, env: Env) -> bool:
    """Whether the code asks first what it calls or unpacks: its length, type or signature."""
    from explint.trace.specialise import condition

    while guard:
        row = entry.guards[guard]
        if condition(row.condition, env) is None and _looks(entry, row.condition, 0):
            return True
        guard = row.parent
    return False


def _looks(entry: EntryTrace, value: int, depth: int) -> bool:
    from explint.trace import facts as f

    row = entry.values[value]
    inner: Sequence[int] = ()
    match row:
        case f.CallValue():
            callee = entry.values[row.callee]
            if isinstance(callee, f.Library) and (
                callee.name in _LOOKING or callee.name.startswith("inspect.")
            ):
                return True
            inner = (row.callee, *row.args)
        case f.Attribute():
            if row.name == "__code__":
                return True
            inner = (row.of,)
        case f.Item():
            inner = (row.of, row.key)
        case f.Compare() | f.Binary():
            inner = (row.left, row.right)
        case f.Not():
            inner = (row.value,)
        case f.All():
            inner = [v for v, _ in row.conditions]
        case f.Select():
            inner = (row.test, row.yes, row.no)
    return depth < _DEEPEST and any(_looks(entry, v, depth + 1) for v in inner)


def _attempts(entry: EntryTrace, guard: int) -> list[tuple[Guard, int]]:
    """The ``try`` statements that a call stands in."""
    from explint.trace import facts as f

    found = []
    while guard:
        row = entry.guards[guard]
        value = entry.values[row.condition]
        if isinstance(value, f.Raised):
            found.append((row, value.attempt))
        guard = row.parent
    return found


def _hit(rejected: _Rejected) -> Hit:
    (path, line, column, end_line, end_column), *others = rejected.places
    if not rejected.function:
        message = f"The number of values does not fit: {rejected.problem}."
        help_ = "Take as many names as there are values, or collect the rest with `*rest`."
    else:
        module, _, name = rejected.function.rpartition(".")
        if name == "__init__":
            name = module.rpartition(".")[2]
        message = f"The signature of `{name}` rejects this call: it {_said(rejected.problem)}."
        help_ = f"Call `{name}` with the arguments that it takes, or change its definition."
    return Hit(
        path=path,
        line=line,
        column=column,
        end_line=end_line,
        end_column=end_column,
        message=message,
        help=help_,
        related=tuple(
            Related(path=other[0], line=other[1], message="It is called in the same way here.")
            for other in others
        ),
    )


def _said(problem: str) -> str:
    """Python's own words, as the end of a sentence."""
    if problem.startswith("missing"):
        count = problem.removeprefix("missing ")
        return f"lacks {count}"
    return problem
