"""Splits the text of a verdict into the statements it makes.

A verdict is free text: prose, numbered points, points with points of their own, headings, advice
at the end. What claims something about the code becomes a ``Statement``; conclusions ("not ready
for execution") and advice ("remove the column") become remarks, so that no text is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from explint.model.judgement import ClaimKind
from explint.regex import regex

MAX_CHARACTERS = 20_000
"""What is read of a verdict: its text is untrusted like the rest of a record."""

# What word processors and language models write for the quotes, hyphens and spaces of ASCII.
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2018\u2019\u201a", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015", "-"),
        **dict.fromkeys("\u00a0\u2009\u202f\t", " "),
    }
)

_MAX_SENTENCE = 1000

_ITEM = regex(r"^( *)(?:\(?(\d{1,2})[.)]|\(?([a-h])\)|[-*•●▪◦‣·])\s+(?=\S)")
_INLINE = regex(r"(?:(?<=[:;.,])|(?<= and))\s+\(?(\d{1,2})[.)]\s+(?=[^\s\d])")
_SENTENCE = regex(
    r"(?<![eE]\.g\.)(?<!i\.e\.)(?<!vs\.)(?<=[.!?])[\"')]?\s+(?=[A-Z`\"'(_*]|[a-z_/]+\.py\b)"
)
_ADVICE_HEADING = regex(
    r"^\W{0,20}(?:(?:minimal|suggested|recommended|required|possible|proposed|how to|to|please"
    r"|quick)\s+)*"
    r"(?:fix(?:es)?|changes?|actions?|recommendations?|suggestions?|solution|remed\w+|next steps?)"
    r"\b[^.]{0,40}$|^\W{0,20}(?:to (?:fix|resolve|make)\b[^.]{0,60}|next steps?\b[^.]{0,40}):?$",
    re.IGNORECASE,
)
_ADVICE = regex(
    r"^\W{0,20}(?:please\b|fix\b|to (?:fix|resolve|make)\b|remove\b|add\b|use\b|replace\b|change\b"
    r"|store\b"
    r"|re-export\b|rename\b|move\b|implement\b|ensure\b|provide\b|update\b|alternatively\b"
    r"|consider\b"
    r"|make sure\b|load\b|at the end of\b|in \S+, (?:always|never)\b|either\b.*\bor\b"
    r"|the correct (?:path|form|way|call|key) (?:should be|is)\b"
    r"|(?:these|this|all) .{0,40}(?:must|should|need to) be (?:fixed|corrected|resolved"
    r"|addressed)\b)",
    re.IGNORECASE,
)
_CONCLUSION = regex(
    r"^\W{0,20}(?:until\b|because of (?:these|this|the above)\b|therefore,?\s+(?:the )?(?:code"
    r"|experiment|"
    r"package|repository|criterion)\b.{0,60}\b(?:not|cannot)\b|overall\b|in (?:summary"
    r"|conclusion)\b"
    r"|as a result,? the (?:code|experiment)\b|consequently,? the (?:code|experiment)\b"
    r"|hence,? the (?:code|experiment)\b|therefore:?$"
    r"|(?:the |this )?(?:provided |generated |experiment )*(?:code|package|repository"
    r"|implementation)"
    r" (?:is|can)\s?not\b.{0,100}\b(?:ready|executable|executed|run|production|acceptable)\b"
    r"|does not satisfy\b.{0,40}criteria\b|(?:several|multiple|some|many) (?:core |critical )?"
    r"(?:requirements|issues|problems)\b.{0,60}\b(?:violated|remain|exist|found)\W*$"
    r"|[^`/]*\b(?:not|prevent\w*|block\w*|cannot)\b[^`/]{0,40}\b(?:ready|executed|execution)\b"
    r"(?=.{0,40}\b(?:immediate\w*|end-to-end|production|workflow)\b|\W+execution\b)"
    r"|[^`/]*\b(?:prevents?|blocks?) immediate execution\b"
    r"|[^`/]*\b(?:cannot be|not) executed end-to-end\b)",
    re.IGNORECASE,
)
_ADVICE_OPENS = regex(
    r"^\W{0,20}(?:minimal |suggested |recommended )?fix(?:es)?\s*:", re.IGNORECASE
)
_CONCESSION = regex(
    r"\b(?:(?:all|every|any) (?:the )?other\b|everything else\b|(?:the )?(?:remaining|rest)\b"
    r"|other(?:wise)?\b(?=.{0,30}\b(?:criteria|requirements|checks|items)\b))"
    r"(?:(?!\b(?:not|no|never|cannot|missing|fail\w*|violat\w*|empty|absent|incomplete)\b).)*?"
    r"\b(?:met|satisfied|fulfilled|pass(?:es|ed)?|correct(?:ly)?|fine|in place|complete"
    r"|ok(?:ay)?)\b",
    re.IGNORECASE,
)
_PRAISE = regex(
    r"\b(?:is|are|looks?|appears?|seems?)\s+(?:itself\s+|largely\s+|mostly\s+|all\s+|otherwise\s+)*"
    r"(?:complete|correct|fine|in place|satisfied|acceptable|well[- ](?:formed|structured))\b",
    re.IGNORECASE,
)
_TROUBLE = regex(
    r"\b(?:not|no|never|cannot|can't|doesn't|isn't|without|missing|lacks?|lacking|fails?|failing|"
    r"violat\w+|empty|absent|incomplete|raises?|crash\w*|errors?|wrong\w*|ignor\w+|only|but"
    r"|however|"
    r"instead|unused|undefined|mismatch\w*|breaks?|incorrect\w*)\b",
    re.IGNORECASE,
)
_BUT = regex(r",?\s+(?:but|however|yet|although|though)\b,?\s+", re.IGNORECASE)
_DENIAL = regex(
    r"(?:^|[.;,:]\s)\s*((?:\S+ ){0,4}?(?:does not|do not|doesn't|never|lacks?|misses"
    r"|fails to))\W*$",
    re.IGNORECASE,
)
_ENDS_OPEN = regex(r"(?:[:,]|\b(?:NOT|not|following|lacks?|missing))\s*$")


class Statement(msgspec.Struct, frozen=True):
    """One statement: its sentences, and the headings it stands under, the nearest last.

    ``prose`` says that it is a sentence of running text, which may only carry on what the one
    before it says; a point of a list stands by itself.
    """

    sentences: tuple[str, ...]
    kind: ClaimKind
    context: tuple[str, ...] = ()
    prose: bool = False

    @property
    def text(self) -> str:
        """The sentences as one text."""
        return " ".join(self.sentences)


class _Block(msgspec.Struct):
    """A run of lines that belong together; ``level`` is 0 for prose, 1 for points, 2 below."""

    level: int
    text: str


def split_verdict(text: str) -> tuple[list[Statement], list[str]]:
    """The statements of a verdict in their order, and what states nothing."""
    blocks = list(_blocks(text[:MAX_CHARACTERS].translate(_PLAIN)))
    statements: list[Statement] = []
    remarks: list[str] = []
    headings: dict[int, str] = {}
    advising: int | None = None
    for i, block in enumerate(blocks):
        headings = {level: h for level, h in headings.items() if level < block.level}
        below = blocks[i + 1].level if i + 1 < len(blocks) else 0
        if advising is not None and block.level > advising:
            remarks.append(block.text)
            continue
        advising = None
        if _ADVICE_HEADING.match(block.text):
            advising = block.level
            remarks.append(block.text)
            continue
        context = tuple(headings[level] for level in sorted(headings))
        sentences = _sentences(block.text)
        if below > block.level and (len(sentences) == 1 or _ENDS_OPEN.search(sentences[-1])):
            headings[block.level] = block.text
            opening = sentences[:-1]
            if not opening:
                if _ADVICE.match(block.text):
                    advising = block.level
                remarks.append(block.text)
                continue
            sentences = opening
        _read(sentences, context, statements, remarks, prose=block.level == 0)
    return statements, remarks


def _read(
    sentences: list[str],
    context: tuple[str, ...],
    statements: list[Statement],
    remarks: list[str],
    *,
    prose: bool,
) -> None:
    """Sorts the sentences of one block."""
    denial = _DENIAL.search(context[-1]) if context else None
    if denial is not None:
        # "It does not:", and below it what it does not do.
        sentences = [f"{denial[1].strip()} {sentences[0]}", *sentences[1:]]
    problem: list[str] = []
    advising = False
    for whole in sentences:
        # Longer sentences are read up to here: patterns look back and forth within one.
        if len(whole) > _MAX_SENTENCE:
            remarks.append(whole[_MAX_SENTENCE:])
        for sentence in _turns(whole[:_MAX_SENTENCE]):
            advising = advising or _ADVICE_OPENS.match(sentence) is not None
            if advising or _ADVICE.match(sentence) or _CONCLUSION.match(sentence):
                remarks.append(sentence)
            elif _is_concession(sentence):
                statements.append(Statement((sentence,), ClaimKind.CONCESSION, context, prose))
            elif prose:
                statements.append(Statement((sentence,), ClaimKind.PROBLEM, context, prose))
            else:
                problem.append(sentence)
    if problem:
        statements.append(Statement(tuple(problem), ClaimKind.PROBLEM, context))


def is_broad(text: str) -> bool:
    """Whether a concession covers everything that the verdict does not complain of."""
    return _CONCESSION.search(text) is not None


def _is_concession(sentence: str) -> bool:
    if _CONCESSION.search(sentence):
        return True
    return _PRAISE.search(sentence) is not None and _TROUBLE.search(sentence) is None


def _turns(sentence: str) -> list[str]:
    """The sentence in two when it concedes first and then says what is wrong."""
    turn = _BUT.search(sentence)
    if turn is not None and _is_concession(sentence[: turn.start()]):
        return [sentence[: turn.start()], sentence[turn.end() :]]
    return [sentence]


def _sentences(text: str) -> list[str]:
    return [s.strip() for s in _SENTENCE.split(text) if s.strip()]


def _blocks(text: str) -> Iterator[_Block]:
    """The points and paragraphs of a text, with the lines of each joined."""
    block: _Block | None = None
    numbered = False
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line.strip():
            if block is not None:
                yield from _spread(block)
            if block is not None and block.level == 0:
                numbered = False
            block = None
            continue
        item = _ITEM.match(line)
        if item is not None:
            if block is not None:
                yield from _spread(block)
            is_number = item[2] is not None
            level = 1 if is_number or not numbered else 2
            numbered = numbered or is_number
            block = _Block(level, " ".join(line[item.end() :].split()))
        elif block is None:
            # After a blank line text that is not indented leaves the list.
            level = 0 if not line.startswith("  ") or not numbered else 1
            numbered = numbered and level > 0
            block = _Block(level, " ".join(line.split()))
        elif block.level and not line.startswith(" ") and block.text.endswith((".", "!", ")")):
            yield from _spread(block)
            numbered = False
            block = _Block(0, line.strip())
        elif block.level == 0 and block.text.endswith(":"):
            yield from _spread(block)
            block = _Block(1 if line.startswith("  ") else 0, line.strip())
        else:
            block.text += f" {' '.join(line.split())}"
    if block is not None:
        yield from _spread(block)


def _spread(block: _Block) -> Iterator[_Block]:
    """A block whose text numbers its points in the line, as one block for each of them."""
    if block.level:
        yield block
        return
    marks: list[re.Match[str]] = []
    for mark in _INLINE.finditer(block.text):
        if int(mark[1]) == len(marks) + 1:
            marks.append(mark)
    if len(marks) < 2:
        yield block
        return
    if head := block.text[: marks[0].start()].strip():
        yield _Block(0, head)
    for mark, end in zip(marks, [*(m.start() for m in marks[1:]), len(block.text)], strict=True):
        yield _Block(1, block.text[mark.end() : end].strip().removesuffix(" and").rstrip(" ;,"))
