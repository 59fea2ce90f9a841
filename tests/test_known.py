"""Reports are kept between runs, and only those that a new judgement would repeat."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from explint.model import InputError, PackageReport
from explint.pipeline import check_stream
from explint.request import CheckOptions

MAIN = "import os\n\n\ndef main():\n    # TODO: finish\n    return os.sep\n"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "main.py").write_text(MAIN)
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "0"\n')
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def check(
    package: Path, cache: Path | None, flags: Mapping[str, object] | None = None
) -> PackageReport:
    options = CheckOptions(jobs=1, cache=cache, flags=flags or {})
    (result,) = check_stream([str(package)], options)
    assert not isinstance(result, InputError)
    return result[0]


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the packages that were really judged."""
    import explint.checker

    ids: list[str] = []
    prepare = explint.checker._prepare

    def noted(package: Any, *rest: Any) -> Any:  # noqa: ANN401 - handed on as it comes
        ids.append(package.id)
        return prepare(package, *rest)

    monkeypatch.setattr(explint.checker, "_prepare", noted)
    return ids


def test_a_package_is_judged_once_and_its_report_is_the_same(
    package: Path, cache: Path, judged: list[str]
) -> None:
    fresh = check(package, None)
    first, second = check(package, cache), check(package, cache)
    assert fresh == first == second
    assert len(judged) == 2
    assert any(f.rule == "complete/todo-marker" for f in second.findings)


def test_what_a_verdict_depends_on_is_judged_anew(
    package: Path, cache: Path, judged: list[str]
) -> None:
    def changed(flags: Mapping[str, object] | None = None) -> PackageReport:
        before = len(judged)
        report = check(package, cache, flags)
        assert len(judged) == before + 1
        assert report == check(package, cache, flags) == check(package, None, flags)
        return report

    changed()
    hidden = changed({"ignore": ("complete",)})
    assert all(f.rule != "complete/todo-marker" for f in hidden.findings)
    (package / "src" / "main.py").write_text(MAIN.replace("TODO", "Now"))
    changed()
    (package / "src" / "extra.py").touch()
    changed()
    (package / "explint.toml").write_text('ignore = ["structure"]\n')
    changed()
    profile = package.parent / "own.toml"
    profile.write_text('name = "own"\nversion = "1"\nextends = "trial-mode"\n')
    changed({"profile": str(profile)})
    with profile.open("a") as text:
        text.write('[severity]\n"complete/todo-marker" = "info"\n')
    changed({"profile": str(profile)})


def test_a_baseline_that_changed_is_obeyed(package: Path, cache: Path) -> None:
    (package / ".git").mkdir()
    run = [sys.executable, "-m", "explint", "baseline", "create", "-o", "accepted.json", "."]
    subprocess.run(run, cwd=package, check=True, capture_output=True)
    (package / "explint.toml").write_text('baseline = "accepted.json"\n')
    accepted = check(package, cache)
    assert {f.state.value for f in accepted.findings} == {"baseline"}
    data = json.loads((package / "accepted.json").read_text())
    data["packages"] = {}
    (package / "accepted.json").write_text(json.dumps(data))
    assert {f.state.value for f in check(package, cache).findings} == {"open"}


def test_damage_costs_a_judgement_and_nothing_else(
    package: Path, cache: Path, judged: list[str]
) -> None:
    wanted = check(package, cache)
    (file,) = cache.glob("*.sqlite3")
    whole = file.read_bytes()
    for damage in (
        b"",
        b"no database at all" * 400,
        whole[: len(whole) // 2],
        whole[:100] + b"\xff" * (len(whole) - 100),
    ):
        file.write_bytes(damage)
        assert check(package, cache) == wanted
        before = len(judged)
        assert check(package, cache) == wanted
        assert len(judged) == before, "the cache does not work again after damage"


def test_an_answer_that_was_tampered_with_is_a_miss(package: Path, cache: Path) -> None:
    import sqlite3

    wanted = check(package, cache)
    (file,) = cache.glob("*.sqlite3")
    with sqlite3.connect(file) as database:
        database.execute("update answers set answer = substr(answer, 1, length(answer) - 1)")
    assert check(package, cache) == wanted


def test_a_folder_that_cannot_be_used_is_done_without(package: Path, tmp_path: Path) -> None:
    wanted = check(package, None)
    file = tmp_path / "file"
    file.write_text("mine")
    assert check(package, file / "below") == wanted
    assert check(package, file) == wanted
    assert file.read_text() == "mine"
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert check(package, locked) == wanted


def test_known_and_new_packages_come_in_their_order(package: Path, cache: Path) -> None:
    root = package.parent / "many"
    for name in "abcdefghijkl":
        (root / name / "src").mkdir(parents=True)
        (root / name / "src" / "main.py").write_text(f"# {name}\n{MAIN}")
        (root / name / "pyproject.toml").write_text("[project]\n")

    def ids(jobs: int) -> Iterator[str]:
        for result in check_stream([str(root)], CheckOptions(jobs=jobs, cache=cache)):
            assert not isinstance(result, InputError)
            report, text = result
            assert text.lines("src/main.py") == f"# {report.id[-1]}\n{MAIN}".split("\n")
            yield report.id[-1]

    for name in "bdk":
        check(root / name, cache)
    assert "".join(ids(1)) == "abcdefghijkl"
    (root / "c" / "src" / "main.py").write_text(f"# c\n{MAIN}")
    assert "".join(ids(2)) == "abcdefghijkl"


def explint(*words: str, cwd: Path, cache: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _RUN, *words],
        cwd=cwd,
        env={**os.environ, "EXPLINT_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=False,
    )


_RUN = """
import atexit, sys
atexit.register(lambda: print('explint.rules' in sys.modules, file=sys.stderr))
from explint.cli import main
main()
"""


def test_a_known_package_is_told_of_without_loading_a_rule(package: Path, cache: Path) -> None:
    first = explint("check", ".", "--fail-on=info", cwd=package, cache=str(cache))
    second = explint("check", ".", "--fail-on=info", cwd=package, cache=str(cache))
    assert first.stdout == second.stdout
    assert "complete/todo-marker" in second.stdout
    assert (first.returncode, second.returncode) == (1, 1)
    assert (first.stderr, second.stderr) == ("True\n", "False\n")


@pytest.mark.parametrize("words", [("--no-cache",), ()])
def test_nothing_is_kept_where_nothing_is_wanted(
    package: Path, cache: Path, words: tuple[str, ...]
) -> None:
    folder = str(cache) if words else ""
    done = explint("check", ".", "--fail-on=info", *words, cwd=package, cache=folder)
    assert done.returncode == 1
    assert not cache.exists()


def test_processes_share_a_cache(package: Path, cache: Path) -> None:
    env = {**os.environ, "EXPLINT_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "explint", "check", ".", "-o", "jsonl", "--fail-on=info"]
    running = [
        subprocess.Popen(command, cwd=package, env=env, stdout=subprocess.PIPE) for _ in range(4)
    ]
    assert len({process.communicate()[0] for process in running}) == 1
    assert [process.returncode for process in running] == [1] * 4
