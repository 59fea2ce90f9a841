"""Facts about Hydra and OmegaConf that findings rest on, each asked of the real tools.

``agreed`` composes with hydra-core and with the static composer, and fails where they differ.
"""

from __future__ import annotations

import pytest

from compose_helpers import agreed
from explint.compose.errors import CompositionError, ErrorKind
from explint.compose.static import Composed

pytest.importorskip("hydra")

pytestmark = pytest.mark.differential

RUN = {"run/a.yaml": "run_id: a\nlr: 1e-4\n"}


def values(result: Composed | CompositionError) -> object:
    assert isinstance(result, Composed), result
    return result.value


def kind(result: Composed | CompositionError) -> ErrorKind:
    assert isinstance(result, CompositionError), result.value
    return result.kind


def test_a_group_without_header_composes_under_its_name() -> None:
    result = agreed({"config.yaml": "defaults: [run: null]\n", **RUN}, "run=a")
    assert values(result) == {"run": {"run_id": "a", "lr": 1e-4}}


def test_the_header_global_composes_at_the_root() -> None:
    files = {"config.yaml": "defaults: [run: null]\n", "run/a.yaml": "# @package _global_\nx: 1\n"}
    assert values(agreed(files, "run=a")) == {"x": 1}


@pytest.mark.parametrize("choice", ["null", "???", "b"])
def test_any_entry_for_run_lets_the_command_line_choose(choice: str) -> None:
    files = {"config.yaml": f"defaults:\n  - run: {choice}\n", "run/b.yaml": "b: 1\n", **RUN}
    assert values(agreed(files, "run=a")) == {"run": {"run_id": "a", "lr": 1e-4}}


@pytest.mark.parametrize("config", ["mode: full\n", "defaults: [_self_]\nmode: full\n", ""])
def test_without_an_entry_for_run_nothing_composes(config: str) -> None:
    result = agreed({"config.yaml": config, **RUN}, "run=a")
    assert kind(result) is ErrorKind.NOT_IN_DEFAULTS
    assert isinstance(result, CompositionError)
    assert result.message == "Could not override 'run'. No match in the defaults list."


def test_without_config_name_the_defaults_list_is_not_read() -> None:
    files = {"config.yaml": "defaults: [run: null]\n", **RUN}
    assert kind(agreed(files, "run=a", name=None)) is ErrorKind.NOT_IN_DEFAULTS
    assert values(agreed(files, name=None)) == {}


def test_the_config_name_may_carry_its_extension() -> None:
    assert values(agreed({"config.yaml": "a: 1\n"}, name="config.yaml")) == {"a": 1}


@pytest.mark.parametrize(
    ("order", "lr"), [("_self_, run: null", 1e-4), ("run: null, _self_", 5), ("run: null", 5)]
)
def test_a_root_section_beside_the_group_is_merged_in_the_order_of_self(
    order: str, lr: float
) -> None:
    files = {"config.yaml": f"defaults: [{order}]\nrun: {{lr: 5, extra: 1}}\n", **RUN}
    result = agreed(files, "run=a")
    assert isinstance(result, Composed)
    assert result.get("run.lr") == lr
    assert result.get("run.extra") == 1


@pytest.mark.parametrize("root", ["???", "null"])
def test_a_root_key_does_not_fill_the_defaults_list(root: str) -> None:
    files = {"config.yaml": f"defaults: ['run/${{run_id}}']\nrun_id: {root}\n", **RUN}
    assert kind(agreed(files, "run_id=a")) is ErrorKind.DEFAULTS_INTERPOLATION


def test_another_choice_fills_the_defaults_list() -> None:
    files = {
        "config.yaml": "defaults: [run: a, 'data: x_${run}']\n".replace(
            "'data: x_${run}'", "data: 'x_${run}'"
        ),
        "data/x_a.yaml": "d: 1\n",
        **RUN,
    }
    assert values(agreed(files)) == {"run": {"run_id": "a", "lr": 1e-4}, "data": {"d": 1}}


@pytest.mark.parametrize("char", list("()=[]{},~#;&!\"'<é"))
def test_characters_no_unquoted_run_id_can_hold(char: str) -> None:
    files = {"config.yaml": "run: x\n"}
    refused = {ErrorKind.OVERRIDE_SYNTAX, ErrorKind.SWEEP}
    if char == "~":
        assert kind(agreed(files, f"run=a{char}b")) in refused
        return
    assert kind(agreed(files, f"run=a{char}b")) in refused
    if char not in "'\"":
        assert values(agreed(files, f"run='a{char}b'")) == {"run": f"a{char}b"}


@pytest.mark.parametrize("char", list("./:@+%|*?\\$ -_"))
def test_characters_a_run_id_can_hold(char: str) -> None:
    assert values(agreed({"config.yaml": "run: x\n"}, f"run=a{char}b")) == {"run": f"a{char}b"}


@pytest.mark.parametrize(
    ("text", "value"), [("10", 10), ("1e-4", 1e-4), ("true", True), ("null", None)]
)
def test_run_ids_that_change_type(text: str, value: object) -> None:
    assert values(agreed({"config.yaml": "run: x\n"}, f"run={text}")) == {"run": value}
    if value is not None:
        files = {"config.yaml": "defaults: [run: null]\n", f"run/{text}.yaml": "a: 1\n"}
        assert kind(agreed(files, f"run={text}")) is ErrorKind.INVALID_CHOICE


def test_an_absent_key_needs_a_plus() -> None:
    files = {"config.yaml": "a: {b: 1}\n"}
    assert kind(agreed(files, "trial_mode=true")) is ErrorKind.NOT_IN_STRUCT
    assert kind(agreed(files, "a.c=1")) is ErrorKind.NOT_IN_STRUCT
    assert kind(agreed(files, "a.b.c=1")) is ErrorKind.NOT_IN_STRUCT
    for plus in ("+", "++"):
        assert values(agreed(files, f"{plus}a.c=1")) == {"a": {"b": 1, "c": 1}}
    assert kind(agreed(files, "+a.b=2")) is ErrorKind.CANNOT_ADD
    assert values(agreed(files, "++a.b=2")) == {"a": {"b": 2}}


def test_lists_replace_and_sections_merge() -> None:
    files = {
        "config.yaml": "defaults: [_self_, x]\na: [1, 2]\nb: {c: 1, d: {e: 1}}\n",
        "x.yaml": "a: [3]\nb: {d: {f: 2}, c: '???'}\n",
    }
    expected = {"a": [3], "b": {"c": 1, "d": {"e": 1, "f": 2}}}
    assert values(agreed(files)) == expected


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ("model: x", "model"),
        ("model@net: x", "net"),
        ("model@net.deep: x", "net.deep"),
        ("model@_global_: x", ""),
        ("model@_here_: x", ""),
        ("model@_group_.y: x", "model.y"),
        ("optional model: x", "model"),
        ("/model: x", "model"),
        ("model/x", "model"),
        ("model/x@net", "net"),
    ],
)
def test_packages_of_the_defaults_list(entry: str, path: str) -> None:
    written = f"'{entry}'" if ":" not in entry else entry
    result = agreed({"config.yaml": f"defaults:\n  - {written}\n", "model/x.yaml": "k: 1\n"})
    assert isinstance(result, Composed)
    assert result.get(f"{path}.k".lstrip(".")) == 1


def test_nested_groups_and_overrides_of_them() -> None:
    files = {
        "config.yaml": "defaults: [_self_, model: big, override model/head: wide]\n",
        "model/big.yaml": "defaults: [head: small, base]\nsize: 9\n",
        "model/base.yaml": "size: 1\nkind: net\n",
        "model/head/small.yaml": "width: 1\n",
        "model/head/wide.yaml": "width: 5\n",
    }
    expected = {"model": {"head": {"width": 5}, "size": 9, "kind": "net"}}
    assert values(agreed(files)) == expected
    assert kind(agreed(files, "model/tail=wide")) is ErrorKind.NOT_IN_STRUCT
    assert values(agreed(files, "model/head=small")) == {
        "model": {"head": {"width": 1}, "size": 9, "kind": "net"}
    }


def test_a_missing_option_is_an_error_unless_optional() -> None:
    assert kind(agreed({"config.yaml": "defaults: [run: z]\n", **RUN})) is ErrorKind.MISSING_CONFIG
    assert values(agreed({"config.yaml": "defaults: [optional run: z]\n", **RUN})) == {}


def test_an_option_can_be_several_files() -> None:
    files = {"config.yaml": "defaults: [g: [a, b]]\n", "g/a.yaml": "x: 1\n", "g/b.yaml": "y: 2\n"}
    assert values(agreed(files)) == {"g": {"x": 1, "y": 2}}
    assert values(agreed(files, "g=[b]")) == {"g": {"y": 2}}


def test_before_1_2_group_overrides_of_hydra_need_no_keyword() -> None:
    files = {"config.yaml": "defaults: [hydra/job_logging: disabled]\na: 1\n"}
    assert values(agreed(files, version_base="1.1")) == {"a": 1}
    assert kind(agreed(files)) is ErrorKind.DUPLICATE_DEFAULT
