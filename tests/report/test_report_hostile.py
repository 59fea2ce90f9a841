"""Whatever text a package chooses, no format lets it act: any text in any field is only text."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from report_example import OPTIONS, RULES, TOOL, Sources, render

from explint.model import (
    Confidence,
    Coverage,
    CriterionState,
    Failed,
    Finding,
    InputError,
    PackageReport,
    ProfileChoice,
    Related,
    Severity,
    Skipped,
    SourceInfo,
    State,
    Summary,
    Undecided,
    Verdict,
)
from explint.report import FORMATS, ReportOptions, Terminal, create
from explint.report.text import cells, glyphs, printable, wrap

ATTACKS = (
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "\x1b]8;;https://evil.example\x1b\\x",
    "\n::error file=a::b",
    "\r\n::set-output name=x::y",
    "::add-mask::x",
    "##[error]x",
    "word " * 9 + "::notice::x " * 20,
    "x" * 37 + "::notice::x" * 20,
    "%0A::error::x",
    "]]></failure><failure>",
    "<!--",
    "<script>alert(1)</script>",
    "```\n# heading\n```",
    "`` ` ``",
    "[a](https://evil.example)",
    "![x](https://evil.example/p.png)",
    "\u202egnp.exe",
    "\u2028\u2029\x85\x0b\x0c",
    "\x00\x7f\ufeff",
    "\udcff\ud800",
    "日本語" * 40,
    "e\u0301" * 90,
    "- item\n> quote\n1. one",
    "&lt;&#10;&amp;",
    '"}],"packages":[',
    "*a* _b_ **c** ~~d~~",
    "\t\ta\tb",
    "word " * 60,
    "x" * 300,
    "",
)

texts = st.one_of(
    st.sampled_from(ATTACKS),
    st.text(max_size=30),
    st.text(st.characters(), max_size=12),
    st.lists(st.one_of(st.sampled_from(ATTACKS), st.text(max_size=8)), max_size=3).map("".join),
)
positions = st.integers(1, 6)


@st.composite
def findings(draw: st.DrawFn) -> Finding:
    line, column = draw(positions), draw(st.integers(1, 80))
    return Finding(
        rule=draw(texts),
        code=draw(texts),
        severity=draw(st.sampled_from(Severity)),
        confidence=draw(st.sampled_from(Confidence)),
        message=draw(texts),
        help=draw(texts),
        path=draw(texts),
        line=line,
        column=column,
        end_line=line + draw(st.integers(0, 4)),
        end_column=draw(st.integers(1, 90)),
        criteria=(1,),
        related=(Related(path=draw(texts), line=1, message=draw(texts)),),
        runs=(draw(texts),),
        modes=(draw(texts),),
        fingerprint=draw(texts),
        state=draw(st.sampled_from(State)),
        reason=draw(st.none() | texts),
    )


@st.composite
def packages(draw: st.DrawFn) -> PackageReport:
    return PackageReport(
        id=draw(texts),
        source=SourceInfo(
            kind=draw(st.sampled_from(["folder", "record", "archive", "git", "stdin"])),
            location=draw(texts),
            member=draw(st.none() | texts),
            rev=draw(st.none() | texts),
        ),
        profile=ProfileChoice(name=draw(texts), reason=draw(texts)),
        verdict=Verdict(
            is_code_ready=draw(st.booleans()),
            code_issue=draw(texts),
            criteria={str(n): draw(st.sampled_from(CriterionState)) for n in range(1, 10)},
            undecided=(Undecided(criterion=2, reason=draw(texts), decided_by=draw(texts)),),
        ),
        coverage=Coverage(
            scanned=3,
            skipped=(Skipped(path=draw(texts), reason=draw(texts)),),
            failed=(Failed(path=draw(texts), reason=draw(texts)),),
        ),
        runs=(draw(texts),),
        findings=tuple(draw(st.lists(findings(), min_size=1, max_size=2))),
        complete=draw(st.booleans()),
    )


class EveryFile:
    """The same lines for every path."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def lines(self, path: str) -> list[str]:
        return self._lines


sources = st.lists(texts, min_size=1, max_size=8).map(EveryFile)
errors = st.builds(InputError, location=texts, message=texts, help=texts)

# Building a report draws a hundred texts; the health check takes that for slowness.
many = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def write(
    format: str,
    reports: list[PackageReport],
    source: EveryFile,
    error: InputError,
    terminal: Terminal,
    options: ReportOptions = OPTIONS,
) -> str:
    sink = io.StringIO()
    reporter = create(format, sink, terminal=terminal, options=options)
    reporter.start(TOOL, RULES)
    summary = Summary(input_errors=[error])
    for package in reports:
        summary.add(package)
        reporter.add(package, source)
    reporter.finish(summary)
    text = sink.getvalue()
    text.encode("utf-8" if terminal.unicode else "ascii")
    return text


def visible(text: str) -> str:
    """The text as a format without lone surrogates carries it."""
    return text.encode("utf-8", "backslashreplace").decode()


RUNNER_COMMAND = re.compile(r"\s*::[A-Za-z]|.*##\[")
OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;;[!-~]*\x1b\\")

terminals = st.builds(
    Terminal,
    color=st.booleans(),
    hyperlinks=st.booleans(),
    width=st.integers(40, 130),
    unicode=st.booleans(),
)


@many
@given(st.lists(packages(), min_size=1, max_size=3), sources, errors, terminals)
def test_a_terminal_gets_no_control_character_but_our_own(
    reports: list[PackageReport], source: EveryFile, error: InputError, terminal: Terminal
) -> None:
    for format in ("full", "concise", "agent"):
        text = OURS.sub("", write(format, reports, source, error, terminal))
        for line in text.split("\n"):
            assert "".join(glyphs(line)) == line, (format, line)
            assert not RUNNER_COMMAND.match(line), (format, line)


@many
@given(st.lists(packages(), min_size=1, max_size=2), sources, errors, terminals)
def test_full_fits_the_terminal_except_for_paths(
    reports: list[PackageReport], source: EveryFile, error: InputError, terminal: Terminal
) -> None:
    rule = "hydra/undefined-in-some-runs"
    for n, package in enumerate(reports):
        known = tuple(msgspec.structs.replace(f, rule=rule) for f in package.findings)
        reports[n] = msgspec.structs.replace(package, findings=known)
    text = OURS.sub("", write("full", reports, source, error, terminal))
    corner = "╭─ " if terminal.unicode else "--> "
    for line in text.split("\n"):
        if not line.lstrip().startswith(corner):
            assert cells(line) <= terminal.width, line


@many
@given(packages(), sources, errors)
def test_json_carries_every_text_unchanged(
    package: PackageReport, source: EveryFile, error: InputError
) -> None:
    for terminal in (Terminal(), Terminal(unicode=False)):
        document = json.loads(write("json", [package], source, error, terminal))
        line = json.loads(write("jsonl", [package], source, error, terminal))
        (found,) = document["packages"]
        assert found == {k: v for k, v in line.items() if k != "schema_version"}
        assert found["findings"][0]["message"] == visible(package.findings[0].message)
        assert found["coverage"]["skipped"][0]["path"] == visible(package.coverage.skipped[0].path)
        assert document["summary"]["input_errors"][0]["location"] == visible(error.location)


@many
@given(st.lists(packages(), min_size=1, max_size=2), sources, errors)
def test_json_formats_print_inert_documents(
    reports: list[PackageReport], source: EveryFile, error: InputError
) -> None:
    detail = ReportOptions(verdict_detail=True)
    for format in ("json", "jsonl", "sarif", "gitlab", "verdict"):
        text = write(format, reports, source, error, Terminal(), detail)
        for char in set(text) - {"\n"}:
            assert not "\x7f" <= char <= "\x9f", format
            assert char >= " ", format
            assert char not in "\u202a\u202b\u202c\u202d\u202e\u2028\u2029\u2066\u2067\u2068\u2069"


@many
@given(packages(), sources, errors)
def test_sarif_and_gitlab_carry_messages_and_verdicts(
    package: PackageReport, source: EveryFile, error: InputError
) -> None:
    (run,) = json.loads(write("sarif", [package], source, error, Terminal()))["runs"]
    for finding, result in zip(package.findings, run["results"], strict=True):
        assert result["properties"]["message"] == visible(finding.message)
        assert result["ruleId"] == visible(finding.rule)
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"[A-Za-z0-9._~/%:-]*", uri)
    entries = json.loads(write("gitlab", [package], source, error, Terminal()))
    assert len(entries) == len(package.counted()) + 2
    answer = json.loads(write("verdict", [package], source, error, Terminal()))
    assert answer == {
        "is_code_ready": package.verdict.is_code_ready,
        "code_issue": visible(package.verdict.code_issue),
    }


def unescape(text: str, properties: bool) -> str:
    """As the Actions runner does it."""
    pairs = [("%0D", "\r"), ("%0A", "\n")]
    if properties:
        pairs += [("%3A", ":"), ("%2C", ",")]
    for escaped, char in [*pairs, ("%25", "%")]:
        text = text.replace(escaped, char)
    return text


def shown(text: str) -> str:
    """The text with everything but line breaks made visible."""
    lines = re.split("([\r\n])", visible(text))
    return "".join(line if line in "\r\n" else "".join(glyphs(line)) for line in lines)


@many
@given(packages(), sources, errors)
def test_github_commands_are_ours_and_parse_back(
    package: PackageReport, source: EveryFile, error: InputError
) -> None:
    package = msgspec.structs.replace(package, source=SourceInfo(kind="folder", location="."))
    text = write("github", [package], source, error, Terminal())
    *commands, sums = text.removesuffix("\n").split("\n")
    assert sums.startswith("explint: ")
    assert len(commands) == len(package.counted()) + 2
    for finding, command in zip(package.counted(), commands, strict=False):
        match = re.fullmatch(r"::(error|warning|notice) ([^\r\n]*?)::([^\r\n]*)", command)
        assert match
        fields = dict(field.split("=", 1) for field in match[2].split(","))
        assert next(iter(fields)) == "file"
        assert unescape(fields["title"], True) == shown(f"{finding.rule} ({finding.code})")
        message = f"{finding.message}\n{finding.help}" if finding.help else finding.message
        assert unescape(match[3], False) == shown(message)


@many
@given(packages(), sources, errors)
def test_junit_is_well_formed_and_parses_back(
    package: PackageReport, source: EveryFile, error: InputError
) -> None:
    for terminal in (Terminal(), Terminal(unicode=False)):
        root = ET.fromstring(write("junit", [package], source, error, terminal))
        cases = root[0].findall("testcase")
        assert len(cases) == len(package.findings) + 1
        for finding, case in zip(package.findings, cases, strict=False):
            failure = case.find("failure")
            if failure is not None:
                assert failure.get("message") == re.sub(
                    "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]",
                    lambda match: printable(match.group()),
                    visible(finding.message),
                )


def _inline(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in (token.children or [])]


@many
@given(st.lists(packages(), min_size=1, max_size=2), sources, errors)
def test_agent_markdown_has_our_structure_only(
    reports: list[PackageReport], source: EveryFile, error: InputError
) -> None:
    text = write("agent", reports, source, error, Terminal())
    tokens = MarkdownIt("commonmark").parse(text)
    allowed = {"heading", "bullet_list", "list_item", "paragraph"}
    blocks = {token.type.removesuffix("_open").removesuffix("_close") for token in tokens}
    assert blocks <= allowed | {"inline"}, text
    kinds = {token.type for token in _inline(tokens)}
    assert kinds <= {"text", "code_inline", "softbreak"}, (kinds, text)
    headings = [t for t in tokens if t.type == "heading_open" and t.tag == "h1"]
    assert len(headings) == len(reports) + 1


@pytest.mark.parametrize("attack", ATTACKS)
def test_known_attacks_reach_no_format_raw(attack: str) -> None:
    finding = Finding(
        rule="structure/empty-file",
        code="STR002",
        severity=Severity.ERROR,
        confidence=Confidence.HIGH,
        message=f"a{attack}b",
        help=f"c{attack}d",
        path=f"src/{attack}.py",
        line=2,
        column=2,
        end_line=2,
        end_column=4,
    )
    package = PackageReport(
        id=f"p{attack}",
        source=SourceInfo(kind="record", location=f"l{attack}"),
        profile=ProfileChoice(name="full-trial", reason=attack),
        verdict=Verdict(is_code_ready=False, code_issue=attack, criteria={}),
        coverage=Coverage(scanned=1),
        findings=(finding,),
    )
    texts = Sources({finding.path: f"x = 1\n{attack.splitlines()[0] if attack else ''} = 2"})
    for format in FORMATS:
        text = render(format, ((package, texts),) * 2)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028\u2029]", text), format
        for line in text.split("\n"):
            if format != "github" or not line.startswith("::error file="):
                assert not RUNNER_COMMAND.match(line), (format, line)
            assert "##[" not in line


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])), st.integers(8, 60))
def test_wrapping_keeps_the_text_and_the_width(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert all(cells(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
