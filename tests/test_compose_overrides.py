"""The override grammar: what parses to what, and what Hydra says of the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explint.compose.errors import CompositionFailure, ErrorKind, NotCovered
from explint.compose.overrides import MAX_DEPTH, Action, Override, Sweep, parse_override


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("k=a", "a"),
        ("k=", ""),
        ("k= ", ""),
        ("k=  two words  ", "two words"),
        ("k=3", 3),
        ("k=-1_000", -1000),
        ("k=1e-4", 1e-4),
        ("k=1.", 1.0),
        ("k=true", True),
        ("k=FALSE", False),
        ("k=null", None),
        ("k=01", "01"),
        ("k=a.b/c:d@e+f%g|h*i?j", "a.b/c:d@e+f%g|h*i?j"),
        ("k='single'", "single"),
        ("k='it\\'s'", "it's"),
        ("k='a\\\\'", "a\\"),
        ('k="a \\" b"', 'a " b'),
        ("k=a\\,b", "a,b"),
        ("k=\\(x\\)", "(x)"),
        ("k=${a.b}", "${a.b}"),
        ("k=[]", []),
        ("k=[1, two,[3.5]]", [1, "two", [3.5]]),
        ("k={}", {}),
        ("k={a: 1,b:{c:[x]}}", {"a": 1, "b": {"c": ["x"]}}),
        ("k={1:a}", {1: "a"}),
        ("k=int(3.7)", 3),
        ("k=str(true)", "true"),
        ("k=float([1,2])", [1.0, 2.0]),
        ("k=bool({a:1,b:false})", {"a": True, "b": False}),
        ("k=a,b", Sweep.SIMPLE),
        ("k=int(1,2)", Sweep.SIMPLE),
        ("k=choice(a,b)", Sweep.FUNCTION),
        ("k=range(1,5)", Sweep.FUNCTION),
    ],
)
def test_values(word: str, value: object) -> None:
    parsed = parse_override(word)
    assert (parsed.value, type(parsed.value)) == (value, type(value))
    assert (parsed.key, parsed.package, parsed.action) == ("k", None, Action.CHANGE)


@pytest.mark.parametrize(
    ("word", "action", "key", "package"),
    [
        ("a.b.c=1", Action.CHANGE, "a.b.c", None),
        ("a/b=1", Action.CHANGE, "a/b", None),
        ("a/b@c.d=1", Action.CHANGE, "a/b", "c.d"),
        ("a@=1", Action.CHANGE, "a", ""),
        ("+a=1", Action.ADD, "a", None),
        ("++a.1=1", Action.FORCE_ADD, "a.1", None),
        ("~a=1", Action.DELETE, "a", None),
        ("$a=1", Action.CHANGE, "$a", None),
        ("=1", Action.CHANGE, "", None),
    ],
)
def test_keys(word: str, action: Action, key: str, package: str | None) -> None:
    assert parse_override(word) == Override(word, action, key, package, 1)


def test_a_deletion_needs_no_value() -> None:
    assert parse_override("~a") == Override("~a", Action.DELETE, "a", None, None, has_value=False)


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("run=(a)", "Error parsing override 'run=(a)'"),
        ("run=a(b", "no viable alternative at input 'a(b'"),
        ("run=a=b", "mismatched input '=' expecting <EOF>"),
        ("run=a[0]", "mismatched input '[' expecting <EOF>"),
        ("run=[a", "no viable alternative at input '[a'"),
        (
            "run=a,",
            "mismatched input '<EOF>' expecting {':', BRACKET_OPEN, BRACE_OPEN, FLOAT, INT,"
            " BOOL, NULL, UNQUOTED_CHAR, ID, ESC, WS, QUOTED_VALUE, INTERPOLATION}",
        ),
        ("run=é", "LexerNoViableAltException: run=é"),
        ("run='open", "LexerNoViableAltException: run='open"),
        ("run", "Error parsing override 'run'"),
        ("--run=a", "LexerNoViableAltException: --run=a"),
        ("run=foo(3)", "Error parsing override 'run=foo(3)'"),
        ("run=bool(yes)", "Error parsing override 'run=bool(yes)'"),
        ("run=int(a)", "Error parsing override 'run=int(a)'"),
        (
            "",
            "mismatched input '<EOF>' expecting {EQUAL, '~', '+', '@', KEY_SPECIAL, DOT_PATH, ID}",
        ),
    ],
)
def test_rejections_say_what_hydra_says(word: str, first: str) -> None:
    with pytest.raises(CompositionFailure) as caught:
        parse_override(word, 4)
    error = caught.value.error
    assert (error.kind, error.message, error.override) == (ErrorKind.OVERRIDE_SYNTAX, first, 4)


def test_the_character_that_fits_nowhere_is_marked() -> None:
    with pytest.raises(CompositionFailure) as caught:
        parse_override("run=a#b")
    error = caught.value.error
    assert error.message[error.more.index("^")] == "#"


@given(st.text(alphabet=st.sampled_from("ab1=,()[]{}'\"\\$ .:/@+~-_#\n\té"), max_size=30))
def test_any_text_has_an_answer(word: str) -> None:
    answer: object
    try:
        answer = parse_override(word).text
    except (CompositionFailure, NotCovered) as stopped:
        answer = stopped
    if isinstance(answer, CompositionFailure):
        assert "\n" not in answer.error.message
    else:
        assert answer == word or str(answer)


@given(st.text(max_size=30).filter(lambda text: "\\" not in text and "'" not in text))
def test_quotes_carry_any_text(text: str) -> None:
    assert parse_override(f"k='{text}'").value == text


def test_deep_nesting_is_refused_and_not_followed() -> None:
    with pytest.raises(NotCovered):
        parse_override("k=" + "[" * (MAX_DEPTH + 5) + "]" * (MAX_DEPTH + 5))
    with pytest.raises(NotCovered):
        parse_override("k=" + "a" * 100_000 + "(")
    with pytest.raises(NotCovered):
        parse_override("k=" + "9" * 5_000)
