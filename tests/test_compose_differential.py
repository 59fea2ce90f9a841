"""The static composer against hydra-core: generated trees, command lines and the examples."""

from __future__ import annotations

import os
import random
import warnings
from collections import Counter
from pathlib import Path

import pytest

from compose_generator import case
from compose_helpers import difference, hydra, tree
from explint import core
from explint.compose import compose_run, entry_of, run_ids
from explint.compose.errors import CompositionError, CompositionFailure, NotCovered
from explint.compose.overrides import Sweep, parse_override
from explint.compose.static import Composed, compose
from explint.protocol import choose_profile

pytest.importorskip("hydra")

FULL = os.environ.get("EXPLINT_DIFFERENTIAL") == "full"
EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.differential


def test_generated_trees_compose_alike() -> None:
    counts: Counter[str] = Counter()
    problems: list[str] = []
    for seed in range(6000 if FULL else 120):
        made = case(seed)
        ours = compose(
            tree(made.files),
            config_dir="config",
            config_name=made.config_name,
            overrides=made.overrides,
            version_base=made.version_base,
        )
        if not isinstance(ours, Composed | CompositionError):
            counts["unsupported"] += 1
            continue
        theirs = hydra(made.files, made.overrides, made.config_name, made.version_base)
        counts["values" if isinstance(ours, Composed) else "errors"] += 1
        if (found := difference(ours, theirs)) is not None:
            problems.append(f"seed {seed}: {found}")
    print(dict(counts))
    assert not problems, "\n".join(problems)
    # Most of what is generated is decided, and both ways.
    assert counts["unsupported"] * 10 < counts.total()
    assert min(counts["values"], counts["errors"]) * 8 > counts.total()


FRAGMENTS = (
    *("run", "a", "b-c", "_x", "3", "-1", "1e-4", ".5", "1_0", "inf", "NaN", "true", "null"),
    *(" ", "\t", ",", "=", "(", ")", "[", "]", "{", "}", ":", "/", ".", "@", "+", "~", "$"),
    *("${a}", "${", "'x y'", '"q\\"z"', "'", '"', "\\", "\\,", "\\\\", "#", "é", "%", "*", "?"),
    *("|", "int(", "choice(", "foo(", "&", "!", "'a\\\\'", "0", "01", "a.b", "x/y", "\n"),
)
STARTS = ("run=", "+a.b=", "++x@y=", "~k=", "a/b=", "")


def test_the_override_grammar_is_hydras() -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Sweep as HydraSweep
    from hydra.errors import OverrideParseException

    parser = OverridesParser.create()
    rng = random.Random(7)
    problems: list[str] = []
    words_differ = 0
    count = 40_000 if FULL else 2_500
    for _ in range(count):
        word = rng.choice(STARTS) + "".join(rng.choices(FRAGMENTS, k=rng.randint(1, 6)))
        theirs: object
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                parsed = parser.parse_overrides([word])[0]
            value = parsed.value()
            swept = isinstance(value, HydraSweep)
            theirs = (parsed.get_key_element(), "sweep" if swept else repr(value))
        except OverrideParseException as error:
            theirs = str(error).partition("\n")[0]
        try:
            mine = parse_override(word)
            swept = isinstance(mine.value, Sweep)
            ours: object = (mine.action.value + mine.name, "sweep" if swept else repr(mine.value))
        except CompositionFailure as failure:
            ours = failure.error.message
        except NotCovered:
            continue
        if isinstance(ours, str) and isinstance(theirs, str):
            words_differ += ours != theirs
        elif ours != theirs:
            problems.append(f"{word!r}: {ours} and {theirs}")
    assert not problems, "\n".join(problems)
    # ANTLR's choice of words for a token out of place is followed, not copied.
    assert words_differ * 200 < count


def test_the_examples_compose_alike() -> None:
    from explint.model import InputError
    from explint.source import open_sources

    for item in open_sources([str(EXAMPLES)]):
        if isinstance(item, InputError):
            continue
        profile, _ = choose_profile(item, None)
        uses = core.Scanner(1).uses(item)
        runs: list[str | None] = [*run_ids(item, profile.config.run_folder)] or [None]
        commands = [profile.train_command(mode) for mode in profile.trial.modes] or [None]
        for run in runs:
            for command in commands:
                point = entry_of(item, command, uses)
                answer = compose_run(item, command, run, entry=point, reference=False)
                ours, entry = answer.result, answer.entry
                if entry is None or not isinstance(ours, Composed | CompositionError):
                    continue
                prefix = f"{entry.config_dir}/"
                files = {
                    path[len(prefix) :]: (file.data or b"").decode()
                    for path, file in item.files.items()
                    if path.startswith(prefix) and path.endswith(".yaml")
                }
                theirs = hydra(files, answer.words, entry.config_name, entry.version_base)
                assert difference(ours, theirs) is None, (item.id, command, run)
