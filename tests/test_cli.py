"""The command line in process: options, outputs, messages and exit codes."""

from __future__ import annotations

import io
import json
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

import explint.pipeline
from explint import config
from explint.cli import cli, exits, progress
from explint.cli.door import COMMANDS
from explint.config import ConfigError
from explint.model import (
    Confidence,
    Coverage,
    Failed,
    Finding,
    InputError,
    PackageReport,
    ProfileChoice,
    Rule,
    Severity,
    SourceInfo,
    State,
    Verdict,
)
from explint.report import FORMATS
from explint.request import CheckOptions
from explint.rules.table import rule_table

DOCS = Path(__file__).parent.parent / "docs"


class PanicException(BaseException):
    """How a panic of the core arrives."""


class NoText:
    """A package whose files have no text to show."""

    def lines(self, path: str) -> None:
        return None


def package(*severities: Severity, state: State = State.OPEN, **changes: object) -> PackageReport:
    """A judged package with one finding per severity."""
    report = PackageReport(
        id="p",
        source=SourceInfo(kind="folder", location="p"),
        profile=ProfileChoice(name="full-trial", reason="asked for"),
        verdict=Verdict(is_code_ready=not severities, code_issue="", criteria={}),
        coverage=Coverage(scanned=1),
        findings=tuple(
            Finding(
                rule="suppression/unused",
                code="SUP001",
                severity=severity,
                confidence=Confidence.HIGH,
                message="m",
                help="h",
                path="src/train.py",
                state=state,
            )
            for severity in severities
        ),
    )
    return msgspec.structs.replace(report, **changes)


MISSING = InputError(location="missing", message="there is no such file or folder", help="Look.")

Item = PackageReport | InputError | BaseException
Checked = Callable[..., Result]


@pytest.fixture
def seen() -> dict[str, Any]:
    """What the pipeline was asked for."""
    return {}


@pytest.fixture
def check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seen: dict[str, Any]
) -> Callable[..., Result]:
    """Runs ``explint check`` with a pipeline that yields (or raises) the given items."""
    monkeypatch.chdir(tmp_path)

    def run(items: Sequence[Item], *arguments: str, **environment: str) -> Result:
        def stream(
            locations: Sequence[str],
            options: CheckOptions,
            *,
            stdin: object = None,
        ) -> Iterator[object]:
            seen.update(locations=list(locations), options=options, stdin=stdin)
            for item in items:
                if isinstance(item, BaseException):
                    raise item
                yield item if isinstance(item, InputError) else (item, NoText())

        monkeypatch.setattr(explint.pipeline, "check_stream", stream)
        return CliRunner().invoke(cli, ["check", *arguments], env=environment)

    return run


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


class TestExitCodes:
    @pytest.mark.parametrize(
        ("items", "arguments", "code"),
        [
            ([package()], [], exits.CLEAN),
            ([package(ERROR)], [], exits.FINDINGS),
            ([package(WARNING, INFO)], [], exits.CLEAN),
            ([package(WARNING)], ["--fail-on", "warning"], exits.FINDINGS),
            ([package(INFO)], ["--fail-on", "warning"], exits.CLEAN),
            ([package(INFO)], ["--fail-on", "info"], exits.FINDINGS),
            ([package(ERROR)], ["--fail-on", "never"], exits.CLEAN),
            ([package(ERROR)], ["--exit-zero"], exits.CLEAN),
            ([package(ERROR, state=State.SUPPRESSED)], [], exits.CLEAN),
            ([package(ERROR, state=State.BASELINE)], [], exits.CLEAN),
            ([MISSING], [], exits.USAGE),
            ([MISSING], ["--exit-zero"], exits.USAGE),
            ([MISSING, package()], [], exits.USAGE),
            ([MISSING, package(ERROR)], [], exits.FINDINGS),
            ([MISSING, package(ERROR)], ["--exit-zero"], exits.USAGE),
            ([], [], exits.NOTHING),
            ([package(complete=False)], [], exits.CLEAN),
            ([package(complete=False)], ["--require-complete"], exits.INCOMPLETE),
            ([package(ERROR, complete=False)], ["--require-complete"], exits.FINDINGS),
            (
                [package(coverage=Coverage(failed=(Failed(path="a.py", reason="x"),)))],
                ["--require-complete"],
                exits.INCOMPLETE,
            ),
            ([package(), KeyboardInterrupt()], [], exits.INTERRUPTED),
            ([package(ERROR), KeyboardInterrupt()], ["--exit-zero"], exits.INTERRUPTED),
            ([package(ERROR), RuntimeError("x")], ["--exit-zero"], exits.INTERNAL),
        ],
    )
    def test_of_a_check(
        self, check: Checked, items: list[Item], arguments: list[str], code: int
    ) -> None:
        assert check(items, *arguments).exit_code == code

    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize(
        ("items", "code"),
        [
            ([package()], exits.CLEAN),
            ([package(ERROR)], exits.FINDINGS),
            ([MISSING], exits.USAGE),
            ([], exits.NOTHING),
            ([package(), KeyboardInterrupt()], exits.INTERRUPTED),
        ],
    )
    def test_do_not_depend_on_the_format(
        self, check: Checked, format: str, items: list[Item], code: int
    ) -> None:
        assert check(items, "-o", format).exit_code == code

    def test_the_documentation_lists_each_of_them(self) -> None:
        text = (DOCS / "exit-codes.md").read_text(encoding="utf-8")
        listed = {
            int(line.split("|")[1]) for line in text.splitlines() if line[:3].strip("| ").isdigit()
        }
        assert listed == {v for k, v in vars(exits).items() if k.isupper() and isinstance(v, int)}


class TestOptions:
    def test_reach_the_pipeline(self, check: Checked, seen: dict[str, Any]) -> None:
        check(
            [],
            *("a", "b", "--select", "suppression,SUP001", "--select", "all", "--ignore", "SUP003"),
            *("--preview", "--profile", "full-trial", "--rev", "v1", "--python", "3.12"),
            *("--isolated", "--jobs", "2"),
        )
        assert seen["locations"] == ["a", "b"]
        assert seen["options"] == CheckOptions(
            rev="v1",
            isolated=True,
            jobs=2,
            flags={
                "profile": "full-trial",
                "select": ("suppression", "SUP001", "all"),
                "ignore": ("SUP003",),
                "python": "3.12",
                "preview": True,
                "baseline": None,
            },
        )

    def test_the_default_path_is_the_current_folder(
        self, check: Checked, seen: dict[str, Any]
    ) -> None:
        check([])
        assert (seen["locations"], seen["stdin"]) == (["."], None)

    def test_a_dash_hands_over_standard_input(self, check: Checked, seen: dict[str, Any]) -> None:
        check([], "-")
        assert seen["stdin"] is not None

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--selct", "x"], "--select"),
            (["--select", "supression"], "Did you mean `suppression`?"),
            (["--ignore", "SUP0O1"], "Did you mean `SUP001`?"),
            (
                ["--fail-on", "fatal"],
                "'error', 'warning', 'info', 'new-error', 'new-warning', 'never'",
            ),
            (["--python", "2.7"], "is not a Python 3 version such as 3.11"),
            (["--jobs", "-1"], "--jobs"),
            (["--isolated", "--config", "x.toml"], "excludes --config"),
            (["-", "-"], "only once"),
            (["-", "--rev", "v1"], "--rev needs a repository"),
            (["--config", "missing.toml"], "missing.toml: there is no such file"),
            (["-o", "sarff"], "Did you mean `sarif`?"),
            (["-o", "json", "-o", "full"], "both go to standard output"),
            (["-o", "json", "-o", "full:-"], "both go to standard output"),
            (["-o", "json:a", "-o", "full:./a"], "both go to a"),
            (["-o", "json:"], "Write -o json:FILE"),
            (["-o", "json:no/such/a"], "there is no folder no/such"),
            (["-o", "json:."], "it is a folder"),
        ],
    )
    def test_that_make_no_sense_stop_the_run_before_it_begins(
        self, check: Checked, seen: dict[str, Any], arguments: list[str], message: str
    ) -> None:
        result = check([package()], *arguments)
        assert result.exit_code == exits.USAGE
        assert message in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr
        assert seen == {}

    def test_fail_on_comes_from_the_first_paths_configuration(
        self, check: Checked, tmp_path: Path
    ) -> None:
        (tmp_path / "explint.toml").write_text("fail-on = 'warning'\n", encoding="utf-8")
        assert check([package(WARNING)]).exit_code == exits.FINDINGS
        assert check([package(WARNING)], "--isolated").exit_code == exits.CLEAN
        assert check([package(WARNING)], "--fail-on", "error").exit_code == exits.CLEAN
        (tmp_path / "other.toml").write_text("fail-on = 'never'\n", encoding="utf-8")
        assert check([package(ERROR)], "--config", "other.toml").exit_code == exits.CLEAN

    def test_a_packages_broken_configuration_is_left_to_the_pipeline(
        self, check: Checked, tmp_path: Path
    ) -> None:
        (tmp_path / "explint.toml").write_text("broken", encoding="utf-8")
        assert check([package(ERROR)]).exit_code == exits.FINDINGS


class TestOutput:
    def test_several_reports_are_written_in_one_run(self, check: Checked, tmp_path: Path) -> None:
        result = check(
            [package(ERROR)], "-o", "concise", "-o", "json:r.json", "-o", "sarif:r.sarif"
        )
        assert "SUP001" in result.stdout
        assert len(json.loads((tmp_path / "r.json").read_text())["packages"]) == 1
        assert json.loads((tmp_path / "r.sarif").read_text())["version"] == "2.1.0"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json", "r.sarif"]

    def test_a_report_that_cannot_be_written_leaves_the_old_one(
        self, check: Checked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "r.json").write_text("old")

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "replace", fail)
        result = check([package()], "-o", "json:r.json")
        assert result.exit_code == exits.USAGE
        assert "cannot write r.json: No space left on device" in result.stderr
        assert (tmp_path / "r.json").read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["r.json"]

    def test_a_link_stays_a_link(self, check: Checked, tmp_path: Path) -> None:
        (tmp_path / "link.json").symlink_to("real.json")
        check([package()], "-o", "json:link.json")
        assert (tmp_path / "link.json").is_symlink()
        assert json.loads((tmp_path / "real.json").read_text())["schema_version"] == 1

    def test_a_device_is_written_to(self, check: Checked) -> None:
        arguments = ("-o", "json:/dev/null", "-o", "sarif:/dev/null")
        assert check([package()], *arguments).exit_code == exits.CLEAN
        assert not Path("/dev/null").is_file()

    @pytest.mark.parametrize("end", [KeyboardInterrupt(), RuntimeError("x"), PanicException("x")])
    def test_what_was_checked_before_the_end_is_kept(
        self, check: Checked, tmp_path: Path, end: BaseException
    ) -> None:
        check([package(ERROR), end, package()], "-o", "json:r.json")
        report = json.loads((tmp_path / "r.json").read_text())
        assert len(report["packages"]) == 1
        assert report["summary"]["interrupted"] is True

    @pytest.mark.parametrize("format", ["json", "verdict"])
    def test_input_errors_are_told_beside_a_report_for_programs(
        self, check: Checked, format: str
    ) -> None:
        result = check([MISSING], "-o", format)
        assert "error: missing: there is no such file or folder\n  Look." in result.stderr
        assert check([MISSING], "-o", "full").stderr == ""

    def test_statistics_keep_out_of_a_report_for_programs(self, check: Checked) -> None:
        result = check([package(ERROR, ERROR)], "--statistics", "-o", "json")
        json.loads(result.stdout)
        assert result.stderr.split() == ["2", "SUP001", "suppression/unused"]
        result = check([package(ERROR, ERROR)], "--statistics")
        assert result.stdout.split()[-3:] == ["2", "SUP001", "suppression/unused"]

    def test_names_from_audited_files_cannot_reach_the_terminal_raw(self, check: Checked) -> None:
        error = InputError(location="a\x1b]0;owned\x07", message="bad\r\u202e")
        result = check([error], "-o", "json")
        assert "\x1b" not in result.stderr
        assert "\r" not in result.stderr
        assert "\u202e" not in result.stderr


class TestTrouble:
    def test_an_internal_error_asks_for_a_report_without_a_traceback(self, check: Checked) -> None:
        result = check([ZeroDivisionError("by chance")])
        assert result.exit_code == exits.INTERNAL
        assert "internal error: ZeroDivisionError: by chance" in result.stderr
        assert "EXPLINT_DEBUG=1" in result.stderr
        assert "Traceback" not in result.stderr
        result = check([ZeroDivisionError("by chance")], EXPLINT_DEBUG="1")
        assert "Traceback" in result.stderr

    def test_a_panic_of_the_core_is_an_internal_error(self, check: Checked) -> None:
        class PanicException(BaseException):
            pass

        result = check([PanicException("index out of bounds")])
        assert result.exit_code == exits.INTERNAL
        assert "index out of bounds" in result.stderr

    def test_a_configuration_error_says_what_to_do(self, check: Checked) -> None:
        error = ConfigError(Path("explint.toml"), "unknown key", key="ignor", help="Did you mean?")
        result = check([error])
        assert result.exit_code == exits.USAGE
        assert "explint.toml: ignor: unknown key\n  Did you mean?" in result.stderr

    def test_ctrl_c_leaves_a_line_and_no_traceback(self, check: Checked) -> None:
        result = check([package(), KeyboardInterrupt()])
        assert result.stderr == "interrupted: the reports hold what was checked so far\n"

    def test_a_misspelt_command_is_suggested(self) -> None:
        result = invoke("chek")
        assert result.exit_code == exits.USAGE
        assert "Did you mean `check`?" in result.stderr


class TestRules:
    @pytest.mark.parametrize("row", rule_table(), ids=lambda row: row.code)
    def test_every_rule_has_its_page_under_name_and_code(self, row: Rule) -> None:
        page = invoke("rule", row.name).stdout
        assert page == invoke("rule", row.code.lower()).stdout
        assert page.startswith(f"# {row.name}\n\n{row.summary}\n")
        for heading in ("What it does", "Why is this bad", "Example", "Use instead", "References"):
            assert f"\n## {heading}\n" in page

    def test_a_misspelt_rule_is_suggested(self) -> None:
        result = invoke("rule", "unused")
        assert result.exit_code == exits.USAGE
        assert "Did you mean `suppression/unused`?" in result.stderr

    def test_the_table_lists_each_rule_once(self) -> None:
        lines = invoke("rules").stdout.splitlines()
        assert [line.split()[:2] for line in lines] == [[r.code, r.name] for r in rule_table()]

    def test_as_json_every_field_is_there(self) -> None:
        rows = json.loads(invoke("rules", "--format", "json", "--select", "suppression").stdout)
        assert [r["code"] for r in rows] == ["SUP001", "SUP002", "SUP003"]
        assert rows[0]["severity"] == "warning"
        assert rows[0]["doc"].startswith("## What it does")


class TestProfiles:
    def test_a_shown_profile_is_a_profile(self, tmp_path: Path) -> None:
        names = [line.split()[0] for line in invoke("profile", "list").stdout.splitlines()]
        assert "full-trial" in names
        for name in names:
            text = invoke("profile", "show", name).stdout
            assert tomllib.loads(text)["name"] == name
            (tmp_path / "p.toml").write_text(text, encoding="utf-8")
            result = invoke("profile", "check", str(tmp_path / "p.toml"))
            assert result.exit_code == exits.CLEAN, result.stderr

    def test_a_bad_profile_is_a_configuration_error(self, tmp_path: Path) -> None:
        (tmp_path / "p.toml").write_text("nam = 'x'\n", encoding="utf-8")
        assert invoke("profile", "check", str(tmp_path / "p.toml")).exit_code == exits.USAGE
        assert invoke("profile", "show", "ful-trial").exit_code == exits.USAGE


class TestConfig:
    def test_what_is_shown_is_a_configuration_with_origins(self, tmp_path: Path) -> None:
        text = (
            "select = ['suppression']\nexclude = ['a\"b\\c']\n"
            "[per-path-ignores]\n'a b/**' = ['SUP001']\n"
        )
        path = tmp_path / "explint.toml"
        path.write_text(text, encoding="utf-8")
        shown = invoke("config", "show", str(tmp_path)).stdout
        again = config.load(config.ConfigFile(path, tomllib.loads(shown)))
        assert again == config.load(config.read(path))
        origins = {line.split(" = ")[0]: line.rpartition("# ")[2] for line in shown.splitlines()}
        assert origins["select"] == str(path)
        assert origins["fail-on"] == "default"

    @pytest.mark.parametrize("text", ["broken", "selec = []", "select = ['nope']"])
    def test_a_bad_configuration_is_named(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "explint.toml").write_text(text, encoding="utf-8")
        result = invoke("config", "show", str(tmp_path))
        assert result.exit_code == exits.USAGE
        assert "explint.toml" in result.stderr

    def test_the_schema_is_printed(self) -> None:
        assert json.loads(invoke("config", "schema").stdout) == config.config_schema()


def test_the_clock_of_the_progress_bar_counts_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY", 0.01)
    with progress.Progress(io.StringIO(), enabled=True) as bar:
        time.sleep(0.3)
        while bar.seconds is None:
            time.sleep(0.01)
        before = bar.seconds
        assert before > 0.25
        for _ in range(3):
            with bar.out_of_the_way():
                pass
            bar.advance()
        assert bar.seconds >= before


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    result = invoke("completion", shell)
    assert result.exit_code == exits.CLEAN
    assert f"_EXPLINT_COMPLETE={shell}_complete" in result.stdout


def completed(words: str) -> list[str]:
    """What bash is offered for the last of the words; files are left to bash itself."""
    env = {"COMP_WORDS": f"explint {words}", "COMP_CWORD": str(len(words.split()))}
    if words.endswith(" "):
        env["COMP_CWORD"] = str(len(words.split()) + 1)
    result = CliRunner().invoke(
        cli, prog_name="explint", env={**env, "_EXPLINT_COMPLETE": "bash_complete"}
    )
    assert result.exit_code == exits.CLEAN, result.output
    return [line.removeprefix("plain,") for line in result.stdout.splitlines() if line]


def test_completion_knows_rules() -> None:
    assert completed("rule suppression/un") == [
        "suppression/unused",
        "suppression/unknown-rule",
    ]


def test_completion_knows_formats(tmp_path: Path) -> None:
    assert completed("check -o s") == ["sarif"]
    assert completed("check -o sarif") == ["sarif", "sarif:"]
    assert completed("judge . -o j") == ["json"]
    assert completed("audit query out SQL -o j") == ["json", "jsonl"]
    assert completed("audit summary out -o t") == ["text"]
    (tmp_path / "report.sarif").touch()
    (tmp_path / "reports").mkdir()
    assert completed(f"check -o sarif:{tmp_path}/re") == [
        f"sarif:{tmp_path}/report.sarif",
        f"sarif:{tmp_path}/reports/",
    ]


def test_completion_knows_selectors() -> None:
    assert completed("check --select structure,crit") == [
        f"structure,criterion:{number}" for number in range(1, 10)
    ]
    assert completed("check --ignore STR00") == [
        row.code for row in rule_table() if row.code.startswith("STR00")
    ]
    assert "hydra" in completed("check --select ")
    # Names only once something says which: there are hundreds.
    assert not any("/" in word for word in completed("check --select "))
    assert completed("check --select hydra,hydr") == [
        f"hydra,{row.name}" for row in rule_table() if row.name.startswith("hydr")
    ]


def test_completion_knows_profiles_runs_and_modes(tmp_path: Path) -> None:
    assert completed("check --profile trial") == ["trial-mode"]
    assert completed("check --profile ./lab") == ["file,./lab"]
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("x = 1\n")
    (tmp_path / "config" / "run").mkdir(parents=True)
    for name in ("proposed-1", "proposed-2", "baseline"):
        (tmp_path / "config" / "run" / f"{name}.yaml").write_text("run_id: x\n")
    assert completed(f"compose {tmp_path} --profile full-trial --run pro") == [
        "proposed-1",
        "proposed-2",
    ]
    assert completed(f"trace {tmp_path} --profile full-trial --mode t") == ["trial"]
    assert completed(f"trace {tmp_path}/absent --run pro") == []
    assert set(completed(f"trace {tmp_path}/absent --mode ")) > {"trial", "full", "sanity"}


def test_completion_leaves_paths_to_the_shell() -> None:
    for command in ("check", "judge", "compose", "trace", "audit", "trial"):
        assert completed(f"{command} ./exam") == ["file,./exam"]


@pytest.mark.parametrize(
    "command",
    [
        (),
        *((name,) for name in COMMANDS),
        ("audit", "query"),
        ("audit", "report"),
        ("audit", "summary"),
        ("config", "show"),
        ("config", "schema"),
        ("profile", "list"),
        ("profile", "show"),
        ("profile", "check"),
        ("profile", "schema"),
    ],
)
def test_help_fits_eighty_columns(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == exits.CLEAN
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_an_unknown_profile_is_told_before_any_report(tmp_path: Path) -> None:
    result = invoke("check", str(tmp_path), "--profile", "full-trail", "--isolated")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "nearest is full-trial" in result.stderr
