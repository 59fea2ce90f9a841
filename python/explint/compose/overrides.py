"""Hydra's override grammar: one word of the command line, such as ``++run.lr=1e-3``.

The rules are those of hydra-core 1.3 (``OverrideLexer.g4``, ``OverrideParser.g4``), with the words
of its generated parser for what it rejects. Sweeps parse; a single run refuses them later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec

from explint.compose.errors import CompositionFailure, ErrorKind, NotCovered
from explint.regex import regex

MAX_LENGTH = 20_000
"""Longer words are not parsed here."""

MAX_DEPTH = 100
"""How deep lists, dicts and functions of a value may nest."""


class Action(Enum):
    """What an override does; the value is its prefix."""

    CHANGE = ""
    ADD = "+"
    FORCE_ADD = "++"
    DELETE = "~"


class Sweep(Enum):
    """A value that stands for several runs."""

    SIMPLE = "a,b"
    FUNCTION = "choice(a,b)"


class Override(msgspec.Struct, frozen=True):
    """A parsed word.

    ``package`` is what follows ``@``, None without one. ``value`` is plain Python, or a Sweep;
    ``has_value`` is false for ``~key``.
    """

    text: str
    action: Action
    key: str
    package: str | None
    value: Any
    has_value: bool = True

    @property
    def name(self) -> str:
        """``key`` or ``key@package``, as the defaults list names a choice."""
        return self.key if self.package is None else f"{self.key}@{self.package}"


_INT = r"(?:0|[1-9](?:_?[0-9])*)"
_POINT = rf"(?:{_INT}?\.[0-9](?:_?[0-9])*|{_INT}\.)"
_EXPONENT = rf"(?:{_POINT}|{_INT})[eE][+-]?[0-9](?:_?[0-9])*"

# In the lexer's own order: the longest token wins, and of equally long ones the first.
_VALUE_TOKENS = tuple(
    (name, regex(pattern, re.DOTALL))
    for name, pattern in (
        ("(", r"[ \t]*\([ \t]*"),
        ("COMMA", r"[ \t]*,[ \t]*"),
        (")", r"[ \t]*\)"),
        ("BRACKET_OPEN", r"\[[ \t]*"),
        ("BRACKET_CLOSE", r"[ \t]*\]"),
        ("BRACE_OPEN", r"\{[ \t]*"),
        ("BRACE_CLOSE", r"[ \t]*\}"),
        ("COLON", r"[ \t]*:[ \t]*"),
        ("EQUAL", r"[ \t]*=[ \t]*"),
        ("FLOAT", rf"[+-]?(?:{_EXPONENT}|{_POINT}|[iI][nN][fF]|[nN][aA][nN])"),
        ("INT", rf"[+-]?{_INT}"),
        ("BOOL", r"[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]"),
        ("NULL", r"[nN][uU][lL][lL]"),
        ("UNQUOTED_CHAR", r"[/\-\\+.$%*@?|]"),
        ("ID", r"[a-zA-Z_][a-zA-Z0-9_\-]*"),
        ("ESC", r"(?:\\[\\()\[\]{}:=, \t])+"),
        ("WS", r"[ \t]+"),
        (
            "QUOTED_VALUE",
            r'"(?:(?:\\\\)*|.*?[^\\](?:\\\\)*)"|' + r"'(?:(?:\\\\)*|.*?[^\\](?:\\\\)*)'",
        ),
        ("INTERPOLATION", r"\$\{[^}]+\}"),
    )
)
_KEY_TOKENS = tuple(
    (name, regex(pattern))
    for name, pattern in (
        ("EQUAL", r"=[ \t]*"),
        ("TILDE", r"~"),
        ("PLUS", r"\+"),
        ("AT", r"@"),
        ("COLON", r":"),
        ("SLASH", r"/"),
        ("ID", r"[a-zA-Z_][a-zA-Z0-9_\-]*"),
        ("KEY_SPECIAL", r"[a-zA-Z_$][a-zA-Z0-9_\-$]*"),
        (
            "DOT_PATH",
            rf"(?:[a-zA-Z_$][a-zA-Z0-9_\-$]*|{_INT})(?:\.(?:[a-zA-Z_$][a-zA-Z0-9_\-$]*|{_INT}))+",
        ),
    )
)
_ESCAPED_QUOTE = {"'": regex(r"\\+'"), '"': regex(r'\\+"')}
_PLAIN = regex(r"([a-zA-Z_][a-zA-Z0-9_]*)=([a-zA-Z_][a-zA-Z0-9_\-]*)")
_KEYWORDS = frozenset({"true", "false", "null", "inf", "nan"})

_PRIMITIVE = frozenset(
    {"ID", "NULL", "INT", "FLOAT", "BOOL", "INTERPOLATION", "UNQUOTED_CHAR", "COLON", "ESC", "WS"}
)
_DICT_KEY = _PRIMITIVE - {"COLON", "INTERPOLATION"}
_ELEMENT = _PRIMITIVE | {"QUOTED_VALUE", "BRACKET_OPEN", "BRACE_OPEN"}
_EXPECTED_ELEMENT = (
    "':', BRACKET_OPEN, BRACE_OPEN, FLOAT, INT, BOOL, NULL, UNQUOTED_CHAR, ID, ESC, WS, "
    "QUOTED_VALUE, INTERPOLATION"
)


def parse_overrides(words: Sequence[str]) -> list[Override]:
    """The overrides of a command line, in order.

    Raises CompositionFailure for the first word the grammar rejects, NotCovered for one whose
    meaning is not decided here (a shuffle, a nested sweep function).
    """
    return [parse_override(word, index) for index, word in enumerate(words)]


def parse_override(word: str, index: int | None = None) -> Override:
    """One override; ``index`` goes into the error."""
    plain = _PLAIN.fullmatch(word)
    if plain is not None and plain[2].lower() not in _KEYWORDS:
        return Override(word, Action.CHANGE, plain[1], None, plain[2])
    if len(word) > MAX_LENGTH:
        raise NotCovered(f"an override of {len(word):,} characters")
    try:
        return _parse(word)
    except _Rejected as error:
        message, _, more = "\n".join(error.said(word)).partition("\n")
        raise CompositionFailure(ErrorKind.OVERRIDE_SYNTAX, message, more, override=index) from None
    except _NotHere as error:
        raise NotCovered(str(error)) from None


class _NotHere(Exception):  # noqa: N818 - turned into NotCovered at the door
    pass


class _Rejected(Exception):  # noqa: N818 - turned into CompositionFailure at the door
    """A rejected word. ``recognition`` says that Hydra shows the parser's words alone."""

    def __init__(self, words: str, *, recognition: bool = False, at: int | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.recognition = recognition
        self.at = at

    def said(self, word: str) -> tuple[str, str]:
        if self.at is not None:
            prefix = "LexerNoViableAltException: "
            return f"{prefix}{word}", " " * (len(prefix) + self.at) + "^"
        if self.recognition:
            return self.words, ""
        return f"Error parsing override '{word}'", self.words


class _Token(msgspec.Struct, frozen=True):
    type: str
    text: str
    start: int

    @property
    def shown(self) -> str:
        if self.type == "EOF":
            return "'<EOF>'"
        return _quoted(self.text)


def _quoted(text: str) -> str:
    return "'" + text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + "'"


class _Tokens:
    """Tokens read on demand: what stands behind the first error is never looked at."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.index = 0
        self._end = 0
        self._read: list[_Token] = []
        self._rules = _KEY_TOKENS

    def ahead(self, count: int = 1) -> _Token:
        while len(self._read) < self.index + count:
            self._read.append(self._next())
        return self._read[self.index + count - 1]

    @property
    def type(self) -> str:
        return self.ahead().type

    def take(self) -> _Token:
        token = self.ahead()
        self.index += 1
        return token

    def slice(self, start: int) -> str:
        """The text from a token up to the current one, which is shown too.

        Asked for a text, Hydra's token stream first reads everything that is left.
        """
        while self._read[-1].type != "EOF":
            self._read.append(self._next())
        return "".join(t.text for t in self._read[start : self.index + 1] if t.type != "EOF")

    def _next(self) -> _Token:
        start = self._end
        if start >= len(self.text):
            return _Token("EOF", "", start)
        best = ""
        name = ""
        for candidate, pattern in self._rules:
            match = pattern.match(self.text, start)
            if match is not None and len(match[0]) > len(best):
                best, name = match[0], candidate
        if not best:
            raise _Rejected("token recognition error", at=start)
        self._end += len(best)
        if name == "EQUAL":
            self._rules = _VALUE_TOKENS
        return _Token(name, best, start)


@lru_cache(maxsize=1024)
def _parse(word: str) -> Override:
    tokens = _Tokens(word)
    action = Action.CHANGE
    first = tokens.type
    if first == "TILDE":
        tokens.take()
        action = Action.DELETE
    elif first == "PLUS":
        tokens.take()
        action = Action.ADD
        if tokens.type == "PLUS":
            tokens.take()
            action = Action.FORCE_ADD
        elif tokens.type == "EOF":
            expected = "{EQUAL, '+', '@', KEY_SPECIAL, DOT_PATH, ID}"
            _wrong_start(tokens, expected, frozenset())
    elif first not in ("EQUAL", "AT", "KEY_SPECIAL", "DOT_PATH", "ID"):
        expected = "{EQUAL, '~', '+', '@', KEY_SPECIAL, DOT_PATH, ID}"
        _wrong_start(tokens, expected, {"EQUAL", "TILDE", "PLUS", "AT", *_KEY_STARTS})
    key = _key(tokens)
    package = None
    if tokens.type == "AT":
        tokens.take()
        package = _package(tokens)
    if action is Action.DELETE and tokens.type == "EOF":
        return Override(word, action, key, package, None, has_value=False)
    _match_equal(tokens, optional=action is Action.DELETE)
    value: Any = ""
    if tokens.type in _ELEMENT:
        value = _value(tokens)
    elif tokens.type != "EOF":
        _wrong_start(tokens, f"{{<EOF>, {_EXPECTED_ELEMENT}}}", _ELEMENT | {"EOF"})
    if tokens.type != "EOF":
        if tokens.ahead(2).type == "EOF":
            raise _Rejected(f"extraneous input {tokens.ahead().shown} expecting <EOF>")
        raise _Rejected(
            f"mismatched input {tokens.ahead().shown} expecting <EOF>", recognition=True
        )
    return Override(word, action, key, package, value() if callable(value) else value)


_KEY_STARTS = ("ID", "KEY_SPECIAL", "DOT_PATH")


def _wrong_start(tokens: _Tokens, expected: str, viable: set[str] | frozenset[str]) -> None:
    token = tokens.ahead()
    if token.type != "EOF" and tokens.ahead(2).type in viable:
        raise _Rejected(f"extraneous input {token.shown} expecting {expected}")
    raise _Rejected(f"mismatched input {token.shown} expecting {expected}", recognition=True)


def _key(tokens: _Tokens) -> str:
    start = tokens.index
    if tokens.type == "ID" and tokens.ahead(2).type == "SLASH":
        key = tokens.take().text
        while tokens.type == "SLASH":
            key += tokens.take().text
            if tokens.type != "ID":
                token = tokens.ahead()
                if tokens.ahead(2).type == "ID" if token.type != "EOF" else False:
                    raise _Rejected(f"extraneous input {token.shown} expecting ID")
                if token.type in ("EQUAL", "AT", "SLASH", "EOF"):
                    raise _Rejected(f"missing ID at {token.shown}")
                raise _Rejected(f"mismatched input {token.shown} expecting ID", recognition=True)
            key += tokens.take().text
        return key
    if tokens.type in ("EOF", "EQUAL", "AT", *_KEY_STARTS):
        return _package(tokens)
    raise _Rejected(
        f"no viable alternative at input {_quoted(tokens.slice(start))}", recognition=True
    )


def _package(tokens: _Tokens) -> str:
    token = tokens.ahead()
    if token.type in _KEY_STARTS:
        return tokens.take().text
    if token.type in ("EOF", "EQUAL", "AT"):
        return ""
    if tokens.ahead(2).type in ("EOF", "EQUAL", "AT", *_KEY_STARTS):
        raise _Rejected(f"extraneous input {token.shown}")
    raise _Rejected(f"no viable alternative at input {token.shown}", recognition=True)


def _match_equal(tokens: _Tokens, *, optional: bool) -> None:
    token = tokens.ahead()
    if token.type == "EQUAL":
        tokens.take()
        return
    expected = "{<EOF>, EQUAL}" if optional else "EQUAL"
    if token.type != "EOF" and tokens.ahead(2).type in ("EQUAL", *(("EOF",) if optional else ())):
        raise _Rejected(f"extraneous input {token.shown} expecting {expected}")
    if not optional and (token.type == "EOF" or token.type in _ELEMENT):
        raise _Rejected(f"missing EQUAL at {token.shown}")
    raise _Rejected(f"mismatched input {token.shown} expecting {expected}", recognition=True)


def _value(tokens: _Tokens) -> Any:  # noqa: ANN401 - plain values and Sweep
    start = tokens.index
    try:
        value = _element(tokens, 0)
    except _Dead:
        # Deciding between a value and a sweep, the parser reads to the end of the first element,
        # and an error on that way is told from its start.
        raise _Rejected(
            f"no viable alternative at input {_quoted(tokens.slice(start))}", recognition=True
        ) from None
    if tokens.type != "COMMA":
        return value
    choices = [value]
    while tokens.type == "COMMA":
        tokens.take()
        if tokens.type not in _ELEMENT:
            _wrong_start(tokens, f"{{{_EXPECTED_ELEMENT}}}", _ELEMENT)
        try:
            choices.append(_element(tokens, 0))
        except _Dead:
            raise _Rejected(f"mismatched input {tokens.ahead().shown}", recognition=True) from None

    def sweep() -> Sweep:
        for choice in choices:
            if callable(choice):
                choice()
        return Sweep.SIMPLE

    return sweep


class _Dead(Exception):  # noqa: N818 - never leaves this module
    """The current token fits nothing."""


def _element(tokens: _Tokens, depth: int) -> Any:  # noqa: ANN401
    """A plain value, or a callable that makes it: functions run once the whole word has parsed."""
    if depth > MAX_DEPTH:
        raise _NotHere(f"a value nested more than {MAX_DEPTH} deep")
    kind = tokens.type
    if kind == "BRACKET_OPEN":
        return _list(tokens, depth)
    if kind == "BRACE_OPEN":
        return _dict(tokens, depth)
    if kind == "QUOTED_VALUE":
        return _unquoted(tokens.take().text)
    if kind == "ID" and tokens.ahead(2).type == "(":
        return _function(tokens, depth)
    if kind in _PRIMITIVE:
        return _primitive(tokens, _PRIMITIVE)
    raise _Dead


def _list(tokens: _Tokens, depth: int) -> Any:  # noqa: ANN401
    tokens.take()
    items: list[Any] = []
    if tokens.type != "BRACKET_CLOSE":
        items.append(_element(tokens, depth + 1))
        while tokens.type == "COMMA":
            tokens.take()
            items.append(_element(tokens, depth + 1))
        if tokens.type != "BRACKET_CLOSE":
            raise _Dead
    tokens.take()
    if any(callable(item) for item in items):
        return lambda: [item() if callable(item) else item for item in items]
    return items


def _dict(tokens: _Tokens, depth: int) -> Any:  # noqa: ANN401
    tokens.take()
    pairs: list[tuple[Any, Any]] = []
    if tokens.type != "BRACE_CLOSE":
        pairs.append(_pair(tokens, depth))
        while tokens.type == "COMMA":
            tokens.take()
            pairs.append(_pair(tokens, depth))
        if tokens.type != "BRACE_CLOSE":
            raise _Dead
    tokens.take()
    if any(callable(value) for _, value in pairs):
        return lambda: {key: value() if callable(value) else value for key, value in pairs}
    return dict(pairs)


def _pair(tokens: _Tokens, depth: int) -> tuple[Any, Any]:
    if tokens.type not in _DICT_KEY:
        raise _Dead
    key = _primitive(tokens, _DICT_KEY)
    if tokens.type != "COLON":
        raise _Dead
    tokens.take()
    return key, _element(tokens, depth + 1)


def _primitive(tokens: _Tokens, allowed: frozenset[str]) -> Any:  # noqa: ANN401
    parts: list[_Token] = []
    while tokens.type in allowed:
        parts.append(tokens.take())
    if parts[0].type == "WS":
        if len(parts) == 1:
            raise _Rejected("Trying to parse a primitive that is all whitespaces")
        del parts[0]
    if parts[-1].type == "WS":
        del parts[-1]
    if not parts:
        raise _NotHere("a value of white space only")
    if len(parts) > 1:
        return "".join(p.text[1::2] if p.type == "ESC" else p.text for p in parts)
    kind, text = parts[0].type, parts[0].text
    if kind == "INT":
        try:
            return int(text)
        except ValueError as error:
            raise _NotHere(str(error)) from None
    if kind == "FLOAT":
        return float(text)
    if kind == "BOOL":
        return text.lower() == "true"
    if kind == "NULL":
        return None
    return text[1::2] if kind == "ESC" else text


def _unquoted(text: str) -> str:
    # Backslashes are escapes only in front of a quote, the closing one included.
    pattern = _ESCAPED_QUOTE[text[0]]
    rest = text[1:]
    parts: list[str] = []
    while (match := pattern.search(rest)) is not None:
        parts.append(rest[: match.start()])
        parts.append(match[0][1::2])
        rest = rest[match.end() :]
    parts.append(rest[:-1])
    return "".join(parts)


def _function(tokens: _Tokens, depth: int) -> Callable[[], Any]:
    opened = tokens.ahead().start
    name = tokens.take().text
    tokens.take()
    positional: list[Any] = []
    named: dict[str, Any] = {}
    disordered = False
    if tokens.type != ")":
        while True:
            if tokens.type == "ID" and tokens.ahead(2).type == "EQUAL":
                key = tokens.take().text
                tokens.take()
                named[key] = _element(tokens, depth + 1)
            else:
                disordered = disordered or bool(named)
                positional.append(_element(tokens, depth + 1))
            if tokens.type != "COMMA":
                break
            tokens.take()
        if tokens.type != ")":
            raise _Dead
    end = tokens.take()
    text = tokens.text[opened : end.start + len(end.text)]

    def evaluate() -> Any:  # noqa: ANN401
        if disordered:
            raise _Rejected("positional argument follows keyword argument")
        args = [arg() if callable(arg) else arg for arg in positional]
        return _call(name, args, {k: v() if callable(v) else v for k, v in named.items()}, text)

    return evaluate


_FUNCTIONS = "bool,choice,float,glob,int,interval,range,shuffle,sort,str,tag"


def _call(name: str, args: list[Any], named: dict[str, Any], text: str) -> Any:  # noqa: ANN401
    def failed(error: str) -> _Rejected:
        return _Rejected(
            f"{error.partition(':')[0]} while evaluating '{text}'{error[error.find(':') :]}"
        )

    if name not in _FUNCTIONS.split(","):
        raise failed(f"HydraException: Unknown function '{name}'\nAvailable: {_FUNCTIONS}")
    if any(isinstance(arg, Sweep) for arg in (*args, *named.values())):
        raise _NotHere("a function of a sweep in an override")
    cast = _CASTS.get(name)
    if cast is not None:
        if named or len(args) != 1:
            if not named and args:
                return Sweep.SIMPLE
            raise _NotHere(f"{name}() with arguments by name, or none, in an override")
        try:
            return _deep(cast, args[0])
        except (ValueError, OverflowError) as error:
            raise failed(f"{type(error).__name__}: {error}") from None
    numbers = all(isinstance(a, int | float) and not isinstance(a, bool) for a in args)
    if not named and (
        (name == "choice" and args)
        or (name == "range" and 1 <= len(args) <= 3 and numbers)
        or (name == "interval" and len(args) == 2 and numbers)
        or (name == "glob" and len(args) == 1 and isinstance(args[0], str))
    ):
        return Sweep.FUNCTION
    raise _NotHere(f"{name}() in an override")


def _deep(cast: Callable[[Any], Any], value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _deep(cast, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_deep(cast, item) for item in value]
    if value is None:
        raise _NotHere("a cast of null in an override")
    return cast(value)


def _to_bool(value: Any) -> bool:  # noqa: ANN401
    if isinstance(value, str):
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise ValueError(f"Cannot cast '{value}' to bool")
    return bool(value)


def _to_str(value: Any) -> str:  # noqa: ANN401
    return str(value).lower() if isinstance(value, bool) else str(value)


_CASTS: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "float": float,
    "str": _to_str,
    "bool": _to_bool,
}
