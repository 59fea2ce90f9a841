"""What audits read: tables, logs, lists, patterns and versions, each row by row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit_helpers import files, jsonl, row
from explint.audit.inputs import InputOptions, Item, Meter, open_inputs
from explint.audit.inputs.columns import MappingError, parse_map
from explint.model import InputError
from explint.package import FileState, Package
from explint.source import Limits

Found = tuple[list[Item], list[InputError]]


def read(
    *sources: Path | str,
    map: Sequence[str] = (),
    whole: bool = False,
    limits: Limits | None = None,
    manifests: tuple[str, ...] = (),
    inherit: bool = False,
) -> Found:
    """The packages and the errors of the sources."""
    options = InputOptions(
        limits=limits or Limits(),
        manifests=manifests,
        columns=parse_map(map, whole=whole),
        inherit=inherit,
    )
    found = list(open_inputs([str(s) for s in sources], options, Meter()))
    items = [f for f in found if isinstance(f, Item)]
    return items, [f for f in found if isinstance(f, InputError)]


def one(source: Path, map: Sequence[str] = (), whole: bool = False) -> Package:
    items, errors = read(source, map=map, whole=whole)
    assert not errors
    (item,) = items
    return item.load()


def texts(package: Package) -> dict[str, str]:
    return {p: f.data.decode() for p, f in package.files.items() if f.data is not None}


def parquet(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), file, row_group_size=3)
    return file


def test_a_table_whose_columns_are_named_as_in_json(tmp_path: Path) -> None:
    rows = [{"id": f"r{n}", "train_py": f"x = {n}\n", "other": "y"} for n in range(7)]
    items, errors = read(parquet(tmp_path / "a.parquet", rows))
    assert not errors
    assert [i.id for i in items] == [f"r{n}" for n in range(7)]
    assert {(i.source_kind, i.member) for i in items[:2]} == {("table", "#1"), ("table", "#2")}
    assert texts(items[3].load()) == {"src/train.py": "x = 3\n"}


def test_columns_are_mapped_from_wherever_they_lie(tmp_path: Path) -> None:
    rows = [
        {
            "name": "a",
            "code": {"train": "x = 1\n", "deep.key": {"model": "m = 1\n"}},
            "raw": json.dumps({"conf": [{"yaml": "seed: 1\n"}]}),
        }
    ]
    words = (
        "id=name",
        "train_py=code.train",
        "src/model.py=code.deep.key.model",
        "config_yaml=raw.conf.0.yaml",
    )
    expected = {
        "src/train.py": "x = 1\n",
        "src/model.py": "m = 1\n",
        "config/config.yaml": "seed: 1\n",
    }
    for source in (parquet(tmp_path / "a.parquet", rows), jsonl(tmp_path / "a.jsonl", rows)):
        (item,), errors = read(source, map=words)
        assert not errors
        assert item.id == "a"
        assert texts(item.load()) == expected


@pytest.mark.parametrize("form", ["map", "struct", "list", "json"])
def test_a_map_of_files_in_every_form(tmp_path: Path, form: str) -> None:
    wanted = files(1)
    kinds = {
        "map": pa.map_(pa.string(), pa.string()),
        "struct": pa.struct([(p, pa.string()) for p in wanted]),
        "list": pa.list_(pa.struct([("path", pa.string()), ("content", pa.string())])),
        "json": pa.string(),
    }
    value: Any = {
        "map": list(wanted.items()),
        "struct": wanted,
        "list": [{"path": p, "content": c} for p, c in wanted.items()],
        "json": json.dumps(wanted),
    }[form]
    table = pa.table({"repo": pa.array([value], type=kinds[form])})
    pq.write_table(table, tmp_path / "a.parquet")
    package = one(tmp_path / "a.parquet", map=["files=repo"], whole=True)
    assert texts(package) == wanted
    assert not package.partial


def test_nulls_and_wrong_types_cost_their_row(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"train_py": "x = 1\n", "model_py": None},
        {"train_py": None, "model_py": None},
    ]
    items, errors = read(parquet(tmp_path / "a.parquet", rows))
    assert not errors
    assert items[0].load().state("src/model.py") is FileState.WITHHELD
    assert items[1].load().state("src/train.py") is FileState.WITHHELD
    numbers = pa.table({"train_py": [1, None], "files": pa.array([None, None], pa.string())})
    pq.write_table(numbers, tmp_path / "b.parquet")
    items, errors = read(tmp_path / "b.parquet")
    assert len(items) + len(errors) == 2
    assert errors[0].location.endswith("b.parquet#1")
    assert "holds no code" in errors[0].message


def test_a_table_of_something_else_is_told(tmp_path: Path) -> None:
    source = parquet(tmp_path / "a.parquet", [{"prompt_id": 1, "answer": "x"}])
    _, (error,) = read(source)
    assert "`prompt_id`, `answer`" in error.message
    _, (error,) = read(source, map=["train_py=anser"])
    assert "no column `anser`" in error.message


def test_a_cut_or_damaged_table_loses_no_row(tmp_path: Path) -> None:
    rows = [{"train_py": f"x = {n} # {'y' * 300}\n"} for n in range(9)]
    source = tmp_path / "a.parquet"
    pq.write_table(
        pa.Table.from_pylist(rows), source, row_group_size=3, compression="none",
        use_dictionary=False,
    )  # fmt: skip
    whole = source.read_bytes()
    source.write_bytes(whole[:-20])
    items, (error,) = read(source)
    assert not items
    assert "the table cannot be read" in error.message
    # A page header in the middle group.
    at = pq.ParquetFile(pa.BufferReader(whole)).metadata.row_group(1).column(0).data_page_offset
    source.write_bytes(whole[:at] + b"\xff" * 16 + whole[at + 16 :])
    items, errors = read(source)
    assert [i.member for i in items] == ["#1", "#2", "#3", "#7", "#8", "#9"]
    assert [e.location.rpartition("#")[2] for e in errors] == ["4", "5", "6"]


def test_a_row_over_the_limit_is_one_failed_row(tmp_path: Path) -> None:
    rows = [{"train_py": "x = 1\n"}, {"train_py": "y" * 5000}, {"train_py": "x = 2\n"}]
    limits = Limits(max_package_bytes=1000, max_file_bytes=1000)
    items, errors = read(parquet(tmp_path / "a.parquet", rows), limits=limits)
    assert len(items) == 2
    assert "over the limit" in errors[0].message
    items, errors = read(jsonl(tmp_path / "a.jsonl", rows), limits=limits)
    assert len(items) == 2
    assert "over the limit" in errors[0].message


def test_row_groups_too_large_to_hold_are_refused_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"train_py": f"x = {n} # {n * 777}\n"} for n in range(5)]
    monkeypatch.setattr("explint.audit.inputs.table._GROUP_BYTES", 10)
    items, errors = read(parquet(tmp_path / "a.parquet", rows))
    assert not items
    assert len(errors) == 5


def test_a_folder_of_tables_is_one_dataset(tmp_path: Path) -> None:
    for part in ("model=a", "model=b"):
        (tmp_path / "data" / part).mkdir(parents=True)
        parquet(tmp_path / "data" / part / "0.parquet", [{"train_py": f"x = '{part}'\n"}])
    schema = pa.schema([("train_py", pa.string())])
    for name, writer in (("f.arrow", pa.ipc.new_file), ("s.arrow", pa.ipc.new_stream)):
        with writer(tmp_path / "data" / name, schema) as out:
            out.write_batch(pa.record_batch([["x = 3\n", "x = 4\n"]], schema=schema))
    items, errors = read(tmp_path / "data")
    assert not errors
    assert len(items) == 6
    (tmp_path / "data" / "f.arrow").unlink()
    (tmp_path / "data" / "s.arrow").unlink()
    items, errors = read(tmp_path / "data", map=["train_py=train_py", "series=model"])
    assert [i.series for i in items] == ["a", "b"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("train_py", "write TARGET=COLUMN"),
        ("=x", "write TARGET=COLUMN"),
        ("../x.py=a", "no path in a package"),
        ("idd=a", "neither a file"),
        ("notes.txt=a", "neither a file"),
    ],
)
def test_a_map_that_means_nothing_is_refused(word: str, said: str) -> None:
    with pytest.raises(MappingError, match=said):
        parse_map([word])
    with pytest.raises(MappingError, match="twice"):
        parse_map(["id=a", "id=b"])


def test_lists_and_patterns_name_sources(tmp_path: Path) -> None:
    for n in range(3):
        jsonl(tmp_path / f"a{n}.jsonl", [row(n)])
    listed = tmp_path / "list.txt"
    listed.write_text(f"# sources\n\n{tmp_path}/a2.jsonl\n{tmp_path}/a[01].jsonl\n{tmp_path}/z\n")
    items, errors = read(manifests=(str(listed), str(tmp_path / "absent")))
    assert [i.id for i in items] == ["p0002", "p0000", "p0001"]
    assert [e.location for e in errors] == [f"{tmp_path}/z", f"{tmp_path}/absent"]
    items, errors = read(f"{tmp_path}/*.jsonl", tmp_path / "a1.jsonl", f"{tmp_path}/*.zip")
    assert len(items) == 3
    assert "matches the pattern" in errors[0].message


def test_a_part_inherits_what_it_leaves_out(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "files": files(1), "partial": False},
        {"id": "b", "files": files(7), "partial": False},
        {"id": "a", "files": {"src/train.py": "x = 2\n", "config/config.yaml": ""}},
        {"id": "a", "files": {"src/model.py": "m = 3\n"}},
        {"id": "a", "files": {"src/train.py": "x = 4\n"}, "partial": False},
    ]
    source = jsonl(tmp_path / "a.jsonl", rows)
    items, _ = read(source, inherit=True)
    assert [i.id for i in items] == ["a", "b", "a~2", "a~3", "a~4"]
    assert [(i.series, i.version_order) for i in items] == [
        ("a", 0),
        ("b", 0),
        ("a", 1),
        ("a", 2),
        ("a", 3),
    ]
    second, third, fourth = (i.load() for i in items[2:])
    config = files(1)["config/config.yaml"]
    assert texts(second) == {"config/config.yaml": config, "src/train.py": "x = 2\n"}
    assert not second.partial
    assert "config/config.yaml" in second.notes[-1]
    assert texts(third) == {**texts(second), "src/model.py": "m = 3\n"}
    assert texts(fourth) == {"src/train.py": "x = 4\n"}
    plain, _ = read(source)
    assert plain[2].load().state("config/config.yaml") is FileState.WITHHELD


def claude(*calls: tuple[str, dict[str, Any]], failing: Sequence[int] = ()) -> list[Any]:
    """A transcript: each call and its result."""
    events: list[Any] = [{"type": "summary", "summary": "s", "leafUuid": "x"}]
    for n, (name, arguments) in enumerate(calls):
        use = {"type": "tool_use", "id": f"t{n}", "name": name, "input": arguments}
        result = {"type": "tool_result", "tool_use_id": f"t{n}", "is_error": n in failing}
        events.append(
            {
                "type": "assistant",
                "cwd": "/w/exp",
                "message": {"role": "assistant", "content": [use]},
            }
        )
        events.append({"type": "user", "message": {"role": "user", "content": [result]}})
    return events


def test_files_are_rebuilt_from_a_transcript(tmp_path: Path) -> None:
    path = "/w/exp/src/train.py"
    log = jsonl(
        tmp_path / "session.jsonl",
        claude(
            ("Write", {"file_path": path, "content": "a = 1\nb = 1\nb = 1\n"}),
            ("Write", {"file_path": "/w/exp/config/config.yaml", "content": "seed: 1\n"}),
            ("Edit", {"file_path": path, "old_string": "a = 1", "new_string": "a = 2"}),
            ("Edit", {"file_path": path, "old_string": "a = 2", "new_string": "a = 9"}),
            (
                "MultiEdit",
                {
                    "file_path": path,
                    "edits": [
                        {"old_string": "b = 1", "new_string": "b = 3", "replace_all": True},
                        {"old_string": "a = 2", "new_string": "a = 5"},
                    ],
                },
            ),
            ("Bash", {"command": "cat > src/model.py <<'EOF'\nm = 1\nEOF\nsed -i s/m/n/ src/x.py"}),
            ("Edit", {"file_path": "/w/exp/src/seen.py", "old_string": "a", "new_string": "b"}),
            ("Read", {"file_path": path}),
            failing := ("Write", {"file_path": "/w/exp/src/no.py", "content": "x"}),
            failing=(3, 8),
        ),
    )
    package = one(log)
    assert texts(package)["src/train.py"] == "a = 5\nb = 3\nb = 3\n"
    assert set(texts(package)) >= {"src/train.py", "config/config.yaml"}
    assert "src/no.py" not in package.files
    assert failing
    assert package.partial
    assert package.source.kind == "log"
    assert any("seen.py" in note for note in package.notes)
    assert any("1 shell commands" in note for note in package.notes)


def test_what_an_editor_shows_of_a_file_is_learnt(tmp_path: Path) -> None:
    events = claude(
        ("Edit", {"file_path": "/w/exp/src/train.py", "old_string": "1", "new_string": "2"})
    )
    events[-1]["toolUseResult"] = {"filePath": "/w/exp/src/train.py", "originalFile": "x = 1\n"}
    assert texts(one(jsonl(tmp_path / "a.jsonl", events))) == {"src/train.py": "x = 2\n"}


def test_files_are_rebuilt_from_events_of_openhands(tmp_path: Path) -> None:
    def act(n: int, action: str, **args: object) -> dict[str, Any]:
        return {"id": n, "source": "agent", "action": action, "args": args}

    def saw(n: int, cause: int, what: str) -> dict[str, Any]:
        return {"id": n, "cause": cause, "observation": what, "content": "", "extras": {}}

    path = "/workspace/exp/src/train.py"
    events = [
        act(1, "write", path=path, content="a = 1\n"),
        saw(2, 1, "write"),
        act(3, "edit", path=path, command="str_replace", old_str="a = 1", new_str="a = 2"),
        saw(4, 3, "edit"),
        act(5, "edit", path=path, command="insert", insert_line=1, new_str="b = 1"),
        saw(6, 5, "edit"),
        act(7, "write", path="/workspace/exp/src/bad.py", content="x"),
        saw(8, 7, "error"),
        act(9, "read", path=path),
    ]
    for source in (
        jsonl(tmp_path / "lines.jsonl", events),
        jsonl(tmp_path / "whole.jsonl", [{"history": events}]),
    ):
        (name,) = [p for p in one(source).files if p.endswith("train.py")]
        assert texts(one(source))[name] == "a = 2\nb = 1\n"
        assert "bad.py" not in str(one(source).files)


def test_files_are_rebuilt_from_a_trajectory(tmp_path: Path) -> None:
    editor = "str_replace_editor"
    typed = {
        "trajectory": [
            {
                "action": f"{editor} create /r/src/train.py --file_text 'a = 1\n'",
                "observation": "ok",
            },
            {
                "action": f"{editor} str_replace /r/src/train.py --old_str 'a' --new_str 'b'",
                "observation": "ok",
            },
            {"action": "cat > /r/src/model.py << EOF\nm = 1\nEOF", "observation": ""},
        ],
        "history": [{"role": "system", "content": "s"}],
    }
    chat = {
        "trajectory": [],
        "history": [
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "1",
                        "function": {
                            "name": editor,
                            "arguments": json.dumps(
                                {
                                    "command": "create",
                                    "path": "/r/src/train.py",
                                    "file_text": "b = 1\n",
                                }
                            ),
                        },
                    }
                ],
            },
            {"role": "tool", "tool_call_ids": ["1"], "content": "ok"},
        ],
    }
    for n, log in enumerate((typed, chat)):
        file = tmp_path / f"{n}.traj"
        file.write_text(json.dumps(log))
        found = texts(one(file))
        assert "b = 1\n" in found.values()


def test_a_log_without_code_says_what_is_understood(tmp_path: Path) -> None:
    talk = [{"type": "user", "message": {"role": "user", "content": "hello"}}]
    _, (error,) = read(jsonl(tmp_path / "a.jsonl", talk))
    assert "Claude Code" in error.message
    events = claude(("Edit", {"file_path": "/w/exp/a.py", "old_string": "a", "new_string": "b"}))
    _, (error,) = read(jsonl(tmp_path / "b.jsonl", events))
    assert "never shows" in error.message


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    rows = [row(n) for n in range(4)]
    sources = [
        jsonl(tmp_path / "a.jsonl", rows),
        parquet(tmp_path / "b.parquet", [{"train_py": "x"}]),
    ]
    first, second = (read(*sources, tmp_path / "absent") for _ in range(2))
    assert [i.id for i in first[0]] == [i.id for i in second[0]]
    assert first[1] == second[1]
