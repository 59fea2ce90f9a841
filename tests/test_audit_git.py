"""Branches and histories of repositories, read from their objects."""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from audit_helpers import files, options, table
from explint.audit.inputs import InputOptions, Item, Meter, open_inputs
from explint.audit.inputs import history as history_module
from explint.audit.run import audit
from explint.model import InputError
from explint.source.git import ObjectReader
from explint.source.tree import UnreadableError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(at: Path, *arguments: str, when: int = 0) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    env |= {"GIT_AUTHOR_DATE": f"{1e9 + when:.0f} +0000"}
    env |= {"GIT_COMMITTER_DATE": f"{1e9 + when:.0f} +0000"}
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=at, env=env, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def put(at: Path, contents: dict[str, str], when: int = 0) -> str:
    for path, text in contents.items():
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        (at / path).write_text(text)
    git(at, "add", "-A", "--force")
    git(at, "commit", "-q", "--allow-empty", "-m", "c", when=when)
    return git(at, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """main: 1, 2, notes, 1 again, 3; a branch named like a flag from 2; one with a slash."""
    root = tmp_path / "lab"
    root.mkdir()
    git(root, "init", "-q")
    put(root, files(1), 10)
    base = put(root, files(2), 20)
    put(root, {"notes/raw.bin": "not source"}, 30)
    (root / "notes" / "raw.bin").unlink()
    put(root, files(1), 40)
    put(root, files(3), 50)
    git(root, "branch", "feature/x", base)
    git(root, "update-ref", "refs/heads/--upload-pack=touch", base)
    git(root, "checkout", "-q", "feature/x")
    put(root, files(4), 60)
    git(root, "checkout", "-q", "main")
    return root


def read(source: Path, *, branches: bool = False, history: bool = False) -> list[Item]:
    chosen = InputOptions(branches=branches, history=history)
    found = list(open_inputs([str(source)], chosen, Meter()))
    assert not [f for f in found if isinstance(f, InputError)]
    return [f for f in found if isinstance(f, Item)]


def train(item: Item) -> str:
    data = item.load().files["src/train.py"].data
    assert data is not None
    return data.decode()


def test_every_branch_head(repository: Path) -> None:
    items = read(repository, branches=True)
    assert [(i.id, i.branch, i.series) for i in items] == [
        ("lab@main", "main", "lab@main"),
        ("lab@--upload-pack=touch", "--upload-pack=touch", "lab@--upload-pack=touch"),
        ("lab@feature/x", "feature/x", "lab@feature/x"),
    ]
    assert [train(i) for i in items] == [files(n)["src/train.py"] for n in (3, 2, 4)]
    assert items[0].version == git(repository, "rev-parse", "main")
    assert items[0].repository == "lab"


def test_every_state_in_the_history_once(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "mirrors" / "group" / "lab.git"
    bare.parent.mkdir(parents=True)
    git(tmp_path, "clone", "-q", "--mirror", str(repository), str(bare))
    for source in (repository, bare, tmp_path / "mirrors"):
        items = read(source, history=True)
        # The notes and the return to an earlier state are no new states.
        expected = [files(n)["src/train.py"] for n in (1, 2)]
        assert [train(i) for i in items][:2] == expected
        assert train(items[-1]) == files(3)["src/train.py"]
        assert [i.version_order for i in items] == list(range(len(items)))
        assert {i.series for i in items} == {"lab@main"}
        dates = [i.version_date.timestamp() - 1e9 for i in items if i.version_date]
        assert dates[:2] == [10, 20]
        assert dates == sorted(dates)
    items = read(bare, history=True, branches=True)
    other = [i for i in items if i.branch == "feature/x"]
    assert [train(i) for i in other] == [files(4)["src/train.py"]]
    assert other[0].version_order == 0
    assert not [i for i in items if i.branch == "--upload-pack=touch"]


def test_a_bare_repository_without_a_word_is_its_head(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "lab.git"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    (item,) = read(bare)
    assert train(item) == files(3)["src/train.py"]
    git(repository, "checkout", "-q", "--detach", "HEAD~1")
    (item,) = read(repository, history=True)[-1:]
    assert item.branch == "HEAD"


def test_each_blob_is_read_once(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    get = ObjectReader.get

    def counted(self: ObjectReader, oid: str, kind: str, limit: int) -> bytes:
        asked.append(oid)
        return get(self, oid, kind, limit)

    monkeypatch.setattr(ObjectReader, "get", counted)
    assert read(repository, history=True, branches=True)
    assert len(asked) == len(set(asked))


def damage(repository: Path, oid: str, data: bytes | None) -> None:
    """Damages a loose object, or takes it away."""
    file = repository / ".git" / "objects" / oid[:2] / oid[2:]
    file.chmod(0o644)
    if data is None:
        file.unlink()
    else:
        file.write_bytes(data)


@pytest.mark.parametrize("data", [b"", b"no zlib", zlib.compress(b"blob 3\0abc"), None])
def test_a_damaged_blob_costs_its_file(
    repository: Path, tmp_path: Path, data: bytes | None
) -> None:
    damage(repository, git(repository, "rev-parse", "main~3:src/train.py"), data)
    audit(options([repository], tmp_path / "out", inputs=InputOptions(history=True, branches=True)))
    packages, findings = table(tmp_path / "out")
    states = {p.version_order or 0: p for p in packages if p.branch == "main"}
    assert states[0].complete
    assert not states[1].complete
    assert states[1].files_failed == 1
    assert states[max(states)].complete
    assert any(f.rule == "structure/unreadable-file" for f in findings)


@pytest.mark.parametrize("what", ["main~3^{tree}", "main~3", "main~3:src"])
def test_a_damaged_tree_or_commit_is_a_row(repository: Path, tmp_path: Path, what: str) -> None:
    damage(repository, git(repository, "rev-parse", what), b"garbage")
    audit(options([repository], tmp_path / "out", inputs=InputOptions(history=True, branches=True)))
    packages, _ = table(tmp_path / "out")
    assert any(p.status == "failed" or p.complete is False for p in packages)
    last = [p for p in packages if p.version == git(repository, "rev-parse", "main")]
    assert [p.status for p in last] == ["judged"]


def test_a_repository_without_commits_is_told(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "empty.git")
    (error,) = open_inputs([str(tmp_path / "empty.git")], InputOptions(history=True), Meter())
    assert isinstance(error, InputError)
    assert "no commit" in error.message


def test_a_tree_that_git_would_not_write_is_refused() -> None:
    with pytest.raises(UnreadableError):
        history_module._parse_tree(b"100644 name\0short", 20)
    entry = history_module._entry("100644", "..")
    assert entry.skipped is not None
    assert history_module._entry("100644", "a/b").skipped is not None
