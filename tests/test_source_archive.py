from __future__ import annotations

import gzip
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from explint.source import Limits, open_sources
from source_helpers import SMALL, collect, read_one, tar_bytes, texts, zip_bytes

Pack = Callable[[list[tuple[str, str | bytes]]], bytes]

KINDS: dict[str, Pack] = {
    "zip": zip_bytes,
    "tar": tar_bytes,
    "tar.gz": lambda members: gzip.compress(tar_bytes(members)),
    "tgz": lambda members: gzip.compress(tar_bytes(members)),
    "tar.zst": lambda members: zstandard.compress(tar_bytes(members)),
}
TARS = sorted(set(KINDS) - {"zip"})


def put(tmp_path: Path, kind: str, data: bytes) -> Path:
    path = tmp_path / f"in.{kind}"
    path.write_bytes(data)
    return path


def small(prefix: str = "") -> list[tuple[str, str | bytes]]:
    return [(prefix + path, content) for path, content in SMALL.items()]


@pytest.mark.parametrize("kind", KINDS)
def test_one_package(tmp_path: Path, kind: str) -> None:
    package = read_one(put(tmp_path, kind, KINDS[kind](small())))
    assert (package.id, package.source.kind, package.source.member) == ("in", "archive", None)
    assert texts(package) == {p: c for p, c in SMALL.items() if p != "README.md"}


@pytest.mark.parametrize("kind", KINDS)
def test_top_folder_is_stripped(tmp_path: Path, kind: str) -> None:
    for prefix in ("top/", "./top/"):
        package = read_one(put(tmp_path, kind, KINDS[kind](small(prefix))))
        assert set(package.files) == set(SMALL)
        assert package.source.member == "top"
    package = read_one(put(tmp_path, kind, KINDS[kind]([("a/b/x.py", "x = 1\n")])))
    assert set(package.files) == {"x.py"}


@pytest.mark.parametrize("kind", KINDS)
def test_many_packages(tmp_path: Path, kind: str) -> None:
    members = small("all/b/") + small("all/a/") + [("all/list.py", "x = 1\n")]
    packages, errors = collect(put(tmp_path, kind, KINDS[kind](members)))
    assert errors == []
    assert sorted(p.id for p in packages) == ["a", "b"]
    assert all(len(texts(p)) == 5 for p in packages)
    assert sum("all/list.py" in note for p in packages for note in p.notes) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_interleaved_packages(tmp_path: Path, kind: str) -> None:
    members = [pair for both in zip(small("a/"), small("b/"), strict=True) for pair in both]
    packages, _ = collect(put(tmp_path, kind, KINDS[kind](members)))
    assert [p.id for p in packages] == ["a", "b"]
    assert texts(packages[0]) == texts(packages[1])
    assert len(texts(packages[0])) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_lead_out_are_refused_one_by_one(tmp_path: Path, kind: str) -> None:
    bad = ["../evil.py", "/abs.py", "p/../../evil.py", "..\\evil.py", "C:/evil.py"]
    members: list[tuple[str, str | bytes]] = [(name, "x = 1\n") for name in bad]
    packages, errors = collect(put(tmp_path, kind, KINDS[kind](members + small("p/"))))
    assert set(packages[0].files) == set(SMALL)
    assert len(errors) == len(bad)
    assert all("refused" in e.message for e in errors)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicates_last_one_counts_and_is_said(tmp_path: Path, kind: str) -> None:
    members = [("src/train.py", "old = 1\n"), *small()]
    package = read_one(put(tmp_path, kind, KINDS[kind](members)))
    assert texts(package)["src/train.py"] == SMALL["src/train.py"]
    assert any("src/train.py occurs twice" in note for note in package.notes)


@pytest.mark.parametrize("kind", KINDS)
def test_large_member_fails_alone(tmp_path: Path, kind: str) -> None:
    members = [*small(), ("src/big.py", "#" * 5000)]
    path = put(tmp_path, kind, KINDS[kind](members))
    package = read_one(path, limits=Limits(max_file_bytes=1000))
    assert "over the limit" in (package.files["src/big.py"].failure or "")
    assert package.files["src/train.py"].data


@pytest.mark.parametrize("kind", ["tar.gz", "tar.zst"])
def test_bomb_is_left_at_the_limit_and_what_came_before_is_judged(
    tmp_path: Path, kind: str
) -> None:
    members = [*small("p/"), ("p/zeros.bin", b"\0" * 40_000_000)]
    packages, errors = collect(put(tmp_path, kind, KINDS[kind](members)))
    assert "times its size" in errors[0].message
    assert len(texts(packages[0])) == 5


def test_zip_that_lies_about_its_size(tmp_path: Path) -> None:
    data = zip_bytes([("src/train.py", b"#" * 20_000_000), *small("q/")])
    claim = (20_000_000).to_bytes(4, "little")
    path = put(tmp_path, "zip", data.replace(claim, (10).to_bytes(4, "little")))
    packages, errors = collect(path)
    train = next(p for p in packages if "src/train.py" in p.files and p.id != "q")
    assert train.files["src/train.py"].failure
    assert errors == []


def test_zip_bomb_of_many_members(tmp_path: Path) -> None:
    members = [(f"src/m{i}.py", b"#" * 1_000_000) for i in range(30)]
    path = put(tmp_path, "zip", zip_bytes([*small(), *members]))
    package = read_one(path, limits=Limits(max_archive_bytes=5_000_000))
    failures = [f.failure for f in package.files.values() if f.failure]
    assert len(failures) == 28  # four of the thirty fit; src/main.py and src/train.py follow them
    assert all("unpacks to more than" in f for f in failures)


def test_links_and_devices_in_a_tar(tmp_path: Path) -> None:
    members: list[tuple[tarfile.TarInfo, bytes]] = []
    for name, kind, target in (
        ("src/link.py", tarfile.SYMTYPE, "/etc/passwd"),
        ("src/hard.py", tarfile.LNKTYPE, "src/train.py"),
        ("src/dev.py", tarfile.CHRTYPE, ""),
        ("src/pipe.py", tarfile.FIFOTYPE, ""),
    ):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        members.append((info, b""))
    package = read_one(put(tmp_path, "tar", tar_bytes([*small(), *members])))
    for name in ("link", "hard", "dev", "pipe"):
        assert package.files[f"src/{name}.py"].data is None
        assert package.files[f"src/{name}.py"].skipped


def test_links_and_encryption_in_a_zip(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("src/link.py")
    link.external_attr = 0o120777 << 16
    data = bytearray(zip_bytes([*small(), (link, "/etc/passwd"), ("src/enc.py", "x = 1\n")]))
    entry = data.rindex(b"src/enc.py") - 46
    data[entry + 8] |= 1
    package = read_one(put(tmp_path, "zip", bytes(data)))
    assert "symbolic link" in (package.files["src/link.py"].skipped or "")
    assert package.files["src/enc.py"].failure == "it is encrypted"


def test_rare_zip_compression_fails_alone(tmp_path: Path) -> None:
    path = put(tmp_path, "zip", zip_bytes(small()))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("src/b.py", "x = 1\n")
    assert "compression" in (read_one(path).files["src/b.py"].failure or "")


def test_tar_header_of_absurd_size(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type = tarfile.XHDTYPE
    info.size = 50_000_000
    raw = info.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 50_000_000
    _, errors = collect(put(tmp_path, "tar", tar_bytes([])[:0] + raw))
    assert "header" in errors[0].message


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_archive_is_one_error(tmp_path: Path, kind: str) -> None:
    for data in (b"", b"hello", b"\0" * 2000):
        packages, errors = collect(put(tmp_path, kind, data))
        assert packages == []
        assert len(errors) <= 1
        if data == b"hello":
            assert "broken" in errors[0].message


@pytest.mark.parametrize("kind", TARS)
def test_cut_tar_gives_what_is_whole_and_says_so(tmp_path: Path, kind: str) -> None:
    members = small("p/")
    plain = tar_bytes(members)
    plain = plain[: plain.index(b"p/config/run/a.yaml") + 100]
    data = {"tar": plain, "tar.zst": zstandard.compress(plain)}.get(kind, gzip.compress(plain))
    packages, errors = collect(put(tmp_path, kind, data))
    assert len(errors) == 1
    assert "cut or damaged" in errors[0].message
    assert texts(packages[0])["src/train.py"] == SMALL["src/train.py"]


def test_packages_of_a_tar_are_let_go(tmp_path: Path) -> None:

    members = [m for i in range(40) for m in [*small(f"p{i}/"), (f"p{i}/src/m.py", b"#" * 500_000)]]
    path = put(tmp_path, "tar", tar_bytes(members))
    del members
    tracemalloc.start()
    try:
        count = sum(1 for _ in open_sources([str(path)]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 40
    assert peak < 5_000_000


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(KINDS)), st.data())
def test_damaged_archives_never_raise(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    content = bytearray(KINDS[kind](small("p/")))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path = put(tmp_path_factory.mktemp("d"), kind, bytes(content[:cut]))
    collect(path, limits=Limits(max_archive_bytes=1_000_000))
