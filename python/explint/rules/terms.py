"""Rules about losses that count for nothing, and scores of other classes: criterion 4."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from explint.model import Related, Severity
from explint.rules.flow import parts
from explint.rules.registry import Hit, Unknown, rule

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.rules.gradients import Training
    from explint.rules.pipelines import Pipeline
    from explint.trace import facts as f

_LOSS: Final = re.compile(
    r"^torch\.nn\.functional\.(cross_entropy|nll_loss|mse_loss|l1_loss|smooth_l1_loss|huber_loss"
    r"|kl_div|binary_cross_entropy(_with_logits)?|cosine_embedding_loss|triplet_margin_loss"
    r"|margin_ranking_loss)$"
)
_LOSS_LAYER: Final = re.compile(r"^torch\.nn\.\w*Loss$")
# What a name says of a part of the loss, and of a number to look at.
_TERM: Final = re.compile(
    r"(?:^|_)(?:loss|reg|regularizer|regularization|penalty|kl|kd|aux|distill\w*|consist\w*|contrast\w*)(?:_|$)"
)
_FOR_SHOW: Final = re.compile(
    r"(?:^|_)(?:val|valid|test|eval|metric|monitor|track|log|before|after|raw|base|baseline|mae|mse"
    r"|rmse|ppl|acc|per|clean|ce|nll|plain|unweighted|hard|orig\w*|ref\w*|no)(?:_|$)"
)
_TIMES_ZERO: Final = re.compile(r"(?<![\w.])0(?:\.0*)?\s*\*|\*\s*0(?:\.0*)?(?![\w.])")
_LOOKED_AT: Final = frozenset(
    {"item", "detach", "cpu", "numpy", "tolist", "float", "log", "print", "info", "debug", "format",
     "set_postfix", "set_description", "add_scalar", "append", "update", "write", "round", "mean",
     "sum", "isnan", "isfinite", "size", "log_metric", "log_metrics"}
)  # fmt: skip


@rule("model/unused-loss-term", code="MDL007", severity=Severity.WARNING, criteria=(4,))
def unused_loss_term(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A part of the loss is computed and never added.

    ## What it does
    Looks at losses of PyTorch that are computed with gradients in the loop that calls `backward()`,
    under a name that says that they are a part of the loss (`kl_loss`, `penalty`, `aux_loss`), and
    reports those that are in no loss that is propagated back and are not used otherwise than to be
    shown. Reports, too, a loss that is multiplied by a zero in the code.

    A loss on another branch than `backward()`, one that a condition or a function not known gets,
    and one with weight zero in a run config (an ablation) are let pass.

    ## Why is this bad
    The model is trained without the term. The method that is reported is then another one than the
    one that was run, most often the baseline.

    ## Example
    ```python
    task_loss = nn.functional.cross_entropy(logits, labels)
    kl_loss = nn.functional.kl_div(log_student, teacher, reduction="batchmean")
    loss = task_loss
    loss.backward()
    ```

    ## Use instead
    ```python
    loss = task_loss + cfg.run.method.kl_weight * kl_loss
    loss.backward()
    ```

    ## References
    - Criterion 4 of the experiment protocol
    """
    from explint.rules.gradients import trainings

    told: set[tuple[str, int]] = set()
    for one in trainings(experiment):
        if not one.backwards or not one.is_whole:
            continue
        for event, message, help_ in (*_left_out(one), *_weighted_by_zero(one)):
            at = (one.path_of(event.place), event.place.line)
            if at not in told:
                told.add(at)
                yield _hit(one, event, message, help_)


def _is_loss(one: Training, event: f.LibraryCall) -> bool:
    from explint.trace import facts as f

    if _LOSS.match(event.name):
        return True
    is_layer = isinstance(one.trace.values[event.callee], f.CallValue)
    return is_layer and one.is_made_by(event.callee, _LOSS_LAYER)


def _left_out(one: Training) -> Iterator[tuple[f.LibraryCall, str, str]]:
    candidates = [
        (number, event)
        for number, event in one.calls
        if _is_loss(one, event) and _is_named_term(one, event) and one.is_grad_off(event) is False
    ]
    if not candidates:
        return
    losses = {p for _, _, loss in one.backwards for p in one.parts(loss)}
    for number, event in candidates:
        spans = one.around(number)
        if not spans or not any(
            spans[-1].holds(n) and n > number and not one.exclude(b.guard, event.guard)
            for n, b, _ in one.backwards
        ):
            continue
        value = one.results.get(number)
        if value in losses or not one.certain.happens(event.guard):
            continue
        if value is None or _is_only_shown(one, value, number):
            yield (
                event,
                "This part of the loss is computed, and is in no loss that is propagated back.",
                "Add it to the loss, or leave it out.",
            )


def _is_named_term(one: Training, event: f.LibraryCall) -> bool:
    """Whether the line gives the result the name of a part of the loss."""
    text = one.experiment.text(one.path_of(event.place)) or ""
    line = text.split("\n")[event.place.line - 1]
    named = re.match(r"\s*(\w+)\s*=(?!=)", line)
    if named is None:
        return False
    name = named[1].lower()
    return name != "loss" and _TERM.search(name) is not None and not _FOR_SHOW.search(name)


def _is_only_shown(one: Training, value: int, number: int) -> bool:
    """Whether nothing but showing is done with a value and what is made of it."""
    from explint.rules.flow import made_of
    from explint.trace import facts as f

    made = made_of(one.trace, {value}) | {value}
    for other, event in one.process.special.happening():
        if other <= number:
            continue
        match event:
            case f.LibraryCall():
                used = {*event.args, *(v for _, v in event.kwargs), event.callee}
                if used & made and event.name.rpartition(".")[2] not in _LOOKED_AT:
                    return False
            case f.Store():
                if event.value in made or event.of in made:
                    return False
    return not any(guard.condition in made for guard in one.trace.guards)


def _weighted_by_zero(one: Training) -> Iterator[tuple[f.LibraryCall, str, str]]:
    from explint.trace import facts as f

    happening = dict(one.calls)
    values = one.trace.values
    for _, _, loss in one.backwards:
        for part in sorted(one.parts(loss)):
            row = values[part]
            if not isinstance(row, f.Binary) or row.op != "*":
                continue
            for zero, term in ((row.left, row.right), (row.right, row.left)):
                weight, of = values[zero], values[term]
                if not isinstance(weight, f.Literal) or isinstance(weight.value, bool):
                    continue
                if weight.value != 0 or not isinstance(weight.value, int | float):
                    continue
                event = happening.get(of.event or -1) if isinstance(of, f.CallValue) else None
                if event is None or not _is_loss(one, event):
                    continue
                # A default of a key that is not set is a zero, too, and the run's to say.
                if _TIMES_ZERO.search(one.experiment.text(one.path_of(event.place)) or ""):
                    yield (
                        event,
                        "This part of the loss is weighted by zero.",
                        "Take the weight from the run config, or leave the term out.",
                    )


_NETWORK: Final = re.compile(r"^timm\.create_model$|^torchvision\.models\.[a-z]\w*$")
_TAUGHT: Final = re.compile(
    r"^torchvision\.datasets\.(CIFAR10|CIFAR100|MNIST|FashionMNIST|KMNIST|SVHN|STL10|EuroSAT"
    r"|Flowers102|OxfordIIITPet|Food101|GTSRB|DTD|USPS|Caltech101|Caltech256|StanfordCars)$"
)
# Words of programs that train, change the classifier, or know what the classes are.
_CHANGES: Final = re.compile(
    r"backward\(|Trainer\(|num_classes|reset_classifier|\.(fc|classifier|head|heads)\b|nn\.Linear"
    r"|imagenet|class_map|to_idx|label_map|prototyp|load_state_dict|features_only|create_feature",
    re.IGNORECASE,
)


@rule("model/label-space", code="MDL019", severity=Severity.WARNING, criteria=(4,))
def label_space(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A model with the classes of ImageNet is scored against the labels of another dataset.

    ## What it does
    Looks for models of timm and torchvision with pretrained weights and their own classifier of
    1,000 classes, whose output for batches of a torchvision dataset with other classes (CIFAR,
    MNIST, Flowers, …) is compared with that dataset's labels, in a program that never changes the
    classifier, maps the classes, or trains the model.

    ## Why is this bad
    Class 3 of ImageNet is a shark and class 3 of CIFAR-10 a cat. The accuracy is near zero whatever
    the method does.

    ## Example
    ```python
    model = timm.create_model("resnet18", pretrained=True)
    for images, labels in DataLoader(CIFAR10(root=".cache/", train=False)):
        correct += (model(images).argmax(1) == labels).sum()
    ```

    ## Use instead
    ```python
    model = timm.create_model("resnet18", pretrained=True, num_classes=10)
    train(model)
    ```

    ## References
    - [timm: models](https://huggingface.co/docs/timm/reference/models)
    - Criterion 4 of the experiment protocol
    """
    texts = [
        experiment.text(path) or "" for path in experiment.package.files if path.endswith(".py")
    ]
    if not any("pretrained" in text or "weights" in text for text in texts):
        return
    from explint.rules.pipelines import pipelines

    found: dict[tuple[str, int], Hit] = {}
    for pipeline in pipelines(experiment):
        if not pipeline.whole or pipeline.is_cut:
            continue
        if not any(_NETWORK.match(event.name) for _, event in pipeline.calls):
            continue
        run = {pipeline.path_of(event.place) for event in pipeline.trace.events}
        if any(_CHANGES.search(experiment.text(path) or "") for path in run):
            continue
        for hit in _scored(pipeline):
            found.setdefault((hit.path, hit.line), hit)
    yield from (found[at] for at in sorted(found))


def _scored(pipeline: Pipeline) -> Iterator[Hit]:
    """The models whose output is compared with labels of other classes."""
    from explint.rules.pipelines import given
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    models: dict[int, f.LibraryCall] = {}
    for number, event in pipeline.calls:
        if not _NETWORK.match(event.name) or not pipeline.happens(event):
            continue
        name = pipeline.text_of(given(event, "model_name", 0))
        if event.name.startswith("timm") and (name is None or re.search(r"[:/]|in2[12]k", name)):
            continue
        wants = given(event, "pretrained", 1 if event.name.startswith("timm") else None)
        weights = given(event, "weights", None)
        is_taught = wants is not None and evaluate(wants, pipeline.env) is True
        if weights is not None and not pipeline.is_unknown(weights):
            is_taught = evaluate(weights, pipeline.env) is not None
        if is_taught or (weights is not None and pipeline.name_of(pipeline.row(weights))):
            models[number] = event
    if not models:
        return
    values = pipeline.trace.values
    makes = {value: row.event for value, row in enumerate(values) if isinstance(row, f.CallValue)}
    for row in values:
        if not isinstance(row, f.Compare) or row.op != "==":
            continue
        for guess, truth in ((row.left, row.right), (row.right, row.left)):
            guessed, told = parts(pipeline.trace, guess), parts(pipeline.trace, truth)
            model = next((n for v in sorted(guessed) if (n := makes.get(v)) in models), None)
            names = [pipeline.name_of(values[v]) for v in sorted(told)]
            taught = next((n for n in names if _TAUGHT.match(n)), None)
            if model is None or taught is None or any(n in models for n in map(makes.get, told)):
                continue
            event = models[model]
            place = event.place
            short = taught.rpartition(".")[2]
            yield Hit(
                path=pipeline.path_of(place),
                line=place.line,
                column=place.column,
                end_line=place.end_line,
                end_column=place.end_column,
                message=f"The model knows ImageNet's classes, and is scored by those of {short}.",
                help="Make it with the dataset's number of classes, and train the new classifier.",
            )


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
