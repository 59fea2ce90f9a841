from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explint.model import InputError
from explint.package import FileState, Package
from explint.source import Limits, open_sources, package_of_files
from source_helpers import collect, read_one, record_text, texts

CODE = {"train_py": "x = 1\n", "config_yaml": "", "pyproject_toml": None}


def write(tmp_path: Path, value: object, name: str = "in.json") -> Path:
    path = tmp_path / name
    if isinstance(value, bytes):
        path.write_bytes(value)
    else:
        path.write_text(value if isinstance(value, str) else json.dumps(value, indent=1))
    return path


@pytest.mark.parametrize(
    "value",
    [
        CODE,
        {"experiment_code": CODE},
        {"files": {"src/train.py": "x = 1\n", "config/config.yaml": "", "pyproject.toml": None}},
        {"record": record_text({k: v or "" for k, v in CODE.items()})},
        {"prompt": record_text({k: v or "" for k, v in CODE.items()}, verdict=None), "output": {}},
    ],
)
def test_shapes(tmp_path: Path, value: object) -> None:
    package = read_one(write(tmp_path, value))
    assert package.id == "in"
    assert package.partial
    assert texts(package) == {"src/train.py": "x = 1\n"}
    assert package.state("config/config.yaml") is FileState.WITHHELD
    assert package.state("pyproject.toml") is FileState.WITHHELD


def test_whole_package_says_so(tmp_path: Path) -> None:
    value = {"files": {"src/train.py": "x = 1\n", "src/model.py": ""}, "partial": False}
    package = read_one(write(tmp_path, value))
    assert not package.partial
    assert package.state("src/model.py") is FileState.EMPTY


def test_contents_in_memory() -> None:
    package = package_of_files(
        {"src/train.py": "x = 1\n", "src\\model.py": b"\xff", "a.png": b"", "b.py": ""},
        package_id="mine",
    )
    assert (package.id, package.partial) == ("mine", False)
    assert package.files["src/train.py"].data == b"x = 1\n"
    assert package.files["src/model.py"].data == b"\xff"
    assert package.files["a.png"].skipped
    assert package.state("b.py") is FileState.EMPTY
    with pytest.raises(ValueError, match="leads out"):
        package_of_files({"../x.py": ""})


def test_id_runs_and_verdict(tmp_path: Path) -> None:
    value = {
        **CODE,
        "id": "exp-7",
        "runs": [{"run_id": "a", "config": {"lr": 0.1}}, {"run_id": "b", "config": "lr: 2\n"}, 3],
        "verdict": {"is_code_ready": True, "code_issue": ""},
        "hypothesis": "It works.",
    }
    package = read_one(write(tmp_path, value))
    assert package.id == "exp-7"
    assert [r.run_id for r in package.runs] == ["a", "b"]
    assert json.loads(texts(package)["config/run/a.yaml"]) == {"lr": 0.1}
    assert texts(package)["config/run/b.yaml"] == "lr: 2\n"
    assert package.record is not None
    assert package.record.hypothesis == "It works."
    assert package.record.verdict is not None
    assert package.record.verdict.is_code_ready


@pytest.mark.parametrize(
    "path", ["../x.py", "/etc/x.py", "C:\\x.py", "a/../../x.py", "..\\x.py", "", "a\0.py"]
)
def test_paths_that_lead_out_are_refused_one_by_one(tmp_path: Path, path: str) -> None:
    location = write(tmp_path, {"files": {path: "x = 1\n", "src/train.py": "y = 1\n"}})
    packages, errors = collect(location)
    assert texts(packages[0]) == {"src/train.py": "y = 1\n"}
    assert set(packages[0].files) == {"src/train.py"}
    assert len(errors) == 1
    assert errors[0].location == str(location)


def test_other_contents(tmp_path: Path) -> None:
    files = {"a.py": 3, "b.py": {"x": 1}, "c.png": "text", "d.py": "# \ud800\n", "e.py": "x" * 99}
    package = read_one(write(tmp_path, {"files": files}), limits=Limits(max_file_bytes=50))
    assert package.files["a.py"].failure == "its content is not text but a number"
    assert package.files["b.py"].failure == "its content is not text but an object"
    assert package.files["c.png"].skipped
    with pytest.raises(UnicodeDecodeError):
        (package.files["d.py"].data or b"").decode()
    assert "over the limit" in (package.files["e.py"].failure or "")


def test_duplicates_are_said(tmp_path: Path) -> None:
    text = '{"files": {"a.py": "x = 1", "a.py": "x = 2", "./b.py": "y = 1", "b.py": "y = 2"}}'
    packages, errors = collect(write(tmp_path, text))
    assert texts(packages[0]) == {"a.py": "x = 2", "b.py": "y = 2"}
    assert any("a.py" in note for note in packages[0].notes)
    assert "b.py" in errors[0].message


def test_rows(tmp_path: Path) -> None:
    rows: list[Any] = [
        json.dumps(CODE).encode(),
        b"",
        b"[1, 2]",
        b"{broken",
        b'{"train_py": "bad \xff"}',
        b'{"nothing": 1}',
        b"[" * 100_000,
        json.dumps({"files": {"b.py": "b = 1"}, "id": "named"}).encode(),
        json.dumps({"train_py": "z" * 5000}).encode(),
        b'{"train_py": "t = 1", "model_py": "m = ',
        json.dumps(CODE).encode(),
    ]
    path = write(tmp_path, b"\xef\xbb\xbf" + b"\n".join(rows), "in.jsonl")
    packages, errors = collect(path, limits=Limits(max_package_bytes=2000, max_file_bytes=500))
    assert [p.id for p in packages] == ["in#1", "named", "in#10", "in#11"]
    assert [p.source.member for p in packages] == ["#1", "#8", "#10", "#11"]
    at = [e.location.rpartition("#")[2] for e in errors]
    assert at == ["3", "4", "5", "6", "7", "9"]
    assert "not an object but a list" in errors[0].message
    assert packages[2].files["src/model.py"].truncated


def test_rows_are_read_one_at_a_time() -> None:
    class Endless(io.RawIOBase):
        count = 0

        def readline(self, size: int | None = -1) -> bytes:
            self.count += 1
            return json.dumps({"train_py": f"x = {self.count}"}).encode() + b"\n"

    stream = Endless()
    items = open_sources(["-"], stdin=stream)  # type: ignore[arg-type]
    ids = [next(items).id for _ in range(100)]  # type: ignore[union-attr]
    assert ids[-1] == "stdin#100"
    assert stream.count <= 102


def test_json_file_may_hold_a_list_or_rows(tmp_path: Path) -> None:
    packages, _ = collect(write(tmp_path, [CODE, CODE, 3]))
    assert [p.id for p in packages] == ["in#1", "in#2"]
    line = json.dumps(CODE)
    packages, _ = collect(write(tmp_path, f"\n{line}\n\n\n{line}\n", "rows.json"))
    assert [p.id for p in packages] == ["rows#2", "rows#5"]
    assert read_one(write(tmp_path, f"{line}\n\n", "one.json")).id == "one"


@pytest.mark.parametrize("text", ["", "  \n", "[]", "3", '"x"', "null", "{", "[" * 200_000])
def test_what_is_no_package_is_an_error(tmp_path: Path, text: str) -> None:
    packages, errors = collect(write(tmp_path, text))
    assert packages == []
    assert len(errors) == 1
    assert errors[0].help


def test_cut_json_gives_what_is_whole(tmp_path: Path) -> None:
    text = json.dumps({"a_py": "a = 1\n", "b_py": "b = 'é\\n'\n" * 3}, indent=2)
    package = read_one(write(tmp_path, text[:-20]))
    assert texts(package)["src/a.py"] == "a = 1\n"
    assert package.files["src/b.py"].truncated
    assert package.record is not None
    assert package.record.truncated


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        (json.dumps(CODE).encode(), ["stdin"]),
        (json.dumps(CODE, indent=2).encode(), ["stdin"]),
        (json.dumps([CODE]).encode(), ["stdin#1"]),
        ((json.dumps(CODE) + "\n").encode() * 2, ["stdin#1", "stdin#2"]),
        (record_text({"train_py": "x = 1\n"}).encode(), ["stdin"]),
    ],
)
def test_standard_input(data: bytes, ids: list[str]) -> None:
    packages, errors = collect("-", stdin=io.BytesIO(data))
    assert errors == []
    assert [p.id for p in packages] == ids
    assert {p.source.kind for p in packages} == {"stdin"}


def test_standard_input_has_no_revision() -> None:
    assert len(collect("-", rev="main", stdin=io.BytesIO(b"{}"))[1]) == 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["files", "train_py", "runs", "record", "code", "id", "verdict", "x"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_any_rows_give_one_answer_each(values: list[object]) -> None:
    data = "\n".join(map(json.dumps, values)).encode()
    answers: dict[str, list[Package | InputError]] = {}
    for item in open_sources(["-"], stdin=io.BytesIO(data)):
        place = item.source.member if isinstance(item, Package) else item.location
        answers.setdefault(str(place), []).append(item)
    assert answers


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_never_raise(data: bytes) -> None:
    packages, errors = collect("-", stdin=io.BytesIO(data))
    assert packages or errors
