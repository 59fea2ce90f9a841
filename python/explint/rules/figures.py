"""Rules about figures: criterion 8."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.evaluated import Evaluated, evaluated
from explint.rules.registry import Hit, Unknown, rule

if TYPE_CHECKING:
    from explint.artifacts.figures import Drawing, Figure, Save
    from explint.experiment import Experiment
    from explint.trace.facts import Place


@rule("evaluate/figure-name", code="EVA007", severity=Severity.ERROR, criteria=(8,))
def figure_name(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A figure's file name breaks the protocol's pattern.

    ## What it does
    Compares the names under which figures are saved in the folders of the runs and of the
    comparison with the patterns of the profile. A part of a name that is only known when the
    script runs may be anything; a figure that is saved in another format too is judged by the one
    that fits.

    ## Why is this bad
    Figures are collected by their names: one that does not fit the pattern is in no paper.

    ## Example
    ```python
    figure.savefig(results_dir / "comparison" / "accuracy.png")
    ```

    ## Use instead
    ```python
    figure.savefig(results_dir / "comparison" / "comparison_accuracy.pdf")
    ```

    ## References
    - Criterion 8 of the experiment protocol
    """
    found = evaluated(experiment)
    if not isinstance(found, Evaluated):
        return
    from explint.artifacts.paths import ANY, demanded, folder_of, name_of, shown

    rules = experiment.profile.figures
    run_id = next(iter(experiment.run_ids()), "run-1")
    for folder, shape, pattern, sample in (
        (rules.per_run_folder, rules.per_run, experiment.profile.figure_pattern(run_id), run_id),
        (rules.comparison_folder, rules.comparison, experiment.profile.figure_pattern(None), ""),
    ):
        if folder is None or pattern is None or shape is None:
            continue
        wrong: list[tuple[Save, str]] = []
        right: set[str] = set()
        for save in (s for figure in found.figures for s in figure.saves):
            names = [name_of(t) for t in save.paths if folder_of(t) == demanded(folder)]
            if not names or len(names) < len(save.paths):
                continue
            if any(_may_match(pattern, name, sample or run_id) for name in names):
                right.update(name.rpartition(".")[0] for name in names)
            elif names != [ANY]:
                wrong.append((save, names[0]))
        wrong = [(s, name) for s, name in wrong if name.rpartition(".")[0] not in right]
        if not wrong:
            continue
        first, name = wrong[0]
        yield Hit(
            **found.at(first.event.place),
            message=f"`{shown(name)}` is not named `{shape}`, as figures in "
            f"`{shown(demanded(folder))}` are.",
            help=f"Name it after the pattern `{shape}`.",
            related=_related(
                found,
                [(s.event.place, f"`{shown(n)}` is not either.") for s, n in wrong[1:]],
                first.event.place,
            ),
        )


def _may_match(pattern: re.Pattern[str], name: str, run_id: str) -> bool:
    """Whether a name can turn out to fit: parts that are not known are tried with what would."""
    from explint.artifacts.paths import ANY, RESULTS, RUN

    text = name.replace(RUN, run_id).replace(RESULTS, "results")
    holes = text.count(ANY)
    if holes > 3:
        return True
    fillers = ("", "a", f"{run_id}_a", "comparison_a", "a.pdf", "pdf", f"{run_id}_a.pdf",
               "comparison_a.pdf", run_id, "comparison")  # fmt: skip
    for chosen in product(fillers, repeat=holes):
        filled = text
        for filler in chosen:
            filled = filled.replace(ANY, filler, 1)
        if pattern.fullmatch(filled):
            return True
    return False


@rule("evaluate/figure-outside-evaluate", code="EVA008", severity=Severity.ERROR, criteria=(8,))
def figure_outside_evaluate(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The training command draws figures.

    ## What it does
    Reports figures that are drawn, saved or logged as pictures (`wandb.Image(figure)`) by what the
    training command runs, in any run or mode.

    ## Why is this bad
    Figures are made of what W&B holds, by evaluation, once all runs are done. A figure made while
    training shows one run only, costs GPU time, and lies about as a second truth.

    ## Example
    ```python
    plt.plot(losses)
    plt.savefig(f"{cfg.results_dir}/loss.pdf")
    ```

    ## Use instead
    ```python
    wandb.log({"train_loss": loss.item()})
    ```

    ## References
    - Criterion 8 of the experiment protocol
    """
    modules = experiment.profile.figures.forbidden_in
    drawing = ("matplotlib", "seaborn", "plotly", "savefig", ".plot(")
    evaluation = experiment.profile.evaluation.module
    if not modules or not any(
        word in (experiment.text(path) or "")
        for word in drawing
        for path in experiment.package.files
        if path.endswith(".py") and path != evaluation
    ):
        return
    from explint.artifacts.figures import figures
    from explint.artifacts.paths import Paths
    from explint.rules.executions import Undecided, executions

    told: dict[tuple[str, int], Place] = {}
    for run in executions(experiment):
        if isinstance(run, Undecided) or f"{run.entry.replace('.', '/')}.py" not in modules:
            continue
        for figure in figures(run.special, Paths(run.special.env)):
            kept = figure.saves[0].event if figure.saves else figure.logged
            first = kept or figure.made
            if first is None or (figure.open and kept is None):
                continue
            place = first.place
            told.setdefault((run.document.files[place.file], place.line), place)
    if told:
        (path, _), place = next(iter(told.items()))
        yield Hit(
            path=path,
            line=place.line,
            column=place.column,
            message="The training command draws a figure.",
            help="Log the values with `wandb.log`, and draw the figure in evaluation.",
            related=tuple(
                Related(path=other, line=line, message="A figure is drawn here too.")
                for other, line in list(told)[1:]
            ),
        )


@rule("evaluate/figure-quality", code="EVA009", severity=Severity.WARNING, criteria=(8,))
def figure_quality(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A figure lacks a legend, an annotation or a tight layout.

    ## What it does
    Follows each figure from its making to where it is saved, and reports
    - no legend, where a series is drawn with a `label=` or several lines share axes;
    - no annotation: no text, value or bar label anywhere in the figure;
    - no layout: neither `tight_layout`, a constrained layout nor `bbox_inches="tight"`.

    What seaborn and pandas add by themselves counts. Figures on which code that is not followed
    may draw are left alone.

    ## Why is this bad
    Lines without a legend cannot be told apart, values without annotation cannot be read off, and
    without a layout labels are cut off in the PDF.

    ## Example
    ```python
    axes.plot(steps, train, label="training")
    axes.plot(steps, validation, label="validation")
    figure.savefig(path)
    ```

    ## Use instead
    ```python
    axes.plot(steps, train, label="training")
    axes.plot(steps, validation, label="validation")
    axes.annotate(f"{validation[-1]:.3f}", (steps[-1], validation[-1]))
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    ```

    ## References
    - Criterion 8 of the experiment protocol
    - [Matplotlib: legends](https://matplotlib.org/stable/users/explain/axes/legend_guide.html)
    """
    found = evaluated(experiment)
    quality = experiment.profile.figures.quality
    if not quality or not isinstance(found, Evaluated) or not found.figures:
        return
    lacks: dict[str, list[tuple[Place, str]]] = {}
    # A helper that several calls share is judged by the call that does best.
    fine: set[tuple[str, Any]] = set()
    for figure in found.figures:
        if figure.open or not figure.saves or not figure.drawings:
            continue
        place = figure.saves[0].event.place
        made = figure.made.place if figure.made is not None else place
        where = (made.file, made.line, place.file, place.line)
        checks = {
            "legend": _lacks_legend(found, figure),
            "annotation": not figure.annotated,
            "tight-layout": not figure.laid_out,
        }
        for name, lacking in checks.items():
            if name in quality and lacking:
                lacks.setdefault(name, []).append((made, ""))
            else:
                fine.add((name, where))
    for name, places in lacks.items():
        unique = list(dict.fromkeys(place for place, _ in places))
        kept = [p for p in unique if not any(n == name and w[:2] == (p.file, p.line)
                                             for n, w in fine)]  # fmt: skip
        if not kept:
            continue
        yield Hit(
            **found.at(kept[0]),
            message=_MESSAGES[name],
            help=_HELP[name],
            related=_related(found, [(p, "So is this one.") for p in kept[1:]], kept[0]),
        )


_MESSAGES: Final = {
    "legend": "This figure shows several series or labels and has no legend.",
    "annotation": "This figure has no annotation.",
    "tight-layout": "This figure is saved without a tight layout.",
}
_HELP: Final = {
    "legend": "Call `legend()` on the axes after drawing.",
    "annotation": "Write the values that matter into it, with `annotate`, `text` or `bar_label`.",
    "tight-layout": "Call `tight_layout()` before saving.",
}
_LINE_KINDS: Final = frozenset(
    {"plot", "errorbar", "step", "semilogx", "semilogy", "loglog", "lineplot"}
)


def _lacks_legend(found: Evaluated, figure: Figure) -> bool:
    if None in figure.legend_on or any(d.own_legend for d in figure.drawings):
        return False
    by_axes: dict[int | None, list[Drawing]] = {}
    for drawing in figure.drawings:
        by_axes.setdefault(drawing.axes, []).append(drawing)
    for axes, drawings in by_axes.items():
        if figure.legend_on and (axes in figure.legend_on or axes is None):
            continue
        if any(d.labelled for d in drawings):
            return True
        lines = [d for d in drawings if d.name in _LINE_KINDS]
        several = any(d.loops - figure.loops for d in lines) or _together(found, lines)
        if several and not figure.annotated:
            return True
    return False


def _together(found: Evaluated, drawings: Sequence[Drawing]) -> bool:
    """Whether two calls that draw happen in one pass, not on either side of a condition."""
    return any(
        not _exclusive(found, first.event.guard, second.event.guard)
        for n, first in enumerate(drawings)
        for second in drawings[n + 1 :]
    )


def _exclusive(found: Evaluated, first: int, second: int) -> bool:
    def conditions(guard: int) -> dict[int, bool]:
        met = {}
        while guard:
            row = found.entry.guards[guard]
            met[row.condition] = row.expected
            guard = row.parent
        return met

    one, other = conditions(first), conditions(second)
    return any(condition in other and other[condition] != truth for condition, truth in one.items())


@rule("evaluate/fabricated-figure", code="EVA012", severity=Severity.ERROR, criteria=(8,))
def fabricated_figure(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A figure shows invented values, or truth copied from the prediction.

    ## What it does
    Reports
    - a confusion matrix or a score of a value against itself, also where the truth falls back to
      the prediction when it is missing;
    - values that are drawn and come from a random generator or stand in the code as numbers, with
      nothing of a run in them;
    - a figure whose only content is a text that calls it a placeholder.

    ## Why is this bad
    The figure shows a result that no model produced, and nothing in it says so.

    ## Example
    ```python
    labels = run.summary.get("labels", predictions)
    matrix = confusion_matrix(labels, predictions)
    ```

    ## Use instead
    ```python
    matrix = confusion_matrix(run.summary["labels"], run.summary["predictions"])
    ```

    ## References
    - Criterion 8 of the experiment protocol
    """
    found = evaluated(experiment)
    if not isinstance(found, Evaluated):
        return
    told: set[tuple[int, int]] = set()
    for place, message, help in (*_copied(found), *_invented(found)):
        if (place.file, place.line) not in told:
            told.add((place.file, place.line))
            yield Hit(**found.at(place), message=message, help=help)


_SCORES: Final = regex(
    r"^sklearn\.metrics\.(confusion_matrix|classification_report|accuracy_score|f1_score"
    r"|precision_score|recall_score|roc_curve|precision_recall_curve|roc_auc_score"
    r"|precision_recall_fscore_support|ConfusionMatrixDisplay\.from_predictions)$"
)
_RANDOM: Final = regex(
    r"^(numpy\.random\.|random\.(random|uniform|gauss|normalvariate|randint|sample)$|torch\.rand)"
)


def _copied(found: Evaluated) -> Iterator[tuple[Place, str, str]]:
    from explint.trace.facts import Attribute, CallValue, Literal, Select

    entry = found.entry
    for _, event in found.calls():
        if not _SCORES.match(event.name):
            continue
        named = dict(event.kwargs)
        given = list(event.args[:2])
        truth = named.get("y_true", given[0] if given else None)
        guess = named.get("y_pred", given[1] if len(given) > 1 else None)
        if truth is None or guess is None:
            continue
        row = entry.values[truth]
        falls_back = False
        if isinstance(row, Select):
            falls_back = guess in (row.yes, row.no)
        elif isinstance(row, CallValue) and len(row.args) > 1:
            callee = entry.values[row.callee]
            falls_back = (
                isinstance(callee, Attribute) and callee.name == "get" and row.args[1] == guess
            )
        if isinstance(entry.values[guess], Literal) or not _is_one_thing(found, guess):
            continue
        if truth == guess or falls_back:
            how = "the prediction where it is missing" if falls_back else "the prediction itself"
            yield (
                event.place,
                f"The truth that predictions are compared with is {how}.",
                "Compare with labels that training logged, and stop where they are missing.",
            )


def _is_one_thing(found: Evaluated, value: int) -> bool:
    """Whether a value of the trace is one object of the program.

    Lists that are filled in a loop look alike in the trace, and so does all that is not known.
    """
    from explint.trace import facts as f

    stack, seen = [value], set()
    while stack:
        at = stack.pop()
        if at in seen:
            continue
        seen.add(at)
        match found.entry.values[at]:
            case f.UnknownValue() | f.Each():
                return False
            case f.ListValue() | f.SetValue() | f.DictValue() as row:
                if row.open or not row.items:
                    return False
            case f.Attribute(of=of) | f.Item(of=of):
                stack.append(of)
            case f.Select(yes=yes, no=no):
                stack += [yes, no]
            case f.CallValue(event=None, args=args):
                stack += args
    return True


def _invented(found: Evaluated) -> Iterator[tuple[Place, str, str]]:
    from explint.artifacts.comparison import reached
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    entry = found.entry
    for figure in found.figures:
        if not figure.saves:
            continue
        for drawing in figure.drawings:
            values = _drawn(drawing)
            if not values:
                continue
            rows = [entry.values[v] for v in reached(entry, values)]
            calls = [r for r in rows if isinstance(r, f.CallValue)]
            names = {
                c.name for r in calls if isinstance(c := entry.values[r.callee], f.Library)
            } | {
                e.name for r in calls
                if r.event is not None and isinstance(e := entry.events[r.event], f.LibraryCall)
            }  # fmt: skip
            known = not any(
                isinstance(r, f.Config | f.UnknownValue | f.Parameter | f.Instance | f.Element)
                for r in rows
            )
            from_run = any(not _RANDOM.match(n) and n not in _PLAIN for n in names)
            if known and not from_run and any(_RANDOM.match(n) for n in names):
                yield (
                    drawing.event.place,
                    "The values drawn here come from a random generator.",
                    "Draw what the runs logged.",
                )
            for value in values:
                numbers = evaluate(value, found.special.env)
                if isinstance(numbers, list | tuple) and _is_made_up(numbers):
                    shown = ", ".join(str(n) for n in numbers[:4])
                    yield (
                        drawing.event.place,
                        f"The values drawn here stand in the code: {shown}.",
                        "Draw what the runs logged.",
                    )
        if not figure.drawings and not figure.open:
            yield from _placeholder(found, figure)


_PLAIN: Final = frozenset(
    {
        "range", "len", "list", "abs", "sorted", "float", "int", "numpy.arange", "numpy.linspace",
        "numpy.abs", "numpy.clip", "numpy.cumsum", "numpy.array", "numpy.asarray", "max", "min",
        "numpy.random.default_rng", "random.Random", "numpy.sort",
    }
)  # fmt: skip


def _drawn(drawing: Drawing) -> list[int]:
    """The values that a call draws as results: heights, not positions."""
    event = drawing.event
    named = dict(event.kwargs)
    key = next((k for k in ("y", "height", "data") if k in named), None)
    if key is not None:
        return [named[key]]
    if drawing.name in ("plot", "bar", "barh", "scatter", "step", "errorbar") and event.args:
        return [event.args[1] if len(event.args) > 1 else event.args[0]]
    if drawing.name in ("imshow", "heatmap", "boxplot", "violinplot", "hist") and event.args:
        return [event.args[0]]
    return []


def _is_made_up(numbers: Sequence[object]) -> bool:
    """Whether numbers look like results: at least two, with decimals, not a grid or a diagonal."""
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        return False
    decimals = {n for n in numbers if isinstance(n, float) and len(repr(n).rpartition(".")[2]) > 1}
    return len(decimals) >= 2


def _placeholder(found: Evaluated, figure: Figure) -> Iterator[tuple[Place, str, str]]:
    from explint.artifacts.files import tail
    from explint.trace.facts import Literal

    assert figure.made is not None
    first, last = figure.made.place, figure.saves[0].event.place
    for _, event in found.calls():
        if tail(event.name) not in ("text", "annotate", "figtext"):
            continue
        if event.place.file != first.file or not first.line <= event.place.line <= last.line:
            continue
        texts = [r.value for a in event.args if isinstance(r := found.entry.values[a], Literal)]
        if any(isinstance(t, str) and re.search(r"placeholder|dummy", t, re.I) for t in texts):
            yield (
                figure.saves[0].event.place,
                "This figure is a placeholder.",
                "Draw what the runs logged, or leave the figure out.",
            )


def _related(
    found: Evaluated, places: Sequence[tuple[Place, str]], first: Place
) -> tuple[Related, ...]:
    unique = dict.fromkeys(
        (found.document.files[p.file], p.line, message)
        for p, message in places
        if (p.file, p.line) != (first.file, first.line)
    )
    return tuple(Related(path=path, line=line, message=message) for path, line, message in unique)
