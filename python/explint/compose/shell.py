"""A command line as a POSIX shell reads it: words, or why it is no list of words.

Python's ``shlex`` splits where a shell does, but takes parentheses, redirections, separators,
comments and expansions for ordinary text, so that it accepts commands no shell runs as meant.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec


class ShellProblem(msgspec.Struct, frozen=True):
    """What a shell makes of a command besides words.

    ``message`` says it in the shell's words where it stops, in ours where it runs something else.
    ``offset`` is the character (from 0) of the command. ``fatal`` is false when the shell runs a
    command all the same, with other words than were meant. ``is_pattern`` says that the word is a
    pattern for file names, which the shell leaves alone when no file matches.
    """

    message: str
    offset: int
    character: str
    fatal: bool = True
    is_pattern: bool = False


_BLANK = " \t"
_GLOB = "*?["


def split(command: str) -> list[str] | ShellProblem:
    """The words a POSIX shell would pass to the program.

    Expansions (``$x``, backquotes, ``~`` at the start of a word) are a problem, since their result
    depends on the environment; so are unquoted globs, which match files of the working directory.
    """
    words = _split(command)
    return words if isinstance(words, ShellProblem) else list(words)


@lru_cache(maxsize=256)
def _split(command: str) -> tuple[str, ...] | ShellProblem:
    """As ``split``; kept, because many rules ask about the same few command lines."""
    words: list[str] = []
    word: list[str] | None = None
    at = 0
    while at < len(command):
        char = command[at]
        if char in _BLANK:
            if word is not None:
                words.append("".join(word))
                word = None
            at += 1
            continue
        problem = _problem(command, at, starts_word=word is None, words=words)
        if problem is not None:
            return problem
        if word is None:
            word = []
        if char == "\\":
            # At the very end of a command a backslash stands for itself.
            if command[at + 1 : at + 2] != "\n":
                word.append(command[at + 1 : at + 2] or char)
            at += 2
        elif char == "'":
            end = command.find("'", at + 1)
            if end < 0:
                return ShellProblem("Unterminated quoted string", at, char)
            word.append(command[at + 1 : end])
            at = end + 1
        elif char == '"':
            result = _double_quoted(command, at)
            if isinstance(result, ShellProblem):
                return result
            text, at = result
            word.append(text)
        else:
            word.append(char)
            at += 1
    if word is not None:
        words.append("".join(word))
    return tuple(words)


def _problem(command: str, at: int, *, starts_word: bool, words: list[str]) -> ShellProblem | None:
    char = command[at]
    if char in "()":
        return ShellProblem(f'Syntax error: "{char}" unexpected', at, char)
    if char in ";&|\n":
        shown = "the end of the line" if char == "\n" else f"`{char}`"
        return ShellProblem(
            f"{shown} ends the command here and what follows is another one", at, char, fatal=False
        )
    if char in "<>":
        return ShellProblem(f"`{char}` redirects to a file", at, char, fatal=False)
    if char == "#" and starts_word:
        return ShellProblem("`#` starts a comment", at, char, fatal=False)
    if char in "$`":
        following = command[at + 1 : at + 2]
        if char == "$" and not (following.isalnum() or following in tuple("_{(@*#?$!-'\"")):
            return None
        return ShellProblem(f"the shell expands `{char}`", at, char, fatal=False)
    if char == "~" and starts_word and words:
        return ShellProblem("the shell expands `~` to a home folder", at, char, fatal=False)
    if char in _GLOB and not (char == "[" and "]" not in command[at:]):
        return ShellProblem(
            f"`{char}` makes the word a pattern for file names",
            at,
            char,
            fatal=False,
            is_pattern=True,
        )
    return None


def _double_quoted(command: str, start: int) -> tuple[str, int] | ShellProblem:
    text: list[str] = []
    at = start + 1
    while at < len(command):
        char = command[at]
        if char == '"':
            return "".join(text), at + 1
        if char == "\\" and at + 1 < len(command) and command[at + 1] in '$`"\\\n':
            if command[at + 1] != "\n":
                text.append(command[at + 1])
            at += 2
            continue
        if char == "`" or (
            char == "$"
            and (
                command[at + 1 : at + 2].isalnum()
                or command[at + 1 : at + 2] in tuple("_{(@*#?$!-")
            )
        ):
            return ShellProblem(f"the shell expands `{char}`", at, char, fatal=False)
        text.append(char)
        at += 1
    return ShellProblem("Unterminated quoted string", start, '"')
