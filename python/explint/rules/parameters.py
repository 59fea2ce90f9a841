"""Rules about parameters that are lost, or that are in two places at once: criterion 4."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from explint.model import Related, Severity
from explint.rules.registry import Hit, Unknown, rule

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.rules.gradients import Training
    from explint.trace import facts as f

_DECLARED: Final = re.compile(
    r"^\s+self\.(\w+)\s*(?::[^=\n]+)?=\s*(?:torch\.|nn\.)*(?:nn\.)?Parameter\(", re.M
)
_HELD: Final = re.compile(
    r"^torch\.nn\.(Linear|Bilinear|Conv\w+|Embedding\w*|LayerNorm|BatchNorm\w+|GroupNorm)$"
)
_OPERATION: Final = re.compile(
    r"^torch\.(?!nn\.)(zeros|ones|rand|randn|full|empty|eye|zeros_like|ones_like|rand_like"
    r"|randn_like|tensor|cat|stack|matmul|where|clamp|mul|add|softmax|sigmoid|relu|normal|mean)\w*$"
    r"|^torch\.nn\.functional\.\w+$"
)
_TENSOR_CALLS: Final = frozenset(
    {"zeros", "ones", "rand", "randn", "full", "eye", "zeros_like", "ones_like", "rand_like",
     "randn_like", "tensor", "cat", "stack", "matmul", "where", "clamp", "softmax", "sigmoid",
     "relu", "normalize", "clone", "detach"}
)  # fmt: skip


@rule("model/parameter-overwritten", code="MDL016", severity=Severity.ERROR, criteria=(4,))
def parameter_overwritten(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A plain tensor is assigned to a registered parameter.

    ## What it does
    Reports assignments of what surely is a tensor and no `nn.Parameter` (an arithmetic expression
    with the parameter, a call such as `torch.zeros`, `clamp`, `detach`) to

    - an attribute that the same class declares as `nn.Parameter`, in another of its methods,
    - the `weight` or `bias` of a layer of PyTorch.

    Assignments to `.data`, in-place changes, and attributes that are deleted first are sound.

    ## Why is this bad
    PyTorch raises `TypeError`: "cannot assign 'torch.FloatTensor' as parameter 'scale'
    (torch.nn.Parameter or None expected)".

    ## Example
    ```python
    def step(self):
        self.scale = self.scale.clamp(min=0.0)
    ```

    ## Use instead
    ```python
    @torch.no_grad()
    def step(self):
        self.scale.clamp_(min=0.0)
    ```

    ## References
    - [PyTorch: Parameter](https://pytorch.org/docs/stable/generated/torch.nn.parameter.Parameter.html)
    - Criterion 4 of the experiment protocol
    """
    texts = {
        path: text
        for path in sorted(experiment.package.files)
        if path.endswith(".py") and "torch" in (text := experiment.text(path) or "")
    }
    found: dict[tuple[str, int], Hit] = {}
    for path, text in texts.items():
        for name in dict.fromkeys(_DECLARED.findall(text)):
            # Most classes assign each of their parameters once.
            if (
                len(re.findall(rf"self\.{name}\s*=(?!=)", text)) > 1
                and f"del self.{name}" not in text
            ):
                for line, column, declared in _reassigned(text, name):
                    found.setdefault(
                        (path, line),
                        Hit(
                            path=path,
                            line=line,
                            column=column,
                            message=f"`{name}` is a parameter, and is set to a plain tensor here.",
                            help=_HELP.format(name=f"self.{name}"),
                            related=(
                                Related(path=path, line=declared, message="It is declared here."),
                            ),
                        ),
                    )
    if any(re.search(r"\.(weight|bias)\s*=(?!=)", text) for text in texts.values()):
        from explint.rules.gradients import trainings

        for one in trainings(experiment):
            for hit in _on_layers(one):
                found.setdefault((hit.path, hit.line), hit)
    yield from (found[at] for at in sorted(found))


_HELP: Final = "Change it in place under `torch.no_grad()`, or assign to `{name}.data`."


def _reassigned(text: str, name: str) -> Iterator[tuple[int, int, int]]:
    """Line and column where a class sets a parameter of its own to a tensor, and the line where it
    declares it."""
    from explint.syntax import parsed

    module = parsed(text)
    for cls in module.body if module is not None else ():
        if not isinstance(cls, ast.ClassDef) or not _is_module_class(cls):
            continue
        methods = [m for m in cls.body if isinstance(m, ast.FunctionDef)]
        declared: ast.Assign | None = None
        for method in methods:
            for node in _assignments(method, name):
                if declared is None and _is_parameter(node.value) and method.name == "__init__":
                    declared = node
                elif (
                    declared is not None
                    and method.name != "__init__"
                    and _is_tensor(node.value, name)
                ):
                    yield node.lineno, node.col_offset + 1, declared.lineno


def _is_module_class(cls: ast.ClassDef) -> bool:
    return any(ast.unparse(base).endswith("Module") for base in cls.bases)


def _assignments(method: ast.FunctionDef, name: str) -> list[ast.Assign]:
    found = []
    for node in ast.walk(method):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if ast.unparse(target) == f"self.{name}":
                found.append(node)
    return found


def _is_parameter(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func).endswith("Parameter")


def _is_tensor(value: ast.expr, name: str) -> bool:
    """Whether an expression surely gives a tensor that is no parameter."""
    if isinstance(value, ast.BinOp):
        return any(
            _is_own(side, name) or _is_tensor(side, name) for side in (value.left, value.right)
        )
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        owner = ast.unparse(value.func.value)
        if value.func.attr not in _TENSOR_CALLS:
            return False
        return owner in ("torch", "F", "nn.functional", "torch.nn.functional") or _is_own(
            value.func.value, name
        )
    return False


def _is_own(value: ast.expr, name: str) -> bool:
    return ast.unparse(value) in (f"self.{name}", f"self.{name}.data")


def _on_layers(one: Training) -> Iterator[Hit]:
    """Tensors that are set as the weight or bias of a layer."""
    from explint.trace import facts as f

    values = one.trace.values
    for _, event in one.process.special.happening():
        if not isinstance(event, f.Store) or event.how != "attribute":
            continue
        key = values[event.key]
        if not (isinstance(key, f.Literal) and key.value in ("weight", "bias")):
            continue
        if not one.is_made_by(event.of, _HELD) or not one.certain.happens(event.guard):
            continue
        row = values[event.value]
        is_tensor = isinstance(row, f.Binary) or (
            isinstance(row, f.CallValue) and _OPERATION.match(one.made_by(event.value)) is not None
        )
        if is_tensor:
            place = event.place
            yield Hit(
                path=one.path_of(place),
                line=place.line,
                column=place.column,
                message=f"The layer's `{key.value}` is a parameter, and is set to a plain tensor.",
                help=_HELP.format(name=str(key.value)),
            )


@rule("model/parameter-groups", code="MDL017", severity=Severity.ERROR, criteria=(4,))
def parameter_groups(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A parameter is in two groups of one optimizer.

    ## What it does
    Looks at optimizers that are built from a list of groups, and at `add_param_group`, and reports
    two groups with the `parameters()` of the same model, and one with those of a model beside one
    with those of its part (`model.head.parameters()`). Groups that are chosen by a condition are
    let pass.

    ## Why is this bad
    PyTorch raises `ValueError`: "some parameters appear in more than one parameter group".

    ## Example
    ```python
    torch.optim.AdamW([
        {"params": model.parameters(), "lr": 1e-5},
        {"params": model.fc.parameters(), "lr": 1e-3},
    ])
    ```

    ## Use instead
    ```python
    head = set(model.fc.parameters())
    torch.optim.AdamW([
        {"params": [p for p in model.parameters() if p not in head], "lr": 1e-5},
        {"params": model.fc.parameters(), "lr": 1e-3},
    ])
    ```

    ## References
    - [PyTorch: per-parameter options](https://pytorch.org/docs/stable/optim.html#per-parameter-options)
    - Criterion 4 of the experiment protocol
    """
    if not any(
        "params" in (experiment.text(path) or "")
        for path in experiment.package.files
        if path.endswith(".py")
    ):
        return
    from explint.rules.gradients import trainings

    told: set[tuple[str, int]] = set()
    for one in trainings(experiment):
        for event in _doubled(one):
            place = event.place
            at = (one.path_of(place), place.line)
            if at not in told:
                told.add(at)
                yield Hit(
                    path=at[0],
                    line=place.line,
                    column=place.column,
                    end_line=place.end_line,
                    end_column=place.end_column,
                    message="Two of these groups hold the same parameters.",
                    help="Leave the parameters of the one group out of the other.",
                )


def _doubled(one: Training) -> Iterator[f.LibraryCall]:
    from explint.trace import facts as f

    for made in one.optimizers.values():
        event = one.trace.events[made]
        if not isinstance(event, f.LibraryCall) or not one.certain.happens(event.guard):
            continue
        given = list(event.args[:1]) + [v for k, v in event.kwargs if k == "params"]
        row = one.trace.values[given[0]] if given else None
        if not isinstance(row, f.ListValue) or row.open:
            continue
        owners: list[int] = []
        for item in row.items:
            owner = _whole(one, item)
            if owner is not None:
                owners.append(owner)
        if any(
            _holds(one, a, b) for n, a in enumerate(owners) for m, b in enumerate(owners) if n != m
        ):
            yield event


def _whole(one: Training, group: int) -> int | None:
    """The module all of whose parameters a group holds."""
    from explint.trace import facts as f

    values = one.trace.values
    row = values[group]
    if not isinstance(row, f.DictValue) or row.open:
        return None
    for key, value in row.items:
        name = values[key]
        if isinstance(name, f.Literal) and name.value == "params":
            call = values[value]
            if not isinstance(call, f.CallValue) or call.args or call.kwargs:
                return None
            callee = values[call.callee]
            if isinstance(callee, f.Attribute) and callee.name == "parameters":
                owner = one.bases(callee.of)
                return owner.pop() if len(owner) == 1 else None
    return None


def _holds(one: Training, whole: int, part: int) -> bool:
    """Whether a module is another one, or surely a part of it."""
    from explint.trace import facts as f

    if whole == part:
        return True
    at = part
    for _ in range(8):
        row = one.trace.values[at]
        if not isinstance(row, f.Attribute):
            break
        if one.bases(row.of) == {whole}:
            return True
        at = row.of
    owner, inner = one.trace.values[whole], one.trace.values[part]
    if not isinstance(owner, f.Instance) or not isinstance(inner, f.CallValue):
        return False
    if inner.event is None or not _HELD.match(one.made_by(part)):
        return False
    # A layer that `__init__` makes and that is had from outside is one of its attributes.
    made = one.trace.events[inner.event]
    instances = {r for r in one.trace.values if isinstance(r, f.Instance) and r.cls == owner.cls}
    return one.trace.calls[made.call].function == f"{owner.cls}.__init__" and len(instances) == 1
