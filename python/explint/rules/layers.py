"""Rules about which parameters train, and in which mode the model is: criterion 4."""

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

_PARAMETERS: Final = frozenset({"parameters", "named_parameters"})
_FRESH: Final = re.compile(
    r"^torch\.nn\.(Linear|Bilinear|Conv\w+|Embedding\w*|LSTM|GRU|RNN|MultiheadAttention|Parameter"
    r"|parameter\.Parameter|ParameterList|BatchNorm\w+|LayerNorm|GroupNorm)$"
)
_NORM: Final = re.compile(r"^torch\.nn\.(\w*Norm\w*)$")
_NORM_NAME: Final = re.compile(r"bn|norm|ln", re.IGNORECASE)
_HEADED: Final = re.compile(
    r"^transformers\.AutoModelFor(Sequence|Image|Token|Audio)Classification\.from_pretrained$"
)
# Checkpoints that were trained without any labels of a task.
_BASE_CHECKPOINT: Final = re.compile(
    r"^(google-bert/|distilbert/|FacebookAI/|albert/)?((distil)?bert-(base|large)(-(un)?cased)?"
    r"|distilbert-base-(un)?cased|roberta-(base|large)|distilroberta-base|albert-base-v\d"
    r"|xlm-roberta-base)$|^microsoft/deberta(-v\d)?-\w+$"
)
_MODE_SENSITIVE: Final = re.compile(r"^torch\.nn\.(\w*Dropout\w*|(Sync)?BatchNorm\w*)$")
_SENSITIVE_MODEL: Final = re.compile(
    r"^timm\.create_model$|^torchvision\.models\.(resnet|densenet|mobilenet|efficientnet|vgg\d+_bn"
    r"|wide_resnet|resnext|shufflenet|mnasnet)\w*$"
)
_ON_PURPOSE: Final = re.compile(r"mc.?dropout|monte.?carlo", re.IGNORECASE)


@rule("model/untrained-head", code="MDL004", severity=Severity.WARNING, criteria=(4,))
def untrained_head(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A freshly initialised layer is frozen, and the model is scored with it.

    ## What it does
    Looks for models of which all parameters are frozen after they got a layer with random initial
    values: a classifier for another number of classes (`timm.create_model(…, num_classes=10)`, a
    `transformers` head on a checkpoint without one), a layer that replaces one of the model's, or
    the layers of the package's own class. Unfreezing normalisation layers alone does not help the
    layer.

    Where anything else is unfrozen, weights are loaded, or adapters are added, nothing is reported.

    ## Why is this bad
    The layer stays random, and whatever is measured behind it is near chance for every method.

    ## Example
    ```python
    model = timm.create_model("resnet18", pretrained=True, num_classes=10)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    ```

    ## Use instead
    ```python
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in model.get_classifier().parameters():
        parameter.requires_grad_(True)
    ```

    ## References
    - [timm: models](https://huggingface.co/docs/timm/reference/models)
    - Criterion 4 of the experiment protocol
    """
    from explint.rules.gradients import trainings

    told: set[tuple[str, int]] = set()
    for one in trainings(experiment):
        if not one.is_whole:
            continue
        for number, event, models in _freezes(one):
            made = _fresh(one, models, number)
            if made is None or not _stays_frozen(one, models, number):
                continue
            at = (one.path_of(made.place), made.place.line)
            if at in told:
                continue
            told.add(at)
            yield _hit(
                one,
                made,
                "This makes a layer with random weights, and all parameters of the model are "
                "frozen afterwards.",
                "Leave the new layer unfrozen and train it, or load weights for it.",
                Related(
                    path=one.path_of(event.place),
                    line=event.place.line,
                    message="The parameters are frozen here.",
                ),
            )


def _freezes(one: Training) -> Iterator[tuple[int, f.AnyEvent, set[int]]]:
    """Where all parameters of a model are frozen, with the model."""
    from explint.trace import facts as f

    for number, event, models, wants in _switches(one):
        if wants is not False or models is None:
            continue
        guard = one.trace.guards[event.guard]
        is_loop = isinstance(one.trace.values[guard.condition], f.Ran)
        if event.guard == 0 or is_loop or _whole_module(one, event):
            yield number, event, models


def _whole_module(one: Training, event: f.AnyEvent) -> bool:
    from explint.trace import facts as f

    if not isinstance(event, f.LibraryCall):
        return False
    of = one.receiver(event)
    return of is not None and not isinstance(one.trace.values[of], f.Element | f.Item | f.Attribute)


def _switches(
    one: Training,
) -> Iterator[tuple[int, f.LibraryCall | f.Store, set[int] | None, bool | None]]:
    """Where ``requires_grad`` is set: of which models' parameters, and to what; None where either
    is not known."""
    from explint.trace import facts as f

    for number, event in one.process.special.happening_of(f.LibraryCall, f.Store):
        if isinstance(event, f.LibraryCall) and event.name.endswith("requires_grad_"):
            of = one.receiver(event)
            given = event.args[0] if event.args else None
            row = None if given is None else one.trace.values[given]
            wants = True if row is None else getattr(row, "value", None)
        elif isinstance(event, f.Store):
            key = one.trace.values[event.key]
            if not (isinstance(key, f.Literal) and key.value == "requires_grad"):
                continue
            of = event.of
            wants = getattr(one.trace.values[event.value], "value", None)
        else:
            continue
        models = None if of is None else _owners(one, of)
        yield number, event, models, wants if isinstance(wants, bool) else None


def _owners(one: Training, value: int) -> set[int] | None:
    """The models that a parameter, taken in a loop over all of them, belongs to; or a model."""
    from explint.trace import facts as f

    row = one.trace.values[value]
    if isinstance(row, f.Item):
        row = one.trace.values[row.of]
    if isinstance(row, f.Element):
        call = one.trace.values[row.of]
        if isinstance(call, f.CallValue):
            callee = one.trace.values[call.callee]
            if isinstance(callee, f.Attribute | f.Bound) and _method(callee) in _PARAMETERS:
                return one.bases(callee.of)
        return None
    if isinstance(one.trace.values[value], f.Attribute | f.UnknownValue | f.Parameter):
        return None
    return one.bases(value)


def _method(row: f.Attribute | f.Bound) -> str:
    from explint.trace import facts as f

    return row.name if isinstance(row, f.Attribute) else row.function.rpartition(".")[2]


def _fresh(one: Training, models: set[int], before: int) -> f.LibraryCall | None:
    """The call that makes a layer with random values in one of the models, before an event."""
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    env = one.process.special.env
    values = one.trace.values
    replaced: list[int] = []
    for number, store in one.process.special.happening_of(f.Store):
        if number >= before:
            break
        base = values[store.of]
        owner = base.of if isinstance(base, f.Attribute) else store.of
        if one.bases(owner) & models and store.how == "attribute":
            replaced.append(store.value)
    for number, event in one.calls:
        if number >= before:
            break
        result = one.results.get(number)
        if result in models:
            given = dict(event.kwargs)
            if event.name == "timm.create_model" and "checkpoint_path" not in given:
                classes = evaluate(given["num_classes"], env) if "num_classes" in given else None
                pretrained = evaluate(given["pretrained"], env) if "pretrained" in given else None
                if pretrained is True and type(classes) is int and classes not in (0, 1000):
                    return event
            if _HEADED.search(event.name) and event.args and "num_labels" in given:
                name = evaluate(event.args[0], env)
                if isinstance(name, str) and _BASE_CHECKPOINT.match(name):
                    return event
        if not _FRESH.search(event.name):
            continue
        if result is not None and any(result in one.parts(v) for v in replaced):
            return event
        function = one.trace.calls[event.call].function
        for model in models:
            row = values[model]
            if isinstance(row, f.Instance) and function == f"{row.cls}.__init__":
                return event
    return None


def _stays_frozen(one: Training, models: set[int], since: int) -> bool:
    """Whether nothing after an event lets a new layer of the models train, or fills it."""
    for number, _, _, wants in _switches(one):
        if number > since and wants is not False and not _is_for_norms(one, number):
            return False
    for number, event in one.calls:
        short = event.name.rpartition(".")[2]
        if short in ("load_state_dict", "load_weights", "load_checkpoint", "load_model"):
            return False
        if short in ("get_peft_model", "add_adapter", "prepare_model_for_kbit_training"):
            return False
        if number > since and _FRESH.search(event.name) and _is_replacement(one, number, models):
            return False
    return _is_called(one, models, since)


def _is_replacement(one: Training, number: int, models: set[int]) -> bool:
    from explint.trace import facts as f

    result = one.results.get(number)
    return any(
        result in one.parts(event.value) and one.parts(event.of) & models
        for _, event in one.trace.events_of(f.Store)
    )


def _is_for_norms(one: Training, number: int) -> bool:
    """Whether an event happens for normalisation layers only."""
    from explint.trace import facts as f

    values = one.trace.values
    guard = one.trace.events[number].guard
    while guard:
        row = one.trace.guards[guard]
        test = values[row.condition]
        if row.expected and isinstance(test, f.CallValue) and len(test.args) == 2:
            callee = values[test.callee]
            if isinstance(callee, f.Library) and callee.name == "isinstance":
                kinds = [
                    r.name
                    for p in one.parts(test.args[1])
                    if isinstance(r := values[p], f.Library | f.Class)
                ]
                if kinds and all(_NORM.search(kind) for kind in kinds):
                    return True
        if row.expected and isinstance(test, f.Compare) and test.op == "in":
            name = values[test.left]
            if isinstance(name, f.Literal) and _NORM_NAME.search(str(name.value)):
                return True
        guard = row.parent
    return False


def _is_called(one: Training, models: set[int], since: int) -> bool:
    from explint.trace import facts as f

    classes = {row.cls for m in models if isinstance(row := one.trace.values[m], f.Instance)}
    for number, event in one.calls:
        if number <= since:
            continue
        if one.bases(event.callee) & models:
            return True
        if one.trace.calls[event.call].function in {f"{c}.forward" for c in classes}:
            return True
    return any(number > since and trained & models for number, _, trained in one.trainers)


@rule("model/stale-optimizer", code="MDL005", severity=Severity.ERROR, criteria=(4,))
def stale_optimizer(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The optimizer is built before parameters that it should train are made or replaced.

    ## What it does
    Looks for layers and parameters that a model gets after an optimizer was built from its
    `parameters()`: an attribute of the model or of one of its modules is set to a new layer or
    `nn.Parameter`, a method of the package's own model makes one, `get_peft_model` adds adapters,
    or the embeddings are resized. It reports those for which the old optimizer goes on stepping,
    with no new one and no `add_param_group` afterwards.

    While a module of the package is not there to be read, the rule does not decide.

    ## Why is this bad
    The optimizer holds the old tensors. The new ones get gradients and never change, so that the
    part of the model that the method is about is not trained.

    ## Example
    ```python
    optimizer = torch.optim.AdamW(model.parameters())
    model.head = nn.Linear(512, 10)
    ```

    ## Use instead
    ```python
    model.head = nn.Linear(512, 10)
    optimizer = torch.optim.AdamW(model.parameters())
    ```

    ## References
    - [PyTorch: constructing an optimizer](https://pytorch.org/docs/stable/optim.html#constructing-it)
    - Criterion 4 of the experiment protocol
    """
    from explint.rules.gradients import trainings

    told: set[tuple[str, int]] = set()
    for one in trainings(experiment):
        found = False
        for optimizer, made in one.optimizers.items():
            models = _trained(one, made)
            for number, event in _renewals(one, models, made):
                at = (one.path_of(event.place), event.place.line)
                if not _goes_on(one, optimizer, made, number):
                    continue
                if not one.is_whole and _is_handed_on(one, optimizer):
                    continue
                found = True
                if at in told:
                    continue
                told.add(at)
                first = one.trace.events[made].place
                yield _hit(
                    one,
                    event,
                    "The model gets new parameters after the optimizer was built, which never "
                    "trains them.",
                    "Build the optimizer after the last change of the model, or hand the new "
                    "parameters to `add_param_group`.",
                    Related(
                        path=one.path_of(first),
                        line=first.line,
                        message="The optimizer is built here.",
                    ),
                )
        if one.optimizers and not found and not one.is_whole:
            yield Unknown(
                reason="what happens to the parameters after the optimizer is built may stand in a "
                "module whose text is not there",
                decided_by="the modules that are not there",
                path=one.process.path,
            )


def _is_handed_on(one: Training, optimizer: int) -> bool:
    """Whether code that is not known may do something with an optimizer."""
    return any(
        any(optimizer in one.bases(v) for v in (*event.args, *(v for _, v in event.kwargs)))
        for _, event in one.calls
        if not re.match(r"(torch|transformers|accelerate|print)\b", event.name)
    )


def _trained(one: Training, made: int) -> set[int]:
    """The models whose parameters an optimizer is built from."""
    from explint.trace import facts as f

    event = one.trace.events[made]
    assert isinstance(event, f.LibraryCall)
    found: set[int] = set()
    is_open = False
    for value in (*event.args[:1], *(v for k, v in event.kwargs if k == "params")):
        for part in one.parts(value):
            row = one.trace.values[part]
            callee = one.trace.values[row.callee] if isinstance(row, f.CallValue) else None
            if isinstance(callee, f.Attribute | f.Bound) and _method(callee) in _PARAMETERS:
                found |= one.bases(callee.of)
            is_open = is_open or (isinstance(row, f.UnknownValue) and row.reason == "choices")
    if found or not is_open:
        return found
    # The parameters of one of several models: those that the function asks for before.
    for name in _PARAMETERS:
        for number, asked, of in one.methods(name):
            if number < made and asked.call == event.call:
                found |= one.bases(of)
    return found


def _renewals(one: Training, models: set[int], made: int) -> Iterator[tuple[int, f.AnyEvent]]:
    """Where the models get new parameters after an event."""
    from explint.trace import facts as f

    values = one.trace.values
    classes = {row.cls for m in models if isinstance(row := values[m], f.Instance)}
    for number, event in one.process.special.happening_of(f.Store, f.LibraryCall):
        if number <= made:
            continue
        if isinstance(event, f.Store) and event.how == "attribute":
            row = values[event.value]
            is_new = isinstance(row, f.CallValue) and _FRESH.search(one.made_by(event.value))
            if is_new and not _has_no_grad(one, event.value) and _belongs(one, event.of, models):
                yield number, event
        elif isinstance(event, f.LibraryCall):
            if event.name == "peft.get_peft_model" and event.args:
                if one.bases(event.args[0]) & models:
                    yield number, event
            elif event.name.endswith(".resize_token_embeddings"):
                of = one.receiver(event)
                if of is not None and one.bases(of) & models:
                    yield number, event
            elif _FRESH.search(event.name) and _is_own_renewal(one, event, classes):
                yield number, event


_MODULES: Final = frozenset(
    {"modules", "named_modules", "children", "named_children", "items", "values", "get_submodule"}
)
_GIVING_ELEMENTS: Final = frozenset(
    {"getattr", "dict", "list", "tuple", "zip", "enumerate", "reversed", "sorted"}
)


def _belongs(one: Training, value: int, models: set[int]) -> bool:
    """Whether something is a model, or a module that is taken out of it."""
    from explint.trace import facts as f

    stack, seen = [value], {value}
    while stack:
        bases = one.bases(stack.pop())
        if bases & models:
            return True
        for base in bases:
            row = one.trace.values[base]
            further: list[int] = []
            match row:
                case f.Attribute() | f.Element() | f.Item():
                    further = [row.of]
                case f.Each() | f.Star():
                    further = [row.value]
                case f.ListValue() | f.TupleValue():
                    further = list(row.items)
                case f.CallValue():
                    callee = one.trace.values[row.callee]
                    if isinstance(callee, f.Library):
                        further = list(row.args) if callee.name in _GIVING_ELEMENTS else []
                    elif isinstance(callee, f.Attribute | f.Bound) and _method(callee) in _MODULES:
                        further = [callee.of]
            for inner in further:
                if inner not in seen:
                    seen.add(inner)
                    stack.append(inner)
    return False


def _has_no_grad(one: Training, value: int) -> bool:
    from explint.trace import facts as f

    row = one.trace.values[value]
    given = dict(row.kwargs).get("requires_grad") if isinstance(row, f.CallValue) else None
    return given is not None


def _is_own_renewal(one: Training, event: f.LibraryCall, classes: set[str]) -> bool:
    """Whether a method of the package's own model sets one of its attributes to a new layer."""
    function = one.trace.calls[event.call].function
    cls, _, method = function.rpartition(".")
    if cls not in classes or method == "__init__":
        return False
    text = one.experiment.text(one.path_of(event.place)) or ""
    line = text.split("\n")[event.place.line - 1]
    return re.match(r"\s*self(\.\w+)+\s*=\s*[\w.]*nn\.[\w.]+\(", line) is not None and (
        "requires_grad" not in line
    )


def _goes_on(one: Training, optimizer: int, made: int, renewed: int) -> bool:
    """Whether an optimizer steps after the model was renewed, and no other takes over."""
    events = one.trace.events
    guard = events[renewed].guard
    if one.exclude(guard, events[made].guard):
        return False
    models = _trained(one, made)
    for other in one.optimizers.values():
        others = _trained(one, other) if other > renewed else None
        if others is not None and (not others or others & models):
            return False
    for number, event in one.calls:
        if number > renewed and event.name.endswith("add_param_group"):
            return False
    around = [s for s in one.around(renewed) if not s.holds(made)]
    for number, event, stepped in one.steps:
        if optimizer not in stepped or one.exclude(guard, event.guard):
            continue
        if number > renewed or any(s.holds(number) for s in around):
            return True
    return False


@rule("model/no-gradient", code="MDL006", severity=Severity.ERROR, criteria=(4,))
def no_gradient(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The loss that is propagated back reaches no parameter.

    ## What it does
    Follows the loss of each `backward()` back through the operations of PyTorch and reports it
    where everything that it is made of is cut off: computed inside `torch.no_grad()` or
    `torch.inference_mode()`, taken through `detach()` or `item()`, or made into a new tensor by
    `torch.tensor`. A loss in which anything not known has a part is no finding. Reports, too,
    training, by `backward()` or by a trainer, of a model of which all parameters are frozen, where
    nothing is unfrozen or added afterwards and the program makes no other layers.

    ## Why is this bad
    `backward()` raises "element 0 of tensors does not require grad", or, where the loss was made
    to require a gradient, changes nothing.

    ## Example
    ```python
    loss = nn.functional.cross_entropy(model(images), labels)
    torch.tensor(loss.item(), requires_grad=True).backward()
    ```

    ## Use instead
    ```python
    loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    ```

    ## References
    - [PyTorch: locally disabling gradient computation](https://pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation)
    - Criterion 4 of the experiment protocol
    """
    from explint.rules.gradients import trainings

    told: set[tuple[str, int]] = set()
    for one in trainings(experiment):
        # An input that is optimised, as adversarial examples are.
        if any(models is None and wants is not False for _, _, models, wants in _switches(one)):
            continue
        for _, event, loss in one.backwards:
            at = (one.path_of(event.place), event.place.line)
            if at in told:
                continue
            cuts: list[f.AnyEvent] = []
            if one.made_by(loss) == "torch.tensor":
                cuts.append(_made(one, loss))
            elif _may_have_grad(one, loss, cuts, {}) or not cuts:
                continue
            told.add(at)
            first = cuts[0].place
            yield _hit(
                one,
                event,
                "The loss is cut off from every parameter, so that nothing is trained.",
                "Compute the loss where gradients are on, from the model's output as it is.",
                Related(path=one.path_of(first), line=first.line, message="It is cut off here."),
            )
        found = _all_frozen(one)
        if found is not None:
            event, freeze = found
            at = (one.path_of(event.place), event.place.line)
            if at not in told:
                told.add(at)
                yield _hit(
                    one,
                    event,
                    "All parameters of the model are frozen, so that nothing is trained.",
                    "Leave the layers unfrozen that are to be trained.",
                    Related(
                        path=one.path_of(freeze.place),
                        line=freeze.place.line,
                        message="They are frozen here.",
                    ),
                )


_MAKES: Final = re.compile(
    r"\.from_pretrained$|\.from_config$|^timm\.create_model$|^torchvision\.models\.\w+"
    r"|^torch\.hub\.load$|^open_clip\.\w+|^sentence_transformers\.\w+"
)
_ADDS: Final = frozenset(
    {"get_peft_model", "add_adapter", "from_pretrained", "requires_grad_", "reset_classifier",
     "load_adapter", "unfreeze", "enable_input_require_grads"}
)  # fmt: skip


def _all_frozen(one: Training) -> tuple[f.AnyEvent, f.AnyEvent] | None:
    """Where a model is trained of which nothing can change, and where it was frozen."""
    from explint.trace import facts as f

    if not one.is_whole:
        return None
    for number, freeze, models in _freezes(one):
        if not one.certain.happens(freeze.guard) or len(models) != 1:
            continue
        if any(n != number and wants is not False for n, _, _, wants in _switches(one)):
            continue
        row = one.trace.values[next(iter(models))]
        own = f"{row.cls}." if isinstance(row, f.Instance) else None
        if not all(
            n < number
            and (
                one.results.get(n) in models
                or (own is not None and one.trace.calls[e.call].function.startswith(own))
                or not _is_module(e.name)
            )
            for n, e in one.calls
            if _FRESH.search(e.name) or _MAKES.search(e.name)
        ):
            continue
        if any(n > number and e.name.rpartition(".")[2] in _ADDS for n, e in one.calls):
            continue
        for at, call, trained in one.trainers:
            if at > number and trained == models:
                return call, freeze
        # What else an optimizer holds may train.
        if not all(_trained(one, made) == models for made in one.optimizers.values()):
            continue
        for at, backward, loss in one.backwards:
            if at > number and _goes_through(one, loss, models, own):
                return backward, freeze
    return None


def _is_module(name: str) -> bool:
    """Whether what a call gives may hold parameters."""
    return not re.search(
        r"(Tokenizer|Processor|Config|FeatureExtractor)\w*\.from_pretrained$", name
    )


def _goes_through(one: Training, loss: int, models: set[int], own: str | None) -> bool:
    """Whether a loss comes from a model."""
    from explint.trace import facts as f

    for part in one.parts(loss):
        row = one.trace.values[part]
        if isinstance(row, f.CallValue) and row.event is not None:
            if one.bases(row.callee) & models:
                return True
            event = one.trace.events[row.event]
            if own is not None and one.trace.calls[event.call].function.startswith(own):
                return True
    return False


def _made(one: Training, value: int) -> f.AnyEvent:
    from explint.trace import facts as f

    row = one.trace.values[value]
    assert isinstance(row, f.CallValue)
    assert row.event is not None
    return one.trace.events[row.event]


_CUTS: Final = frozenset({"detach", "item", "tolist", "numpy", "argmax"})
_PASSING: Final = re.compile(r"^torch\.(?!nn\.(?!functional\.)|autograd|utils|func)")


def _may_have_grad(
    one: Training, value: int, cuts: list[f.AnyEvent], known: dict[int, bool]
) -> bool:
    """Whether a gradient may flow through a value; what surely cuts it off is added to ``cuts``."""
    from explint.trace import facts as f

    if value in known:
        return known[value]
    known[value] = False
    row = one.trace.values[value]
    values = one.trace.values

    def any_of(*inner: int) -> bool:
        return any(_may_have_grad(one, i, cuts, known) for i in inner)

    found = True
    match row:
        case f.Literal() | f.Integer() | f.Index() | f.Config():
            found = False
        case f.Select():
            found = any_of(row.yes, row.no)
        case f.Binary():
            found = any_of(row.left, row.right)
        case f.Unary():
            found = any_of(row.value)
        case f.Attribute() | f.Item():
            found = any_of(row.of)
        case f.Element():
            found = not _is_data(one, row.of)
        case f.CallValue() if row.event is not None:
            event = one.trace.events[row.event]
            callee = values[row.callee]
            given = [*row.args, *(v for _, v in row.kwargs)]
            name = callee.name if isinstance(callee, f.Library | f.Attribute) else ""
            if any(k == "requires_grad" for k, _ in row.kwargs):
                # A tensor that is itself what is optimised.
                found = True
            elif one.is_grad_off(event) is True or name in _CUTS or name == "torch.tensor":
                cuts.append(event)
                found = False
            elif isinstance(callee, f.Library):
                found = not _PASSING.search(callee.name) or any_of(*given)
            elif isinstance(callee, f.Attribute):
                if callee.name in ("requires_grad_", "backward", "apply"):
                    found = True
                else:
                    found = any_of(callee.of, *given)
    known[value] = found
    return found


def _is_data(one: Training, value: int) -> bool:
    """Whether something that is gone through surely is a data loader."""
    from explint.trace import facts as f

    for part in one.parts(value):
        row = one.trace.values[part]
        if isinstance(row, f.CallValue) and one.made_by(part).endswith("DataLoader"):
            return True
    return False


@rule("model/eval-mode", code="MDL009", severity=Severity.WARNING, criteria=(4,))
def eval_mode(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The model trains in evaluation mode, or is evaluated in training mode.

    ## What it does
    Looks at models that hold dropout or batch normalisation. It reports a loop over epochs in which
    the model is put into evaluation mode and never back into training mode, so that from the second
    epoch on it trains as it is evaluated; and a model that is evaluated where gradients are off
    without `eval()` anywhere in the program.

    ## Why is this bad
    In evaluation mode dropout is off and batch normalisation uses frozen statistics; in training
    mode predictions are random or depend on the batch, and the statistics learn the test data.

    ## Example
    ```python
    model.train()
    for epoch in range(epochs):
        train_epoch(model)
        model.eval()
        validate(model)
    ```

    ## Use instead
    ```python
    for epoch in range(epochs):
        model.train()
        train_epoch(model)
        model.eval()
        validate(model)
    ```

    ## References
    - [PyTorch: evaluation mode](https://pytorch.org/docs/stable/notes/autograd.html#evaluation-mode-nn-module-eval)
    - Criterion 4 of the experiment protocol
    """
    from explint.rules.gradients import trainings

    told: set[tuple[str, int]] = set()
    for one in trainings(experiment):
        if not one.is_whole or not one.covers(_MODE_SWITCH, (".train(", ".eval(")):
            continue
        found = [_left_in_eval(one), _never_in_eval(one)]
        for place in (p for p in found if p is not None):
            event, message, help_ = place
            at = (one.path_of(event.place), event.place.line)
            if at not in told:
                told.add(at)
                yield _hit(one, event, message, help_)


_MODE_SWITCH: Final = re.compile(r"\.(train|eval)\((True|False|mode)?\)")


def _modes(one: Training) -> Iterator[tuple[int, f.LibraryCall, set[int], bool]]:
    """Where models are put into training mode (True) or evaluation mode."""
    from explint.trace import facts as f

    for name in ("train", "eval"):
        for number, event, of in one.methods(name):
            row = one.trace.values[event.args[0]] if event.args else None
            is_false = isinstance(row, f.Literal) and row.value is False
            yield number, event, one.bases(of), name == "train" and not is_false


def _sensitive(one: Training) -> set[int]:
    """The trained models that behave differently in the two modes."""
    from explint.trace import facts as f

    models: set[int] = set()
    for optimizer, made in one.optimizers.items():
        if any(optimizer in stepped for _, _, stepped in one.steps):
            models |= _trained(one, made)
    makers = {
        one.trace.calls[e.call].function for _, e in one.calls if _MODE_SENSITIVE.search(e.name)
    }
    found = set()
    for model in models:
        row = one.trace.values[model]
        if isinstance(row, f.Instance):
            if f"{row.cls}.__init__" in makers:
                found.add(model)
        elif _SENSITIVE_MODEL.search(one.made_by(model)) or any(
            _MODE_SENSITIVE.search(one.made_by(p)) for p in one.parts(model)
        ):
            found.add(model)
    return found


def _left_in_eval(one: Training) -> tuple[f.LibraryCall, str, str] | None:
    sensitive = _sensitive(one)
    modes = list(_modes(one))
    for number, event, models, trains in modes:
        if trains or len(models) != 1 or not models <= sensitive:
            continue
        for span in one.around(number):
            if not any(span.holds(n) for n, _, _ in one.backwards):
                continue
            # Where the model is made in the loop, it is new, and trains, in every iteration.
            if any(span.holds(made) for made in one.optimizers.values()):
                continue
            if any(span.holds(n) and back for n, _, _, back in modes):
                break
            return (
                event,
                "The loop puts the model into evaluation mode and never back into training mode.",
                "Call `model.train()` at the start of every epoch.",
            )
    return None


def _never_in_eval(one: Training) -> tuple[f.AnyEvent, str, str] | None:
    from explint.trace import facts as f

    sensitive = _sensitive(one)
    if not sensitive or any(not trains for _, _, _, trains in _modes(one)):
        return None
    if any(
        _ON_PURPOSE.search(one.experiment.text(path) or "")
        for path in one.experiment.package.files
        if path.endswith(".py")
    ):
        return None
    classes = {
        f"{row.cls}.forward"
        for model in sensitive
        if isinstance(row := one.trace.values[model], f.Instance)
    }
    for number, event in one.calls:
        spans = one.around(number)
        if not spans or any(spans[-1].holds(n) for n, _, _ in one.backwards):
            continue
        place: f.AnyEvent = event
        called = one.trace.calls[event.call]
        is_forward = called.function in classes or bool(one.bases(event.callee) & sensitive)
        over = one.trace.loops[spans[-1].loop].over
        if is_forward and one.is_grad_off(event) is True and _is_data(one, over):
            return (
                place,
                "The model is evaluated in training mode: nothing calls its `eval()`, and it holds "
                "dropout or batch normalisation.",
                "Call `model.eval()` before the evaluation and `model.train()` after it.",
            )
    return None


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
