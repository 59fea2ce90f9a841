"""What the receiving end of a stream can show, and how styled text is written for it."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Mapping
from typing import Literal, TextIO

import msgspec

ColorChoice = Literal["auto", "always", "never"]

DEFAULT_WIDTH = 80
MINIMUM_WIDTH = 40

_LINKING_PROGRAMS = frozenset(
    {"iTerm.app", "WezTerm", "vscode", "Hyper", "ghostty", "Tabby", "rio", "zed", "WarpTerminal"}
)
_LINKING_TERMS = ("xterm-kitty", "xterm-ghostty", "alacritty", "foot", "wezterm", "contour")


class Terminal(msgspec.Struct, frozen=True):
    """What a stream takes: SGR colour, OSC 8 hyperlinks, ``width`` in cells, more than ASCII."""

    color: bool = False
    hyperlinks: bool = False
    width: int = DEFAULT_WIDTH
    unicode: bool = True

    @classmethod
    def detect(
        cls,
        stream: TextIO,
        color: ColorChoice = "auto",
        env: Mapping[str, str] = os.environ,
    ) -> Terminal:
        """Asks the stream and the environment.

        ``NO_COLOR``, ``FORCE_COLOR`` and ``CLICOLOR_FORCE`` follow no-color.org, force-color.org
        and bixense.com/clicolors; ``NO_COLOR`` wins, and ``color`` wins over all. Hyperlinks are
        on only for terminals known to show them, or when ``FORCE_HYPERLINK`` asks for them.
        """
        interactive = _is_terminal(stream)
        return cls(
            color=_color(color, interactive, env),
            hyperlinks=color != "never" and _hyperlinks(interactive, env),
            width=max(_width(stream, interactive, env), MINIMUM_WIDTH),
            unicode=_is_unicode(stream),
        )


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def _color(choice: ColorChoice, interactive: bool, env: Mapping[str, str]) -> bool:
    if choice != "auto":
        return choice == "always"
    if env.get("NO_COLOR"):
        return False
    if any(env.get(name, "") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return interactive and env.get("TERM") != "dumb" and env.get("CLICOLOR") != "0"


def _hyperlinks(interactive: bool, env: Mapping[str, str]) -> bool:
    forced = env.get("FORCE_HYPERLINK")
    if forced:
        return forced != "0"
    term = env.get("TERM", "")
    if not interactive or term == "dumb" or term.startswith(("screen", "tmux")):
        return False
    return (
        env.get("TERM_PROGRAM") in _LINKING_PROGRAMS
        or term.startswith(_LINKING_TERMS)
        or bool(env.get("WT_SESSION"))
        or bool(env.get("DOMTERM"))
        or _number(env.get("VTE_VERSION")) >= 5000
        or _number(env.get("KONSOLE_VERSION")) >= 201200
    )


def _width(stream: TextIO, interactive: bool, env: Mapping[str, str]) -> int:
    columns = _number(env.get("COLUMNS"))
    if columns > 0:
        return columns
    if interactive:
        try:
            return os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH
        except (OSError, ValueError, AttributeError):
            return DEFAULT_WIDTH
    return DEFAULT_WIDTH


def _number(text: str | None) -> int:
    # int() would accept other digits and raise on their mixtures; ASCII digits are what is meant.
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0


def _is_unicode(stream: TextIO) -> bool:
    # A stream without an encoding (io.StringIO) holds text and takes every character.
    encoding = getattr(stream, "encoding", None)
    if encoding is None:
        return True
    try:
        return codecs.lookup(encoding).name.startswith("utf")
    except LookupError:
        return False


Part = tuple[str, str]
"""Printable text and the name of its style, or "" for none."""

_SGR = {
    "error": "1;31",
    "warning": "1;33",
    "info": "1;36",
    "good": "1;32",
    "bold": "1",
    "dim": "2",
    "label": "1;34",
}


class Glyphs(msgspec.Struct, frozen=True):
    """The few signs beyond letters that a report draws with."""

    bar: str
    corner: str
    mark: str
    rule: str
    dot: str
    dash: str
    ellipsis: str
    met: str
    violated: str
    unknown: str


UNICODE = Glyphs(
    bar="│", corner="╭─", mark="┃", rule="─", dot="·", dash="—", ellipsis="…",
    met="✓", violated="✗", unknown="?",
)  # fmt: skip
ASCII = Glyphs(
    bar="|", corner="-->", mark=">", rule="-", dot="|", dash="-", ellipsis="...",
    met="+", violated="x", unknown="?",
)  # fmt: skip


class Painter:
    """Writes styled parts for one terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.glyphs = UNICODE if terminal.unicode else ASCII

    def paint(self, text: str, style: str) -> str:
        """Text in a style; as it is when the terminal has no colour."""
        if not (style and text and self.terminal.color):
            return text
        return f"\x1b[{_SGR[style]}m{text}\x1b[0m"

    def line(self, parts: Iterable[Part]) -> str:
        """One line without trailing spaces."""
        kept = list(parts)
        while kept and not kept[-1][0].strip(" "):
            kept.pop()
        if kept:
            kept[-1] = (kept[-1][0].rstrip(" "), kept[-1][1])
        return "".join([self.paint(text, style) for text, style in kept])

    def link(self, text: str, url: str | None, style: str = "") -> str:
        """Text that leads to ``url`` (percent-encoded) where the terminal takes hyperlinks."""
        painted = self.paint(text, style)
        if not (url and self.terminal.hyperlinks):
            return painted
        return f"\x1b]8;;{url}\x1b\\{painted}\x1b]8;;\x1b\\"
