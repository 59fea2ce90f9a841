"""Reads the literate case files: packages written down in Markdown, with what must be found.

A case file is named after its rule and titled with the rule's name. Each section is one package:

    ## Fires: title                     or    ## Silent: why nothing may be found
    <!-- profile: NAME -->              full-trial when left out
    <!-- record -->                     a part of a package: an empty file is a withheld one
    <!-- run: ID -->                    a run that the experiment names, beside its files
    <!-- hypothesis: TEXT -->           what a judge record says of the research method
    <!-- encoding: NAME -->             how the section's files are encoded, UTF-8 when left out
    `path/to/file`:                     followed by a code block: laid over the base package
    `path/to/file`: deleted             taken out of the base package
    <!-- expect: RULE path:LINE -->     a finding; line 1 when left out

In a code block a comment `# expect: RULE` at the end of a line stands for a finding on it, and
a line `# expect-above: RULE` for one on the line above. Both are taken out before the check.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

CASES = Path(__file__).parent / "cases"
BASE = CASES / "base"

_SECTION = re.compile(r"## (Fires|Silent): (.+)")
_FILE = re.compile(r"`([^`]+)`:\s*(deleted)?\s*")
_EXPECT_PATH = re.compile(r"<!--\s*expect:\s*([\w/-]+)\s+([^\s:]+)(?::(\d+))?\s*-->")
_PROFILE = re.compile(r"<!--\s*profile:\s*(\S+)\s*-->")
_ENCODING = re.compile(r"<!--\s*encoding:\s*(\S+)\s*-->")
_RUN = re.compile(r"<!--\s*run:\s*(.+?)\s*-->")
_HYPOTHESIS = re.compile(r"<!--\s*hypothesis:\s*(.+?)\s*-->")
_RECORD = re.compile(r"<!--\s*record\s*-->")
_EXPECT = re.compile(r"\s*(?:#|<!--)\s*expect(-above)?:\s*([\w/-]+)\s*(?:-->)?\s*$")


@dataclass(slots=True)
class Case:
    """One section of a case file.

    ``files`` overlays the base package; None stands for a file that is deleted from it, and an
    empty text in a record for one that was withheld. ``expected`` holds (rule, path, line), the
    rule with its family.
    """

    rule: str
    title: str
    fires: bool
    source: str
    record: bool = False
    hypothesis: str = ""
    profile: str = "full-trial"
    encoding: str = "utf-8"
    runs: list[str] = field(default_factory=list)
    files: dict[str, str | None] = field(default_factory=dict)
    expected: set[tuple[str, str, int]] = field(default_factory=set)

    @property
    def id(self) -> str:
        """How a test run names the case."""
        return f"{self.rule}-{'fires' if self.fires else 'silent'}-{self.title}"

    def package(self) -> dict[str, str | bytes]:
        """The whole package: the base with the case's files laid over it."""
        files: dict[str, str | bytes] = dict(base_package())
        for path, text in self.files.items():
            if text is None:
                files.pop(path, None)
            else:
                files[path] = text if self.encoding == "utf-8" else text.encode(self.encoding)
        return files


def base_package() -> dict[str, str]:
    """The sound package that every case starts from."""
    return {
        path.relative_to(BASE).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(BASE.rglob("*"))
        if path.is_file() and not _is_left_by_a_tool(path.relative_to(BASE))
    }


def _is_left_by_a_tool(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def load_cases() -> list[Case]:
    """Every section of every case file, in order of path and place."""
    return [case for path in sorted(CASES.glob("*/*.md")) for case in read_cases(path)]


def read_cases(path: Path) -> list[Case]:
    """The sections of one case file; a ValueError names the place that cannot be read."""
    cases: list[Case] = []
    rule = name = ""
    block: list[str] = []
    fence = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        where = f"{path.name}:{number}"
        if fence:
            if line != fence:
                block.append(line)
                continue
            cases[-1].files[name] = _take_expectations(cases[-1], name, block)
            name, fence, block = "", "", []
        elif line.startswith("# "):
            rule = line[2:].strip()
        elif section := _SECTION.fullmatch(line):
            cases.append(Case(rule, section[2].strip(), section[1] == "Fires", where))
        elif line.startswith("##"):
            raise ValueError(f"{where}: a section is `## Fires: title` or `## Silent: reason`")
        elif _RECORD.fullmatch(line):
            cases[-1].record = True
        elif profile := _PROFILE.fullmatch(line):
            cases[-1].profile = profile[1]
        elif run := _RUN.fullmatch(line):
            cases[-1].runs.append(run[1])
        elif hypothesis := _HYPOTHESIS.fullmatch(line):
            cases[-1].hypothesis = hypothesis[1]
        elif encoding := _ENCODING.fullmatch(line):
            cases[-1].encoding = encoding[1]
        elif expected := _EXPECT_PATH.fullmatch(line):
            cases[-1].expected.add((expected[1], expected[2], int(expected[3] or 1)))
        elif heading := _FILE.fullmatch(line):
            name = heading[1]
            if heading[2]:
                cases[-1].files[name] = None
                name = ""
        elif line.startswith("```"):
            if not name:
                raise ValueError(f"{where}: a code block needs a line that names its file")
            fence = "`" * (len(line) - len(line.lstrip("`")))
    if fence:
        raise ValueError(f"{path.name}: the code block of {name} never ends")
    return cases


def _take_expectations(case: Case, name: str, block: list[str]) -> str:
    """Notes the expectations in a block and gives the text without them."""
    text: list[str] = []
    for line in block:
        expected = _EXPECT.search(line)
        if expected is None:
            text.append(line)
            continue
        above = expected[1] is not None
        if not above:
            text.append(line[: expected.start()])
        case.expected.add((expected[2], name, len(text)))
    return "".join(f"{line}\n" for line in text)
