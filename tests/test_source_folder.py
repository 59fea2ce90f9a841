from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from explint.package import FileState
from explint.source import Limits, open_sources
from source_helpers import SMALL, collect, read_one, record_text, texts, write_tree

LIMITS = Limits(max_file_bytes=1000)


def test_package_folder(tmp_path: Path) -> None:
    package = read_one(write_tree(tmp_path / "exp", SMALL))
    assert package.id == "exp"
    assert package.source.kind == "folder"
    assert not package.partial
    assert list(package.files) == sorted(SMALL)
    assert texts(package) == {p: c for p, c in SMALL.items() if p != "README.md"}
    assert package.files["README.md"].skipped


def test_the_root_may_be_given_in_any_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tree(tmp_path / "exp", SMALL)
    monkeypatch.chdir(root)
    dotted, absolute = read_one("."), read_one(root)
    assert (dotted.id, dotted.files) == (absolute.id, absolute.files)


def test_empty_file_is_really_empty(tmp_path: Path) -> None:
    package = read_one(write_tree(tmp_path, {**SMALL, "src/model.py": ""}))
    assert package.state("src/model.py") is FileState.EMPTY
    assert package.files["src/model.py"].data == b""


def test_folder_of_packages_in_order_and_lazily(tmp_path: Path) -> None:
    for name in ("b", "a", "deep/er/c", "node_modules/x", "outputs/y"):
        write_tree(tmp_path / name, SMALL)
    items = open_sources([str(tmp_path)])
    assert next(items).id == "a"  # type: ignore[union-attr]
    (tmp_path / "b/src/train.py").write_text("changed = 1\n")
    second = next(items)
    assert texts(second)["src/train.py"] == "changed = 1\n"  # type: ignore[arg-type]
    assert [p.id for p in items] == ["deep/er/c"]  # type: ignore[union-attr]


def test_a_package_is_not_searched_for_packages(tmp_path: Path) -> None:
    write_tree(tmp_path, SMALL)
    write_tree(tmp_path / "examples/inner", SMALL)
    package = read_one(tmp_path)
    assert "examples/inner/src/train.py" in package.files


@pytest.mark.parametrize(
    "files",
    [
        {"train.py": "x = 1\n"},
        {"tools/x.py": "x = 1\n", ".git/HEAD": "ref\n"},
        {"pyproject.toml": "[project]\n", "lib/deep/x.py": "x = 1\n"},
        {"configs/train.yaml": "a: 1\n", "src/lib/x.py": "x = 1\n", "run.py": "x = 1\n"},
        {"notebook_helpers.py": "x = 1\n"},
    ],
)
def test_other_layouts_are_one_package(tmp_path: Path, files: dict[str, str]) -> None:
    package = read_one(write_tree(tmp_path / "p", files))
    assert package.id == "p"
    assert {p for p in files if p.endswith(".py")} <= set(package.files)


def test_project_around_packages_gives_the_packages_and_names_the_rest(tmp_path: Path) -> None:
    write_tree(tmp_path, {"pyproject.toml": "[project]\n", "build_all.py": "x = 1\n"})
    write_tree(tmp_path / "exps/one", SMALL)
    package = read_one(tmp_path)
    assert package.id == "exps/one"
    assert any("build_all.py" in note for note in package.notes)


@pytest.mark.parametrize("files", [{}, {"notes.md": "x\n"}, {"src/.keep": ""}])
def test_nothing_to_check_yields_nothing(tmp_path: Path, files: dict[str, str]) -> None:
    assert collect(write_tree(tmp_path, files)) == ([], [])


def test_folders_of_tools_and_outputs_are_listed_and_not_entered(tmp_path: Path) -> None:
    names = [".git", ".venv", "__pycache__", "outputs", "wandb", "src/.mypy_cache", ".hydra"]
    for name in names:
        write_tree(tmp_path, {f"{name}/x.py": "x = 1\n"})
    write_tree(tmp_path, {"env/pyvenv.cfg": "", "env/x.py": "", **SMALL})
    package = read_one(tmp_path)
    assert sorted(p for p, _ in package.skipped_folders) == sorted([*names, "env"])
    assert set(package.files) == set(SMALL)


def test_config_group_named_like_an_output_is_read(tmp_path: Path) -> None:
    package = read_one(write_tree(tmp_path, {**SMALL, "config/wandb/on.yaml": "mode: online\n"}))
    assert "config/wandb/on.yaml" in texts(package)


def test_links(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", SMALL)
    outside = write_tree(tmp_path / "outside", {"secret.py": "key = 1\n"})
    (root / "src/out.py").symlink_to(outside / "secret.py")
    (root / "src/in.py").symlink_to("train.py")
    (root / "src/self.py").symlink_to("self.py")
    (root / "src/gone.py").symlink_to("nowhere.py")
    (root / "up").symlink_to("..")
    (root / "src/round").symlink_to("..")
    (root / "out").symlink_to(outside)
    package = read_one(root)
    assert texts(package)["src/in.py"] == SMALL["src/train.py"]
    for name in ("out", "self", "gone"):
        assert package.files[f"src/{name}.py"].data is None
        assert "symbolic link" in (package.files[f"src/{name}.py"].skipped or "")
    assert "leads out" in (package.files["up"].skipped or "")
    # A link to the package's own root leads round in a circle.
    assert ("src/round", "a symbolic link to a folder") in package.skipped_folders
    assert "leads out" in (package.files["out"].skipped or "")


def test_link_between_packages_of_one_folder_leaves_the_package(tmp_path: Path) -> None:
    write_tree(tmp_path / "a", SMALL)
    write_tree(tmp_path / "b", SMALL)
    (tmp_path / "b/src/model.py").symlink_to(tmp_path / "a/src/train.py")
    packages, _ = collect(tmp_path)
    assert packages[1].files["src/model.py"].data is None


def test_pipes_and_sockets_are_never_opened(tmp_path: Path) -> None:
    write_tree(tmp_path, SMALL)
    os.mkfifo(tmp_path / "src/model.py")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(tmp_path / "src")  # the name of a socket is limited to about 100 bytes
        try:
            server.bind("sock.py")
        finally:
            os.chdir(here)
        package = read_one(tmp_path)
    assert package.files["src/model.py"].skipped == "a named pipe"
    assert package.files["src/sock.py"].skipped == "a socket"
    _, errors = collect(tmp_path / "src/model.py")
    assert "named pipe" in errors[0].message


def test_large_file_fails_with_its_size(tmp_path: Path) -> None:
    package = read_one(write_tree(tmp_path, {**SMALL, "src/big.py": "#" * 5000}), limits=LIMITS)
    assert "4.9 KiB" in (package.files["src/big.py"].failure or "")
    assert package.files["src/train.py"].data


def test_too_many_files_and_too_much_text_are_said(tmp_path: Path) -> None:
    write_tree(tmp_path, SMALL)
    few = read_one(tmp_path, limits=Limits(max_files=3))
    assert [f.failure is not None for f in few.files.values()] == [False] * 3 + [True]
    small = read_one(tmp_path, limits=Limits(max_package_bytes=30))
    assert "package is over the limit" in (small.files["src/train.py"].failure or "")
    assert set(small.files) == set(SMALL)


def test_deep_folders_are_left_with_the_reason(tmp_path: Path) -> None:
    write_tree(tmp_path, {**SMALL, "/".join("d" * 12) + "/x.py": "x = 1\n"})
    package = read_one(tmp_path, limits=Limits(max_depth=5))
    assert [p for p, _ in package.skipped_folders] == ["d/d/d/d/d"]


def test_name_that_is_not_utf8_becomes_printable(tmp_path: Path) -> None:
    write_tree(tmp_path, SMALL)
    Path(os.fsdecode(os.fsencode(tmp_path / "src") + b"/m\xff\n.py")).write_text("x = 1\n")
    package = read_one(tmp_path)
    assert texts(package)["src/m\\xff\\n.py"] == "x = 1\n"


def test_unreadable_folder_fails_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, SMALL)
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def denied(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    # Permissions do not stop root, who may run the tests.
    monkeypatch.setattr(os, "scandir", denied)
    package = read_one(tmp_path)
    assert package.files["locked"].failure == "the folder cannot be read: Permission denied"
    assert package.files["src/train.py"].data


def test_lfs_pointer_is_skipped(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    package = read_one(write_tree(tmp_path, {**SMALL, "src/x.py": pointer}))
    assert "LFS" in (package.files["src/x.py"].skipped or "")


def test_single_file_keeps_its_place_in_the_package(tmp_path: Path) -> None:
    write_tree(tmp_path, SMALL)
    package = read_one(tmp_path / "config/run/a.yaml")
    assert texts(package) == {"config/run/a.yaml": "run_id: a\n"}
    assert package.partial
    assert list(read_one(tmp_path / "src/train.py").files) == ["src/train.py"]


def test_single_file_deep_in_a_project(tmp_path: Path) -> None:
    write_tree(tmp_path, {"pyproject.toml": "[project]\n", "lib/cli/main.py": "x = 1\n"})
    write_tree(tmp_path / "exp", {**SMALL, "src/parts/model.py": "x = 1\n"})
    assert list(read_one(tmp_path / "lib/cli/main.py").files) == ["lib/cli/main.py"]
    assert list(read_one(tmp_path / "exp/src/parts/model.py").files) == ["src/parts/model.py"]


def test_single_file_alone(tmp_path: Path) -> None:
    write_tree(tmp_path, {"lonely.py": "x = 1\n"})
    assert list(read_one(tmp_path / "lonely.py").files) == ["lonely.py"]


def test_missing_path_names_a_near_one(tmp_path: Path) -> None:
    write_tree(tmp_path / "experiment", SMALL)
    _, errors = collect(tmp_path / "experimnet", tmp_path / "zzz", "nul\0")
    assert str(tmp_path / "experiment") in errors[0].help
    assert len(errors) == 3


def test_unknown_kind_of_file(tmp_path: Path) -> None:
    write_tree(tmp_path, {"x.jsnl": "{}", "noext": ""})
    _, errors = collect(tmp_path / "x.jsnl", tmp_path / "noext")
    assert "did you mean .json" in errors[0].help
    assert "suffix" in errors[1].message


def test_ids_are_unique_in_a_call(tmp_path: Path) -> None:
    for name in ("one/a", "two/a", "one/b"):
        write_tree(tmp_path / name, SMALL)
    packages, _ = collect(tmp_path / "one", tmp_path / "two", tmp_path / "one" / "b")
    assert [p.id for p in packages] == ["a", "b", "two/a", "b~2"]


def test_records_in_a_folder(tmp_path: Path) -> None:
    write_tree(tmp_path, {"r.txt": record_text({"train_py": "x = 1\n"}), "notes.txt": "hello\n"})
    assert read_one(tmp_path).id == "r"


def test_records_beside_packages(tmp_path: Path) -> None:
    record = record_text({"train_py": "x = 1\n"})
    write_tree(tmp_path / "a", {**SMALL, "log.txt": record})
    write_tree(tmp_path, {"r.txt": record, "more/s.txt": record, "notes.txt": "hello\n"})
    packages, errors = collect(tmp_path)
    # What lies in a package is the package's own.
    assert [p.id for p in packages] == ["a", "s", "r"]
    assert not errors


def test_records_beside_a_script(tmp_path: Path) -> None:
    write_tree(tmp_path, {"r.txt": record_text({"train_py": "x = 1\n"}), "score.py": "y = 2\n"})
    packages, _ = collect(tmp_path)
    assert [list(p.files) for p in packages] == [["r.txt", "score.py"], ["src/train.py"]]


def test_a_package_is_not_searched_for_records(tmp_path: Path) -> None:
    write_tree(tmp_path, {**SMALL, "r.txt": record_text({"train_py": "x = 1\n"})})
    assert len(collect(tmp_path)[0]) == 1


def test_interrupt_passes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, SMALL)

    def interrupted(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "scandir", interrupted)
    with pytest.raises(KeyboardInterrupt):
        collect(tmp_path)


def test_what_is_named_twice_is_read_once(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", SMALL)
    packages, errors = collect(root, f"{root}/", root / "src" / "..", root)
    assert len(packages) == 1
    assert not errors
