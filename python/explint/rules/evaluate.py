"""Rules about where evaluation takes its data from: criterion 8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.evaluated import Evaluated, evaluated, training
from explint.rules.registry import Hit, Unknown, rule

if TYPE_CHECKING:
    from explint.artifacts.files import FileRead
    from explint.experiment import Experiment

_CONFIG = regex(r"\.(ya?ml|toml|ini|env)$|(^|/)(config|settings)\.json$")


@rule("evaluate/no-api", code="EVA001", severity=Severity.ERROR, criteria=(8,))
def no_api(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Evaluation never asks the W&B API for the runs.

    ## What it does
    Follows the evaluation script from its start and reports it when it never calls `wandb.Api()`.
    Where it reads results from local files instead, the finding stands at the first of them and
    names the others.

    ## Why is this bad
    Evaluation runs apart from training, often on another machine and after the runs' folders are
    gone. What it is to compare is what the runs logged, and that is in W&B alone.

    ## Example
    ```python
    for run_id in run_ids:
        scores[run_id] = json.loads((results_dir / run_id / "scores.json").read_text())
    ```

    ## Use instead
    ```python
    api = wandb.Api()
    for run_id in run_ids:
        run = api.run(f"{entity}/{project}/{run_id}")
        scores[run_id] = dict(run.summary._json_dict)
    ```

    ## References
    - Criterion 8 of the experiment protocol
    - [W&B: the public API](https://docs.wandb.ai/ref/python/public-api/api/)
    """
    found = evaluated(experiment)
    if not experiment.profile.evaluation.through_api or found is None:
        return
    if isinstance(found, Unknown):
        yield found
        return
    if _uses_api(found):
        return
    if found.gap is not None:
        yield found.unknown()
        return
    reads = [r for r in found.read if not any(_CONFIG.search(path) for path in r.paths)]
    where: dict[str, Any] = {"path": found.path}
    if reads:
        where = found.at(reads[0].event.place)
    instead = ", but reads local files" if reads else ""
    yield Hit(
        **where,
        message=f"Evaluation never asks `wandb.Api()` for the runs{instead}.",
        help='Fetch every run with `wandb.Api().run(f"{entity}/{project}/{run_id}")` and take '
        "its history, summary and config.",
        related=_places(found, reads[1:], "A local file is read here too."),
    )


@rule("evaluate/reads-local-file", code="EVA002", severity=Severity.ERROR, criteria=(8,))
def reads_local_file(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Results come from a local file instead of W&B, or where W&B lacks them.

    ## What it does
    Reports files below the results folder that evaluation reads, although it also asks the W&B
    API. Configuration files are left alone, and so is what the script itself writes. Where the API
    is never asked, `evaluate/no-api` says so.

    ## Why is this bad
    A fallback to a local file makes the outcome depend on the machine: with the file the figure is
    drawn, possibly of an older run; without it the figure is missing, and nobody is told.

    ## Example
    ```python
    if "scores" in run.summary:
        scores = run.summary["scores"]
    else:
        scores = np.load(results_dir / run_id / "scores.npy")
    ```

    ## Use instead
    ```python
    scores = run.summary["scores"]
    ```

    ## References
    - Criterion 8 of the experiment protocol
    """
    found = evaluated(experiment)
    if not experiment.profile.evaluation.through_api or not isinstance(found, Evaluated):
        return
    if not _uses_api(found):
        return
    from explint.artifacts.paths import RESULTS, shown

    own = {path for w in found.written for path in w.paths}
    reads = [
        r
        for r in found.read
        if all(
            path.startswith(RESULTS) and not _CONFIG.search(path) and path not in own
            for path in r.paths
        )
    ]
    if not reads:
        return
    first = reads[0]
    yield Hit(
        **found.at(first.event.place),
        message=f"Results come from the local file `{shown(first.paths[0])}`, not from W&B.",
        help="Take them from the run's history, summary or files in W&B, and have training log "
        "them.",
        related=_places(found, reads[1:], "Another local file is read here."),
    )


@rule("evaluate/called-from-main", code="EVA003", severity=Severity.ERROR, criteria=(8,))
def called_from_main(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The training command starts or imports evaluation.

    ## What it does
    Reports imports of the evaluation script in the modules that the training command runs, and
    child processes that start it.

    ## Why is this bad
    Evaluation compares all runs, so it has to wait for the last one. Started by each run it
    compares what is not there yet, fails in trial mode where nothing is in W&B, and takes the
    training run down with it.

    ## Example
    ```python
    from src.evaluate import main as evaluate

    train(cfg)
    evaluate()
    ```

    ## Use instead
    Leave evaluation to its own command,
    `python -m src.evaluate results_dir=… run_ids='["run-1", "run-2"]'`.

    ## References
    - Criterion 8 of the experiment protocol
    """
    path = experiment.profile.evaluation.module
    if path is None or experiment.profile.evaluation.called_by_main:
        return
    name = path.rpartition("/")[2].removesuffix(".py")
    jobs = experiment.profile.files.jobs
    modules = [p for p, job in jobs.items() if job in ("entry", "train")]
    if not any(name in (experiment.text(p) or "") for p in modules):
        return
    from explint.rules.started import started
    from explint.trace.facts import Import

    module = path.removesuffix(".py").replace("/", ".")
    for own in modules:
        if experiment.text(own) is None:
            continue
        entry_name = own.removesuffix(".py").replace("/", ".")
        document = experiment.trace(entry_name)
        entry = None if document is None else document.entry(entry_name)
        if document is None or entry is None:
            continue
        for _, event in entry.events_of(Import):
            if event.own and event.name == module:
                yield Hit(
                    path=document.files[event.place.file],
                    line=event.place.line,
                    column=event.place.column,
                    message=f"The training command imports `{module}`.",
                    help="Leave evaluation to its own command, and share code through another "
                    "module.",
                )
                return
    start = started(experiment)
    for one in start.starts if start is not None else ():
        for child in one.children:
            if child.module == module or (child.script or "").endswith(path):
                assert start is not None
                yield Hit(
                    path=start.path_of(child.event.place),
                    line=child.event.place.line,
                    column=child.event.place.column,
                    message=f"The training command starts `{module}` in a process of its own.",
                    help="Leave evaluation to its own command.",
                )
                return


@rule("evaluate/config-location", code="EVA014", severity=Severity.ERROR, criteria=(8,))
def config_location(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The W&B settings are read from a file that nothing writes.

    ## What it does
    Finds the YAML file from which evaluation takes the entity and project that it asks W&B for.
    The protocol names the files that may hold them; any other must be in the package, or be
    written by the training command.

    ## Why is this bad
    Evaluation stops with `FileNotFoundError` before it has fetched a single run.

    ## Example
    ```python
    settings = OmegaConf.load(results_dir / "config.yaml").wandb
    ```

    ## Use instead
    ```python
    settings = OmegaConf.load("config/config.yaml").wandb
    ```

    ## References
    - Criteria 6 and 8 of the experiment protocol
    """
    found = evaluated(experiment)
    places = experiment.profile.wandb.evaluation_settings
    if not places or not isinstance(found, Evaluated):
        return
    from explint.artifacts.files import written
    from explint.artifacts.paths import ANY, Paths, demanded, may_be, shown

    for read in _settings_read(found):
        texts = read.paths
        if any(ANY in t for t in texts) or any(
            may_be(t, demanded(p)) or ".hydra" in t or experiment.text(t) is not None
            for t in texts
            for p in places
        ):
            continue
        made: list[str] = []
        gap = False
        for special in training(experiment):
            if special is None:
                gap = True
                continue
            outputs = written(special, Paths(special.env))
            made += [path for w in outputs for path in w.paths]
        if gap or any(may_be(path, text) for path in made for text in texts):
            if gap:
                yield found.unknown("the modules of the training command")
            continue
        yield Hit(
            **found.at(read.event.place),
            message=f"The W&B settings are read from `{shown(texts[0])}`, and nothing writes that "
            "file.",
            help=f"Read them from `{shown(demanded(places[-1]))}`.",
        )


@rule("evaluate/path-outside-cwd", code="EVA015", severity=Severity.WARNING, criteria=(8,))
def path_outside_cwd(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A path in the results folder is made relative to the working directory.

    ## What it does
    Reports `path.relative_to(Path.cwd())`, and the same with `os.getcwd()` or `"."`, on paths below
    the results folder, unless the `ValueError` is caught.

    ## Why is this bad
    `relative_to` raises `ValueError` when the path does not lie below the other one. The results
    folder is an argument: it often lies on another disk, and then evaluation ends in a `print`.

    ## Example
    ```python
    print(f"saved {path.relative_to(Path.cwd())}")
    ```

    ## Use instead
    ```python
    print(f"saved {path}")
    ```

    ## References
    - [pathlib: `PurePath.relative_to`](https://docs.python.org/3/library/pathlib.html#pathlib.PurePath.relative_to)
    """
    found = evaluated(experiment)
    if not isinstance(found, Evaluated) or "relative_to" not in (experiment.text(found.path) or ""):
        return
    from explint.trace.facts import Attribute, CallValue, Library

    entry = found.entry
    hits = []
    for _, event in found.calls():
        callee = entry.values[event.callee]
        if not event.name.endswith(".relative_to") or not isinstance(callee, Attribute):
            continue
        if not event.args or not found.paths.is_results_dir(callee.of):
            continue
        base = entry.values[event.args[0]]
        if isinstance(base, CallValue) and isinstance(entry.values[base.callee], Attribute):
            inner = entry.values[base.callee]
            assert isinstance(inner, Attribute)
            base = entry.values[inner.of]
        name = ""
        if isinstance(base, CallValue) and isinstance(made := entry.values[base.callee], Library):
            name = made.name
        here = name in ("pathlib.Path.cwd", "os.getcwd") or found.paths.of(event.args[0]) == (".",)
        if here and not _is_tried(experiment, found, event.place.line):
            hits.append(event)
    if hits:
        yield Hit(
            **found.at(hits[0].place),
            message="`relative_to` raises when the results folder lies outside of the working "
            "directory.",
            help="Show the path as it is.",
            related=tuple(
                Related(
                    path=found.document.files[e.place.file],
                    line=e.place.line,
                    message="The same happens here.",
                )
                for e in hits[1:]
            ),
        )


def _uses_api(found: Evaluated) -> bool:
    return any(
        event.name.startswith(("wandb.Api", "wandb.apis.", "wandb.PublicApi"))
        for _, event in found.calls()
    )


def _places(found: Evaluated, reads: Sequence[FileRead], message: str) -> tuple[Related, ...]:
    places = dict.fromkeys((found.document.files[r.event.place.file], r.event.place.line)
                           for r in reads)  # fmt: skip
    return tuple(Related(path=path, line=line, message=message) for path, line in places)


def _settings_read(found: Evaluated) -> Iterator[FileRead]:
    """The readings whose content names the W&B entity and project."""
    from explint.artifacts.comparison import reached
    from explint.trace import facts as f

    entry = found.entry
    used: list[int] = []
    for _, event in found.calls():
        if event.name.startswith(("wandb.Api().run", "wandb.Api")):
            used += [*event.args, *(v for _, v in event.kwargs)]
    seen = reached(entry, used)
    roots = {row.root for v in seen if isinstance(row := entry.values[v], f.Config)}
    calls = {row.event for v in seen if isinstance(row := entry.values[v], f.CallValue)}
    sources = [v for r in roots if entry.roots[r].kind == "load" for v in entry.roots[r].sources]
    for read in found.read:
        if not any(path.endswith((".yaml", ".yml")) for path in read.paths):
            continue
        target = read.event.args[0] if read.event.args else None
        if read.number in calls or (target is not None and target in sources):
            yield read


def _is_tried(experiment: Experiment, found: Evaluated, line: int) -> bool:
    """Whether a line stands in a ``try`` that catches what ``relative_to`` raises."""
    import ast

    from explint.syntax import nodes, parsed

    text = experiment.text(found.path) or ""
    if parsed(text) is None:
        return True
    return any(
        isinstance(node, ast.Try)
        and node.handlers
        and node.body[0].lineno <= line <= (node.body[-1].end_lineno or 0)
        for node in nodes(text)
    )
