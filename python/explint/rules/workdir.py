"""The rule about Hydra's change of the working directory: criteria 2 and 3."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import msgspec

from explint.compose.yaml import YamlDocument
from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.registry import Hit, Unknown, rule
from explint.rules.started import child_config, started, target, tree_of

if TYPE_CHECKING:
    from explint.compose.entry import EntryPoint
    from explint.experiment import Experiment
    from explint.rules.started import Start
    from explint.trace.facts import AnyEvent, TraceDocument
    from explint.trace.specialise import Specialised

_OPENERS: Final = frozenset({"open", "io.open", "os.listdir", "os.scandir", "pandas.read_csv"})
_PATH_READS: Final = regex(r"pathlib\.Path\(\)\.(open|read_text|read_bytes|iterdir)")
_CACHES: Final = frozenset(
    {"cache_dir", "root", "data_dir", "download_root", "local_dir", "data_root", "data_home"}
)


class _Found(msgspec.Struct):
    """What depends on the directory that one decorator changes."""

    point: EntryPoint
    places: dict[tuple[str, int, int], str] = msgspec.field(default_factory=dict)
    runs: dict[str, None] = msgspec.field(default_factory=dict)
    stops: bool = False


@rule("hydra/changes-directory", code="HYD003", severity=Severity.ERROR, criteria=(2, 3))
def changes_directory(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Hydra changes the working directory, and the code depends on it.

    ## What it does
    `@hydra.main` without `version_base`, or with "1.1", runs the function in
    `outputs/<date>/<time>`, unless the config sets `hydra.job.chdir: false` or `hydra.run.dir: .`.
    Reports such a decorator where the code behind it

    - starts a module or script of the package by a relative name, without `cwd=`;
    - opens a file of the package by a relative path;
    - caches datasets or models in a relative `.cache`. Where nothing else depends on the
      directory, this is a warning.

    ## Why is this bad
    A child `python -m src.train` does not find `src` there. Files are not found, and a cache that
    lies in the output folder of one run is empty in the next.

    ## Example
    ```python
    @hydra.main(config_path="../config", config_name="config")
    def main(cfg: DictConfig) -> None:
        subprocess.run([sys.executable, "-m", "src.train", f"run={cfg.run.run_id}"], check=True)
    ```

    ## Use instead
    ```python
    @hydra.main(version_base=None, config_path="../config", config_name="config")
    def main(cfg: DictConfig) -> None:
        subprocess.run([sys.executable, "-m", "src.train", f"run={cfg.run.run_id}"], check=True)
    ```

    ## References
    - Criterion 3 of the experiment protocol
    - [Hydra: changes to the working directory](https://hydra.cc/docs/upgrades/1.1_to_1.2/changes_to_job_working_dir/)
    """
    seen = started(experiment)
    if seen is None:
        return
    if seen.unknown is not None or seen.document is None:
        if seen.unknown is not None:
            yield seen.unknown
        return
    found: dict[str, _Found] = {}
    open_: Unknown | None = None
    for start in seen.starts:
        moves = _main_moves(experiment, start)
        if isinstance(moves, Unknown):
            open_ = moves
        elif moves and not isinstance(experiment.entry, str):
            group = found.setdefault(seen.path, _Found(experiment.entry))
            _note(group, start.run_id, experiment, seen.document, start.special)
        for path, point, document, special in _moved_children(experiment, start):
            group = found.setdefault(path, _Found(point))
            _note(group, start.run_id, experiment, document, special)
    if open_ is not None:
        yield open_
    for path, group in found.items():
        if group.places:
            yield _hit(experiment, path, group)


def _main_moves(experiment: Experiment, start: Start) -> bool | Unknown:
    from explint.compose.static import Composed
    from explint.compose.static import Unknown as NotComposed

    point = experiment.entry
    if isinstance(point, str) or point.way != "main":
        return False
    if start.composed is not None and start.composition.answered_by == "static":
        return _moves(point, start.composed.hydra)
    result = start.composition.result
    if isinstance(result, NotComposed | Composed):
        why = result.reason if isinstance(result, NotComposed) else "hydra-core composed the config"
        if point.version_base is None or point.version_base > "1.1":
            return False
        return Unknown(reason=why, decided_by="a trial run", path=point.path)
    # What the primary config says holds where the rest of the config fails to compose, too.
    primary = experiment.yaml(experiment.profile.config.primary or "")
    value = primary.value if isinstance(primary, YamlDocument) else None
    hydra = value.get("hydra") if isinstance(value, dict) else None
    if not isinstance(value, dict):
        return False
    return _moves(point, hydra if isinstance(hydra, dict) else {})


def _moves(point: EntryPoint, hydra: dict[Any, Any]) -> bool:
    """Whether the function behind the decorator runs in another directory."""
    job, run = hydra.get("job"), hydra.get("run")
    chdir = job.get("chdir") if isinstance(job, dict) else None
    folder = run.get("dir") if isinstance(run, dict) else None
    if isinstance(chdir, str) or (
        isinstance(folder, str)
        and (posixpath.normpath(folder) == "." or "hydra:runtime.cwd" in folder)
    ):
        return False
    if chdir is None:
        return point.version_base in ("1.0", "1.1")
    return chdir is True


def _moved_children(
    experiment: Experiment, start: Start
) -> Iterator[tuple[str, EntryPoint, TraceDocument, Specialised]]:
    from explint.trace.children import Word

    for child in start.children:
        path = target(experiment, child)
        words = [w for w in child.words if isinstance(w, Word)]
        if path is None or child.state is not True or len(words) < len(child.words):
            continue
        point = experiment.entry_at(path)
        if isinstance(point, str) or point.way != "main" or point.unknown is not None:
            continue
        inexact = frozenset(n for n, w in enumerate(words) if not w.exact)
        config = child_config(experiment, point, tuple(w.text for w in words), inexact)
        if config.composed is None or not _moves(point, config.composed.hydra):
            continue
        module = path.removesuffix(".py").replace("/", ".")
        document = experiment.trace(module)
        entry = None if document is None else document.entry(module)
        if document is not None and entry is not None:
            yield (
                path,
                point,
                document,
                experiment.specialised(entry, tree_of(config.composed), with_files=True),
            )


def _note(
    group: _Found,
    run_id: str,
    experiment: Experiment,
    document: TraceDocument,
    special: Specialised,
) -> None:
    """Notes what depends on the working directory in one run."""
    from explint.trace import facts as f
    from explint.trace.children import children

    calls = [
        (event, special.states[number]) for number, event in special.happening_of(f.LibraryCall)
    ]
    if any(event.name in ("os.chdir", "contextlib.chdir") for event, _ in calls):
        return
    if not installs_src(experiment):
        for child in children(special):
            path = document.files[child.event.place.file]
            is_helped = child.has_env and "PYTHONPATH" in (experiment.text(path) or "")
            runs = target(experiment, child)
            if child.state is True and child.cwd is None and runs is not None and not is_helped:
                place = child.event.place
                name = f"python -m {child.module}" if child.module else f"python {child.script}"
                group.places.setdefault(
                    (path, place.line, place.column),
                    f"`{name}` is started there, and does not find `{runs}`.",
                )
                group.stops = True
    for number, event in special.happening():
        told = _reads(experiment, special, event) if special.states[number] is True else None
        if told is not None:
            place = event.place
            at = (document.files[place.file], place.line, place.column)
            group.places.setdefault(at, told[0])
            group.stops = group.stops or told[1]
    if group.places:
        group.runs[run_id] = None


def _reads(
    experiment: Experiment, special: Specialised, event: AnyEvent
) -> tuple[str, bool] | None:
    """What to say of an event that names a file or cache by a relative path, and whether the run
    ends there."""
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    env = special.env
    if isinstance(event, f.Make):
        root = env.entry.roots[event.root]
        named = evaluate(root.sources[0], env) if root.kind == "load" and root.sources else None
        told = _opened(experiment, named)
        return None if told is None else (told, True)
    if not isinstance(event, f.LibraryCall):
        return None
    given: object = None
    callee = env.entry.values[event.callee]
    if event.name in _OPENERS and event.args:
        given = evaluate(event.args[0], env)
    elif _PATH_READS.fullmatch(event.name) and isinstance(callee, f.Attribute):
        given = evaluate(callee.of, env)
    told = _opened(experiment, given)
    if told is not None:
        return told, True
    for name, value in event.kwargs:
        if name in _CACHES:
            folder = evaluate(value, env)
            if isinstance(folder, str | PurePosixPath) and re.match(
                r"(\./)*\.cache\b", str(folder)
            ):
                return f"`{folder}` is the cache, and would lie in the run's output folder.", False
    return None


def _opened(experiment: Experiment, given: object) -> str | None:
    if not isinstance(given, str | PurePosixPath):
        return None
    path = posixpath.normpath(str(given))
    if path == "." or path.startswith(("/", "..")):
        return None
    files = experiment.package.files
    is_there = path in files or any(p.startswith(f"{path}/") for p in files)
    return f"`{path}` is opened by a relative path." if is_there else None


def installs_src(experiment: Experiment) -> bool:
    """Whether the project installs its own folder ``src`` as a package, so that it can be imported
    from any working directory."""
    text = experiment.text("pyproject.toml") or ""
    if "[build-system]" not in text and not re.search(r"^\s*package\s*=\s*true", text, re.M):
        return False
    # These make what is inside the folder importable, not the folder.
    text = re.sub(r"""where\s*=\s*\[[^\]]*\]|package-dir\s*=\s*\{[^}]*\}""", "", text)
    text = re.sub(r"\[tool\.setuptools\.package-dir\][^\[]*", "", text)
    return re.search(r"""["']src(\.?\*)?["']""", text) is not None


def _hit(experiment: Experiment, path: str, group: _Found) -> Hit:
    (first, told), *others = group.places.items()
    point = group.point
    is_old = point.version_base in ("1.0", "1.1")
    why = (
        "`version_base` is not given, or 1.1, and no `hydra.run.dir: .` is set"
        if is_old
        else "`hydra.job.chdir` is true"
    )
    all_runs = experiment.run_ids()
    return Hit(
        path=path,
        line=point.line,
        column=point.column,
        message=(
            f"Hydra changes the working directory to the run's output folder, since {why}: {told}"
        ),
        help=(
            "Write `version_base=None` in `@hydra.main`."
            if is_old
            else "Remove `hydra.job.chdir: true` from the config."
        ),
        related=(
            Related(path=first[0], line=first[1], message=told),
            *(Related(path=p, line=n, message=message) for (p, n, _), message in others),
        ),
        runs=tuple(group.runs) if len(group.runs) < len(all_runs) else (),
        # A cache in the wrong place is filled again in every run, and stops none.
        severity=None if group.stops else Severity.WARNING,
    )
