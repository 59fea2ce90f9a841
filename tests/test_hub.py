"""The index of hub ids: what its generator reads, and what it asks of a stand-in of the hub."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from refresh_hub import (
    Dataset,
    NoAnswerError,
    ask,
    ask_all,
    asked_for,
    combined,
    configs_of,
    main,
    models_of,
    script_of,
    tasks_of,
)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("load_dataset('imdb')", [("imdb", None)]),
        ("datasets.load_dataset('a/b', 'main', split='test')", [("a/b", "main")]),
        ("load_dataset(path='a/b', name='main')", [("a/b", "main")]),
        ("load_dataset('a/b', name=None)", [("a/b", None)]),
        ("load_dataset('a/b', task)", [("a/b", "?")]),
        ("load_dataset('a/b', **more)", [("a/b", "?")]),
        ("hf_dataset('a/b', sample_fields=x, name='main')", [("a/b", "main")]),
        ("Task(name='t', hf_repo='a/b', hf_subset='main')", [("a/b", "main")]),
        ("load_dataset('json', data_files='x.json')", []),
        ("load_dataset('a/b', data_dir='x')", []),
        ("load_dataset(name)", []),
        ("load_dataset(", []),
    ],
)
def test_datasets_that_python_files_load(code: str, expected: list[tuple[str, str | None]]) -> None:
    assert list(asked_for(code)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("task: t\ndataset_path: a/b\ndataset_name: main\n", [("a/b", "main")]),
        ("dataset_path: a/b\ndataset_name: null\n", [("a/b", None)]),
        ("dataset_path: a/b\ndataset_name:\ntask: t\n", [("a/b", None)]),
        ("dataset_path: a/b\n", [("a/b", None)]),
        ("include: other.yaml\ndataset_path: a/b\n", []),
        ("dataset_path: json\n", []),
    ],
)
def test_datasets_that_task_files_load(text: str, expected: list[tuple[str, str | None]]) -> None:
    assert list(tasks_of(text)) == expected


def test_the_configurations_of_a_loading_script() -> None:
    script = """
class Rows(datasets.GeneratorBasedBuilder):
    BUILDER_CONFIGS = [Config(name="plain"), Config("marked", version=v)]
"""
    assert script_of(script) == ({"plain", "marked"}, True, False)
    assert script_of(script + "    DEFAULT_CONFIG_NAME = 'plain'\n") == (
        {"plain", "marked"},
        True,
        True,
    )
    made = "BUILDER_CONFIGS = [Config(name=f'{a}-{b}') for a, b in PAIRS]"
    assert script_of(made) == (set(), False, False)
    assert script_of("class Rows: pass") is None


def test_models_without_an_owner() -> None:
    text = (
        'BERT_PRETRAINED_MODEL_ARCHIVE_LIST = [\n    "bert-base-cased",\n    "someone/bert",\n]\n'
    )
    assert models_of({"a.py": text}) == ["bert-base-cased"]


def test_an_owner_is_known_by_the_configurations() -> None:
    scripts = {"sums": Dataset({"sums"}, {"short", "long"}, False, True, {"scripts"})}
    packages: dict[str, dict[str, set[str | None]]] = {
        "school/sums": {"one": {"short"}, "two": {"long", "?"}},
        "copier/sums": {"one": {"short"}},
        "other/sums": {"one": {"short", "other"}, "two": {"short"}},
        "someone/words": {"one": {"fr", "de"}},
        "someone/plain": {"one": {None}},
    }
    rows = [row.row() for row in combined(scripts, packages)]
    assert [row["ids"] for row in rows] == [["someone/words"], ["sums", "school/sums"]]
    assert rows[0]["default"] is None
    assert rows[1]["by"] == ["one", "scripts", "two"]


ANSWERS: dict[str, Any] = {
    "school/sums": {
        "id": "school/sums",
        "cardData": {"configs": [{"config_name": "short"}, {"config_name": "new"}]},
    },
    "someone/words": {
        "id": "elsewhere/words",
        "cardData": {"configs": [{"config_name": "fr", "default": True}, {"config_name": "de"}]},
    },
    "someone/files": {"id": "someone/files", "cardData": {}},
}


class _Hub(BaseHTTPRequestHandler):
    busy = 0

    def do_GET(self) -> None:
        name = self.path.removeprefix("/api/datasets/")
        if name == "old":
            self.send_response(307)
            self.send_header("Location", "/api/datasets/school/sums")
            self.end_headers()
            return
        if name == "busy/words" and _Hub.busy < 2:
            _Hub.busy += 1
            self._answer(429, {"error": "slow down"})
            return
        answer = ANSWERS.get(name.replace("busy/", "someone/"))
        if name == "broken":
            self._answer(400, {})
        elif answer is None:
            self._answer(404, {"error": "Repository not found"})
        else:
            self._answer(200, answer)

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    """A stand-in of the hub's API on a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    _Hub.busy = 0
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_hub_is_asked(hub: str) -> None:
    rows = [
        Dataset({"sums", "school/sums"}, {"short", "long"}, True, True, {"scripts"}),
        Dataset({"someone/words"}, {"fr"}, None, False, {"one"}),
        Dataset({"someone/files"}, {"a"}, False, False, {"one"}),
        Dataset({"someone/gone"}, {"a"}, False, True, {"one"}),
    ]
    kept, told = ask_all(hub, rows, pause=0)
    assert told == 3
    assert [row.row() for row in kept] == [
        {"ids": ["sums", "school/sums"], "configs": ["new", "short"], "default": False,
         "complete": True, "by": ["hub"]},
        {"ids": ["elsewhere/words", "someone/words"], "configs": ["de", "fr"], "default": True,
         "complete": True, "by": ["hub"]},
        {"ids": ["someone/files"], "configs": ["a"], "default": False, "complete": False,
         "by": ["one"]},
    ]  # fmt: skip


def test_a_busy_hub_is_asked_again_and_a_new_address_followed(hub: str) -> None:
    assert ask(hub, "busy/words", pause=0) == ANSWERS["someone/words"]
    assert ask(hub, "old", pause=0) == ANSWERS["school/sums"]
    with pytest.raises(NoAnswerError, match="HTTP 400"):
        ask(hub, "broken", pause=0)


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"configs": [{"config_name": "only"}]}, ({"only"}, True)),
        ({"configs": [{"config_name": "a"}, {"config_name": "default"}]}, ({"a", "default"}, True)),
        ({"configs": [{"config_name": "a"}, {"config_name": "b"}]}, ({"a", "b"}, False)),
        ({"configs": [{"other": 1}]}, None),
        ({"configs": "a"}, None),
        (None, None),
    ],
)
def test_what_a_card_declares(card: object, expected: tuple[set[str], bool] | None) -> None:
    assert configs_of({"cardData": card}) == expected


def _index(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = folder / "hub.json"
    row = Dataset({"sums", "school/sums"}, {"long"}, None, False, {"one"}).row()
    index = {"sources": {"packages": []}, "models": ["bert-base-cased"], "datasets": [row]}
    path.write_text(json.dumps(index), encoding="utf-8")
    return path, index


def test_one_command_refreshes_the_index_from_the_hub(hub: str, tmp_path: Path) -> None:
    path, _ = _index(tmp_path)
    main(["--no-packages", "--hub", hub, "--output", str(path)])
    index = json.loads(path.read_text(encoding="utf-8"))
    assert index["models"] == ["bert-base-cased"]
    assert index["datasets"][0]["configs"] == ["new", "short"]
    assert index["sources"]["hub"]["known"] == 1
    assert index["sources"]["packages"] == []


def test_a_hub_that_does_not_answer_leaves_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refresh_hub._ATTEMPTS", 1)
    path, index = _index(tmp_path)
    with pytest.raises(SystemExit, match="does not answer, so the index stays as it is"):
        main(["--no-packages", "--hub", "http://127.0.0.1:9", "--output", str(path)])
    assert json.loads(path.read_text(encoding="utf-8")) == index


def test_loading_scripts_are_read_from_a_git_directory(tmp_path: Path) -> None:
    repository = tmp_path / "datasets"
    folder = repository / "datasets" / "sums"
    folder.mkdir(parents=True)
    script = 'BUILDER_CONFIGS = [Config(name="short"), Config(name="long")]\n'
    (folder / "sums.py").write_text(script, encoding="utf-8")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Add sums"]):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words]
        subprocess.run(command, cwd=repository, check=True)
    source = tmp_path / "hub.toml"
    source.write_text('[datasets]\nrepository = "a/b"\ncommit = "HEAD"\n', encoding="utf-8")
    path = tmp_path / "hub.json"
    words = ["--no-packages", "--datasets-git", str(repository), "--input", str(source)]
    main([*words, "--output", str(path)])
    (row,) = json.loads(path.read_text(encoding="utf-8"))["datasets"]
    assert row == {
        "ids": ["sums"],
        "configs": ["long", "short"],
        "default": False,
        "complete": True,
        "by": ["scripts"],
    }


def test_the_index_says_where_it_comes_from() -> None:
    text = files("explint.rules").joinpath("hub.json").read_text("utf-8")
    index = json.loads(text)
    assert index["sources"]["scripts"]["commit"]
    assert all(release["sha256"] for release in index["sources"]["packages"])
    ids = [name for row in index["datasets"] for name in row["ids"]]
    assert len(ids) == len(set(ids)) > 300
    assert all(row["by"] for row in index["datasets"])
