"""What is assumed of a stream, and when."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from typing import TextIO

import pytest

from explint.report import ColorChoice, Terminal
from explint.report.terminal import Painter


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("choice", "env", "screen", "pipe"),
    [
        ("auto", {}, True, False),
        ("auto", {"NO_COLOR": "1"}, False, False),
        ("auto", {"NO_COLOR": ""}, True, False),
        ("auto", {"TERM": "dumb"}, False, False),
        ("auto", {"CLICOLOR": "0"}, False, False),
        ("auto", {"FORCE_COLOR": "1"}, True, True),
        ("auto", {"FORCE_COLOR": "0"}, True, False),
        ("auto", {"CLICOLOR_FORCE": "1", "TERM": "dumb"}, True, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ("always", {"NO_COLOR": "1"}, True, True),
        ("never", {"FORCE_COLOR": "1"}, False, False),
    ],
)
def test_colour(choice: ColorChoice, env: Mapping[str, str], screen: bool, pipe: bool) -> None:
    assert Terminal.detect(Screen(), choice, env).color is screen
    assert Terminal.detect(io.StringIO(), choice, env).color is pipe


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, False),
        ({"TERM": "xterm-256color"}, False),
        ({"TERM": "xterm-kitty"}, True),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, True),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "WezTerm"}, False),
        ({"VTE_VERSION": "7200"}, True),
        ({"VTE_VERSION": "3400"}, False),
        ({"VTE_VERSION": "\u0667\u0662\u0660\u0660"}, False),
        ({"WT_SESSION": "a"}, True),
        ({"FORCE_HYPERLINK": "1"}, True),
        ({"TERM": "xterm-kitty", "FORCE_HYPERLINK": "0"}, False),
    ],
)
def test_hyperlinks(env: Mapping[str, str], expected: bool) -> None:
    assert Terminal.detect(Screen(), env=env).hyperlinks is expected
    assert not Terminal.detect(Screen(), "never", env).hyperlinks
    piped = Terminal.detect(io.StringIO(), env=env)
    assert piped.hyperlinks is (env.get("FORCE_HYPERLINK") == "1")


@pytest.mark.parametrize(
    ("columns", "width"), [("120", 120), ("10", 40), ("0", 80), ("wide", 80), ("-5", 80)]
)
def test_columns_sets_the_width_down_to_forty(columns: str, width: int) -> None:
    assert Terminal.detect(io.StringIO(), env={"COLUMNS": columns}).width == width


@pytest.fixture
def pseudo_terminal() -> Iterator[TextIO]:
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w", encoding="utf-8") as stream:
        yield stream
    os.close(leader)


def test_the_width_of_a_real_terminal(pseudo_terminal: TextIO) -> None:
    termios = pytest.importorskip("termios")
    termios.tcsetwinsize(pseudo_terminal.fileno(), (24, 97))
    terminal = Terminal.detect(pseudo_terminal, env={"TERM": "xterm"})
    assert terminal == Terminal(color=True, hyperlinks=False, width=97, unicode=True)


@pytest.mark.parametrize(
    ("encoding", "unicode"),
    [("utf-8", True), ("UTF8", True), ("utf-16", True), ("ascii", False), ("cp1252", False)],
)
def test_only_unicode_encodings_get_more_than_ascii(encoding: str, unicode: bool) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert Terminal.detect(stream, env={}).unicode is unicode


def test_a_closed_stream_is_no_terminal() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    stream.close()
    assert not Terminal.detect(stream, env={}).color


def test_links_appear_only_where_they_work() -> None:
    url = "https://docs.example/rules/a/"
    assert Painter(Terminal()).link("a", url) == "a"
    assert Painter(Terminal(hyperlinks=True)).link("a", None) == "a"
    linked = Painter(Terminal(hyperlinks=True)).link("a", url)
    assert linked == f"\x1b]8;;{url}\x1b\\a\x1b]8;;\x1b\\"
