"""Reads the literate case files: packages written down in Markdown, with what must be found."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

CASES = Path(__file__).parent / "cases"
BASE = CASES / "base"

_SECTION = re.compile(r"## (Fires|Silent): (.+)")
_FILE = re.compile(r"`([^`]+)`:\s*(deleted)?\s*")
_EXPECT_PATH = re.compile(r"<!--\s*expect:\s*([\w/-]+)\s+(\S+)\s*-->")
_PROFILE = re.compile(r"<!--\s*profile:\s*(\S+)\s*-->")
_ENCODING = re.compile(r"<!--\s*encoding:\s*(\S+)\s*-->")
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
    profile: str = "full-trial"
    encoding: str = "utf-8"
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
        if path.is_file() and "__pycache__" not in path.parts
    }


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
        elif encoding := _ENCODING.fullmatch(line):
            cases[-1].encoding = encoding[1]
        elif expected := _EXPECT_PATH.fullmatch(line):
            cases[-1].expected.add((expected[1], expected[2], 1))
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
