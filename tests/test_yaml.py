"""YAML by OmegaConf's rules, with places: values, errors, bounds, and agreement with OmegaConf."""

from __future__ import annotations

import io
import math
import time
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader

from explint.compose.yaml import MAX_DEPTH, Mark, YamlDocument, YamlProblem, load_yaml

DOCUMENT = """\
run_id: small-cnn
method: proposed
training:
  lr: 2e-4
  betas: [0.9, 0.999]
  schedule:
    - name: warmup
      steps: 100
"""


def document(text: str) -> YamlDocument:
    result = load_yaml(text)
    assert isinstance(result, YamlDocument), result
    return result


def problem(text: str) -> YamlProblem:
    result = load_yaml(text)
    assert isinstance(result, YamlProblem), result.value
    return result


def test_values_and_places_come_from_one_reading() -> None:
    doc = document(DOCUMENT)
    assert doc.value["training"]["lr"] == 2e-4
    assert doc.at(("training", "lr")) == Mark(4, 7, 4, 11)
    assert doc.key_at(("training", "lr")) == Mark(4, 3, 4, 5)
    assert doc.at(("training", "betas", 1)) == Mark(5, 16, 5, 21)
    assert doc.key_at(("training", "schedule", 0, "steps")) == Mark(8, 7, 8, 12)
    assert doc.at() == Mark(1, 1, 9, 1)


@pytest.mark.parametrize(
    "path",
    [("absent",), ("training", "lr", "x"), ("training", "betas", 2), ("training", "betas", -1)],
)
def test_a_path_that_leads_nowhere_has_no_place(path: tuple[str | int, ...]) -> None:
    assert document(DOCUMENT).at(path) is None
    assert document(DOCUMENT).key_at(path) is None


def test_list_items_and_the_root_have_no_key() -> None:
    doc = document(DOCUMENT)
    assert doc.key_at(()) is None
    assert doc.key_at(("training", "betas", 0)) is None


def test_columns_count_characters_and_crlf_and_bom_change_nothing() -> None:
    plain = "größe: {läuft: 1}\nb: 2\n"
    marked = "\ufeff" + plain.replace("\n", "\r\n")
    for text in (plain, marked):
        doc = document(text)
        assert doc.value == {"größe": {"läuft": 1}, "b": 2}
        assert doc.at(("größe", "läuft")) == Mark(1, 16, 1, 17)
        assert doc.at(("b",)) == Mark(2, 4, 2, 5)


def test_a_merged_key_stands_where_it_was_written() -> None:
    doc = document("base: &base\n  lr: 1.0\n  steps: 5\nrun:\n  <<: *base\n  steps: 7\n")
    assert doc.value["run"] == {"lr": 1.0, "steps": 7}
    assert doc.at(("run", "lr")) == Mark(2, 7, 2, 10)
    assert doc.at(("run", "steps")) == Mark(6, 10, 6, 11)


def test_keys_that_are_no_strings_can_be_found() -> None:
    doc = document("1: a\ntrue: b\n2.5: c\n")
    assert doc.at((1,)) is not None
    assert doc.value[2.5] == "c"


@pytest.mark.parametrize("text", ["", "# nothing\n", "\n\n", "---\n", "null\n"])
def test_an_empty_text_has_the_value_none(text: str) -> None:
    assert document(text).value is None


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, '"a" stands twice'),
        ("a:\n  x: 1\n  x: 2\n", 3, 3, '"x" stands twice'),
        ("a: 1\n~: 2\n", 2, 1, "null is no key"),
        ("a: !!set {x}\n", 1, 4, "a set"),
        ("a: !!timestamp 2001-01-01\n", 1, 4, "a timestamp"),
        ("a: 1\n  b: 2\n", 2, 4, "mapping values are not allowed"),
        ("a: [1, 2\nb: 3\n", 2, 2, "expected ',' or ']'"),
        ('a: "open\n', 2, 1, "unexpected end"),
        ("a: b\n\tc: d\n", 2, 1, "cannot start any token"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second document"),
        ("a: *x\n", 1, 4, "no anchor &x"),
        ("a: &x 1\nb: &x 2\n", 2, 4, "&x is defined twice"),
        ("a: &x [*x]\n", 1, 8, "contains itself"),
        ("a: !custom 1\n", 1, 4, "!custom"),
        ("a: !!int twelve\n", 1, 4, "cannot be read as int"),
        ("a: 1\nb: !!bool si\n", 2, 4, "cannot be read as bool"),
        ("? [a]\n: 1\n", 1, 3, "unhashable"),
        ("a: ok\nb: x\x00y\n", 2, 5, "U+0000"),
        ("a: x\ud800\n", 1, 5, "U+D800"),
    ],
)
def test_a_problem_names_its_place(text: str, line: int, column: int, said: str) -> None:
    found = problem(text)
    assert (found.line, found.column) == (line, column)
    assert said in found.message


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 50_000,
        "- " * 50_000,
        "a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "\n".join(
            ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
            + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
        ),
        "\n".join(
            ["b0: &b0 {k0: 1, l0: 2}"]
            + [f"b{n}: &b{n} {{<<: [*b{n - 1}, *b{n - 1}], k{n}: 1}}" for n in range(1, 60)]
        ),
        "a: 1" + "0" * 10_000,
    ],
)
def test_hostile_texts_are_problems_within_a_second(text: str) -> None:
    started = time.perf_counter()
    problem(text)
    assert time.perf_counter() - started < 1


def test_the_deepest_nesting_allowed_is_read() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    value = document(text).value
    for _ in range(MAX_DEPTH - 1):
        value = value[0]
    assert value == []


@given(st.text(max_size=200))
def test_no_text_raises(text: str) -> None:
    result = load_yaml(text)
    if isinstance(result, YamlProblem):
        assert result.line >= 1
        assert result.column >= 1


def omegaconf_value(text: str) -> tuple[str, Any]:
    """What OmegaConf makes of a text: ("value", …) or ("error", …).

    ``OmegaConf.load`` reads a root that is a string a second time, and refuses other scalars;
    reading ends before that, so such roots are compared as its YAML loader yields them.
    """
    try:
        raw = yaml.load(text.removeprefix("\ufeff"), Loader=get_yaml_loader())
        if raw is None or isinstance(raw, str | int | float | bytes):
            return "value", raw
        return "value", OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False)
    except Exception as error:  # noqa: BLE001 - OmegaConf lets PyYAML's and Python's errors out
        return "error", error


def same(left: Any, right: Any) -> bool:  # noqa: ANN401
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and math.isnan(left):
        return math.isnan(right)
    return bool(left == right)


def assert_agrees(text: str) -> None:
    kind, expected = omegaconf_value(text)
    result = load_yaml(text)
    if isinstance(result, YamlProblem):
        assert kind == "error", f"{text!r}: {result} where OmegaConf reads {expected!r}"
        return
    assert kind == "value", f"{text!r}: {result.value!r} where OmegaConf says {expected!r}"
    assert same(result.value, expected), f"{text!r}: {result.value!r}, OmegaConf: {expected!r}"


SCALARS = [
    "1", "-1", "+1", "01", "0o7", "0x1F", "0b101", "1_000", "1:30", "1:30.5", "190:20:30",
    "1.", ".5", "1.5", "-.5", "+.5", "1e-4", "1E5", "1e+4", "1.e4", "1.5e3", ".5e-3", ".5e3",
    "-1e3", "1_0e2", "e5", "1e", ".inf", "-.INF", ".nan", "inf", "nan", "+.inf",
    "true", "True", "TRUE", "yes", "No", "on", "off", "y", "n", "t", "null", "Null", "~", "",
    "2001-01-01", "2001-12-14t21:59:43.10-05:00", "12:30:45", "'1e-4'", '"1"', "'yes'", "=",
    "a b", "a#b", "a #b", "it's", "'it''s'", '"\\u00e9\\n"', "|\n  text\n", ">-\n  text\n  more\n",
    "!!str 1", "!!float 1", "!!int '3'", "!!null ''", "!!binary aGk=", "!!bool yes",
    "!!int ''", "! 1", "! '1'", "|# c", "x\t", "[x?]", "0b_", "0x_",
    "1__0", "_1", "1_", "0_", "-0", "+0.0", "08", "09.5", "<<", "[]", "{}", "[a, b]", "{a: 1}",
    "[a: 1]", "{a, b: c}", "[1e-4, 1.0]", "&x 1", "!foo 1", "@a", "`a", "%a", "- a", "? a", "a: b",
]  # fmt: skip


@pytest.mark.differential
@pytest.mark.parametrize("scalar", SCALARS)
def test_omegaconf_reads_the_same_scalar(scalar: str) -> None:
    assert_agrees(f"key: {scalar}\n")
    assert_agrees(f"- {scalar}\n")
    assert_agrees(f"{scalar}: value\n")
    assert_agrees(scalar)


@pytest.mark.differential
@pytest.mark.parametrize(
    "text",
    [
        DOCUMENT,
        "a: 1\na: 2\n",
        "1: a\n1: b\n",
        "1: a\n'1': b\n",
        "true: a\nyes: b\n",
        "~: 1\n",
        "a:\n  ? \n  : 1\n",
        "a: !!set {x, y}\n",
        "a: [[x, 1]]\n",
        "base: &b {lr: 1}\nrun: {<<: *b, lr: 2}\n",
        "base: &b {lr: 1}\nrun: {lr: 2, <<: *b}\n",
        "a: &a {x: 1}\nb: &b {y: 2}\nc:\n  <<: [*a, *b]\n  z: 3\n",
        "c:\n  <<: 3\n",
        "c:\n  <<: [3]\n",
        "o: {i: &a {<<: {k: 1}, k: 2}}\nz: {<<: *a}\n",
        "a: &x [1, 2]\nb: *x\n",
        "a: *nowhere\n",
        "a: &x 1\nb: &x 2\n",
        "--- a\n...\n--- b\n",
        "%YAML 1.1\n---\na: 1\n",
        "a: 1\n...\n",
        "---\n# only a comment\n",
        "\ufeffa: 1\n",
        "a: 1\r\nb:\r\n  - x\r\n",
        "a: 1\rb: 2\r",
        "a: \u2028x\n",
        "a: 'b\n  c'\n",
        "a: b\n c\n",
        "a : 1\n",
        "a:1\n",
        "a: {b: [1, {c: 2}]}\n",
        "{a: 1, b: }\n",
        "[a, , b]\n",
        "a: [x,]\n",
        "a: x:y\n",
        "a: http://h/p?q=1#f\n",
        "a: ${b}\nb: ${oc.env:HOME}\n",
        "a: '${now:%Y-%m-%d}'\n",
        "defaults:\n  - _self_\n  - run: ???\n",
        "'a': 1\na: 2\n",
        "? a\n: 1\n? b\n",
        "- a\n-b\n",
        "a:\n- b\n- c\n",
        "a:\n  - b\n - c\n",
        "a: >\n folded\n text\n\n more\n",
        "a: \"x\\qy\"\n",
        "a: \"x\\/y\"\n",
        "{? a : b}\n",
        "a: !!python/object/apply:os.getcwd []\n",
    ],
)  # fmt: skip
def test_omegaconf_reads_the_same_document(text: str) -> None:
    assert_agrees(text)


scalars = st.sampled_from([s for s in SCALARS if "\n" not in s]) | st.text(
    st.characters(codec="ascii", exclude_characters="$\r", categories=("L", "N", "P", "S", "Zs")),
    max_size=8,
)
keys = st.sampled_from(["a", "b", "lr", "1", "yes", "'q'", "<<", "a b"]) | scalars


@st.composite
def block(draw: st.DrawFn, depth: int = 3, indent: str = "") -> str:
    """Block-style YAML; some of it broken, since any scalar text may stand anywhere."""
    lines = []
    items = draw(st.booleans())
    for _ in range(draw(st.integers(1, 4))):
        head = "- " if items else draw(keys) + ":"
        if depth and draw(st.integers(0, 2)) == 0:
            inner = draw(block(depth=depth - 1, indent=indent + "  "))
            lines.append(f"{indent}{head.rstrip()}\n{inner}")
        elif draw(st.integers(0, 3)) == 0:
            parts = draw(st.lists(scalars, max_size=3))
            lines.append(f"{indent}{head} [{', '.join(parts)}]\n")
        else:
            lines.append(f"{indent}{head} {draw(scalars)}\n")
    return "".join(lines)


@pytest.mark.differential
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(block())
def test_omegaconf_reads_the_same_of_any_block(text: str) -> None:
    assert_agrees(text)


@pytest.mark.differential
@settings(max_examples=300, deadline=None)
@given(st.text("ab:-[]{},'\"#&*!|>?%@ \n\t01.e~<=_", max_size=24))
def test_omegaconf_reads_the_same_of_any_short_text(text: str) -> None:
    assert_agrees(text)
