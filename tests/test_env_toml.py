"""The places of keys and values in TOML, and how texts that are none are told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explint.cli.toml import value as toml_value
from explint.environment.toml import MAX_CHARACTERS, TomlDocument, TomlProblem, load_toml

SAMPLE = """\
# packages
[project]
name = "study" # its name
"odd key".inner = 1
authors = [{ name = 'A', mail = "a@b" },
           { name = "B" }]
when = 1979-05-27 07:32:32
text = \"\"\"one
two = "three" \\\"\"\"\"\"\"

[[tool.uv.index]]
name = "first"
[tool.uv.index.deep]
key = true
[[tool.uv.index]]
name = "second"
"""


def loaded(text: str) -> TomlDocument:
    doc = load_toml(text)
    assert isinstance(doc, TomlDocument), doc
    return doc


def cut(text: str, mark: Any) -> str:  # noqa: ANN401
    """What stands at a place."""
    lines = text.replace("\r\n", "\n").split("\n")[mark.line - 1 : mark.end_line]
    lines[-1] = lines[-1][: mark.end_column - 1]
    lines[0] = lines[0][mark.column - 1 :]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("project",), "[project]", "[project]"),
        (("project", "name"), "name", '"study"'),
        (("project", "odd key", "inner"), "inner", "1"),
        (("project", "authors", 0, "mail"), "mail", '"a@b"'),
        (("project", "authors", 1), None, '{ name = "B" }'),
        (("project", "when"), "when", "1979-05-27 07:32:32"),
        (("project", "text"), "text", '"""one\ntwo = "three" \\""""""'),
        (("tool", "uv", "index", 0, "name"), "name", '"first"'),
        (("tool", "uv", "index", 0, "deep", "key"), "key", "true"),
        (("tool", "uv", "index", 1, "name"), "name", '"second"'),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_places(path: tuple[str | int, ...], key: str | None, value: str, newline: str) -> None:
    text = SAMPLE.replace("\n", newline)
    doc = loaded(text)
    mark = doc.key_at(path)
    assert (mark and cut(text, mark)) == key
    assert cut(text, doc.at(path)) == value


def test_what_is_not_there_has_no_place() -> None:
    doc = loaded(SAMPLE)
    assert doc.at(("project", "nothing")) is None
    assert doc.key_at(("project", "authors", 7)) is None


keys = st.text(min_size=1, max_size=4)
leaves = st.booleans() | st.integers(-99, 99) | st.text(max_size=6)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Any:  # noqa: ANN401
    yield path, value
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*path, key))


@given(st.dictionaries(keys, st.dictionaries(keys, values, max_size=3), max_size=3))
def test_every_value_is_found_where_it_stands(table: dict[str, dict[str, Any]]) -> None:
    lines = []
    for name, section in table.items():
        lines.append(f"[{toml_value({name: 0}).strip('{} ').removesuffix(' = 0')}]")
        lines += [
            f"{toml_value({key: 0}).strip('{} ').removesuffix(' = 0')} = {toml_value(inner)} # x"
            for key, inner in section.items()
        ]
    text = "\n".join(lines)
    doc = loaded(text)
    assert doc.value == table
    for path, value in paths(table):
        if len(path) < 2:
            continue
        stands = load_toml(f"x = {cut(text, doc.at(path))}")
        assert isinstance(stands, TomlDocument)
        assert stands.value == {"x": value}


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a = 1\na = 2\n", 2, None),
        ("[a]\nb = [1 2]\n", 2, 8),
        ("a = 1 b = 2\n", 1, 7),
        ("ключ = 1\n", 1, 1),
        ("a = 1\rb = 2\n", 1, None),
    ],
)
def test_a_problem_has_a_place(text: str, line: int, column: int | None) -> None:
    problem = load_toml(text)
    assert isinstance(problem, TomlProblem)
    assert problem.line == line
    assert column is None or problem.column == column
    assert problem.message[0].islower()
    assert not problem.message.endswith(".")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "{b = " * 100_000,
        "[" + "a." * 10_000 + "a]",
        "[" * 100_000,
        "a = " + "9" * 100_000,
        "#" * (MAX_CHARACTERS + 1),
        'a = "\x00"',
    ],
)
def test_hostile_texts_end_in_a_problem_or_a_document(text: str) -> None:
    doc = load_toml(text)
    if isinstance(doc, TomlDocument):
        assert doc.at(("nothing",)) is None


@given(st.text("[]{}=\"'\\.,#\n\r\t a1-:", max_size=40))
def test_any_text_is_a_problem_or_has_places(text: str) -> None:
    doc = load_toml(text)
    if isinstance(doc, TomlDocument):
        for path, _ in paths(doc.value):
            assert not path or doc.at(path) is not None
