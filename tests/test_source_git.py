from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from explint.source import Limits
from source_helpers import SMALL, collect, read_one, texts, write_tree

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(at: Path, *arguments: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=at, env=env, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(at: Path, message: str = "c") -> str:
    git(at, "add", "-A")
    git(at, "commit", "-q", "--allow-empty", "-m", message)
    return git(at, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = write_tree(tmp_path / "exp", SMALL)
    git(root, "init", "-q")
    commit(root)
    return root


def test_revision_is_read_and_not_the_working_copy(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    write_tree(repository, {"src/train.py": "changed = 1\n"})
    package = read_one(repository, rev="main")
    assert (package.id, package.source.kind, package.source.rev) == ("exp", "git", first)
    assert texts(package) == {p: c for p, c in SMALL.items() if p != "README.md"}
    second = commit(repository)
    assert texts(read_one(repository, rev="HEAD"))["src/train.py"] == "changed = 1\n"
    assert read_one(repository, rev="HEAD~1").source.rev == first
    assert read_one(repository, rev=second[:8]).source.rev == second


def test_same_files_as_from_the_folder(repository: Path) -> None:
    from_git, from_disk = read_one(repository, rev="HEAD"), read_one(repository)
    assert from_git.files == from_disk.files


def test_bare_repository(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "lab.git"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    assert read_one(bare, rev="main").id == "lab"
    packages, errors = collect(bare)
    assert packages == []
    assert "--rev" in errors[0].help


def test_folder_of_a_working_copy_and_many_packages(tmp_path: Path) -> None:
    root = tmp_path / "lab"
    for name in ("exps/b", "exps/a", "other/c"):
        write_tree(root / name, SMALL)
    git(root, "init", "-q")
    commit(root)
    packages, _ = collect(root, rev="HEAD")
    assert [p.id for p in packages] == ["exps/a", "exps/b", "other/c"]
    packages, _ = collect(root / "exps", rev="HEAD")
    assert [p.id for p in packages] == ["a", "b"]
    assert read_one(root / "exps/a", rev="HEAD").id == "a"


def test_links_submodules_and_pointers(repository: Path) -> None:
    (repository / "src/link.py").symlink_to("/etc/passwd")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    write_tree(repository, {"src/lfs.py": pointer, "src/big.py": "#" * 3000})
    git(repository, "add", "-A")
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{head},vendor/sub")
    git(repository, "commit", "-q", "-m", "x")
    package = read_one(repository, rev="HEAD", limits=Limits(max_file_bytes=2000))
    assert "symbolic link" in (package.files["src/link.py"].skipped or "")
    assert "LFS" in (package.files["src/lfs.py"].skipped or "")
    assert "over the limit" in (package.files["src/big.py"].failure or "")
    assert [p for p, _ in package.skipped_folders] == ["vendor/sub"]


@pytest.mark.parametrize(
    "rev", ["nope", "--help", "-h", "", "HEAD:", "a..b", "x\0y", "HEAD:README.md"]
)
def test_unknown_revision(repository: Path, rev: str) -> None:
    packages, errors = collect(repository, rev=rev)
    assert packages == []
    assert len(errors) == 1
    assert errors[0].help


def test_not_a_repository_and_not_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    write_tree(tmp_path / "plain", SMALL)
    _, errors = collect(tmp_path / "plain", tmp_path / "plain/src/train.py", rev="HEAD")
    assert len(errors) == 2


def test_folder_that_the_revision_lacks(repository: Path) -> None:
    (repository / "new").mkdir()
    _, errors = collect(repository / "new", rev="HEAD")
    assert "no folder `new`" in errors[0].message


def test_git_is_missing(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    _, errors = collect(repository, rev="HEAD")
    assert "not installed" in errors[0].message


def test_environment_and_configuration_of_others_run_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_tree(tmp_path / "other", {"x.py": ""})
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    trap = tmp_path / "trap"
    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
    hook.chmod(0o755)
    for key in ("core.fsmonitor", "core.pager", "core.sshCommand", "diff.external"):
        git(repository, "config", key, str(hook))
    git(repository, "config", "core.hooksPath", str(tmp_path))
    assert read_one(repository, rev="HEAD").id == "exp"
    assert not trap.exists()


def test_lost_object_fails_its_file_only(repository: Path) -> None:
    oid = git(repository, "rev-parse", "HEAD:src/train.py")
    (repository / ".git/objects" / oid[:2] / oid[2:]).unlink()
    package = read_one(repository, rev="HEAD")
    assert "missing" in (package.files["src/train.py"].failure or "")
    assert package.files["src/main.py"].data


def test_repository_of_another_user(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(
            command, 128, b"", b"fatal: detected dubious ownership in repository at 'x'\n"
        ),
    )
    _, errors = collect(repository, rev="HEAD")
    assert "another user" in errors[0].message
    assert "safe.directory" in errors[0].help


def test_reader_ends_when_the_caller_stops(tmp_path: Path) -> None:
    from explint.source import open_sources

    for name in ("a", "b"):
        write_tree(tmp_path / name, SMALL)
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    items = open_sources([str(tmp_path)], rev="HEAD")
    next(items)
    items.close()  # type: ignore[attr-defined]
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if children.exists():
        assert "cat-file" not in " ".join(
            Path(f"/proc/{pid}/cmdline").read_text() for pid in children.read_text().split()
        )
