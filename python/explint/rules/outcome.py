"""Rules about what evaluation writes and computes: criterion 8."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.evaluated import Evaluated, evaluated, listed, training
from explint.rules.registry import Hit, Unknown, rule
from explint.syntax import children

if TYPE_CHECKING:
    from explint.artifacts.files import Written
    from explint.experiment import Experiment
    from explint.trace.facts import LibraryCall, Place

# Calls that are handed a path and write nothing there.
_HARMLESS: Final = frozenset(
    {
        "exists", "is_file", "is_dir", "mkdir", "makedirs", "print", "append", "extend", "info",
        "debug", "warning", "error", "log", "resolve", "absolute", "expanduser", "relative_to",
        "Path", "str", "join", "open", "iterdir", "glob", "rglob", "listdir", "stat", "unlink",
        "as_posix", "joinpath", "with_suffix", "with_name", "add", "insert", "update", "get",
        "load", "loads", "read_text", "read_csv", "read_json", "run", "runs", "isfile", "isdir",
        "normpath", "abspath", "realpath", "dirname", "basename", "exit", "format", "rmtree",
        "remove", "relpath", "write", "dumps", "is_absolute", "touch", "setdefault", "rprint",
    }
)  # fmt: skip


@rule("evaluate/missing-artifact", code="EVA004", severity=Severity.ERROR, criteria=(8,))
def missing_artifact(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A file that evaluation must write is never written.

    ## What it does
    Works out the paths of all files and figures that the evaluation script writes, and compares
    them with what the protocol demands: the metrics of each run, the aggregated metrics, and at
    least one figure in each folder. A path of which a part is only known when the script runs may
    be any of them.

    ## Why is this bad
    The paper is written from these files. One that is missing, or has another name, is found out
    after the runs have cost their GPU hours.

    ## Example
    ```python
    (results_dir / run_id / "run_metrics.json").write_text(json.dumps(metrics))
    ```

    ## Use instead
    ```python
    (results_dir / run_id / "metrics.json").write_text(json.dumps(metrics))
    ```

    ## References
    - Criterion 8 of the experiment protocol
    """
    found = evaluated(experiment)
    if found is None:
        return
    if isinstance(found, Unknown):
        yield found
        return
    from explint.artifacts.paths import demanded, shown

    artifacts = experiment.profile.artifacts
    wanted = [demanded(t) for t in (*artifacts.per_run, *artifacts.comparison)]
    folders = _figure_folders(experiment)
    lacking = [w for w in wanted if not _may_write(found, w)]
    bare = [folder for folder in folders if not _may_draw_in(found, folder)]
    if (lacking or bare) and found.gap is not None:
        yield found.unknown()
        return
    open_ = [w for w in wanted if w not in lacking and not _surely_writes(found, w)]
    if open_:
        yield Unknown(
            reason=f"the path under which {shown(open_[0])} may be written is made at run time",
            decided_by="a trial run of the evaluation",
            path=found.path,
        )
    for path in lacking:
        near = _nearest(found, path)
        names = [shown(p) for p in near.paths] if near is not None else []
        known = names and "{…}" not in names[0]
        same = known and near is not None and _folder(near.paths[0]) == _folder(path)
        yield Hit(
            **_where(found, near),
            message=f"`{shown(path)}` is never written"
            + (f"; this writes `{names[0]}`." if same else "."),
            help=f"Write the metrics to `{shown(path)}`.",
        )
    for folder in bare:
        figure = next((f for f in found.figures if f.saves), None)
        place = found.at(figure.saves[0].event.place) if figure is not None else None
        yield Hit(
            **(place or _where(found, _nearest(found, f"{folder}/figure"))),
            message=f"No figure is saved in `{shown(folder)}`.",
            help=f"Draw {_FIGURES[folder.endswith('comparison')]} and save it there.",
        )


_FIGURES: Final = {True: "a figure that compares the runs", False: "each run's learning curve"}

_TESTS: Final = regex(
    r"^(scipy\.stats|statsmodels|pingouin|scikit_posthocs|mlxtend\.evaluate|arch\.bootstrap"
    r"|baycomp|deepsig|autorank|bayesian_testing|sklearn\.utils\.resample)"
)
_DESCRIBES: Final = regex(
    r"^scipy\.stats\.(sem|describe|zscore|mode|gmean|hmean|skew|kurtosis|iqr|trim_mean|rankdata)\b"
)
# What a test written by hand is made of: resampling, or the tail of a distribution.
_BY_HAND: Final = regex(
    r"(^|\.)(choice|choices|permutation|permuted|shuffle|randrange|randint|integers|erf|erfc"
    r"|percentile|quantile|quantiles|bootstrap|resample|comb|lgamma|gammaln|betainc|stdtr|ndtr"
    r"|multinomial|binomial)(\(|$)"
)


@rule("evaluate/no-significance-test", code="EVA005", severity=Severity.ERROR, criteria=(8,))
def no_significance_test(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Evaluation computes no statistical significance test.

    ## What it does
    Looks at what the evaluation script calls, not at what it imports: a test of SciPy, statsmodels
    or a similar library, or what a test written by hand is made of (resampling, quantiles, the
    tail of a distribution). A test in a function that nothing calls is none.

    ## Why is this bad
    Without a test nobody can tell an improvement from the noise between two runs.

    ## Example
    ```python
    aggregated["gap"] = best["accuracy"] - baseline["accuracy"]
    ```

    ## Use instead
    ```python
    aggregated["gap"] = best["accuracy"] - baseline["accuracy"]
    test = stats.wilcoxon(best["per_sample_correct"], baseline["per_sample_correct"])
    aggregated["p_value"] = float(test.pvalue)
    ```

    ## References
    - Criterion 8 of the experiment protocol
    - [SciPy: statistical tests](https://docs.scipy.org/doc/scipy/reference/stats.html)
    """
    found = evaluated(experiment)
    if not experiment.profile.evaluation.significance_test or not isinstance(found, Evaluated):
        return
    if any(
        (_TESTS.search(name) and not _DESCRIBES.search(name)) or _BY_HAND.search(name)
        for name in _called(found)
    ):
        return
    if found.gap is not None:
        yield found.unknown()
        return
    imported = re.search(r"^.*\b(scipy|statsmodels|pingouin)\b.*$",
                         experiment.text(found.path) or "", re.MULTILINE)  # fmt: skip
    unused = ", although a library for it is imported" if imported else ""
    yield Hit(
        **_where(found, _comparison(found)),
        message=f"The comparison computes no significance test{unused}.",
        help="Test the difference, for example with `scipy.stats.ttest_ind` over values of which "
        "each run has several.",
    )


@rule("evaluate/no-derived-metric", code="EVA006", severity=Severity.ERROR, criteria=(8,))
def no_derived_metric(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Evaluation derives nothing from the runs' metrics.

    ## What it does
    Looks for a difference or a ratio of two values that come from the runs, such as an improvement
    rate or a gap, anywhere in what the evaluation script computes.

    ## Why is this bad
    A list of each run's metrics leaves the comparison, which is what the experiment was made for,
    to the reader.

    ## Example
    ```python
    aggregated = {run_id: run.summary["accuracy"] for run_id, run in runs.items()}
    ```

    ## Use instead
    ```python
    gain = (proposed - baseline) / baseline
    aggregated = {"accuracy": scores, "improvement_rate": gain}
    ```

    ## References
    - Criterion 8 of the experiment protocol
    """
    found = evaluated(experiment)
    if not experiment.profile.evaluation.derived_metric or not isinstance(found, Evaluated):
        return
    if _derives(found):
        return
    if found.gap is not None:
        yield found.unknown()
        return
    yield Hit(
        **_where(found, _comparison(found)),
        message="Nothing is derived from the runs' metrics: no improvement rate, gap or ratio.",
        help="Write the improvement rate `(proposed - baseline) / baseline` too.",
    )


@rule("evaluate/wrong-baseline", code="EVA010", severity=Severity.WARNING, criteria=(8,))
def wrong_baseline(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The proposed method, or a name that no run has, is taken for the baseline.

    ## What it does
    Takes the value that an improvement is divided by, and works out which method or run it belongs
    to, with the run ids and methods this package has. `sorted(methods)[0]` is reported where the
    first name in the alphabet is the proposed method, and left alone where it is not.

    ## Why is this bad
    The sign of the improvement turns round: the better the proposed method is, the worse it looks.

    ## Example
    ```python
    methods = frame.groupby("method")["accuracy"].mean().to_dict()
    baseline = sorted(methods)[0]
    gain = {m: (a - methods[baseline]) / methods[baseline] for m, a in methods.items()}
    ```

    ## Use instead
    ```python
    baseline = next(run["method"] for run in runs if run["run_id"].startswith("comparative"))
    ```

    ## References
    - Criterion 8 of the experiment protocol
    """
    found = evaluated(experiment)
    if not isinstance(found, Evaluated) or not _has_both(experiment):
        return
    told = set()
    for chooser, name in _baselines(found):
        methods = _methods(found)
        owner = _owners(experiment, methods, name)
        place = _chosen_at(found, chooser)
        if owner != "proposed" or name in told:
            continue
        told.add(name)
        others = sorted({m for m in methods.values() if isinstance(m, str)} - {name})
        beside = f" beside {listed(others)}" if others and name in methods.values() else ""
        yield Hit(
            **place,
            message=f"With the runs of this package the baseline is `{name}`, the proposed "
            f"{'method' if name in methods.values() else 'run'}{beside}.",
            help="Choose the baseline by what it is, such as a run id that starts with "
            "`comparative`.",
        )


@rule("evaluate/degenerate-test", code="EVA011", severity=Severity.WARNING, criteria=(8,))
def degenerate_test(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A statistical test gets a single value per group.

    ## What it does
    Works out how many values each group of a test has for the runs of this package, and reports
    tests between single values: t-tests and ANOVA give NaN there, rank tests the same p-value
    whatever the values are. Where the NaN goes on into a JSON file, the finding says so.

    ## Why is this bad
    One run per method is one value per method, and of one value no spread is known. `json.dump`
    writes NaN as the bare word `NaN`, which is no JSON and which other parsers reject.

    ## Example
    ```python
    ours = frame[frame.method == "ours"]["accuracy"]
    base = frame[frame.method == "base"]["accuracy"]
    p_value = stats.ttest_ind(ours, base).pvalue
    ```

    ## Use instead
    ```python
    p_value = stats.wilcoxon(ours_per_sample, base_per_sample).pvalue
    ```

    ## References
    - [SciPy: `ttest_ind`](https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.ttest_ind.html)
    - [RFC 8259: numbers in JSON](https://www.rfc-editor.org/rfc/rfc8259#section-6)
    """
    found = evaluated(experiment)
    if not isinstance(found, Evaluated):
        return
    told: set[tuple[int, int]] = set()
    for number, event in found.calls():
        kind = _SINGLE.get(event.name)
        if kind is None or not event.args:
            continue
        given = event.args[:1] if event.name.endswith("1samp") else event.args[:2]
        if len(given) < 1 or not all(_at_most_one(found, value) for value in given):
            continue
        if found.comparison.happens(event.guard) is False:
            continue
        key = (event.place.file, event.place.line)
        if key in told:
            continue
        told.add(key)
        json_at = _reaches_json(found, number) if kind == "nan" else None
        test = event.name.rpartition(".")[2]
        outcome = "which gives NaN" if kind == "nan" else "which gives the same p-value always"
        into = ", and the NaN is written to a JSON file" if json_at is not None else ""
        yield Hit(
            **found.at(event.place),
            message=f"With the runs of this package `{test}` compares one value with one value, "
            f"{outcome}{into}.",
            help="Test over values of which each run has several, such as its results per sample.",
            related=()
            if json_at is None
            else (
                Related(
                    path=found.document.files[json_at.file],
                    line=json_at.line,
                    message="`NaN` is written here, which is no JSON.",
                ),
            ),
        )


_SINGLE: Final = {
    "scipy.stats.ttest_ind": "nan",
    "scipy.stats.ttest_rel": "nan",
    "scipy.stats.ttest_1samp": "nan",
    "scipy.stats.f_oneway": "nan",
    "scipy.stats.mannwhitneyu": "constant",
    "scipy.stats.wilcoxon": "constant",
    "scipy.stats.ks_2samp": "constant",
}


@rule("evaluate/json-lines", code="EVA013", severity=Severity.WARNING, criteria=(8,))
def json_lines(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A `.json` file is written that is not one JSON document.

    ## What it does
    Reports `to_json(…, lines=True)`, appending to a file, and writing a document in each iteration
    of a loop to the same open file, where the file's name ends in `.json`.

    ## Why is this bad
    `json.load` raises `Extra data` at the second line: whoever collects the results cannot read
    the file that its name promises.

    ## Example
    ```python
    history.to_json(folder / "metrics.json", orient="records", lines=True)
    ```

    ## Use instead
    ```python
    history.to_json(folder / "metrics.json", orient="records")
    ```

    ## References
    - [JSON Lines](https://jsonlines.org/)
    """
    found = evaluated(experiment)
    if not isinstance(found, Evaluated):
        return
    from explint.artifacts.files import open_file
    from explint.artifacts.paths import shown

    told: set[tuple[int, int]] = set()
    for output in found.written:
        event = output.event
        if not all(path.endswith(".json") for path in output.paths) or not output.paths:
            continue
        why, instead = None, "Write one document."
        if output.how == "to_json" and _is_true(found, event, "lines"):
            why = "is written as JSON Lines, one document a line"
            instead = "Leave out `lines=True`, or name the file `.jsonl`."
        elif output.how in ("dump", "write"):
            handle = event.args[1] if output.how == "dump" and len(event.args) > 1 else None
            if output.how == "write":
                handle = _receiver(found, event)
            opened = None if handle is None else open_file(handle, found.paths)
            if opened is None or handle is None:
                continue
            if output.how == "write" and not _is_json_text(found, output):
                continue
            if "a" in opened[1]:
                why = "is opened to append, so a second document follows the first"
                instead = 'Open the file with `"w"` and write one document.'
            elif _loops(found, event.guard) - _loops_at(found, handle):
                why = "gets a document in each iteration of a loop"
                instead = "Collect the rows in a list and write that once."
        key = (event.place.file, event.place.line)
        if why is not None and key not in told:
            told.add(key)
            name = shown(output.paths[0])
            yield Hit(**found.at(event.place), message=f"`{name}` {why}.", help=instead)


# ---- files ----


def _figure_folders(experiment: Experiment) -> list[str]:
    from explint.artifacts.paths import demanded

    figures = experiment.profile.figures
    both = (figures.per_run_folder, figures.comparison_folder)
    return [demanded(folder) for folder in both if folder is not None]


def _may_write(found: Evaluated, wanted: str) -> bool:
    from explint.artifacts.files import written
    from explint.artifacts.paths import Paths, may_be

    if any(may_be(path, wanted) for w in found.written for path in w.paths):
        return True
    if _handed_on(found, (wanted, _folder(wanted))):
        return True
    # What evaluation should have written itself lies there all the same when training wrote it.
    for special in training(found.experiment):
        if special is None:
            return True
        outputs = written(special, Paths(special.env))
        if any(may_be(path, wanted) for w in outputs for path in w.paths):
            return True
    return False


def _surely_writes(found: Evaluated, wanted: str) -> bool:
    return any(wanted in w.paths for w in found.written)


def _may_draw_in(found: Evaluated, folder: str) -> bool:
    from explint.artifacts.paths import may_lie_in

    texts = [
        path for w in found.written for path in w.paths if not path.endswith((".json", ".csv"))
    ]
    if any(may_lie_in(text, folder) for text in texts):
        return True
    return any(not s.paths for f in found.figures for s in f.saves) or _handed_on(found, (folder,))


def _handed_on(found: Evaluated, wanted: Sequence[str]) -> bool:
    """Whether a call that is not known gets one of these paths, and may write there."""
    from explint.artifacts.files import tail
    from explint.artifacts.paths import RESULTS

    known = {w.number for w in found.written} | {r.number for r in found.read}
    for number, event in found.calls():
        if number in known or tail(event.name) in _HARMLESS:
            continue
        for value in (*event.args, *(v for _, v in event.kwargs)):
            if any(t in wanted or (t == RESULTS) for t in found.paths.of(value)):
                return True
    return False


def _nearest(found: Evaluated, wanted: str) -> Written | None:
    """What is written in the folder of a path, else the last thing that is written."""
    folder = _folder(wanted)
    here = [
        w
        for w in found.written
        if any(_folder(p) == folder and p.endswith(".json") for p in w.paths)
    ]
    return here[0] if here else (found.written[-1] if found.written else None)


def _comparison(found: Evaluated) -> Written | None:
    """Where the comparison is written."""
    from explint.artifacts.paths import demanded, may_be

    wanted = [demanded(t) for t in found.experiment.profile.artifacts.comparison]
    for output in found.written:
        if any(may_be(path, w) for path in output.paths for w in wanted):
            return output
    return found.written[-1] if found.written else None


def _where(found: Evaluated, output: Written | None) -> dict[str, Any]:
    return {"path": found.path} if output is None else found.at(output.event.place)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _is_true(found: Evaluated, event: LibraryCall, name: str) -> bool:
    from explint.trace.specialise import evaluate

    return any(k == name and evaluate(v, found.special.env) is True for k, v in event.kwargs)


def _receiver(found: Evaluated, event: LibraryCall) -> int | None:
    from explint.trace.facts import Attribute

    callee = found.entry.values[event.callee]
    return callee.of if isinstance(callee, Attribute) else None


def _is_json_text(found: Evaluated, output: Written) -> bool:
    from explint.artifacts.comparison import reached
    from explint.trace.facts import Library

    if output.document is None:
        return False
    values = (found.entry.values[v] for v in reached(found.entry, [output.document]))
    return Library("json.dumps") in values


def _loops(found: Evaluated, guard: int) -> set[int]:
    from explint.trace.facts import Ran

    loops = set()
    while guard:
        row = found.entry.guards[guard]
        condition = found.entry.values[row.condition]
        if isinstance(condition, Ran) and row.expected:
            loops.add(condition.loop)
        guard = row.parent
    return loops


def _loops_at(found: Evaluated, handle: int) -> set[int]:
    from explint.trace.facts import CallValue

    row = found.entry.values[handle]
    if not isinstance(row, CallValue) or row.event is None:
        return set()
    return _loops(found, found.entry.events[row.event].guard)


# ---- what is computed ----


def _called(found: Evaluated) -> Iterator[str]:
    """The names of what is called, also of calls that have no effect."""
    for _, event in found.calls():
        yield event.name
    for node in _run_code(found):
        if isinstance(node, ast.Call):
            name = node.func
            if isinstance(name, ast.Name | ast.Attribute):
                yield name.id if isinstance(name, ast.Name) else name.attr


_DERIVING: Final = frozenset(
    {"pct_change", "subtract", "divide", "true_divide", "sub", "div", "rdiv", "diff"}
)
_DERIVED: Final = regex(r"improve|gap|gain|delta|differ|ratio|speed.?up|relative|reduction")
_FOLDERS: Final = regex(r"dir|path|root|folder|out|parent|dest|base_?$|cwd", re.IGNORECASE)


def _derives(found: Evaluated) -> bool:
    """Whether the code that is run subtracts or divides values, or names something that is."""
    from explint.trace.facts import Binary, Literal

    values = found.entry.values
    if any(
        isinstance(row, Binary) and row.op == "-" and not isinstance(values[row.right], Literal)
        for row in values
    ):
        return True
    for node in _run_code(found):
        match node:
            case ast.BinOp(op=ast.Sub(), right=right) if not isinstance(right, ast.Constant):
                return True
            case ast.BinOp(op=ast.Div(), left=left, right=right):
                paths = _FOLDERS.search(ast.unparse(left)) or isinstance(right, ast.JoinedStr)
                if not isinstance(right, ast.Constant) and not paths:
                    return True
            case ast.Attribute(attr=name) if name in _DERIVING:
                return True
            case ast.Constant(value=str(text)) if len(text) < 40 and _DERIVED.search(text.lower()):
                return True
    return False


def _run_code(found: Evaluated) -> Iterator[ast.AST]:
    """The syntax of the evaluation's modules, without functions that nothing calls.

    What a value in a container is made of may be lost in the trace; the code still shows it.
    """
    called = {call.function.rpartition(".")[2] for call in found.entry.calls}
    for module in found.modules:
        stack: list[ast.AST] = [module]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.FunctionDef) and node.name not in called:
                continue
            yield node
            stack += children(node)


def _has_both(experiment: Experiment) -> bool:
    """Whether the package has a proposed run and another one."""
    kinds = {_kind(run_id) for run_id in experiment.run_ids()}
    return "proposed" in kinds and len(kinds) > 1


def _kind(run_id: str) -> str:
    name = run_id.lower()
    if name.startswith("proposed"):
        return "proposed"
    return "other" if name.startswith(("comparative", "baseline")) else "unknown"


def _methods(found: Evaluated) -> dict[str, Any]:
    """The method that W&B holds for each run, None where it is not known."""
    methods: dict[str, Any] = {}
    for run_id in found.experiment.run_ids():
        config = found.comparison.configs.get(run_id, {})
        for section in (config, config.get("run", {}) if isinstance(config, dict) else {}):
            method = section.get("method") if isinstance(section, dict) else None
            if isinstance(method, dict):
                method = method.get("name")
            if isinstance(method, str):
                methods[run_id] = method
    return methods


def _owners(experiment: Experiment, methods: dict[str, Any], name: str) -> str:
    """Whose a method or run id is: ``proposed`` where only proposed runs have it."""
    if name in experiment.run_ids():
        return _kind(name)
    kinds = {_kind(run_id) for run_id, method in methods.items() if method == name}
    whole = len(methods) == len(experiment.run_ids())
    return kinds.pop() if whole and len(kinds) == 1 else "unknown"


def _baselines(found: Evaluated) -> Iterator[tuple[int, str]]:
    """What chooses the value that an improvement is divided by, and the name it chooses."""
    from explint.trace.facts import Binary, CallValue

    entry = found.entry
    done = set()
    for row in entry.values:
        if not isinstance(row, Binary) or row.op != "/":
            continue
        under = row.right
        below = entry.values[under]
        inside = {under}
        if isinstance(below, CallValue):
            inside.update(below.args)
        if isinstance(below, Binary):
            inside.update((below.left, below.right))
        above = _difference(found, row.left)
        if above is None:
            continue
        shared = inside & {above.left, above.right}
        for score in shared:
            if score in done:
                continue
            done.add(score)
            for chooser in _choosers(found, score):
                name = found.comparison.value(chooser)
                if isinstance(name, str):
                    yield chooser, name


def _difference(found: Evaluated, value: int) -> Any:  # noqa: ANN401
    from explint.trace.facts import Binary, Literal

    row = found.entry.values[value]
    while isinstance(row, Binary) and row.op == "*":
        literal = isinstance(found.entry.values[row.left], Literal)
        row = found.entry.values[row.right if literal else row.left]
    return row if isinstance(row, Binary) and row.op == "-" else None


def _choosers(found: Evaluated, score: int) -> Iterator[int]:
    """The names by which a score is looked up: keys, and what a column is compared with."""
    from explint.artifacts.comparison import parts
    from explint.trace.facts import Compare, Item, Literal

    entry = found.entry
    stack, seen = [(score, 0)], set()
    while stack:
        value, depth = stack.pop()
        if value in seen or depth > 8:
            continue
        seen.add(value)
        row = entry.values[value]
        if isinstance(row, Item) and not isinstance(entry.values[row.key], Literal | Compare):
            yield row.key
        if isinstance(row, Compare) and row.op == "==":
            for side in (row.left, row.right):
                if not isinstance(entry.values[side], Literal):
                    yield side
            continue
        stack += [(v, depth + 1) for v in parts(row)]


def _chosen_at(found: Evaluated, chooser: int) -> dict[str, Any]:
    """Where a name is chosen: the last event before the choice, or where its parts were made."""
    from explint.artifacts.comparison import reached
    from explint.trace.facts import CallValue

    events = [
        row.event
        for v in reached(found.entry, [chooser])
        if isinstance(row := found.entry.values[v], CallValue) and row.event is not None
    ]
    if not events:
        return _where(found, _comparison(found))
    return found.at(found.entry.events[max(events)].place)


def _at_most_one(found: Evaluated, value: int) -> bool:
    from explint.artifacts.comparison import Column

    held = found.comparison.value(value)
    if isinstance(held, Column):
        return len(held.values) <= 1
    return isinstance(held, list | tuple) and len(held) == 1


def _reaches_json(found: Evaluated, number: int) -> Place | None:
    """Where the result of a call is written as JSON with nothing on the way that removes NaN."""
    from explint.trace.facts import (
        Attribute,
        CallValue,
        DictValue,
        Each,
        Item,
        Library,
        ListValue,
        Select,
        TupleValue,
    )  # fmt: skip
    from explint.trace.specialise import evaluate

    entry = found.entry
    for output in found.written:
        if output.document is None or output.how not in ("dump", "write_text", "write"):
            continue
        if any(
            k == "allow_nan" and evaluate(v, found.special.env) is False
            for k, v in output.event.kwargs
        ):
            continue
        stack, seen = [output.document], set()
        while stack:
            value = stack.pop()
            if value in seen:
                continue
            seen.add(value)
            row = entry.values[value]
            if isinstance(row, CallValue) and row.event == number:
                return output.event.place
            match row:
                case CallValue(callee=callee, args=args, kwargs=kwargs):
                    name = entry.values[callee]
                    kept = ("float", "dict", "list", "json.dumps", "round")
                    strict = any(k == "allow_nan" for k, _ in kwargs)
                    if isinstance(name, Library) and name.name in kept and not strict:
                        stack += args
                case DictValue(items=items):
                    stack += [v for _, v in items]
                case ListValue(items=items) | TupleValue(items=items):
                    stack += items
                case Select(yes=yes, no=no):
                    stack += [yes, no]
                case Item(of=of) | Attribute(of=of):
                    stack.append(of)
                case Each(value=inner):
                    stack.append(inner)
    return None
