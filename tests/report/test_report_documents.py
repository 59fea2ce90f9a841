"""What the formats for other tools promise to those tools."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from report_example import (
    CLEAN,
    FIRST,
    FIRST_SOURCES,
    INPUT_ERROR,
    OPTIONS,
    RULES,
    SECOND,
    SEVERAL,
    TOOL,
    Sources,
    found,
    render,
)

from explint.model import InputError, PackageReport, Report, SourceInfo, Summary
from explint.report import FORMATS, ReportOptions, Terminal, create
from explint.report.schema import FILES, line_schema, report_schema

TESTS = Path(__file__).parent.parent
SARIF_SCHEMA = json.loads((TESTS / "data" / "sarif-2.1.0.schema.json").read_text("utf-8"))


def sarif(
    packages: Sequence[tuple[PackageReport, Sources]] = SEVERAL,
    options: ReportOptions = OPTIONS,
    input_errors: Sequence[InputError] = (INPUT_ERROR,),
) -> dict[str, Any]:
    document = json.loads(render("sarif", packages, options=options, input_errors=input_errors))
    jsonschema.validate(document, SARIF_SCHEMA)
    run: dict[str, Any] = document["runs"][0]
    return run


def test_an_unknown_format_names_the_formats_there_are() -> None:
    with pytest.raises(ValueError, match=r"no report format `html`; there are full, concise,"):
        create("html", io.StringIO(), terminal=Terminal(), options=OPTIONS)


def test_json_is_the_report_the_api_returns() -> None:
    text = render("json")
    report = msgspec.json.decode(text, type=Report)
    assert [*report.packages] == [package for package, _ in SEVERAL]
    assert report.tool == TOOL
    assert report.summary.errors == 6
    jsonschema.validate(json.loads(text), report_schema())


def test_jsonl_lines_are_the_packages_of_the_json_report() -> None:
    lines = [json.loads(line) for line in render("jsonl").splitlines()]
    for line in lines:
        jsonschema.validate(line, line_schema())
        assert line.pop("schema_version") == 1
    assert lines == json.loads(render("json"))["packages"]


def test_a_schema_rejects_what_is_not_a_report() -> None:
    document = json.loads(render("json"))
    breakages: tuple[Callable[[dict[str, Any]], object], ...] = (
        lambda d: d.update(schema_version=2),
        lambda d: d["packages"][0]["findings"][0].pop("fingerprint"),
        lambda d: d["packages"][0]["findings"][0].update(line=0),
        lambda d: d["packages"][0]["verdict"]["criteria"].update({"1": "maybe"}),
        lambda d: d["packages"][0]["verdict"]["criteria"].update({"10": "met"}),
    )
    for break_it in breakages:
        broken = json.loads(json.dumps(document))
        break_it(broken)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, report_schema())


def test_the_published_schemas_are_the_generated_ones(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "explint.report.schema", str(tmp_path)]
    subprocess.run(command, check=True, timeout=60)
    published = TESTS.parent / "docs" / "schemas"
    for name in FILES:
        assert (published / name).read_text("utf-8") == (tmp_path / name).read_text("utf-8"), (
            f"docs/schemas/{name} is stale: run python -m explint.report.schema docs/schemas"
        )


def test_a_report_without_packages_is_valid_in_every_format() -> None:
    texts = {name: render(name, (), input_errors=()) for name in FORMATS}
    jsonschema.validate(json.loads(texts["json"]), report_schema())
    jsonschema.validate(json.loads(texts["sarif"]), SARIF_SCHEMA)
    assert json.loads(texts["gitlab"]) == []
    assert len(ET.fromstring(texts["junit"])) == 0
    assert texts["jsonl"] == texts["verdict"] == texts["agent"] == ""
    assert texts["full"] == "Nothing was checked.\n"


def test_sarif_results_point_at_their_rules_and_files() -> None:
    run = sarif()
    rules = run["tool"]["driver"]["rules"]
    assert run["columnKind"] == "unicodeCodePoints"
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["partialFingerprints"]["explint/v1"]
    first = run["results"][0]["locations"][0]["physicalLocation"]
    assert first["artifactLocation"] == {
        "uri": "experiments/vit-adapter/src/evaluate.py",
        "uriBaseId": "%SRCROOT%",
    }
    assert first["region"] == {"startLine": 8, "startColumn": 27, "endLine": 8, "endColumn": 34}
    assert rules[0]["helpUri"] == "https://docs.example/rules/structure-missing-file/"
    assert rules[0]["help"]["markdown"] == RULES[0].doc


def test_sarif_says_which_findings_are_suppressed_and_why() -> None:
    suppressed = [r["suppressions"] for r in sarif()["results"] if r["suppressions"]]
    assert suppressed == [
        [{"kind": "inSource", "status": "accepted", "justification": "the hook is optional"}],
        [{"kind": "external", "status": "accepted"}],
    ]


def test_sarif_nests_the_files_of_a_record_in_it() -> None:
    run = sarif()
    location = run["results"][-1]["locations"][0]["physicalLocation"]["artifactLocation"]
    inner = run["artifacts"][location["index"]]
    outer = run["artifacts"][inner["parentIndex"]]
    assert inner["location"]["uri"] == location["uri"] == "/src/train.py"
    assert outer["location"] == {"uri": "records/042.txt", "uriBaseId": "%SRCROOT%"}


def test_sarif_reports_unread_files_and_inputs_as_notifications() -> None:
    (invocation,) = sarif()["invocations"]
    assert invocation["executionSuccessful"] is False
    texts = [n["message"]["text"] for n in invocation["toolExecutionNotifications"]]
    assert [text.partition(":")[0] for text in texts] == [
        "The file could not be read",
        "No such file. Check the path, or quote it if it holds spaces.",
    ]
    (sound,) = sarif(packages=((CLEAN, Sources()),), input_errors=())["invocations"]
    assert sound == {"executionSuccessful": True, "toolExecutionNotifications": []}


def test_sarif_paths_are_percent_encoded_and_relative_to_the_root(tmp_path: Path) -> None:
    path = "src/100% [a]#b ü.py"
    finding = found("structure/empty-file", "Empty.", "Write it.", path)
    inside = SourceInfo(kind="folder", location=str(tmp_path / "pkg"))
    outside = SourceInfo(kind="folder", location="/elsewhere/pkg")
    uris = []
    for source in (inside, outside):
        package = msgspec.structs.replace(CLEAN, source=source, findings=(finding,))
        run = sarif(packages=((package, Sources()),), options=ReportOptions(root=tmp_path))
        location = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
        uris.append((location["uri"], location.get("uriBaseId")))
    encoded = "src/100%25%20%5Ba%5D%23b%20%C3%BC.py"
    assert uris == [
        (f"pkg/{encoded}", "%SRCROOT%"),
        (f"file:///elsewhere/pkg/{encoded}", None),
    ]


def test_sarif_messages_hold_no_links_of_the_package() -> None:
    finding = found("structure/empty-file", "a[0] and [click](https://x.example)", "", "a.py")
    package = msgspec.structs.replace(CLEAN, findings=(finding,))
    (result,) = sarif(packages=((package, Sources()),))["results"]
    assert result["message"]["text"] == r"a[0] and \[click](https://x.example)"


def test_github_leaves_out_the_end_column_of_a_span_over_several_lines() -> None:
    lines = {line.partition("::")[2]: line for line in render("github").splitlines()}
    several = next(line for line in lines.values() if "endLine=12" in line)
    single = next(line for line in lines.values() if "endLine=8," in line)
    assert "endColumn" not in several
    assert "endColumn=34," in single
    assert not any("on_epoch_end" in line for line in lines.values())


def test_gitlab_fingerprints_are_unique_even_when_findings_are_alike() -> None:
    twice = msgspec.structs.replace(FIRST, findings=FIRST.findings + FIRST.findings)
    other = msgspec.structs.replace(FIRST, id="another")
    text = render("gitlab", ((twice, FIRST_SOURCES), (other, FIRST_SOURCES)))
    prints = [entry["fingerprint"] for entry in json.loads(text)]
    assert len(prints) == 14 + 1 + 7 + 1 + 1
    assert len(set(prints)) == len(prints)


def test_junit_counts_agree_with_its_cases() -> None:
    suites = {suite.get("name"): suite for suite in ET.fromstring(render("junit"))}
    for suite in suites.values():
        assert int(suite.get("tests", "")) == len(suite)
        for name, element in (("failures", "failure"), ("errors", "error"), ("skipped",) * 2):
            assert int(suite.get(name, "")) == len(suite.findall(f"*/{element}"))
    (passing,) = suites["experiments/sound"]
    assert len(passing) == 0
    assert suites["inputs"].get("errors") == "1"


def test_agent_puts_the_most_blocking_file_first() -> None:
    text = render("agent", ((FIRST, FIRST_SOURCES),))
    paths = [line.split("`")[1] for line in text.splitlines() if line.startswith("- `src/")]
    assert paths[:4] == [
        "src/evaluate.py:8",
        "src/evaluate.py:14",
        "src/model.py:5",
        "src/model.py:18",
    ]
    assert text.startswith("# Not ready: 5 errors, 1 warning, 1 info (profile `full-trial`)\n")


def test_concise_names_the_package_only_where_the_path_does_not() -> None:
    single = render("concise", ((SECOND, Sources()),), input_errors=())
    several = render("concise")
    assert single.startswith("src/train.py:1:1: error[structure/empty-file] STR002 ")
    assert "\nrecords/042.txt: src/train.py:1:1: error[" in several


def test_output_for_a_stream_without_unicode_is_ascii_and_means_the_same() -> None:
    ascii_only = Terminal(unicode=False)
    for name in FORMATS:
        assert render(name, terminal=ascii_only).isascii(), name
    for name in ("json", "sarif", "gitlab"):
        assert json.loads(render(name, terminal=ascii_only)) == json.loads(render(name))
    plain, reference = (
        [(e.tag, e.attrib, e.text) for e in ET.fromstring(text).iter()]
        for text in (render("junit", terminal=ascii_only), render("junit"))
    )
    assert plain == reference


def test_the_first_package_is_not_held_back_beyond_the_second() -> None:
    sink = io.StringIO()
    reporter = create("full", sink, terminal=Terminal(), options=OPTIONS)
    reporter.start(TOOL, RULES)
    reporter.add(FIRST, FIRST_SOURCES)
    reporter.add(SECOND, Sources())
    assert "src/train.py is empty." in sink.getvalue()


def test_an_interrupted_report_is_whole_and_says_so() -> None:
    for name in ("json", "sarif", "full", "concise"):
        sink = io.StringIO()
        reporter = create(name, sink, terminal=Terminal(), options=OPTIONS)
        reporter.start(TOOL, RULES)
        reporter.add(FIRST, FIRST_SOURCES)
        reporter.finish(Summary(packages=1, interrupted=True, input_errors=[INPUT_ERROR]))
        text = sink.getvalue()
        if name == "json":
            assert json.loads(text)["summary"]["interrupted"] is True
        elif name == "sarif":
            (invocation,) = json.loads(text)["runs"][0]["invocations"]
            assert invocation["executionSuccessful"] is False
        else:
            assert "nterrupted" in text


def test_importing_the_reports_loads_no_format_and_no_rich() -> None:
    code = (
        "import sys, explint.report\n"
        "heavy = {m for m in sys.modules if m.split('.')[0] in ('rich', 'click', 'xml')}\n"
        "formats = {m for m in sys.modules if m.startswith('explint.report.')}\n"
        "assert not heavy, heavy\n"
        "assert formats == {'explint.report.' + n for n in ('base', 'terminal', 'text')}, formats\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_paths_for_tools_are_relative_to_the_root_wherever_the_command_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "repo" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    finding = found("structure/empty-file", "Empty.", "Write it.", "src/a.py")
    options = ReportOptions(root=tmp_path / "repo")
    paths = []
    for location in (".", "../other", str(work), "../../elsewhere"):
        source = SourceInfo(kind="folder", location=location)
        package = msgspec.structs.replace(CLEAN, source=source, findings=(finding,))
        text = render("gitlab", ((package, Sources()),), options=options, input_errors=())
        paths.append(json.loads(text)[0]["location"]["path"])
    assert paths == [
        "work/src/a.py",
        "other/src/a.py",
        "work/src/a.py",
        "../../elsewhere/src/a.py",
    ]


def test_notes_of_an_uneventful_package_are_told_among_several() -> None:
    noted = msgspec.structs.replace(CLEAN, notes=("The path `src/train.py` is given twice.",))
    lines = render("full", ((noted, Sources()), (CLEAN, Sources()))).splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["ready", "The", "ready"]
    assert lines[1] == "        note: The path `src/train.py` is given twice."
