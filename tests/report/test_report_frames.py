"""Code frames: the span is underlined where it is, whatever the line looks like."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from explint.model import Confidence, Finding, Severity
from explint.report.frame import code_frame
from explint.report.terminal import ASCII, UNICODE
from explint.report.text import cells


def frame(
    text: str, line: int, column: int, end_line: int, end_column: int, width: int = 80
) -> list[str] | None:
    finding = Finding(
        rule="complete/undefined-name",
        code="CMP007",
        severity=Severity.ERROR,
        confidence=Confidence.HIGH,
        message="m",
        help="h",
        path="a.py",
        line=line,
        column=column,
        end_line=end_line,
        end_column=end_column,
    )
    drawn = code_frame(text.split("\n"), finding, width=width, unicode=True, glyphs=UNICODE)
    if drawn is None:
        return None
    return ["".join(text for text, _ in row).rstrip() for row in drawn[1]]


def underlined(rows: list[str]) -> str:
    """What of the source stands above the carets, found by cells as a terminal lays them out."""
    at = next(n for n, row in enumerate(rows) if re.fullmatch(r" *[│┃] *\^+", row))
    begin, end = rows[at].index("^"), len(rows[at])
    out, cell = "", 0
    for char in rows[at - 1]:
        if begin <= cell < end:
            out += char
        cell += cell_len(char)
    return out


def test_two_lines_before_and_one_after_are_shown() -> None:
    assert frame("a\nb\nc\nd = e\nf\ng", 4, 5, 4, 6) == [
        "2 │ b",
        "3 │ c",
        "4 │ d = e",
        "  │     ^",
        "5 │ f",
    ]


def test_blank_lines_at_the_edges_are_left_out() -> None:
    assert frame("\n\nd = e\n\nf", 3, 1, 3, 2) == ["3 │ d = e", "  │ ^"]


def test_line_numbers_of_different_length_are_aligned() -> None:
    rows = frame("x\n" * 9 + "y\nz", 10, 1, 10, 2)
    assert rows == [" 8 │ x", " 9 │ x", "10 │ y", "   │ ^", "11 │ z"]


@pytest.mark.parametrize(
    ("line", "span"),
    [
        ("x = 表示名[k]", "表示名"),
        ("\tif\tname:", "name"),
        ("é = e\u0301 + 名", "名"),
        ("한글 = 값", "값"),
    ],
)
def test_wide_characters_and_tabs_keep_the_underline_in_place(line: str, span: str) -> None:
    column = line.index(span) + 1
    rows = frame(line, 1, column, 1, column + len(span))
    assert rows is not None
    assert underlined(rows) == span


def test_invisible_and_control_characters_are_shown_as_escapes() -> None:
    line = "a\x1b[31m\u200b = b"
    rows = frame(line, 1, 2, 1, 3)
    assert rows == [r"1 │ a\x1b[31m\u200b = b", "  │  ^^^^"]


def test_a_long_line_is_cut_around_the_span() -> None:
    line = "a" * 300 + "SPAN" + "b" * 300
    rows = frame(line, 1, 301, 1, 305, width=60)
    assert rows is not None
    assert rows[0].startswith("1 │ …aaa")
    assert rows[0].endswith("bbb…")
    assert underlined(rows) == "SPAN"
    assert all(len(row) <= 60 for row in rows)


def test_a_span_wider_than_the_terminal_shows_its_beginning() -> None:
    rows = frame("x" * 10 + "(" + "y" * 500, 1, 11, 1, 512, width=60)
    assert rows is not None
    assert underlined(rows).startswith("(yyy")


def test_a_line_of_ten_megabytes_is_laid_out_around_the_span_only() -> None:
    line = "x" * 9_000_000 + "SPAN" + "y" * 1_000_000
    rows = frame(line, 1, 9_000_001, 1, 9_000_005, width=60)
    assert rows is not None
    assert underlined(rows) == "SPAN"
    assert rows[0].startswith("1 │ …xxx")
    assert rows[0].endswith("yyy…")


def test_a_long_span_is_shown_by_its_ends() -> None:
    text = "\n".join(f"line {n}" for n in range(1, 21))
    assert frame(text, 3, 1, 18, 4) == [
        " 1 │ line 1",
        " 2 │ line 2",
        " 3 ┃ line 3",
        "   ┃ ^^^^^^",
        " 4 ┃ line 4",
        " 5 ┃ line 5",
        " … ┃",
        "18 ┃ line 18",
        "19 │ line 19",
    ]


def test_a_span_that_ends_before_a_line_does_not_mark_it() -> None:
    rows = frame("if a:\n    pass\nb", 1, 1, 3, 1)
    assert rows == ["1 ┃ if a:", "  ┃ ^^^^^", "2 ┃     pass", "3 │ b"]


def test_an_empty_span_gets_one_caret() -> None:
    assert frame("f(", 1, 3, 1, 3) == ["1 │ f(", "  │   ^"]


@pytest.mark.parametrize("place", [(1, 1, 1, 1), (9, 1, 9, 2)])
def test_there_is_no_frame_for_a_whole_file_or_a_line_that_is_not_there(
    place: tuple[int, int, int, int],
) -> None:
    assert frame("a = 1", *place) is None


lines = st.lists(st.text(st.characters(), max_size=120), min_size=1, max_size=9)
numbers = st.integers(1, 130)


@given(lines, numbers, numbers, numbers, numbers, st.integers(40, 100), st.booleans())
def test_any_span_over_any_text_fits(
    source: list[str],
    line: int,
    column: int,
    end_line: int,
    end_column: int,
    width: int,
    unicode: bool,
) -> None:
    finding = Finding(
        rule="r",
        code="c",
        severity=Severity.INFO,
        confidence=Confidence.LOW,
        message="",
        help="",
        path="",
        line=line % 10,
        column=column,
        end_line=end_line % 12,
        end_column=end_column,
    )
    glyphs = UNICODE if unicode else ASCII
    drawn = code_frame(source, finding, width=width, unicode=unicode, glyphs=glyphs)
    if drawn is None:
        return
    carets = [row for row in drawn[1] if "^" in row[-1][0] and row[-1][1] == "info"]
    assert len(carets) == 1
    for row in drawn[1]:
        text = "".join(part for part, _ in row)
        assert cells(text) <= width
        assert unicode or text.isascii()
