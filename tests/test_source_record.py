from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from explint.model import InputError, SourceInfo
from explint.package import FileState, Package
from explint.source.limits import Limits
from explint.source.record import NoCodeError, parse_record, strip_frame_indent
from source_helpers import KEYS, collect, read_one, record_text, texts

CODE = {
    "config_yaml": "wandb:\n  entity: e\n",
    "train_py": "def f(x: int) -> str:\n    return \"a < b & c\" + '\\n'\n",
    "main_py": "",
}
SOURCE = SourceInfo(kind="record", location="x.txt")


def parse(text: str) -> Package:
    return parse_record(text, "x", SOURCE, Limits())


def write(tmp_path: Path, text: str, name: str = "rec.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def test_record_gives_files_runs_hypothesis_and_verdict(tmp_path: Path) -> None:
    runs = [("p-1", "run_id: p-1\nmethod: m\n"), ("c-1", "run_id: c-1\n")]
    package = read_one(write(tmp_path, record_text(CODE, runs)))

    assert package.id == "rec"
    assert package.source.kind == "record"
    assert package.partial
    assert texts(package) == {
        "config/config.yaml": CODE["config_yaml"],
        "src/train.py": CODE["train_py"],
        "config/run/p-1.yaml": "run_id: p-1\nmethod: m\n",
        "config/run/c-1.yaml": "run_id: c-1\n",
    }
    assert package.state("src/main.py") is FileState.WITHHELD
    assert package.state("src/model.py") is FileState.ABSENT
    assert [(r.run_id, r.method, r.model, r.dataset) for r in package.runs] == [
        ("p-1", "proposed", "tiny (1M)", "toy"),
        ("c-1", "proposed", "tiny (1M)", "toy"),
    ]
    record = package.record
    assert record is not None
    assert record.metrics == ("Accuracy", "Rater's F1")
    assert record.hypothesis == "Smaller steps converge."
    assert "mode=trial" in record.prompt
    assert "train_py" not in record.prompt
    assert record.verdict is not None
    assert (record.verdict.is_code_ready, record.verdict.code_issue) == (False, "slow")
    assert not record.truncated
    assert package.notes == ()


def test_run_configs_go_where_the_prompt_says() -> None:
    text = record_text(CODE, [("r", "run_id: r\n")], run_folder="config/runs")
    assert "config/runs/r.yaml" in parse(text).files


@pytest.mark.parametrize(
    ("framed", "expected"),
    [
        ("  a: 1\nb: 2\n", "a: 1\nb: 2\n"),
        ("  run:\n  a: 1\n", "run:\n  a: 1\n"),
        ("  a: 1\n  b:\n    c: 2\n", "a: 1\nb:\n  c: 2\n"),
        ("  # note\n  a: 1\n  b: 2\n", "# note\na: 1\nb: 2\n"),
        ("a: 1\nb: 2\n", "a: 1\nb: 2\n"),
        ("", ""),
    ],
)
def test_indentation_of_the_frame_is_taken_away(framed: str, expected: str) -> None:
    assert strip_frame_indent(framed, "  ") == expected


def test_config_with_a_fence_inside_is_kept_whole() -> None:
    config = "prompt: |\n  ```\n  answer\n  ```\nrun_id: r\n"
    assert parse(record_text(CODE, [("r", config), ("s", config)])).runs[1].config == config


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"is_code_ready": true, "code_issue": ""}', (True, "")),
        (
            'Thinking {x}.\n```json\n{"is_code_ready": "false", "code_issue": "b"}\n```',
            (False, "b"),
        ),
        ('{"is_code_ready": true}\n{"is_code_ready": false, "code_issue": "x"}', (False, "x")),
        ('{"is_code_ready": false, "code_issue": "line\\none and', (False, "line\none and")),
        ("{'is_code_ready': True}", (True, "")),
        ("I cannot say.", None),
        ("{" * 100_000, None),
        ('{"a":' * 100_000, None),
    ],
)
def test_verdict(answer: str, expected: tuple[bool, str] | None) -> None:
    record = parse(record_text(CODE, verdict=answer)).record
    assert record is not None
    got = record.verdict and (record.verdict.is_code_ready, record.verdict.code_issue)
    assert got == expected


def test_code_in_the_answer_of_a_generator_is_found() -> None:
    text = "Write code.\nOutput:\n" + json.dumps(CODE, indent=4)
    assert texts(parse(text))["src/train.py"] == CODE["train_py"]


def test_several_records_in_one_file(tmp_path: Path) -> None:
    packages, errors = collect(write(tmp_path, record_text(CODE) * 2 + record_text(None)))
    assert [p.id for p in packages] == ["rec#1", "rec#2"]
    assert [p.source.member for p in packages] == ["#1", "#2"]
    assert [e.location.rpartition("#")[2] for e in errors] == ["3"]


def test_record_without_code_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = write(tmp_path, record_text(None))
    packages, errors = collect(path)
    assert packages == []
    assert errors[0].location == str(path)
    assert "no code" in errors[0].message


def test_byte_that_is_not_utf8_stays_in_its_file(tmp_path: Path) -> None:
    text = record_text({"train_py": "x = 'BAD'\n", "model_py": "y = 1\n"}).replace("BAD", "\udcff")
    package = read_one(write(tmp_path, text))
    assert package.files["src/train.py"].data == b"x = '\xff'\n"
    assert texts_of(package, "src/model.py") == "y = 1\n"


def texts_of(package: Package, path: str) -> str:
    data = package.files[path].data
    assert data is not None
    return data.decode()


def test_crlf_and_bom(tmp_path: Path) -> None:
    text = record_text(CODE, [("r", "run_id: r\na: 1\n")]).replace("\n", "\r\n")
    package = read_one(write(tmp_path, "\ufeff" + text))
    assert yaml.safe_load(package.runs[0].config or "") == {"run_id": "r", "a": 1}
    assert package.runs[0].run_id == "r"
    assert package.record is not None
    assert package.record.verdict is not None
    assert texts_of(package, "src/train.py") == CODE["train_py"]


def test_duplicate_keys_are_said() -> None:
    text = record_text(None).replace(
        "validated)\n", 'validated)\n{"train_py": "a = 1", "train_py": "a = 2"}\n'
    )
    package = parse(text)
    assert texts_of(package, "src/train.py") == "a = 2"
    assert any("train_py" in note and "twice" in note for note in package.notes)


def test_run_id_that_leads_out_of_the_package_gets_no_file() -> None:
    package = parse(record_text(CODE, [("../../etc/x", "run_id: x\n")]))
    assert not any("etc" in path for path in package.files)
    assert any("etc/x" in note for note in package.notes)


@pytest.mark.parametrize(
    "mark",
    [
        "… truncated 1234 characters …",
        "< truncated 12 characters >",
        "\n[... 5,000 chars truncated ...]\n",
    ],
)
def test_cut_inside_one_file_ends_it_at_the_mark(mark: str) -> None:
    text = record_text(
        {"train_py": "a = 1\nCUT\nb = 2\n", "model_py": "m = 1\n"},
    ).replace("CUT", mark)
    package = parse(text)
    train = package.files["src/train.py"]
    assert train.truncated
    assert texts_of(package, "src/train.py").startswith("a = 1\n")
    assert "b = 2" not in texts_of(package, "src/train.py")
    assert texts_of(package, "src/model.py") == "m = 1\n"
    assert not package.files["src/model.py"].truncated
    assert package.record is not None
    assert package.record.truncated


def test_cut_across_files_never_mixes_them() -> None:
    whole = record_text({"a_py": "a = 'x'\n", "b_py": "b = 2\n", "c_py": "c = 3\n"})
    start, end = whole.index("a = "), whole.index(" = 2")
    package = parse(f"{whole[:start]}< truncated 9 characters >{whole[end:]}")
    assert "2" not in texts_of(package, "src/a.py")
    assert package.files["src/a.py"].truncated
    assert "src/b.py" not in package.files
    assert texts_of(package, "src/c.py") == "c = 3\n"


def test_cut_that_took_the_start_of_the_code() -> None:
    whole = record_text({"a_py": "a = 1\n", "b_py": "b = 2\n"})
    start, end = whole.index("# Generated"), whole.index("a = 1")
    package = parse(f"{whole[:start]}< truncated 9 characters >{whole[end:]}")
    assert texts(package) == {"src/b.py": "b = 2\n"}


def test_mark_written_by_a_program_is_not_a_cut() -> None:
    code = {"train_py": "print(f'... truncated {n} characters ...')\n"}
    package = parse(record_text(code))
    assert not package.files["src/train.py"].truncated
    assert texts_of(package, "src/train.py") == code["train_py"]


FILE_TEXT = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"'\\{}<>&\n\t,:"), max_size=60
)
CODES = st.dictionaries(st.sampled_from(sorted(KEYS)), FILE_TEXT, min_size=1)
CONFIGS = st.dictionaries(
    st.sampled_from(["run_id", "method", "model", "training"]),
    st.one_of(
        st.integers(),
        st.booleans(),
        st.text("abc {}#:-'", max_size=8),
        st.dictionaries(st.sampled_from(["lr", "name"]), st.floats(0, 1), min_size=1),
    ),
    min_size=1,
)


@settings(deadline=None)
@given(CODES, st.lists(CONFIGS, max_size=3))
def test_round_trip(code: dict[str, str], configs: list[dict[str, object]]) -> None:
    runs = [(f"run-{i}", yaml.safe_dump(c)) for i, c in enumerate(configs)]
    package = parse(record_text(code, runs))
    expected = {KEYS[k]: v for k, v in code.items() if v}
    expected |= {f"config/run/{run_id}.yaml": config for run_id, config in runs}
    assert texts(package) == expected
    assert {p for p, f in package.files.items() if f.state is FileState.WITHHELD} == {
        KEYS[k] for k, v in code.items() if not v
    }
    assert [(r.run_id, r.config) for r in package.runs] == runs


@settings(deadline=None, max_examples=300)
@given(CODES, st.data())
def test_a_cut_never_gives_wrong_content_silently(
    code: dict[str, str], data: st.DataObject
) -> None:
    whole = record_text(code, [("r", "run_id: r\n")])
    start = data.draw(st.integers(0, len(whole)), label="start")
    at_end = data.draw(st.booleans(), label="at end")
    end = len(whole) if at_end else data.draw(st.integers(start, len(whole)), label="end")
    mark = "" if at_end else f"< truncated {end - start} characters >"
    try:
        package = parse(whole[:start] + mark + whole[end:])
    except NoCodeError:
        return
    originals = {KEYS[k]: v for k, v in code.items()} | {"config/run/r.yaml": "run_id: r\n"}
    for path, file in package.files.items():
        if file.truncated or path.startswith("config/run/"):
            continue
        assert (file.data or b"").decode() == originals[path]


@settings(deadline=None)
@given(st.text(max_size=300) | st.text('{}",:_pytrain\\\n', max_size=300))
def test_any_text_gives_a_package_or_a_reason(text: str) -> None:
    with suppress(NoCodeError):
        assert parse(text).files


def test_error_is_the_documented_type(tmp_path: Path) -> None:
    _, errors = collect(write(tmp_path, ""))
    assert isinstance(errors[0], InputError)
    assert errors[0].help


@pytest.mark.parametrize(
    "text",
    [
        '{"a_py": ""' + ',"a_py":""' * 50_000,
        '{"a_py": "' + "\\" * 2_000_000,
        '{"a_py": "' + "< truncated " * 200_000,
        '{"a_py":' * 200_000,
        "- Run ID:" + " " * 2_000_000 + "x\n",
        "# Experiment Runs\n" + "- Run ID: x\n  ```yaml\n" * 50_000 + '{"a_py": "x"}',
        "Output:\n" * 200_000 + "{" * 200_000,
    ],
    ids=["members", "backslashes", "half marks", "starts", "spaces", "fences", "outputs"],
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    started = time.process_time()
    with suppress(NoCodeError):
        parse(text)
    assert time.process_time() - started < 5
