"""``--against`` and baselines, on real git repositories and through the command line."""

from __future__ import annotations

import json
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from explint.baseline import Entry, load, save
from explint.cli import cli

MODEL = """import torch


class Net(torch.nn.Module):
    def forward(self, x):
        # TODO: the pooling
        return x
"""


class Repository:
    """A git repository with one package, committed to through git itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")
        self.write("pyproject.toml", '[project]\nname = "x"\nrequires-python = ">=3.11"\n')
        self.write("src/model.py", MODEL)
        self.write("src/train.py", "print(1)\n")
        self.write("config/config.yaml", "a: 1\n")
        self.commit("start")

    def git(self, *arguments: str) -> str:
        author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ("git", "-C", str(self.path), *author, *arguments),
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit(self, message: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments])


def checked(path: Path, *arguments: str) -> dict[str, Any]:
    """The one package of a JSON report, with findings of the complete family only."""
    result = run("check", str(path), "--select", "complete", "-o", "json", *arguments)
    assert result.exit_code in (0, 1), result.output
    (package,) = json.loads(result.stdout)["packages"]
    assert isinstance(package, dict)
    return package


def changes(package: dict[str, Any]) -> list[tuple[str, int, str]]:
    return [(f["path"], f["line"], f["change"]) for f in package["findings"]]


def fixed(package: dict[str, Any]) -> list[tuple[str, int, str]]:
    return [(f["path"], f["line"], f["rule"]) for f in package["comparison"]["fixed"]]


def test_nothing_is_compared_unless_asked(repository: Repository) -> None:
    package = checked(repository.path)
    assert package["comparison"] is None
    (finding,) = package["findings"]
    assert finding["change"] is None


def test_new_unchanged_and_fixed(repository: Repository) -> None:
    repository.write("src/train.py", "# FIXME: wire it\nprint(1)\n")
    base = repository.commit("old defects")
    repository.git("checkout", "-q", "-b", "topic")
    # The old TODO moves down by two lines, the FIXME goes, and another TODO comes.
    repository.write("src/model.py", "import os\n\n" + MODEL + "\n# TODO: tests\n")
    repository.write("src/train.py", "print(1)\n")
    package = checked(repository.path, "--against", "main")
    assert package["comparison"]["base"] == base
    assert changes(package) == [
        ("src/model.py", 8, "unchanged"),
        ("src/model.py", 11, "new"),
    ]
    assert fixed(package) == [("src/train.py", 1, "complete/todo-marker")]


def test_the_base_is_where_the_histories_part(repository: Repository) -> None:
    part = repository.git("rev-parse", "HEAD")
    repository.git("checkout", "-q", "-b", "topic")
    repository.git("checkout", "-q", "main")
    # What main repairs later is no new defect of the branch.
    repository.write("src/model.py", MODEL.replace("# TODO: the pooling", "x = x + 1"))
    repository.commit("repaired on main")
    repository.git("checkout", "-q", "topic")
    package = checked(repository.path, "--against", "main")
    assert package["comparison"]["base"] == part
    assert changes(package) == [("src/model.py", 6, "unchanged")]


def test_a_renamed_file_keeps_its_findings(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "topic")
    repository.git("mv", "src/model.py", "src/network.py")
    package = checked(repository.path, "--against", "main")
    assert changes(package) == [("src/network.py", 6, "unchanged")]
    assert fixed(package) == []


def test_a_package_below_the_top_and_one_that_moved(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "topic")
    (repository.path / "experiments").mkdir()
    for name in ("src", "config", "pyproject.toml"):
        repository.git("mv", name, f"experiments/{name}")
    package = checked(repository.path / "experiments", "--against", "main")
    # The folder does not exist in the base, so there is nothing to compare with below it.
    assert changes(package) == [("src/model.py", 6, "new")]
    package = checked(repository.path, "--against", "main")
    assert changes(package) == [("src/model.py", 6, "unchanged")]


def test_several_packages_of_one_repository(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    for name in ("one", "two"):
        for path, text in (
            ("pyproject.toml", '[project]\nname = "x"\n'),
            ("src/train.py", "# TODO: this\n"),
            ("src/evaluate.py", "print(2)\n"),
            ("config/config.yaml", "a: 1\n"),
        ):
            repository.write(f"runs/{name}/{path}", text)
    repository.commit("two packages")
    repository.write("runs/two/src/train.py", "print(3)\n")
    repository.write("runs/one/src/evaluate.py", "# TODO: that\n")
    result = run(
        *("check", str(tmp_path / "runs"), "--select", "complete/todo-marker"),
        *("-o", "json", "--against", "HEAD"),
    )
    one, two = json.loads(result.stdout)["packages"]
    assert changes(one) == [("src/evaluate.py", 1, "new"), ("src/train.py", 1, "unchanged")]
    assert changes(two) == []
    assert fixed(two) == [("src/train.py", 1, "complete/todo-marker")]
    assert json.loads(result.stdout)["summary"]["fixed"] == 1


def test_revisions_are_compared_without_a_checkout(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "topic")
    repository.write("src/train.py", "# TODO: that\n")
    head = repository.commit("more")
    repository.git("checkout", "-q", "main")
    package = checked(repository.path, "--rev", "topic", "--against", "main")
    assert package["source"]["rev"] == head
    assert changes(package) == [("src/model.py", 6, "unchanged"), ("src/train.py", 1, "new")]


@pytest.mark.parametrize(
    ("fail_on", "code"), [("new-error", 0), ("new-warning", 0), ("warning", 1), ("never", 0)]
)
def test_old_findings_do_not_fail_a_run_that_asks_for_new_ones(
    repository: Repository, fail_on: str, code: int
) -> None:
    arguments = ("check", str(repository.path), "--select", "complete", "--against", "HEAD")
    assert run(*arguments, "--fail-on", fail_on).exit_code == code


def test_new_findings_fail_it(repository: Repository) -> None:
    repository.write("src/train.py", "# TODO: that\n")
    arguments = ("check", str(repository.path), "--select", "complete", "--against", "HEAD")
    assert run(*arguments, "--fail-on", "new-error").exit_code == 0
    assert run(*arguments, "--fail-on", "new-warning").exit_code == 1
    repository.write("src/train.py", "print(\n")
    assert run(*arguments, "--fail-on", "new-error").exit_code == 1


def test_a_suppression_in_the_base_does_not_make_a_finding_new(repository: Repository) -> None:
    marked = MODEL.replace(
        "# TODO: the", "# explint: ignore[complete/todo-marker]: later\n        # TODO: the"
    )
    repository.write("src/model.py", marked)
    repository.commit("suppressed")
    repository.write("src/model.py", MODEL)
    package = checked(repository.path, "--against", "HEAD")
    assert changes(package) == [("src/model.py", 6, "unchanged")]


def problem(package: dict[str, Any]) -> str:
    comparison = package["comparison"]
    assert comparison["base"] is None
    assert all(f["change"] == "new" for f in package["findings"])
    text = comparison["problem"]
    assert isinstance(text, str)
    return text


def test_without_a_base_all_findings_are_new(repository: Repository, tmp_path: Path) -> None:
    assert "no commit `nowhere`" in problem(checked(repository.path, "--against", "nowhere"))
    assert "no commit `--all`" in problem(checked(repository.path, "--against=--all"))

    repository.git("checkout", "-q", "--orphan", "island")
    repository.commit("unrelated")
    assert "no common commit" in problem(checked(repository.path, "--against", "main"))

    plain = tmp_path / "plain"
    (plain / "src").mkdir(parents=True)
    (plain / "src/train.py").write_text("# TODO: x\n")
    (plain / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert "not in a git repository" in problem(checked(plain, "--against", "main"))


def test_a_shallow_clone_says_how_to_deepen_it(repository: Repository, tmp_path: Path) -> None:
    repository.git("checkout", "-q", "-b", "topic")
    repository.write("src/train.py", "print(2)\n")
    repository.commit("topic goes on")
    repository.git("checkout", "-q", "main")
    repository.write("src/train.py", "print(3)\n")
    repository.commit("main goes on")
    clone = tmp_path / "clone"
    shallow = ("--depth=1", "--no-single-branch", "-b", "topic")
    repository.git("clone", "-q", *shallow, f"file://{repository.path}", str(clone))
    assert "--deepen" in problem(checked(clone, "--against", "origin/main"))


def test_new_without_a_revision_is_a_usage_error(repository: Repository) -> None:
    result = run("check", str(repository.path), "--fail-on", "new-error")
    assert result.exit_code == 2
    assert "--against REV" in result.stderr


def test_a_person_sees_what_is_new_and_what_is_fixed(repository: Repository) -> None:
    repository.write("src/model.py", MODEL.replace("# TODO: the pooling", "x = x + 1"))
    repository.write("src/train.py", "# TODO: that\n")
    arguments = ("check", str(repository.path), "--select", "complete", "--against", "main")
    full = run(*arguments).stdout
    assert "= new: not in main" in full
    base = repository.git("rev-parse", "main")
    assert f"compared   1 new · 1 fixed · since main at {base[:10]}" in full
    assert "fixed    src/model.py: complete/todo-marker" in full
    concise = run(*arguments, "-o", "concise").stdout
    assert "(new)\n" in concise
    assert "; 1 new, 1 fixed; " in concise
    assert "new warning `complete/todo-marker`" in run(*arguments, "-o", "agent").stdout
    log = json.loads(run(*arguments, "-o", "sarif").stdout)
    states = [r["baselineState"] for r in log["runs"][0]["results"]]
    assert states == ["new", "absent"]
    assert log["runs"][0]["invocations"][0]["executionSuccessful"]


# Baselines


def test_a_baseline_accepts_what_is_there_and_nothing_else(repository: Repository) -> None:
    file = repository.path / "explint-baseline.json"
    made = run("baseline", "create", str(repository.path), "-o", str(file))
    assert made.exit_code == 0, made.output
    repository.write("src/train.py", "# TODO: that\n")
    package = checked(repository.path, "--baseline", str(file))
    states = {(f["path"], f["line"]): (f["state"], f["reason"]) for f in package["findings"]}
    assert states[("src/train.py", 1)] == ("open", None)
    state, reason = states[("src/model.py", 6)]
    assert state == "baseline"
    assert reason.startswith("in the baseline since 2")


def test_a_baseline_never_changes_the_verdict(repository: Repository) -> None:
    file = repository.path / "explint-baseline.json"
    before = checked(repository.path)["verdict"]
    run("baseline", "create", str(repository.path), "-o", str(file))
    arguments = ("check", str(repository.path), "--baseline", str(file))
    assert run(*arguments).exit_code == 0
    assert checked(repository.path, "--baseline", str(file))["verdict"] == before


def test_the_configured_baseline_lies_beside_the_configuration(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.write("explint.toml", 'baseline = "accepted.json"\n')
    assert run("baseline", "create", str(repository.path)).exit_code == 0
    assert (repository.path / "accepted.json").exists()
    monkeypatch.chdir("/")
    assert run("check", str(repository.path)).exit_code == 0
    assert run("check", str(repository.path), "--isolated").exit_code == 1


def test_repaired_entries_are_noted_pruned_and_others_keep_their_day(
    repository: Repository,
) -> None:
    file = repository.path / "explint-baseline.json"
    repository.write("src/train.py", "# TODO: that\n")
    run("baseline", "create", str(repository.path), "-o", str(file))
    old = load(file)
    (key,) = old.packages
    aged = tuple(
        Entry(
            fingerprint=e.fingerprint,
            rule=e.rule,
            path=e.path,
            message=e.message,
            since=date(2020, 1, 2),
        )
        for e in old.packages[key]
    )
    save(file, type(old)(packages={key: aged}))

    repository.write("src/train.py", "print(1)\n")
    note = "1 entry of the baseline matches nothing any more"
    assert any(note in n for n in checked(repository.path, "--baseline", str(file))["notes"])
    pruned = run("baseline", "prune", str(repository.path), "-o", str(file))
    assert "1 finding removed" in pruned.stdout
    again = run("baseline", "create", str(repository.path), "-o", str(file), "--force")
    assert again.exit_code == 0
    assert {e.since for e in load(file).packages[key]} == {date(2020, 1, 2)}
    shown = run("baseline", "show", str(file)).stdout
    assert "complete/todo-marker" in shown
    assert "oldest 2020-01-02" in shown


def test_a_baseline_that_is_there_is_not_written_over(repository: Repository) -> None:
    file = repository.path / "explint-baseline.json"
    file.write_text("mine")
    result = run("baseline", "create", str(repository.path), "-o", str(file))
    assert result.exit_code == 2
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no such baseline"),
        ("{", "it is no baseline"),
        ("[]", "it is no baseline"),
        ('{"schema_version": 9, "packages": {}}', "schema version 9"),
        ('{"packages": {"p": [{"rule": 1}]}}', "it is no baseline"),
    ],
)
def test_a_baseline_that_cannot_be_used(
    repository: Repository, text: str | None, said: str
) -> None:
    file = repository.path / "b.json"
    if text is not None:
        file.write_text(text)
    for arguments in (
        ("check", str(repository.path), "--baseline", str(file)),
        ("baseline", "show", str(file)),
        ("baseline", "prune", str(repository.path), "-o", str(file)),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert said in result.stderr
        assert "Traceback" not in result.stderr


def test_a_report_with_a_comparison_fits_its_schema(repository: Repository) -> None:
    folder = Path(__file__).parent.parent / "docs" / "schemas"
    schema = json.loads((folder / "report.schema.json").read_text())
    repository.write("src/train.py", "# TODO: that\n")
    result = run("check", str(repository.path), "-o", "json", "--against", "main")
    jsonschema.validate(json.loads(result.stdout), schema)
