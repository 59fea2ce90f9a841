"""Rules about the training loop: criterion 4."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from explint.model import Related, Severity
from explint.rules.registry import Hit, Unknown, rule

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.rules.gradients import Training
    from explint.trace import facts as f

_CROSS_ENTROPY: Final = re.compile(r"^torch\.nn\.CrossEntropyLoss$")
_BINARY: Final = re.compile(r"^torch\.nn\.BCEWithLogitsLoss$")
_SOFTMAX: Final = frozenset({"torch.softmax", "torch.nn.functional.softmax"})
_SIGMOID: Final = frozenset({"torch.sigmoid", "torch.nn.functional.sigmoid"})
_SHAPE: Final = frozenset(
    {"view", "reshape", "squeeze", "unsqueeze", "flatten", "float", "double", "contiguous", "to",
     "transpose", "permute", "view_as", "type_as", "half", "bfloat16", "cpu", "cuda"}
)  # fmt: skip
_SCHEDULER: Final = re.compile(
    r"^torch\.optim\.lr_scheduler\.(?!LRScheduler$|_)\w+$"
    r"|^transformers\.(optimization\.)?get_(\w+_)?schedule\w*$"
)
_TORCH_SEED: Final = re.compile(
    r"^torch\.(random\.)?manual_seed$|(^|\.)(seed_everything|set_seed)$"
    r"|^torch\.cuda\.manual_seed(_all)?$"
)
# A generator of its own, as splits take one, is another thing.
_TORCH_SEED_TEXT: Final = re.compile(
    r"^(?!.*Generator).*\b(manual_seed|seed_everything|set_seed)\w*\(", re.MULTILINE
)
_OTHER_SEED: Final = re.compile(r"^(random|numpy\.random)\.seed$")
_SEED_KEY: Final = re.compile(r"(^|_)seed$")
_NETWORK: Final = re.compile(
    r"^timm\.create_model$|^torchvision\.models\.\w+|^transformers\.AutoModelFor\w+\.from_pretrained$"
)
_SCALER: Final = re.compile(r"^torch\.(cuda\.)?amp\.(grad_scaler\.)?GradScaler$")
_CLIP: Final = re.compile(r"^torch\.nn\.utils\.(clip_grad\.)?clip_grad_(norm|value)_?$")


@rule("model/no-zero-grad", code="MDL008", severity=Severity.WARNING, criteria=(4,))
def no_zero_grad(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A training loop steps its optimizer and never clears the gradients.

    ## What it does
    Looks for loops in which `backward()` and the `step()` of a PyTorch optimizer happen, through
    helper functions and methods, and in which nothing is asked to `zero_grad()` and no gradient is
    set to None. A loop that makes its optimizer anew in every iteration is no finding.

    ## Why is this bad
    `backward()` adds to the gradients that are there. Every step then follows the sum of all
    gradients since the beginning, which is another algorithm than the one that is reported.

    ## Example
    ```python
    for images, labels in loader:
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
    ```

    ## Use instead
    ```python
    for images, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
    ```

    ## References
    - [PyTorch: zeroing out gradients](https://pytorch.org/tutorials/recipes/recipes/zeroing_out_gradients.html)
    - Criterion 4 of the experiment protocol
    """
    from explint.rules.gradients import trainings

    told: set[tuple[str, int]] = set()
    for one in trainings(experiment):
        for event in _uncleared(one):
            at = (one.path_of(event.place), event.place.line)
            if at not in told:
                told.add(at)
                yield _hit(
                    one,
                    event,
                    "The loop steps the optimizer and never clears the gradients, which add up "
                    "from step to step.",
                    "Call `optimizer.zero_grad()` before each `backward()`.",
                )


_CLEARING: Final = re.compile(r"zero_grad|\.grad\s*=|\bgrad\s*=\s*None|autograd\.grad\(")


def _uncleared(one: Training) -> Iterator[f.LibraryCall]:
    from explint.trace import facts as f

    if not one.steps or not one.is_whole or not one.covers(_CLEARING, ("grad",)):
        return
    clearing = {n for n, e in one.calls if e.name.endswith("zero_grad")} | {
        n
        for n, e in one.trace.events_of(f.Store)
        if isinstance(key := one.trace.values[e.key], f.Literal) and key.value == "grad"
    }
    for number, event, stepped in one.steps:
        made = [one.optimizers[o] for o in stepped]
        spans = [s for s in one.around(number) if not any(s.holds(m) for m in made)]
        if not spans or spans[-1] != one.around(number)[-1]:
            continue
        outer = spans[0]
        if not any(outer.holds(n) for n, _, _ in one.backwards):
            continue
        if not any(outer.holds(n) for n in clearing):
            yield event


@rule("model/softmax-before-loss", code="MDL010", severity=Severity.WARNING, criteria=(4,))
def softmax_before_loss(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Softmax or sigmoid is applied before a loss that applies it itself.

    ## What it does
    Follows the first argument of `cross_entropy`, `CrossEntropyLoss`,
    `binary_cross_entropy_with_logits` and `BCEWithLogitsLoss` back through the model's `forward`
    and through changes of shape and type, and reports where it is the result of a softmax (of a
    sigmoid, for the binary losses) on every way. `log_softmax` before `cross_entropy` changes
    nothing and is no finding, nor are soft targets.

    ## Why is this bad
    The loss sees probabilities as if they were logits. Its gradients become small, it can no longer
    come near zero, and the model learns slowly or not at all.

    ## Example
    ```python
    def forward(self, x):
        return self.layers(x).softmax(dim=1)

    loss = nn.functional.cross_entropy(model(images), labels)
    ```

    ## Use instead
    ```python
    def forward(self, x):
        return self.layers(x)
    ```

    ## References
    - [PyTorch: CrossEntropyLoss](https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html)
    - Criterion 4 of the experiment protocol
    """
    from explint.rules.gradients import trainings

    # Several losses may be handed what one softmax gives.
    found: dict[tuple[str, int], dict[tuple[str, int], tuple[Training, f.LibraryCall, str]]] = {}
    for one in trainings(experiment):
        for number, event in one.calls:
            names = _doubled(one, number, event)
            if names is None:
                continue
            given = event.args[0] if event.args else dict(event.kwargs).get("input")
            if given is None:
                continue
            applied = [_applied(one, base, names, 0) for base in _unshaped(one, given)]
            if not applied or None in applied:
                continue
            first = next(a for a in applied if a is not None).place
            what = "softmax" if names is _SOFTMAX else "sigmoid"
            found.setdefault((one.path_of(first), first.line), {}).setdefault(
                (one.path_of(event.place), event.place.line), (one, event, what)
            )
    for (path, line), losses in found.items():
        (one, event, what), *others = losses.values()
        yield _hit(
            one,
            event,
            f"The loss applies the {what} itself, and is handed the result of a {what}.",
            "Hand the loss the logits.",
            Related(path=path, line=line, message=f"The {what} is applied here."),
            *(
                Related(path=a.path_of(e.place), line=e.place.line, message="So is this loss.")
                for a, e, _ in others
            ),
        )


def _doubled(one: Training, number: int, event: f.LibraryCall) -> frozenset[str] | None:
    """What a loss applies to its input by itself; None for another call."""
    if event.name == "torch.nn.functional.cross_entropy":
        return _SOFTMAX
    if event.name == "torch.nn.functional.binary_cross_entropy_with_logits":
        return _SIGMOID
    value = one.results.get(number)
    if value is None or len(event.args) < 2:
        return None
    if one.is_made_by(event.callee, _CROSS_ENTROPY):
        return _SOFTMAX
    return _SIGMOID if one.is_made_by(event.callee, _BINARY) else None


def _unshaped(one: Training, value: int) -> list[int]:
    """What a tensor is in all ways, without changes of its shape and type."""
    from explint.trace import facts as f

    found: list[int] = []
    stack, seen = [value], {value}
    while stack:
        at = stack.pop()
        row = one.trace.values[at]
        further: list[int] = []
        if isinstance(row, f.Select):
            further = [row.yes, row.no]
        elif isinstance(row, f.CallValue):
            callee = one.trace.values[row.callee]
            if isinstance(callee, f.Attribute) and callee.name in _SHAPE:
                further = [callee.of]
        if not further:
            found.append(at)
        for inner in further:
            if inner not in seen:
                seen.add(inner)
                stack.append(inner)
    return found


def _applied(one: Training, value: int, names: frozenset[str], depth: int) -> f.AnyEvent | None:
    """The event that applies one of the functions last, for a tensor; None where none does."""
    from explint.trace import facts as f

    row = one.trace.values[value]
    if not isinstance(row, f.CallValue) or row.event is None or depth > 8:
        return None
    event = one.trace.events[row.event]
    callee = one.trace.values[row.callee]
    short = {name.rpartition(".")[2] for name in names}
    if isinstance(callee, f.Library):
        return event if callee.name in names else None
    if isinstance(callee, f.Attribute) and not isinstance(one.trace.values[callee.of], f.Library):
        return event if callee.name in short else None
    layer = {f"torch.nn.{name.title()}" for name in short}
    made = {_last_layer(one, base, 0) for base in one.bases(row.callee)}
    return event if made and made <= layer else None


def _last_layer(one: Training, value: int, depth: int) -> str:
    """The name of the layer that a module applies last."""
    from explint.trace import facts as f

    row = one.trace.values[value]
    name = one.made_by(value)
    if name == "torch.nn.Sequential" and isinstance(row, f.CallValue) and row.args and depth < 8:
        if isinstance(one.trace.values[row.args[-1]], f.Star):
            return ""
        return _last_layer(one, row.args[-1], depth + 1)
    return name


@rule("model/scheduler", code="MDL011", severity=Severity.WARNING, criteria=(4,))
def scheduler(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A learning-rate scheduler is built and never stepped.

    ## What it does
    Looks for schedulers of `torch.optim.lr_scheduler` and of `transformers` in the training program
    on which `step()` is never called and which are handed to nothing that could do it: a trainer,
    `accelerator.prepare`, another scheduler.

    ## Why is this bad
    The learning rate stays what it is at the start, while the run config and the paper speak of a
    schedule. With a warm-up it may stay at zero, so that nothing is learned.

    ## Example
    ```python
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    for epoch in range(epochs):
        train_epoch(model, optimizer)
    ```

    ## Use instead
    ```python
    for epoch in range(epochs):
        train_epoch(model, optimizer)
        scheduler.step()
    ```

    ## References
    - [PyTorch: how to adjust the learning rate](https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate)
    - Criterion 4 of the experiment protocol
    """
    from explint.rules.gradients import trainings

    told: set[tuple[str, int]] = set()
    for one in trainings(experiment):
        built = [(n, e) for n, e in one.calls if _SCHEDULER.search(e.name)]
        if (
            not built
            or not one.is_whole
            or not one.covers(_STEPPING, (".step(", "Trainer(", ".prepare("))
        ):
            continue
        for number, event in built:
            at = (one.path_of(event.place), event.place.line)
            if at in told or not (one.steps or one.backwards) or _is_used(one, number):
                continue
            told.add(at)
            yield _hit(
                one,
                event,
                "The scheduler is built and never stepped, so that the learning rate stays the "
                "same.",
                "Call `scheduler.step()` once per epoch or step, as its length is meant.",
            )


_STEPPING: Final = re.compile(r"\w*(sched|lr)\w*\.step\(|\bTrainer\(|\.prepare\(")


def _is_used(one: Training, number: int) -> bool:
    """Whether anything but a function of the package is handed what a call gives, or asks it to do
    something that steps it."""
    from explint.rules.flow import made_of
    from explint.trace import facts as f

    value = one.results.get(number)
    if value is None:
        # Nothing refers to it, unless a loop has made an unknown value of it.
        return not one.trace.calls[one.trace.events[number].call].function.endswith(
            ".configure_optimizers"
        )
    holders = made_of(one.trace, {value}) | {value}
    for other, event in enumerate(one.trace.events):
        used: list[int] = []
        match event:
            case f.LibraryCall() if other != number:
                name = event.name.rpartition(".")[2]
                of = one.receiver(event)
                if of is not None and value in one.bases(of):
                    if name in ("get_last_lr", "state_dict", "get_lr"):
                        continue
                    return True
                used = [*event.args, *(v for _, v in event.kwargs), event.callee]
                if name in ("print", "log", "info", "debug"):
                    used = []
            case f.Store():
                used = [event.of, event.value]
            case f.Return() if _is_called_back(one, event.guard):
                used = [event.value]
        if any(u in holders for u in used):
            return True
    return False


def _is_called_back(one: Training, guard: int) -> bool:
    from explint.trace import facts as f

    while guard:
        row = one.trace.guards[guard]
        if isinstance(one.trace.values[row.condition], f.Called):
            return True
        guard = row.parent
    return False


@rule("model/seed", code="MDL012", severity=Severity.WARNING, criteria=(4,))
def seed(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The seed is set after the model is built, or not for PyTorch.

    ## What it does
    Looks at where the training program seeds its generators. It reports a program that makes all
    of its layers before it seeds PyTorch for the first time, and one that seeds `random` or NumPy
    with a seed of the config, but not PyTorch, whose layers it makes.

    ## Why is this bad
    The initial weights come from an unseeded generator. Two runs with the same seed differ, and so
    do the runs that are compared, by more than their method.

    ## Example
    ```python
    model = build_model(cfg)
    torch.manual_seed(cfg.run.training.seed)
    ```

    ## Use instead
    ```python
    torch.manual_seed(cfg.run.training.seed)
    model = build_model(cfg)
    ```

    ## References
    - [PyTorch: reproducibility](https://pytorch.org/docs/stable/notes/randomness.html)
    - Criterion 4 of the experiment protocol
    """
    from explint.rules.gradients import trainings

    told: set[tuple[str, int]] = set()
    for one in trainings(experiment):
        found = _seeded_wrongly(one)
        if found is None:
            continue
        event, message, help_, related = found
        at = (one.path_of(event.place), event.place.line)
        if at not in told:
            told.add(at)
            yield _hit(one, event, message, help_, related)


def _seeded_wrongly(
    one: Training,
) -> tuple[f.LibraryCall, str, str, Related] | None:
    if not one.layers or not one.is_whole or not one.backwards:
        # A trainer seeds by itself.
        return None
    _, first = one.layers[0]
    last_number = one.layers[-1][0]
    built = Related(
        path=one.path_of(first.place), line=first.place.line, message="A layer is made here."
    )
    seeds = [(n, e) for n, e in one.calls if _TORCH_SEED.search(e.name)]
    if not one.covers(_TORCH_SEED_TEXT, ("seed",)):
        return None
    if seeds:
        number, event = seeds[0]
        if number < last_number or not _is_configured(one, event):
            return None
        return (
            event,
            "PyTorch is seeded after the model is built, so that its initial weights are not.",
            "Set the seed before the model is built.",
            built,
        )
    others = [(n, e) for n, e in one.calls if _OTHER_SEED.search(e.name) and _is_configured(one, e)]
    if not others:
        return None
    return (
        others[0][1],
        "The configured seed is not given to PyTorch, which makes the initial weights.",
        "Call `torch.manual_seed` with the seed as well.",
        built,
    )


def _is_configured(one: Training, event: f.LibraryCall) -> bool:
    from explint.trace import facts as f

    for argument in event.args[:1]:
        for part in one.parts(argument):
            row = one.trace.values[part]
            if isinstance(row, f.Config) and row.path:
                last = one.trace.values[row.path[-1]]
                if isinstance(last, f.Literal) and _SEED_KEY.search(str(last.value)):
                    return True
    return False


@rule("model/amp-order", code="MDL013", severity=Severity.WARNING, criteria=(4,))
def amp_order(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Gradients are clipped while they are still scaled.

    ## What it does
    Looks for `clip_grad_norm_` and `clip_grad_value_` in a loop that steps through a gradient
    scaler, before the step and with no `scaler.unscale_(optimizer)` in front of it. Clipping on
    another branch than the scaler's, and a scaler that is switched off, are no findings.

    ## Why is this bad
    The scaler multiplies the loss, by 65536 at first. Clipping scaled gradients cuts all of them
    down to almost nothing once they are unscaled, and the model hardly moves.

    ## Example
    ```python
    scaler.scale(loss).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    ```

    ## Use instead
    ```python
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    ```

    ## References
    - [PyTorch: gradient clipping with a scaler](https://pytorch.org/docs/stable/notes/amp_examples.html#gradient-clipping)
    - Criterion 4 of the experiment protocol
    """
    from explint.rules.gradients import trainings

    told: set[tuple[str, int]] = set()
    for one in trainings(experiment):
        for event in _clipped_scaled(one):
            at = (one.path_of(event.place), event.place.line)
            if at not in told:
                told.add(at)
                yield _hit(
                    one,
                    event,
                    "The gradients are clipped before `unscale_`, while the scaler's factor is in "
                    "them.",
                    "Call `scaler.unscale_(optimizer)` before the gradients are clipped.",
                )


def _clipped_scaled(one: Training) -> Iterator[f.LibraryCall]:
    clips = [(n, e) for n, e in one.calls if _CLIP.search(e.name)]
    if not clips:
        return
    unscaled = [n for n, e in one.calls if e.name.endswith("unscale_")]
    for number, event, of in one.methods("step"):
        spans = one.around(number)
        if not spans or not one.is_made_by(of, _SCALER) or _is_off(one, of):
            continue
        start = spans[-1].start
        for clip, clipping in clips:
            if not start < clip < number or one.exclude(clipping.guard, event.guard):
                continue
            before = [n for n, e, _ in one.backwards if start < n < clip]
            if before and not any(start < n < clip for n in unscaled):
                yield clipping


def _is_off(one: Training, scaler: int) -> bool:
    """Whether a scaler may be made with ``enabled=False``."""
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    for base in one.bases(scaler):
        row = one.trace.values[base]
        if not isinstance(row, f.CallValue):
            return True
        enabled = dict(row.kwargs).get("enabled")
        if enabled is None:
            continue
        if evaluate(enabled, one.process.special.env) is False:
            return True
    return False


@rule("model/log-of-zero", code="MDL018", severity=Severity.WARNING, criteria=(4,))
def log_of_zero(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The logarithm of a probability that may be zero.

    ## What it does
    Reports `p * log(p)` where `p` is the result of a softmax or a sigmoid as it is, with no bound
    or addend that keeps it above zero. `log_softmax`, `clamp` and `p + eps` are no findings.

    ## Why is this bad
    In single precision a softmax is exactly zero where the logits are about 104 apart, in half
    precision where they are about 18 apart. `0 * log(0)` is NaN, and so are all gradients and all
    weights after it.

    ## Example
    ```python
    p = logits.softmax(dim=1)
    entropy = -(p * p.log()).sum(dim=1)
    ```

    ## Use instead
    ```python
    log_p = logits.log_softmax(dim=1)
    entropy = -(log_p.exp() * log_p).sum(dim=1)
    ```

    ## References
    - [PyTorch: log_softmax](https://pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html)
    - Criterion 4 of the experiment protocol
    """
    from explint.rules.gradients import trainings
    from explint.trace import facts as f

    told: set[tuple[str, int]] = set()
    for one in trainings(experiment):
        happening = dict(one.calls)
        for row in one.trace.values:
            if not isinstance(row, f.Binary) or row.op != "*":
                continue
            for left, right in ((row.left, row.right), (row.right, row.left)):
                event = _logarithm(one, left, right)
                if event is None or event not in happening:
                    continue
                call = happening[event]
                at = (one.path_of(call.place), call.place.line)
                if at not in told:
                    told.add(at)
                    yield _hit(
                        one,
                        call,
                        "This is the logarithm of a probability that nothing keeps above zero.",
                        "Use `log_softmax` on the logits, or bound the probability from below with "
                        "`clamp`.",
                    )


def _logarithm(one: Training, probability: int, value: int) -> int | None:
    """The event that takes the logarithm of a probability, when ``value`` is just that."""
    from explint.trace import facts as f

    row = one.trace.values[value]
    if isinstance(row, f.Unary):
        return _logarithm(one, probability, row.value)
    if not isinstance(row, f.CallValue) or row.event is None:
        return None
    callee = one.trace.values[row.callee]
    if isinstance(callee, f.Library) and callee.name == "torch.log" and row.args:
        of = row.args[0]
    elif isinstance(callee, f.Attribute) and callee.name == "log" and not row.args:
        of = callee.of
    else:
        return None
    if of != probability:
        return None
    is_probability = all(
        _applied(one, base, names, 0) is not None
        for base in _unshaped(one, of)
        for names in [_SOFTMAX if _applied(one, base, _SOFTMAX, 0) else _SIGMOID]
    )
    return row.event if is_probability else None


def _hit(one: Training, event: f.AnyEvent, message: str, help_: str, *related: Related) -> Hit:
    place = event.place
    return Hit(
        path=one.path_of(place),
        line=place.line,
        column=place.column,
        end_line=place.end_line,
        end_column=place.end_column,
        message=message,
        help=help_,
        related=related,
    )
