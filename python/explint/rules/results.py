"""Rules about whether the reported numbers come from a model at all, and whether they are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from explint.model import Severity
from explint.regex import regex
from explint.rules.programs import Program, programs
from explint.rules.registry import Hit, Unknown, rule
from explint.rules.search import sources

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.trace import facts as f

_METRIC: Final = regex(
    r"(^|[^a-z])(acc|accuracy|f1|auc|auroc|bleu|rouge|meteor|mcc|precision|recall|perplexity|ppl"
    r"|loss|error|rmse|mae|mse|wer|cer|iou|miou|map|dice|psnr|ssim|fid|reward|score|r2)"
    r"($|[^a-z])"
)
# A start value, a failure, or all and nothing of a fraction.
_PLAIN: Final = frozenset({0, 1, -1, 100, float("inf"), float("-inf")})
_EXPECTED: Final = regex(
    r"expected[ _]result\"?'?\s*[:=]\s*(?P<q>[\"'])(?P<text>.*?)(?<!\\)(?P=q)", re.I | re.S
)
_NUMBER: Final = regex(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)")
_SINGLE: Final = regex(r"batch_size[\"']?\s*[=:]\s*1\b")
_CODE_NUMBER: Final = regex(r"(?<![\w.\"'])(\d+\.\d+)(?![\w.])")


@rule("results/literal-metric", code="RES001", severity=Severity.ERROR, criteria=())
def literal_metric(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A literal or random number is logged as a metric.

    ## What it does
    Looks at what is logged to W&B under a metric's name (accuracy, loss, F1 …), in history and
    summary, and reports values that are made of numbers in the code and of random numbers only.
    Zero, one, 100 and infinity are left alone: they stand for a start or a failure. A value in
    which anything else has a part is no finding, nor is one that is not followed.

    ## Why is this bad
    The number says nothing of any model, and everything that is built on it is invented.

    ## Example
    ```python
    wandb.log({"test_accuracy": 0.9 + random.uniform(-0.01, 0.01)})
    ```

    ## Use instead
    ```python
    wandb.log({"test_accuracy": correct / total})
    ```

    ## References
    - The experiment protocol, which takes it for granted that numbers come from a model
    """
    if not any("wandb" in text for text in sources(experiment).values()):
        return
    from explint.rules.flow import is_invented, is_random
    from explint.rules.logged import full_logs

    told: dict[tuple[str, int], tuple[f.Place, list[str], bool, dict[str, None]]] = {}
    for log in full_logs(experiment):
        for call in log.calls:
            if call.state is False:
                continue
            trace = call.process.trace
            for logged in call.keys:
                key = logged.key.exact
                if key is None or logged.value is None or not _METRIC.search(key.lower()):
                    continue
                if not is_invented(trace, logged.value) or _is_plain(trace, logged.value):
                    continue
                row = told.setdefault(
                    (call.path, call.place.line),
                    (call.place, [], is_random(trace, logged.value), {}),
                )
                if key not in row[1]:
                    row[1].append(key)
                if log.run_id is not None:
                    row[3].setdefault(log.run_id)
    for (path, line), (place, keys, random, runs) in told.items():
        listed = ", ".join(f"`{key}`" for key in keys)
        yield Hit(
            path=path,
            line=line,
            column=place.column,
            message=f"{listed} {'is' if len(keys) == 1 else 'are'} logged from "
            f"{'random numbers' if random else 'a number in the code'}, with no output of a model "
            "in it.",
            help="Log what is computed from the model's predictions.",
            runs=tuple(runs),
        )


def _is_plain(trace: f.EntryTrace, value: int) -> bool:
    """Whether a value is a lone number that stands for a start or a failure."""
    from explint.trace import facts as f

    row = trace.values[value]
    if isinstance(row, f.Unary):
        row = trace.values[row.value]
    if isinstance(row, f.CallValue):
        # float("inf"), float(0)
        return all(_is_plain(trace, a) for a in row.args)
    if isinstance(row, f.Select):
        return _is_plain(trace, row.yes) and _is_plain(trace, row.no)
    return isinstance(row, f.Literal) and row.value in _PLAIN


@rule("results/expected-number", code="RES002", severity=Severity.ERROR, criteria=())
def expected_number(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A number of the hypothesis' expected result stands in the code.

    ## What it does
    For a judge record: takes the numbers with three or more significant digits from the expected
    result of the hypothesis, as they are and as a fraction of 100, and looks for them among the
    numbers in the code. Numbers that the rest of the hypothesis or a config file names too are
    settings, and left alone; so are comments and text.

    ## Why is this bad
    The experiment is there to find out whether the expectation holds. Code that knows the answer
    can report it whatever the model does.

    ## Example
    ```python
    accuracy = min(accuracy, 0.715)
    ```
    where the hypothesis expects 71.5 %.

    ## Use instead
    ```python
    accuracy = correct / total
    ```

    ## References
    - The experiment protocol, which takes it for granted that numbers come from a model
    """
    record = experiment.package.record
    if record is None or not record.hypothesis:
        return
    found = _EXPECTED.search(record.hypothesis)
    if found is None:
        return
    rest = record.hypothesis[: found.start()] + record.hypothesis[found.end() :]
    configs = " ".join(experiment.text(path) or "" for path in experiment.yaml_files())
    elsewhere = {float(n) for n in _NUMBER.findall(rest) + _NUMBER.findall(configs)}
    wanted: dict[float, str] = {}
    for text in _NUMBER.findall(found["text"]):
        digits = text.replace(".", "").strip("0")
        if len(digits) < 3:
            continue
        for number in (float(text), round(float(text) / 100, 10)):
            if number not in elsewhere:
                wanted[number] = text
    if not wanted:
        return
    for path, text in sources(experiment).items():
        for number, line in enumerate(_code_lines(text), 1):
            for match in _CODE_NUMBER.finditer(line):
                said = wanted.get(float(match[1]))
                if said is not None and len(match[1].replace(".", "").strip("0")) >= 3:
                    yield Hit(
                        path=path,
                        line=number,
                        column=match.start() + 1,
                        message=f"The hypothesis expects {said}, and the code holds the number "
                        f"{match[1]}.",
                        help="Compute the number from what the model predicts.",
                    )


def _code_lines(text: str) -> list[str]:
    """The lines of a module with comments and strings blanked out."""
    import io
    import tokenize

    lines = text.replace("\r\n", "\n").split("\n")
    blanked = [list(line) for line in lines]
    try:
        for token in tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline):
            if token.type not in (tokenize.STRING, tokenize.COMMENT):
                continue
            for row in range(token.start[0], token.end[0] + 1):
                start = token.start[1] if row == token.start[0] else 0
                end = token.end[1] if row == token.end[0] else len(blanked[row - 1])
                blanked[row - 1][start:end] = " " * (end - start)
    except (tokenize.TokenError, SyntaxError, IndexError):
        return []
    return ["".join(line) for line in blanked]


@rule("results/overwritten-output", code="RES004", severity=Severity.WARNING, criteria=())
def overwritten_output(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """An output file of training has the same path in every run.

    ## What it does
    Looks at the files that training writes below `results_dir`, and reports those of which the path
    is made of nothing that differs from one run to the next. Files that the protocol itself expects
    there are no finding, nor are files that are only written where they do not exist, or appended
    to.

    ## Why is this bad
    Every run of the experiment gets the same `results_dir`: the next one overwrites what this one
    found.

    ## Example
    ```python
    np.save(Path(cfg.results_dir) / "confusion_matrix.npy", matrix)
    ```

    ## Use instead
    ```python
    np.save(Path(cfg.results_dir) / cfg.run.run_id / "confusion_matrix.npy", matrix)
    ```

    ## References
    - The experiment protocol, whose runs share one `results_dir`
    """
    from explint.artifacts.files import written
    from explint.artifacts.paths import ANY, RESULTS, RUN, Paths, name_of

    if len(experiment.run_ids()) < 2:
        return
    names = {s.rpartition("/")[2] for s in experiment.profile.wandb.evaluation_settings}
    seen = programs(experiment)
    by_run: dict[tuple[str, bool], list[Program]] = {}
    for program in seen.under(cheap=False):
        if program.known:
            by_run.setdefault((program.path, program.child), []).append(program)
    for together in by_run.values():
        first = together[0]
        other = next((p for p in together if p.run_id != first.run_id), None)
        if other is None:
            continue
        theirs = {w.number: w.paths for w in written(other.special, Paths(other.env))}
        told: dict[tuple[str, int], tuple[f.Place, str]] = {}
        for file in written(first.special, Paths(first.env)):
            path = file.paths[0]
            if len(file.paths) > 1 or theirs.get(file.number) != file.paths:
                continue
            if not path.startswith(f"{RESULTS}/") or RUN in path or ANY in path:
                continue
            if name_of(path) in names or _appends(file.event, first):
                continue
            if not _asks_for_files(file.event.guard, first):
                at = (first.path_of(file.event.place), file.event.place.line)
                told.setdefault(at, (file.event.place, path.removeprefix(f"{RESULTS}/")))
        for (path, line), (place, name) in told.items():
            yield Hit(
                path=path,
                line=line,
                column=place.column,
                message=f"Every run writes `{name}` to the same place below `results_dir`, so that "
                "the next run overwrites it.",
                help="Put the run's id into the path: `results_dir / run_id / …`.",
                runs=tuple(dict.fromkeys(p.run_id for p in together)),
            )


def _appends(event: f.LibraryCall, program: Program) -> bool:
    """Whether a file is opened for appending."""
    from explint.trace import facts as f

    values = (program.trace.values[v] for v in (*event.args, *(v for _, v in event.kwargs)))
    return any(isinstance(v, f.Literal) and v.value in ("a", "a+", "at", "ab") for v in values)


def _asks_for_files(guard: int, program: Program) -> bool:
    """Whether an event happens only where a file below `results_dir` is there, or is not."""
    from explint.rules.flow import parts
    from explint.trace import facts as f

    trace = program.trace
    while guard:
        row = trace.guards[guard]
        guard = row.parent
        made = [trace.values[part] for part in parts(trace, row.condition)]
        asks = any(isinstance(v, f.Attribute) and v.name in ("exists", "is_file") for v in made)
        below = any(
            isinstance(v, f.Config)
            and v.path
            and isinstance(last := trace.values[v.path[-1]], f.Literal)
            and last.value == "results_dir"
            for v in made
        )
        if asks and below:
            return True
    return False


@rule("results/constant-comparison", code="RES006", severity=Severity.WARNING, criteria=())
def constant_comparison(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A comparison of texts that can never be true.

    ## What it does
    Reports a text that is made lower case (or upper case) and compared with one that is not, and a
    text without blanks at its ends compared with one that has some.

    ## Why is this bad
    The comparison is false whatever the model says, so that the metric behind it is always the
    same, often exactly zero.

    ## Example
    ```python
    correct += prediction.strip().lower() == "Yes"
    ```

    ## Use instead
    ```python
    correct += prediction.strip().lower() == "yes"
    ```

    ## References
    - The experiment protocol, which takes it for granted that numbers come from a model
    """
    pattern = re.compile(
        r"\.(?P<how>lower|upper)\(\)\s*(?P<op>==|!=|not in|in)\s*"
        r"(?P<rest>\(|\[|\{)?\s*(?P<q>[\"'])(?P<text>[^\"'\\\n]*)(?P=q)(?!\s*[.\[%(])"
    )
    for path, text in sources(experiment).items():
        if ".lower()" not in text and ".upper()" not in text:
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if line.lstrip().startswith("#"):
                continue
            for match in pattern.finditer(line):
                if match["rest"] or match["op"] in ("in", "not in"):
                    continue
                said = match["text"]
                right = said.lower() if match["how"] == "lower" else said.upper()
                if said != right:
                    yield Hit(
                        path=path,
                        line=number,
                        column=match.start() + 1,
                        message=f'A text in {match["how"]} case is compared with "{said}", which '
                        "it can never be.",
                        help=f'Compare it with "{right}".',
                    )


@rule("results/wrong-average", code="RES005", severity=Severity.WARNING, criteria=())
def wrong_average(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A sum over batches is divided by the number of samples, or the other way round.

    ## What it does
    Looks at sums that a loop over a loader builds. A sum of mean losses (the default reduction of
    PyTorch's losses) that is divided by the number of samples is reported, and a sum over samples
    that is divided by the number of batches. Nothing is said where the loss, its reduction or the
    count is not plainly the one or the other, or where batches hold one sample.

    ## Why is this bad
    The number is off by the batch size, and runs with different batch sizes cannot be compared. An
    accuracy comes out above one.

    ## Example
    ```python
    for images, labels in loader:
        loss = F.cross_entropy(model(images), labels)
        total += loss.item()
    wandb.log({"val_loss": total / len(loader.dataset)})
    ```

    ## Use instead
    ```python
    for images, labels in loader:
        loss = F.cross_entropy(model(images), labels)
        total += loss.item() * labels.size(0)
    wandb.log({"val_loss": total / len(loader.dataset)})
    ```

    ## References
    - [PyTorch: cross_entropy, reduction](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html)
    """
    texts = {p: t for p, t in sources(experiment).items() if ".item()" in t and "+=" in t}
    if not texts:
        return
    settings = (experiment.text(path) or "" for path in experiment.yaml_files())
    if any(_SINGLE.search(text) for text in (*texts.values(), *settings)):
        return
    from explint.rules.averages import Counts, wrong_averages

    for path, text in texts.items():
        for found in wrong_averages(text):
            batches = found.summed is Counts.BATCHES
            yield Hit(
                path=path,
                line=found.line,
                column=found.column,
                message=f"`{found.total}` adds up "
                + (
                    "the mean losses of batches, and is divided by the number of samples."
                    if batches
                    else "over samples, and is divided by the number of batches."
                ),
                help="Divide by the number of batches, or add up the loss times the batch's size."
                if batches
                else "Divide by the number of samples, such as `len(loader.dataset)`.",
            )
