"""Rules about tensors that do not go together: by device or by size. Criterion 4."""

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

_DEEP: Final = 24
_CREATED: Final = frozenset(
    f"torch.{name}"
    for name in (
        "zeros", "ones", "full", "empty", "rand", "randn", "randint", "randperm", "arange",
        "linspace", "eye",
    )
)  # fmt: skip
# Methods that give a tensor on the device of what they are called on.
_KEEPING: Final = frozenset(
    {"float", "double", "half", "bfloat16", "long", "int", "bool", "view", "reshape", "flatten",
     "unsqueeze", "squeeze", "expand", "repeat", "contiguous", "clone", "detach", "transpose",
     "permute", "t", "sum", "mean", "exp", "log", "softmax", "log_softmax", "sigmoid", "relu",
     "clamp", "abs", "pow", "sqrt", "argmax", "argmin", "max", "min", "requires_grad_", "triu",
     "tril"}
)  # fmt: skip
_JOINING: Final = re.compile(
    r"^torch\.(cat|concat|stack|matmul|mm|bmm|add|sub|mul|div|where|maximum|minimum|dot|einsum|eq"
    r"|kl_div|cdist)$|^torch\.nn\.functional\.(cross_entropy|nll_loss|mse_loss|l1_loss|kl_div"
    r"|smooth_l1_loss|huber_loss|binary_cross_entropy(_with_logits)?|cosine_similarity|linear"
    r"|cosine_embedding_loss|margin_ranking_loss|triplet_margin_loss)$"
)
_TORCH: Final = re.compile(r"^torch\.(nn\.functional\.)?[a-z_0-9]+$")
_LOSS: Final = re.compile(r"^torch\.nn\.\w*Loss$")
_LAYER: Final = re.compile(r"^torch\.nn\.[A-Z]\w*$")
_DEFAULT: Final = re.compile(
    r"set_default_(device|tensor_type)|with\s+(torch\.device|device|torch\.cuda\.device)\b"
)
_QUANTISED: Final = frozenset({"half", "float", "cuda", "to"})


@rule("model/device-mismatch", code="MDL014", severity=Severity.ERROR, criteria=(4,))
def device_mismatch(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A tensor that stays on the CPU meets one on the GPU, or a quantised model is cast.

    ## What it does
    Reports

    - tensors with at least one dimension that are made without `device=` (`torch.zeros(n)`,
      `torch.arange(n)`) and meet, in an operator, a function or a loss, a tensor that was moved to
      the GPU,
    - models that bitsandbytes quantises when they are loaded and that are cast afterwards:
      `.half()`, `.float()`, `.to(torch.float16)`, and `.cuda()` for eight bits.

    A device that is `"cuda"` only where there is one counts as the GPU. Tensors used as an index,
    numbers without a dimension and programs that set a default device are let pass.

    ## Why is this bad
    PyTorch raises "Expected all tensors to be on the same device", and transformers refuses to cast
    a quantised model. On a machine without a GPU nothing of it shows.

    ## Example
    ```python
    logits = model(images.to(device))
    weights = torch.ones(len(logits))
    loss = (weights * losses(logits, labels.to(device))).mean()
    ```

    ## Use instead
    ```python
    weights = torch.ones(len(logits), device=logits.device)
    ```

    ## References
    - [PyTorch: CUDA semantics](https://pytorch.org/docs/stable/notes/cuda.html)
    - [Transformers: bitsandbytes](https://huggingface.co/docs/transformers/quantization/bitsandbytes)
    - Criterion 4 of the experiment protocol
    """
    texts = [
        experiment.text(path) or "" for path in experiment.package.files if path.endswith(".py")
    ]
    moves = any("cuda" in text for text in texts)
    quantises = any("load_in_" in text for text in texts)
    if not (moves or quantises) or any(_DEFAULT.search(text) for text in texts):
        return
    from explint.rules.gradients import trainings

    told: set[tuple[str, int]] = set()
    for one in trainings(experiment):
        for hit in (*(_Devices(one).meetings() if moves else ()), *_cast(one)):
            at = (hit.path, hit.line)
            if at not in told:
                told.add(at)
                yield hit


class _Devices:
    """On which device the tensors of a training are."""

    def __init__(self, one: Training) -> None:
        self.one = one
        self._known: dict[int, str | int | None] = {}

    def meetings(self) -> Iterator[Hit]:
        """The tensors of the CPU that meet one of the GPU."""
        from explint.trace import facts as f

        one = self.one
        if not any(self.place(value) == "gpu" for value in range(len(one.trace.values))):
            return
        for value in sorted(_reached(one)):
            row = one.trace.values[value]
            pair: list[int] = []
            if isinstance(row, f.Binary | f.Compare):
                pair = [row.left, row.right]
                if isinstance(row, f.Compare) and row.op in ("is", "in"):
                    continue
            elif isinstance(row, f.CallValue) and self._joins(row):
                pair = list(row.args)
                first = one.trace.values[pair[0]] if pair else None
                if isinstance(first, f.ListValue | f.TupleValue) and not first.open:
                    pair = list(first.items)
            places = [self.place(v) for v in pair]
            created = next((p for p in places if isinstance(p, int)), None)
            if created is None or "gpu" not in places:
                continue
            event = one.trace.events[created]
            if not one.certain.happens(event.guard):
                continue
            yield _hit(
                one,
                event,
                "This tensor is made on the CPU and meets one that was moved to the GPU.",
                "Make it where the other one is, with `device=other.device`.",
            )

    def _joins(self, row: f.CallValue) -> bool:
        from explint.trace import facts as f

        callee = self.one.trace.values[row.callee]
        if isinstance(callee, f.Library):
            return _JOINING.search(callee.name) is not None
        return isinstance(callee, f.CallValue) and self.one.is_made_by(row.callee, _LOSS)

    def place(self, value: int) -> str | int | None:
        """``gpu``, the number of the event that made a tensor on the CPU, or None."""
        if value not in self._known:
            self._known[value] = None
            self._known[value] = self._place(value)
        return self._known[value]

    def _place(self, value: int) -> str | int | None:
        from explint.trace import facts as f

        values = self.one.trace.values
        row = values[value]
        match row:
            case f.Select():
                ways = {self.place(row.yes), self.place(row.no)}
                return ways.pop() if len(ways) == 1 else None
            case f.Binary():
                return self._joined([row.left, row.right])
            case f.Unary():
                return self.place(row.value)
            case f.Item() if not isinstance(values[row.key], f.Literal):
                return self.place(row.of)
            case f.Attribute() if row.name in ("T", "mT", "data"):
                return self.place(row.of)
            case f.CallValue():
                return self._called(row)
        return None

    def _called(self, row: f.CallValue) -> str | int | None:
        from explint.trace import facts as f

        callee = self.one.trace.values[row.callee]
        if isinstance(callee, f.Library):
            if callee.name in _CREATED:
                return self._created(row)
            if any(name == "device" for name, _ in row.kwargs):
                return None
            return self._joined(list(row.args)) if _TORCH.match(callee.name) else None
        if isinstance(callee, f.Attribute):
            if callee.name == "cuda":
                return "gpu" if not _is_module(self.one, callee.of) else None
            if callee.name == "to" and row.args:
                if _is_module(self.one, callee.of):
                    return None
                return "gpu" if self._is_gpu(row.args[0]) else None
            return self.place(callee.of) if callee.name in _KEEPING else None
        if isinstance(callee, f.CallValue) and self.one.is_made_by(row.callee, _LAYER):
            # A layer gives what it is handed, where it is.
            return self.place(row.args[0]) if row.args else None
        return None

    def _joined(self, given: list[int]) -> str | int | None:
        places = [self.place(v) for v in given]
        if "gpu" in places:
            return "gpu"
        known = [p for p in places if p is not None]
        return known[0] if known and len(known) == len(given) else None

    def _created(self, row: f.CallValue) -> int | None:
        from explint.trace import facts as f

        values = self.one.trace.values
        if any(name in ("device", "out", "**") for name, _ in row.kwargs) or not row.args:
            return None
        first = values[row.args[0]]
        is_empty = isinstance(first, f.TupleValue | f.ListValue) and not first.items
        return None if is_empty or isinstance(first, f.Star) else row.event

    def _is_gpu(self, device: int) -> bool:
        """Whether a device is the GPU where there is one."""
        from explint.trace import facts as f
        from explint.trace.specialise import condition, evaluate

        one = self.one
        env = one.process.special.env
        stack, texts = [device], []
        for _ in range(_DEEP):
            if not stack:
                break
            row = one.trace.values[stack.pop()]
            if isinstance(row, f.Select):
                truth = condition(row.test, env)
                stack += [row.yes, row.no] if truth is None else [row.yes if truth else row.no]
            elif isinstance(row, f.CallValue) and row.args:
                callee = one.trace.values[row.callee]
                if isinstance(callee, f.Library) and callee.name == "torch.device":
                    stack.append(row.args[0])
                else:
                    return False
            elif isinstance(row, f.Literal) and isinstance(row.value, str):
                texts.append(row.value)
            elif isinstance(row, f.Config):
                found = evaluate(device, env)
                return isinstance(found, str) and found.startswith("cuda")
            else:
                return False
        return any(text.startswith("cuda") for text in texts)


def _is_module(one: Training, value: int) -> bool:
    """Whether a value may be a model and not a tensor."""
    from explint.trace import facts as f

    row = one.trace.values[value]
    if isinstance(row, f.Instance):
        return True
    if isinstance(row, f.CallValue):
        callee = one.trace.values[row.callee]
        if isinstance(callee, f.Library):
            return _TORCH.match(callee.name) is None
        return isinstance(callee, f.Attribute) and _is_module(one, callee.of)
    return isinstance(row, f.Select)


def _given(event: f.LibraryCall) -> list[int]:
    return [*event.args, *(v for _, v in event.kwargs), event.callee]


def _reached(one: Training) -> set[int]:
    """Everything that calls are handed, with what it is made of."""
    direct = one.trace.parts
    seen = {v for _, event in one.calls for v in _given(event)}
    stack = list(seen)
    while stack:
        for part in direct[stack.pop()]:
            if part not in seen:
                seen.add(part)
                stack.append(part)
    return seen


def _cast(one: Training) -> Iterator[Hit]:
    """Quantised models that are cast."""
    from explint.trace import facts as f

    for _, event in one.calls:
        short = event.name.rpartition(".")[2]
        if short not in _QUANTISED or not isinstance(one.trace.values[event.callee], f.Attribute):
            continue
        of = one.receiver(event)
        if of is None or not event.name.startswith("transformers."):
            continue
        bits = _bits(one, of)
        if bits is None or not one.certain.happens(event.guard):
            continue
        names = {
            r.name
            for v in (*event.args, *(v for _, v in event.kwargs))
            if isinstance(r := one.trace.values[v], f.Library)
        }
        casts = any(re.fullmatch(r"torch\.(b?float\d*|half|double)", name) for name in names)
        if (short == "to" and not casts) or (short == "cuda" and bits != 8):
            continue
        yield _hit(
            one,
            event,
            f"The model is quantised to {bits} bits, and `.{short}(…)` of such a model raises "
            "ValueError.",
            "Leave it as it is, and say the type of its computations where it is loaded.",
        )


def _bits(one: Training, value: int) -> int | None:
    """The bits that bitsandbytes quantises a model to when it is loaded; None for another one."""
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    env = one.process.special.env
    found: set[int | None] = set()
    for base in one.bases(value):
        row = one.trace.values[base]
        bits: int | None = None
        if isinstance(row, f.CallValue) and one.made_by(base).endswith(".from_pretrained"):
            given = dict(row.kwargs)
            config = given.get("quantization_config")
            made = one.trace.values[config] if config is not None else None
            if isinstance(made, f.CallValue) and one.made_by(config or 0).endswith(
                "BitsAndBytesConfig"
            ):
                given = dict(made.kwargs)
            for name, number in (("load_in_4bit", 4), ("load_in_8bit", 8)):
                if name in given and evaluate(given[name], env) is True:
                    bits = number
        found.add(bits)
    return found.pop() if len(found) == 1 else None


_PASSING: Final = re.compile(
    r"^torch\.nn\.(\w*ReLU\d?|GELU|SiLU|Tanh|Sigmoid|\w*Dropout\d?d?|Identity|Softplus|ELU|Mish"
    r"|Hardswish|Softmax|LogSoftmax)$"
)
_SAME_SHAPE: Final = re.compile(
    r"^torch\.(nn\.functional\.)?(relu|gelu|silu|tanh|sigmoid|dropout|softmax|log_softmax"
    r"|leaky_relu|elu|normalize|softplus|mish)$"
)
_CONVOLUTION: Final = re.compile(r"^torch\.nn\.(Conv[123]d)$")
_POOLING: Final = re.compile(r"^torch\.nn\.(Max|Avg|AdaptiveAvg|AdaptiveMax)Pool[123]d$")
_DIVIDED: Final = {
    "torch.nn.MultiheadAttention": (("embed_dim", 0), ("num_heads", 1), "heads"),
    "torch.nn.TransformerEncoderLayer": (("d_model", 0), ("nhead", 1), "heads"),
    "torch.nn.TransformerDecoderLayer": (("d_model", 0), ("nhead", 1), "heads"),
    "torch.nn.GroupNorm": (("num_channels", 1), ("num_groups", 0), "groups"),
}


@rule("model/shape-mismatch", code="MDL015", severity=Severity.ERROR, criteria=(4,))
def shape_mismatch(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Two layers do not fit each other, whatever the input is.

    ## What it does
    Follows the number of features from one `nn.Linear`, and of channels from one convolution, to
    the next layer, through activations, dropout and `nn.Sequential`, in every run. Reports a next
    layer that was made for another number, and a number of heads or groups that does not divide
    the features that it is to share out.

    Nothing is said behind a `view`, a pooling of features, a concatenation or anything else that
    may change the number.

    ## Why is this bad
    PyTorch raises "mat1 and mat2 shapes cannot be multiplied" at the first batch, or
    "embed_dim must be divisible by num_heads" when the model is built.

    ## Example
    ```python
    nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(128, 10))
    ```

    ## Use instead
    ```python
    nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    ```

    ## References
    - [PyTorch: Linear](https://pytorch.org/docs/stable/generated/torch.nn.Linear.html)
    - Criterion 4 of the experiment protocol
    """
    from explint.rules.gradients import trainings

    found: dict[tuple[str, int], tuple[Hit, list[str]]] = {}
    for one in trainings(experiment):
        run = one.process.run_id
        for hit in (*_Sizes(one).misfits(), *_undivided(one)):
            _, runs = found.setdefault((hit.path, hit.line), (hit, []))
            if run is not None and run not in runs:
                runs.append(run)
    from msgspec.structs import replace

    every = len(experiment.run_ids())
    for at in sorted(found):
        hit, runs = found[at]
        yield hit if len(runs) in (0, every) else replace(hit, runs=tuple(runs))


class _Sizes:
    """The features and channels that layers give."""

    def __init__(self, one: Training) -> None:
        self.one = one

    def misfits(self) -> Iterator[Hit]:
        """The layers that are handed what they were not made for."""
        from explint.trace import facts as f

        one = self.one
        for _, event in one.calls:
            if isinstance(one.trace.values[event.callee], f.CallValue) and event.args:
                size = self.size(event.args[0], 0)
                yield from self._through(event.callee, size, event)
            elif event.name == "torch.nn.Sequential":
                yield from self._sequence(event)

    def _sequence(self, event: f.LibraryCall) -> Iterator[Hit]:
        from explint.trace import facts as f

        rows = [self.one.trace.values[a] for a in event.args]
        if any(isinstance(row, f.Star) for row in rows):
            return
        size: tuple[str, int, f.AnyEvent] | None = None
        for layer in event.args:
            yield from self._through(layer, size, event)
            size = self._after(layer, size)

    def _through(
        self, layer: int, size: tuple[str, int, f.AnyEvent] | None, event: f.AnyEvent
    ) -> Iterator[Hit]:
        asked = self._asked(layer)
        if asked is None or size is None or asked[0] != size[0] or asked[1] == size[1]:
            return
        one = self.one
        if not one.certain.happens(event.guard):
            return
        kind, wanted, at = asked
        yield _hit(
            one,
            at,
            f"This layer is made for {wanted} {kind}, and is handed {size[1]}.",
            f"Make it for {size[1]} {kind}, or give it what it is made for.",
            Related(
                path=one.path_of(size[2].place),
                line=size[2].place.line,
                message=f"This gives {size[1]} {kind}.",
            ),
        )

    def size(self, value: int, depth: int) -> tuple[str, int, f.AnyEvent] | None:
        """What a layer gave a tensor: kind of size, number, and the event that made the layer."""
        from explint.trace import facts as f

        row = self.one.trace.values[value]
        if not isinstance(row, f.CallValue) or depth > _DEEP:
            return None
        callee = self.one.trace.values[row.callee]
        if isinstance(callee, f.Library):
            if _SAME_SHAPE.match(callee.name) and row.args:
                return self.size(row.args[0], depth + 1)
            return None
        if isinstance(callee, f.Attribute):
            same = callee.name in ("relu", "tanh", "sigmoid", "contiguous", "float", "to", "detach")
            return self.size(callee.of, depth + 1) if same else None
        if isinstance(callee, f.CallValue) and row.args:
            return self._after(row.callee, self.size(row.args[0], depth + 1))
        return None

    def _after(
        self, layer: int, size: tuple[str, int, f.AnyEvent] | None
    ) -> tuple[str, int, f.AnyEvent] | None:
        """What a layer gives when it is handed something of a size."""
        from explint.trace import facts as f

        name = self.one.made_by(layer)
        row = self.one.trace.values[layer]
        if not isinstance(row, f.CallValue) or row.event is None:
            return None
        made = self.one.trace.events[row.event]
        if name == "torch.nn.Linear":
            number = self._number(row, "out_features", 1)
            return None if number is None else ("features", number, made)
        if _CONVOLUTION.match(name):
            number = self._number(row, "out_channels", 1)
            return None if number is None else ("channels", number, made)
        if name == "torch.nn.Sequential":
            for inner in row.args:
                if isinstance(self.one.trace.values[inner], f.Star):
                    return None
                size = self._after(inner, size)
            return size
        if _PASSING.match(name):
            return size
        if re.match(r"^torch\.nn\.BatchNorm[23]d$", name) or _POOLING.match(name):
            return size if size is not None and size[0] == "channels" else None
        return size if name == "torch.nn.LayerNorm" and size and size[0] == "features" else None

    def _asked(self, layer: int) -> tuple[str, int, f.AnyEvent] | None:
        """What a layer was made to be handed."""
        from explint.trace import facts as f

        name = self.one.made_by(layer)
        row = self.one.trace.values[layer]
        if not isinstance(row, f.CallValue) or row.event is None:
            return None
        if name == "torch.nn.Sequential":
            for inner in row.args:
                if not _PASSING.match(self.one.made_by(inner)):
                    return self._asked(inner)
            return None
        made = self.one.trace.events[row.event]
        kind, keyword = "features", ""
        if name == "torch.nn.Linear":
            keyword = "in_features"
        elif name == "torch.nn.LayerNorm":
            keyword = "normalized_shape"
        elif _CONVOLUTION.match(name):
            kind, keyword = "channels", "in_channels"
        elif re.match(r"^torch\.nn\.BatchNorm[23]d$", name):
            kind, keyword = "channels", "num_features"
        number = self._number(row, keyword, 0) if keyword else None
        return None if number is None else (kind, number, made)

    def _number(self, row: f.CallValue, keyword: str, position: int) -> int | None:
        return _number(self.one, row, keyword, position)


def _number(
    one: Training, row: f.CallValue | f.LibraryCall, keyword: str, position: int
) -> int | None:
    from explint.rules.pipelines import given, is_spread
    from explint.trace.specialise import evaluate

    value = None if is_spread(row, one.trace) else given(row, keyword, position)
    found = None if value is None else evaluate(value, one.process.special.env)
    return found if type(found) is int else None


def _undivided(one: Training) -> Iterator[Hit]:
    for _, event in one.calls:
        if event.name not in _DIVIDED:
            continue
        (whole, at), (parts, where), word = _DIVIDED[event.name]
        number, count = _number(one, event, whole, at), _number(one, event, parts, where)
        if number is None or not count or number % count == 0:
            continue
        if one.certain.happens(event.guard):
            yield _hit(
                one,
                event,
                f"`{whole}` is {number}, which {count} {word} do not divide.",
                f"Choose `{parts}` so that it divides `{whole}`.",
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
