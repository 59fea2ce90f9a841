"""The stand-in for W&B, as real clients see it.

The clients here are the one in the lock. `docs/rehearsal.md` names the other releases that were
tried by hand.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from explint.rehearsal.server import API_KEY, LocalWandb

pytest.importorskip("graphql")
pytest.importorskip("wandb")

WRITE = """
import wandb

def train(run_id, base):
    run = wandb.init(
        entity="team", project="digits", id=run_id, name=run_id,
        config={"method": run_id, "training": {"lr": 0.1}},
    )
    for epoch in range(3):
        for batch in range(2):
            run.log({"train/loss": 1 / (2 * epoch + batch + 1), "epoch": epoch})
        run.log({"val/acc": base + 0.1 * epoch, "epoch": epoch, "nested": {"gap": epoch}})
    run.log({"spoiled": float("nan"), "grown": float("inf")})
    run.summary["best"] = base + 0.2
    with open("note.txt", "w") as note:
        note.write("kept")
    run.save("note.txt", policy="now")
    run.log({"predictions": wandb.Table(columns=["label"], data=[[7]])})
    weights = wandb.Artifact(f"weights-{run_id}", type="model", metadata={"epochs": 3})
    weights.add_file("note.txt")
    run.log_artifact(weights, aliases=["best"])
    run.finish()

train("ours-1", 0.5)
train("theirs-1", 0.6)
run = wandb.init(entity="team", project="digits", id="ours-1", config={"method": "again"})
run.log({"val/acc": 1.0})
run.finish(exit_code=3)
"""

READ = """
import json, sys, wandb

def refused(question):
    try:
        return list(question())
    except Exception as error:
        return str(error)

def content(folder):
    return open(f"{folder}/note.txt").read()

api = wandb.Api()
ours, theirs = api.run("team/digits/ours-1"), api.run("team/digits/theirs-1")
runs = lambda **words: [run.id for run in api.runs("team/digits", **words)]
json.dump({
    "states": [ours.state, theirs.state],
    "config": [ours.config, theirs.config],
    "summary": theirs.summary._json_dict,
    "rows": theirs.history(pandas=False),
    "loss": theirs.history(keys=["train/loss", "epoch"], pandas=False),
    "never together": theirs.history(keys=["train/loss", "val/acc"], pandas=False),
    "nested": theirs.history(keys=["nested.gap"], pandas=False),
    "spoiled": theirs.history(keys=["spoiled"], pandas=False),
    "few": theirs.history(samples=3, pandas=False),
    "scan": list(theirs.scan_history()),
    "scan keys": list(theirs.scan_history(keys=["val/acc", "epoch"])),
    "rewritten": ours.history(pandas=False),
    "last": theirs.lastHistoryStep,
    "files": {file.name: file.size for file in theirs.files()},
    "note": theirs.file("note.txt").download(replace=True).read(),
    "artifacts": [artifact.name for artifact in theirs.logged_artifacts()],
    "aliases": [artifact.aliases for artifact in theirs.logged_artifacts()],
    "weights": content(api.artifact("team/digits/weights-theirs-1:best").download()),
    "metadata": api.artifact("team/digits/weights-theirs-1:v0").metadata,
    "table": api.artifact("team/digits/run-theirs-1-predictions:latest").get("predictions").data,
    "all": runs(),
    "by config": runs(filters={"config.method": "theirs-1"}),
    "by nested config": runs(filters={"config.training.lr": {"$gt": 0.05}}),
    "by state": runs(filters={"$or": [{"state": "failed"}, {"displayName": "x"}]}),
    "by order": runs(order="-summary_metrics.best"),
    "no run": refused(lambda: [api.run("team/digits/none")]),
    "no project": refused(lambda: api.runs("team/none")),
    "bad filter": refused(lambda: api.runs("team/digits", filters={"state": {"$where": 1}})),
    "reports": refused(lambda: api.reports("team/digits")),
}, open(sys.argv[1], "w"))
"""


def client(code: str, server: LocalWandb, folder: Path, *words: str) -> str:
    """Runs a client; what it printed."""
    folder.mkdir(exist_ok=True)
    around = {"PATH": os.environ["PATH"], "HOME": str(folder), **server.environment}
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env=around,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.differential
def test_a_real_client_reads_back_what_it_wrote(tmp_path: Path) -> None:
    with LocalWandb(tmp_path / "server") as server:
        client(WRITE, server, tmp_path / "client")
        assert server.refused() == []
        answers = tmp_path / "answers.json"
        client(READ, server, tmp_path / "client", str(answers))
        refused = {str(entry) for entry in server.refused()}
        ours, theirs = server.runs()
    found = json.loads(answers.read_text())

    assert found["states"] == ["failed", "finished"]
    assert found["config"][1] == {"method": "theirs-1", "training": {"lr": 0.1}}
    assert found["config"][0]["method"] == "again"
    assert found["summary"]["best"] == pytest.approx(0.8)
    assert found["summary"]["val/acc"] == pytest.approx(0.8)
    assert found["summary"]["spoiled"] == "NaN"
    assert len(found["rows"]) == 11
    assert found["rows"][-1]["predictions"]["_type"] == "table-file"
    assert sorted(found["artifacts"]) == ["run-theirs-1-predictions:v0", "weights-theirs-1:v0"]
    assert sorted(map(sorted, found["aliases"])) == [["best", "latest"], ["latest"]]
    assert (found["weights"], found["metadata"], found["table"]) == ("kept", {"epochs": 3}, [[7]])
    assert [row["_step"] for row in found["loss"]] == [0, 1, 3, 4, 6, 7]
    assert found["loss"][0] == {"_step": 0, "train/loss": 1, "epoch": 0}
    assert found["never together"] == []
    assert [row["nested.gap"] for row in found["nested"]] == [0, 1, 2]
    assert found["spoiled"] == [{"_step": 9, "spoiled": "NaN"}]
    assert [row["_step"] for row in found["few"]] == [0, 5, 10]
    assert [row["_step"] for row in found["scan"]] == list(range(11))
    assert [row["epoch"] for row in found["scan keys"]] == [0, 1, 2]
    assert [row["_step"] for row in found["rewritten"]] == list(range(11))
    assert found["rewritten"][0]["val/acc"] == 1.0
    assert "train/loss" not in found["rewritten"][0]
    assert found["last"] == 10
    assert found["files"]["note.txt"] == 4
    assert found["note"] == "kept"
    assert found["all"] == ["ours-1", "theirs-1"]
    assert found["by config"] == ["theirs-1"]
    assert found["by nested config"] == ["theirs-1"]
    assert found["by state"] == ["ours-1"]
    assert found["by order"] == ["theirs-1", "ours-1"]
    assert "Could not find run" in found["no run"]
    assert "Could not find project" in found["no project"]
    assert (
        "explint's stand-in for W&B, Runs: not served: the filter operator $where"
        in (found["bad filter"])
    )
    assert "explint's stand-in" in found["reports"]
    assert any("the filter operator $where" in entry for entry in refused)
    assert any("Cannot query field 'allViews' on type 'Project'" in entry for entry in refused)

    assert (ours.state, ours.exit_code) == ("failed", 3)
    assert theirs.keys() == (
        "epoch",
        "grown",
        "nested",
        "nested.gap",
        "predictions",
        "spoiled",
        "train/loss",
        "val/acc",
    )
    assert theirs.plain_config() == {"method": "theirs-1", "training": {"lr": 0.1}}
    kept = lines_of(tmp_path / "server" / "runs.jsonl")
    assert [run["run"] for run in kept] == ["team/digits/ours-1", "team/digits/theirs-1"]
    assert not (tmp_path / "note.txt").exists()


def ask(server: LocalWandb, query: str, key: str = API_KEY, **variables: object) -> tuple[int, Any]:
    """A GraphQL request as a client without any cleverness sends it."""
    token = base64.b64encode(f"api:{key}".encode()).decode()
    request = urllib.request.Request(
        f"{server.url}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Authorization": f"Basic {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def put(server: LocalWandb, path: str, data: bytes) -> int:
    request = urllib.request.Request(f"{server.url}{path}", data, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_what_is_not_served_is_refused_by_name(tmp_path: Path) -> None:
    with LocalWandb(tmp_path) as server:
        status, answer = ask(server, 'query Sweeps { project(name: "p") { sweeps { id } } }')
        assert status == 400
        assert answer["errors"][0]["message"] == (
            "explint's stand-in for W&B, Sweeps: Cannot query field 'sweeps' on type 'Project'."
        )
        assert ask(server, "query {", key=API_KEY)[0] == 400
        status, answer = ask(server, "{ viewer { id } }", key="another")
        assert status == 401
        assert "something replaced WANDB_API_KEY" in answer["errors"][0]["message"]
        assert put(server, "/files/e/p/r/name.txt", b"text") == 404
        assert [entry.status for entry in server.log] == [400, 400, 401, 404]
        assert [entry.status for entry in server.refused()] == [400, 400, 401, 404]
    assert lines_of(tmp_path / "server.jsonl")[0]["operation"] == "Sweeps"


def test_a_broken_request_costs_nothing_but_itself(tmp_path: Path) -> None:
    make = "mutation M($i: UpsertBucketInput!) { upsertBucket(input: $i) { inserted } }"
    with LocalWandb(tmp_path) as server:
        ask(server, make, i={"name": "r", "modelName": "p", "entityName": "e"})
        stream = f"{server.url}/files/e/p/r/file_stream"
        token = base64.b64encode(f"api:{API_KEY}".encode()).decode()
        for body in (b"[]", b"{", b'{"files": [1]}', b'{"files": {"a": {"offset": "x"}}}'):
            request = urllib.request.Request(stream, body, {"Authorization": f"Basic {token}"})
            with pytest.raises(urllib.error.HTTPError) as raised:
                urllib.request.urlopen(request, timeout=30)
            raised.value.close()
            assert raised.value.code == 400
        assert ask(server, "{ viewer { entity } }")[1] == {
            "data": {"viewer": {"entity": "explint"}}
        }
        for run in server.runs():
            assert run.rows == []


def test_inputs_of_later_clients_are_taken_while_they_ask_for_nothing(tmp_path: Path) -> None:
    make = "mutation M($i: UpsertBucketInput!) { upsertBucket(input: $i) { inserted } }"
    with LocalWandb(tmp_path) as server:
        assert ask(server, make, i={"name": "r", "modelName": "p", "newer": None})[0] == 200
        status, answer = ask(server, make, i={"name": "r", "modelName": "p", "newer": 1})
        assert status == 400
        assert "'newer'" in answer["errors"][0]["message"]


def test_names_of_files_never_lead_out_of_the_folder(tmp_path: Path) -> None:
    make = "mutation M($i: UpsertBucketInput!) { upsertBucket(input: $i) { bucket { id } } }"
    with LocalWandb(tmp_path / "server") as server:
        ask(server, make, i={"name": "r", "modelName": "p", "entityName": "e"})
        assert put(server, "/files/e/p/r/..%2F..%2F..%2Fescaped.txt", b"text") == 200
        assert put(server, "/files/e/p/r/../../escaped.txt", b"text") in (200, 404)
        [run] = server.runs()
        assert run.files["../../../escaped.txt"].size == 4
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert written <= {"server.jsonl", "runs.jsonl", "000001", "000002"}


def test_a_pattern_that_could_search_for_ever_is_refused(tmp_path: Path) -> None:
    count = 'query Q($f: JSONString) { project(name: "p") { runCount(filters: $f) } }'
    make = "mutation M($i: UpsertBucketInput!) { upsertBucket(input: $i) { inserted } }"
    with LocalWandb(tmp_path) as server:
        for name in ("aaaa", "b"):
            ask(server, make, i={"name": name, "modelName": "p"})
        for pattern, number in (("^a+$", 1), (".*", 2)):
            filters = json.dumps({"name": {"$regex": pattern}})
            _, answer = ask(server, count, f=filters)
            assert answer["data"]["project"]["runCount"] == number
        status, _ = ask(server, count, f=json.dumps({"name": {"$regex": "(a+)+$"}}))
        assert status == 400
        deep: dict[str, Any] = {"name": "a"}
        for _ in range(50):
            deep = {"$and": [deep]}
        assert ask(server, count, f=json.dumps(deep))[0] == 400


def test_runs_whose_process_is_gone_are_declared_crashed(tmp_path: Path) -> None:
    make = "mutation M($i: UpsertBucketInput!) { upsertBucket(input: $i) { inserted } }"
    with LocalWandb(tmp_path) as server:
        ask(server, make, i={"name": "r", "modelName": "p"})
        assert [run.state for run in server.runs()] == ["running"]
        server.settle()
        assert [run.state for run in server.runs()] == ["crashed"]
