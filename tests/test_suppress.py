"""Suppression comments: what they hide, and what is said of those that are not in order."""

from __future__ import annotations

import io
import keyword
import tokenize
import tomllib

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from explint import suppress
from explint.model import Confidence, Finding, Implementation, Rule, Severity, State
from explint.rules import suppression as suppression_rules
from explint.suppress import Comment, Suppression

PATH = "src/train.py"


def _rule(name: str, code: str) -> Rule:
    return Rule(
        name=name,
        code=code,
        severity=Severity.ERROR,
        criteria=(1,),
        summary="",
        doc="",
        implementation=Implementation.CORE,
    )


RULES = (
    _rule("complete/todo-marker", "CMP002"),
    _rule("complete/placeholder-body", "CMP003"),
    _rule("structure/gutted-module", "STR006"),
    *suppression_rules.ROWS,
)
NAMES = [r.name for r in RULES[:3]]


def _finding(line: int, rule: str = "complete/todo-marker", **changes: object) -> Finding:
    finding = Finding(
        rule=rule,
        code="",
        severity=Severity.ERROR,
        confidence=Confidence.HIGH,
        message="m",
        help="h",
        path=PATH,
        line=line,
        end_line=line,
        end_column=5,
    )
    return msgspec.structs.replace(finding, **changes)


def _directives(source: str) -> list[Comment]:
    """The comments of a Python text, found by CPython's own tokenizer."""
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            found.append(
                Comment(
                    line=line,
                    column=column + 1,
                    end_column=token.end[1] + 1,
                    text=token.string,
                    own_line=not token.line[:column].strip(),
                )
            )
    return found


def _parse(source: str) -> list[Suppression]:
    return suppress.parse(PATH, source, _directives(source))


def _apply(source: str, *findings: Finding) -> suppress.Applied:
    return suppress.apply(findings, _parse(source), RULES)


def _rules_of(findings: tuple[Finding, ...]) -> list[tuple[str, int]]:
    return [(f.rule, f.line) for f in findings]


def test_a_trailing_comment_hides_its_line_only() -> None:
    source = "a = 1\nb = 2  # explint: ignore[complete/todo-marker]: known\nc = 3\n"
    applied = _apply(source, _finding(1), _finding(2), _finding(3))
    assert [(f.state, f.reason) for f in applied.findings] == [
        (State.OPEN, None),
        (State.SUPPRESSED, "known"),
        (State.OPEN, None),
    ]
    assert applied.problems == ()


def test_codes_are_names_and_several_may_stand_in_one_comment() -> None:
    source = "b = 2  # explint: ignore[CMP003, complete/todo-marker]: known\n"
    applied = _apply(source, _finding(1), _finding(1, "complete/placeholder-body"))
    assert {f.state for f in applied.findings} == {State.SUPPRESSED}
    assert applied.problems == ()


def test_another_rule_on_the_line_stays_open() -> None:
    source = "b = 2  # explint: ignore[CMP002]: known\n"
    applied = _apply(source, _finding(1, "complete/placeholder-body"))
    assert applied.findings[0].state is State.OPEN
    assert _rules_of(applied.problems) == [("suppression/unused", 1)]


def test_own_line_comments_stack_and_reach_the_next_code_line() -> None:
    source = (
        "# explint: ignore[CMP002]: one\n"
        "# explint: ignore[CMP003]: two\n"
        "\n"
        "# TODO measure\n"
        "def f(): ...\n"
        "x = 1\n"
    )
    applied = _apply(
        source,
        _finding(4),
        _finding(5, "complete/placeholder-body"),
        _finding(6),
    )
    assert [f.reason for f in applied.findings] == ["one", "two", None]
    assert applied.problems == ()


def test_an_own_line_comment_does_not_hide_a_finding_that_merely_ends_below_it() -> None:
    source = "def f():\n    # explint: ignore[CMP003]: inner\n    return 1\n"
    applied = _apply(source, _finding(1, "complete/placeholder-body", end_line=3))
    assert applied.findings[0].state is State.OPEN


@pytest.mark.parametrize("comment_line", [1, 3])
def test_a_statement_over_several_lines_is_hidden_from_either_end(comment_line: int) -> None:
    lines = ["f(", "    1,", ")"]
    lines[comment_line - 1] += "  # explint: ignore[CMP002]: known"
    applied = _apply("\n".join(lines) + "\n", _finding(1, end_line=3, end_column=2))
    assert applied.findings[0].state is State.SUPPRESSED


def test_an_end_at_column_one_belongs_to_the_line_before() -> None:
    source = "f()\ng()\nh()  # explint: ignore[CMP002]: known\n"
    applied = _apply(source, _finding(1, end_line=3, end_column=1))
    assert applied.findings[0].state is State.OPEN


@pytest.mark.parametrize(
    "source",
    [
        '# explint: ignore[CMP002]: quoted\nx = """\n  TODO in text\n"""\n',
        'x = """\n\n  TODO in text\n"""  # explint: ignore[CMP002]: quoted\n',
        "# explint: ignore[CMP002]: quoted\nx = r'''a\"\n  TODO in text\n# no comment\n'''\n",
    ],
)
def test_a_multi_line_string_is_covered_as_a_whole(source: str) -> None:
    assert _apply(source, _finding(3)).findings[0].state is State.SUPPRESSED


def test_a_comment_for_the_file_hides_everywhere_in_it_and_nowhere_else() -> None:
    source = "a = 1\nb = 2  # explint: ignore-file[CMP002]: generated\n"
    elsewhere = _finding(1, path="src/main.py")
    applied = _apply(source, _finding(1), _finding(99), elsewhere)
    assert [f.state for f in applied.findings] == [
        State.SUPPRESSED,
        State.SUPPRESSED,
        State.OPEN,
    ]


def test_the_nearest_reason_is_shown_and_both_comments_count_as_used() -> None:
    source = "# explint: ignore-file[CMP002]: far\n\nb = 2  # explint: ignore[CMP002]: near\n"
    applied = _apply(source, _finding(3))
    assert applied.findings[0].reason == "near"
    assert applied.problems == ()


def test_without_a_reason_it_hides_and_is_reported() -> None:
    applied = _apply("b = 2  # explint: ignore[CMP002]\n", _finding(1))
    assert applied.findings[0].state is State.SUPPRESSED
    assert applied.findings[0].reason is None
    assert _rules_of(applied.problems) == [("suppression/no-reason", 1)]


def test_anothers_marker_behind_the_comment_is_no_reason() -> None:
    [found] = _parse("b = 2  # explint: ignore[CMP002]: see #12  # type: ignore\n")
    assert found.reason == "see #12"
    [found] = _parse("b = 2  # explint: ignore[CMP002]:  # type: ignore\n")
    assert found.reason is None


def test_it_may_stand_behind_anothers_marker() -> None:
    source = "b = 2  # type: ignore  # explint: ignore[CMP002]: known\n"
    assert _apply(source, _finding(1)).findings[0].state is State.SUPPRESSED


@pytest.mark.parametrize(
    "comment",
    [
        "# explint: ignore",
        "# explint: ignore: why",
        "# explint: ignore[]",
        "# explint: ignore[ , ]: why",
        "# explint:",
        "# explint: disable[CMP002]: why",
        "# explint: ignore[CMP002: why",
        "# explint ignore[CMP002]: why",
        "# explint ignore-file[CMP002]: why",
    ],
)
def test_what_cannot_be_understood_hides_nothing_and_is_reported(comment: str) -> None:
    applied = _apply(f"b = 2  {comment}\n", _finding(1))
    assert applied.findings[0].state is State.OPEN
    [problem] = applied.problems
    assert problem.rule == "suppression/unknown-rule"
    assert suppress.FORM in problem.help
    assert (problem.line, problem.column) == (1, 8)
    assert problem.end_column == 8 + len(comment)


@pytest.mark.parametrize(
    "comment",
    [
        "# explint is described in the readme",
        '# write "# explint: ignore[x]" to hide it',
        "# flexplint: ignore[CMP002]",
    ],
)
def test_prose_about_explint_is_no_suppression(comment: str) -> None:
    assert _parse(f"b = 2  {comment}\n") == []


@pytest.mark.parametrize(
    ("word", "help"),
    [
        ("todo-marker", "Did you mean `complete/todo-marker`?"),
        ("complete/todo-markers", "Did you mean `complete/todo-marker`?"),
        ("CMP0002", "Did you mean `CMP002`?"),
        ("complete", "Name the rules of the family that have findings here."),
        ("zzzzzz", "`explint rules` lists the names and codes."),
    ],
)
def test_an_unknown_name_is_reported_with_what_was_meant(word: str, help: str) -> None:
    applied = _apply(f"b = 2  # explint: ignore[{word}]: why\n", _finding(1))
    assert applied.findings[0].state is State.OPEN
    [problem] = applied.problems
    assert (problem.rule, problem.help) == ("suppression/unknown-rule", help)


def test_a_rule_that_gave_no_answer_is_not_called_unused() -> None:
    suppressions = _parse("b = 2  # explint: ignore[CMP002, CMP003]: why\n")
    applied = suppress.apply([], suppressions, RULES, decided={"complete/placeholder-body"})
    [problem] = applied.problems
    assert "`CMP003`" in problem.message


def test_problems_of_suppressions_can_be_suppressed_once() -> None:
    source = "b = 2  # explint: ignore[CMP002, suppression/unused]: kept for the next draft\n"
    [problem] = _apply(source).problems
    assert problem.state is State.SUPPRESSED

    # Nothing is unused here, so the second name is; that report cannot be hidden in turn.
    [problem] = _apply(source, _finding(1)).problems
    assert problem.state is State.OPEN
    assert "`suppression/unused`" in problem.message


def test_comments_are_found_in_yaml() -> None:
    text = (
        "a: 'it''s # no'  # explint: ignore[A]: one\n"
        'b: "x \\" # explint: ignore[no]: no"\n'
        "c: don't # explint: ignore[B]: two\n"
        "d: |  # explint: ignore[C]: three\n"
        "  # explint: ignore[no]: no\n"
        "\n"
        "  text\n"
        "# explint: ignore[D]: four\n"
        "e: x#explint:ignore[no]\n"
        "f:\n"
        "  - >-\n"
        "    # explint: ignore[no]: no\n"
        "  # explint: ignore[E]: five\n"
        "g: {k: '# explint: ignore[no]', l: [1, # explint: ignore[F]: six\n"
        "  2]}\n"
        "h: 'over # explint: ignore[no]\n"
        "  # explint: ignore[no]: no'  # explint: ignore[G]: seven\n"
    )
    yaml.safe_load(text)
    found = suppress.parse("config/run/a.yaml", text)
    assert [(s.names, s.reason) for s in found] == [
        (("A",), "one"),
        (("B",), "two"),
        (("C",), "three"),
        (("D",), "four"),
        (("E",), "five"),
        (("F",), "six"),
        (("G",), "seven"),
    ]
    by_name = {s.names[0]: s for s in found}
    assert by_name["C"].lines == range(4, 8)
    assert by_name["D"].lines == range(8, 10)
    assert by_name["G"].lines == range(16, 18)


def test_comments_are_found_in_toml() -> None:
    text = (
        'a = "x # explint: ignore[no]"  # explint: ignore[A]: one\n'
        "b = 'c:\\'  # explint: ignore[B]: two\n"
        's = """\n# explint: ignore[no]: no\n""quoted"""""  # explint: ignore[C]: three\n'
        "t = '''\n# explint: ignore[no]: no\n'''\n"
        "# explint: ignore-file[D]: four\n"
    )
    tomllib.loads(text)
    found = suppress.parse("pyproject.toml", text)
    assert [(s.names, s.reason, s.lines) for s in found] == [
        (("A",), "one", range(1, 2)),
        (("B",), "two", range(2, 3)),
        (("C",), "three", range(3, 6)),
        (("D",), "four", None),
    ]


def test_broken_yaml_and_toml_still_have_their_comments() -> None:
    text = 'a: "open\nb: [1, 2\n# explint: ignore[A]: broken\n'
    assert [s.names for s in suppress.parse("a.yml", text)] == [("A",)]
    text = 'a = "open\nb = """open\n# explint: ignore[A]: broken\n'
    assert [s.names for s in suppress.parse("a.toml", text)] == [("A",)]


def test_other_files_have_no_suppressions() -> None:
    assert suppress.parse("README.md", "# explint: ignore[A]: text\n") == []


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_places_do_not_depend_on_the_line_ending(newline: str) -> None:
    text = "a: 1\n# explint: ignore[A]: why\n\nb: |\n  x\n".replace("\n", newline)
    [found] = suppress.parse("a.yaml", text)
    assert (found.line, found.column, found.end_column) == (2, 1, 26)
    assert found.lines == range(2, 6)


_YAML_BITS = "a|b: |- |~|  |'|\"|# explint: x| #|!~|>-~|[|]|{|}|, |: |---~|\\|''|&a |\t|? |!2~"
yaml_soup = st.lists(
    st.sampled_from(_YAML_BITS.replace("~", "\n").split("|")).map(
        lambda bit: bit.replace("!", "|")
    ),
    max_size=25,
).map("".join)


@given(yaml_soup)
def test_what_is_called_a_yaml_comment_can_be_taken_away(text: str) -> None:
    """Blanking the comments found never changes what PyYAML reads."""
    try:
        before = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, ValueError):
        suppress.parse("a.yaml", text)
        return
    lines = text.split("\n")
    for found in suppress.parse("a.yaml", text):
        line = lines[found.line - 1]
        lines[found.line - 1] = line[: found.column - 1].rstrip(" ")
    assert list(yaml.safe_load_all("\n".join(lines))) == before


toml_values = st.recursive(
    st.one_of(st.integers(-9, 9), st.booleans(), st.text("ab#'\"\\\n ", max_size=8)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


def _toml_string(value: str, multi_line: bool) -> str:
    text = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"""{text}"""' if multi_line else '"' + text.replace("\n", "\\n") + '"'


@given(st.lists(st.tuples(st.text("a#'\"\\\n ", max_size=8), st.booleans()), max_size=6))
def test_every_toml_comment_is_found_behind_any_string(strings: list[tuple[str, bool]]) -> None:
    text = "".join(
        f"k{i} = {_toml_string(value, multi)} # explint: ignore[R{i}]: why\n"
        for i, (value, multi) in enumerate(strings)
    )
    tomllib.loads(text)
    assert [s.names for s in suppress.parse("a.toml", text)] == [
        (f"R{i}",) for i in range(len(strings))
    ]


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[str], list[tuple[int, str]]]:
    """Lines of code, and findings as (line, rule) on some of them."""
    names = [n for n in ("alpha", "beta", "gamma") if not keyword.iskeyword(n)]
    lines = draw(
        st.lists(
            st.sampled_from([f"{n} = {v}" for n in names for v in ("1", "'# no'", '"""s"""')]),
            min_size=1,
            max_size=12,
        )
    )
    findings = draw(
        st.sets(st.tuples(st.integers(1, len(lines)), st.sampled_from(NAMES)), max_size=15)
    )
    return lines, sorted(findings)


def _with_comments(
    lines: list[str], wanted: dict[int, list[str]], above: dict[int, bool]
) -> tuple[str, dict[int, int]]:
    """The program with a suppression for each line, and where its lines now stand."""
    out: list[str] = []
    moved: dict[int, int] = {}
    for number, line in enumerate(lines, 1):
        comment = f"# explint: ignore[{', '.join(wanted.get(number, []))}]: because"
        if number in wanted and above[number]:
            out.append(comment)
        moved[number] = len(out) + 1
        trailing = number in wanted and not above[number]
        out.append(f"{line}  {comment}" if trailing else line)
    return "\n".join(out) + "\n", moved


@given(programs(), st.data())
def test_suppressing_every_finding_hides_all_and_a_removed_finding_leaves_one_unused(
    program: tuple[list[str], list[tuple[int, str]]], data: st.DataObject
) -> None:
    lines, findings = program
    wanted: dict[int, list[str]] = {}
    for line, rule in findings:
        wanted.setdefault(line, []).append(rule)
    above = {line: data.draw(st.booleans()) for line in wanted}
    source, moved = _with_comments(lines, wanted, above)
    placed = [_finding(moved[line], rule) for line, rule in findings]

    applied = _apply(source, *placed)
    assert all(f.state is State.SUPPRESSED and f.reason == "because" for f in applied.findings)
    assert applied.problems == ()

    if placed:
        gone = data.draw(st.integers(0, len(placed) - 1))
        applied = _apply(source, *placed[:gone], *placed[gone + 1 :])
        [problem] = applied.problems
        assert problem.rule == "suppression/unused"
        assert f"`{placed[gone].rule}`" in problem.message


@given(st.text("# explint:ignore[]-fileCMP02,\n'\"", max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    for name in ("a.yaml", "a.toml"):
        suppress.apply([_finding(1)], suppress.parse(name, text), RULES)


def test_large_texts_take_linear_time() -> None:
    noise = '- "\\"\n' * 50_000 + "[" * 50_000 + "'" * 50_001
    assert suppress.parse("a.yaml", f"{noise}\n# explint: ignore[A]: x\n") is not None
    assert suppress.parse("a.toml", f"{noise}\n# explint: ignore[A]: x\n") is not None
