"""Ids of datasets and models on the hub: criterion 3."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from explint.model import Severity
from explint.regex import regex
from explint.rules.pipelines import given, is_spread, pipelines, sources
from explint.rules.registry import Hit, Unknown, rule
from explint.trace.specialise import evaluate

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.rules.pipelines import Pipeline
    from explint.trace import facts as f

_MODELS: Final = regex(r"transformers\.\w+\.from_pretrained")
_DATASETS: Final = frozenset({"datasets.load_dataset", "datasets.load_dataset_builder"})
# A repository's name, as huggingface_hub checks it; one word or two around a slash.
_ILLEGAL: Final = regex(r"[^\w./-]|--|\.\.", re.ASCII)
_PLAIN: Final = regex(
    r"(?P<family>[a-z][a-z0-9]*)(?:-(?:tiny|mini|small|medium|base|x{0,2}large|x{1,2}l"
    r"|\d+(?:\.\d+)?[MmBb]|(?:un)?cased|v\d))+"
)
# Arguments of load_dataset that have no part in which configuration is made.
_NO_CONFIG: Final = frozenset(
    {"path", "name", "split", "cache_dir", "features", "download_config", "download_mode",
     "verification_mode", "ignore_verifications", "keep_in_memory", "save_infos", "revision",
     "token", "use_auth_token", "task", "streaming", "num_proc", "storage_options",
     "trust_remote_code"}
)  # fmt: skip
_MOST: Final = 12
_PATH: Final = regex(r"^[./~\\]|\.(?:py|json|jsonl|csv|parquet|txt)$|[*:\\]")


@rule("data/invalid-hub-id", code="DAT006", severity=Severity.ERROR, criteria=(3,))
def invalid_hub_id(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A dataset or model is asked for by an id that the hub cannot have.

    ## What it does
    Looks at the ids that `load_dataset` and `from_pretrained` get in the runs, and reports

    - ids with a character that no repository's name may have, such as a space or a parenthesis,
    - models without an owner that are named like those of the hub's first years and are none of
      them (`distilbert-base-66M`, `roberta-base-uncased`): that list is closed,
    - datasets that exist only in several configurations, without one, and configurations that such
      a dataset does not have.

    What the hub has is looked up in an index that comes with explint. It was made from published
    packages and from the loading scripts of the datasets themselves, and `make hub` refreshes it,
    also from the hub. Any id that the index does not know may exist, and is let pass; so are paths,
    and models that the package saves itself.

    ## Why is this bad
    The program stops when it loads the data or model: the hub knows no such repository, or asks
    for a configuration.

    ## Example
    ```python
    rows = load_dataset("openai/gsm8k", split="train", cache_dir=".cache/")
    ```

    ## Use instead
    ```python
    rows = load_dataset("openai/gsm8k", "main", split="train", cache_dir=".cache/")
    ```

    ## References
    - Criterion 3 of the experiment protocol
    - [Datasets: load a dataset from the hub](https://huggingface.co/docs/datasets/load_hub)
    """
    texts = sources(experiment).values()
    if not any("load_dataset" in text or "from_pretrained" in text for text in texts):
        return
    saves = any("save_pretrained" in text or "save_model" in text for text in texts)
    found: dict[tuple[str, int, str], tuple[Hit, list[str]]] = {}
    for pipeline in pipelines(experiment):
        for _, call in pipeline.calls:
            if call.name in _DATASETS:
                said = _dataset(pipeline, call)
            elif _MODELS.fullmatch(call.name) and not saves:
                said = _model(pipeline, call)
            else:
                continue
            if said is None or not pipeline.happens(call):
                continue
            message, help_ = said
            place = call.place
            path = pipeline.path_of(place)
            hit = Hit(
                path=path,
                line=place.line,
                column=place.column,
                end_line=place.end_line,
                end_column=place.end_column,
                message=message,
                help=help_,
            )
            _, runs = found.setdefault((path, place.line, message), (hit, []))
            if pipeline.run_id is not None and pipeline.run_id not in runs:
                runs.append(pipeline.run_id)
    every = len(experiment.run_ids())
    for at in sorted(found):
        hit, runs = found[at]
        yield hit if len(runs) in (0, every) else replace(hit, runs=tuple(runs))


def _illegal(text: str) -> tuple[str, str] | None:
    """What is wrong with an id by its form."""
    found = _ILLEGAL.search(text)
    if found is None or _PATH.search(text) or text.count("/") > 1:
        return None
    return (
        f"`{text}` is no id of the hub: a repository's name cannot hold `{found[0]}`.",
        "Write the id as it stands on the hub, `owner/name`.",
    )


def _dataset(pipeline: Pipeline, call: f.LibraryCall) -> tuple[str, str] | None:
    text = pipeline.text_of(given(call, "path", 0))
    if text is None or is_spread(call, pipeline.trace):
        return None
    illegal = _illegal(text)
    if illegal is not None:
        return illegal
    known = _configurations().get(text)
    if known is None or any(name not in _NO_CONFIG for name, _ in call.kwargs):
        # Files of its own, or arguments that make a configuration.
        return None
    value = given(call, "name", 1)
    config = None if value is None else evaluate(value, pipeline.env)
    offered = ", ".join(f"`{name}`" for name in known["configs"][:_MOST])
    if len(known["configs"]) > _MOST:
        offered += " …"
    if config is None and known["default"] is False:
        return (
            f"`{text}` has several configurations, and none is asked for.",
            f'Name one: `load_dataset("{text}", …)` with {offered}.',
        )
    if isinstance(config, str) and known["complete"] and config not in known["configs"]:
        return f"`{text}` has no configuration `{config}`.", f"Take one of {offered}."
    return None


def _model(pipeline: Pipeline, call: f.LibraryCall) -> tuple[str, str] | None:
    text = pipeline.text_of(given(call, "pretrained_model_name_or_path", 0))
    if text is None:
        return None
    illegal = _illegal(text)
    if illegal is not None:
        return illegal
    match = _PLAIN.fullmatch(text)
    if match is None:
        return None
    known = _index()["models"]
    if text in known or not any(name.startswith(f"{match['family']}-") for name in known):
        return None
    from difflib import get_close_matches

    near = get_close_matches(text, known, n=1, cutoff=0.6)
    return (
        f"`{text}` is no model of the hub: it is none of those without an owner, and their list is "
        "closed.",
        f"Write the id as it stands on the hub{f', such as `{near[0]}`' if near else ''}.",
    )


@cache
def _index() -> dict[str, Any]:
    import json
    from importlib.resources import files

    found: dict[str, Any] = json.loads(
        files("explint.rules").joinpath("hub.json").read_text("utf-8")
    )
    return found


@cache
def _configurations() -> dict[str, Any]:
    """What is known of the configurations of a dataset, by each of its ids."""
    return {
        name: row
        for row in _index()["datasets"]
        if row["default"] is not None
        for name in row["ids"]
    }
