"""Sources in an S3-compatible store that the tests start themselves."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("moto")
pytest.importorskip("s3fs")

import boto3
import s3fs
from moto.server import ThreadedMotoServer

from audit_helpers import files, jsonl, options, row, same, table
from explint.audit.inputs import InputOptions, Item, Meter, open_inputs
from explint.audit.run import audit
from explint.model import InputError


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of a bucket with packages in every form."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    # An instance would go on speaking to the server of the test before.
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket="lab")
    lines = jsonl(tmp_path / "rows.jsonl", [row(n) for n in range(3)]).read_bytes()
    client.put_object(Bucket="lab", Key="rows/a.jsonl", Body=lines)
    for n in (3, 4):
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist([{"train_py": f"x = {n}\n"}]), out)
        client.put_object(Bucket="lab", Key=f"tables/run={n}/0.parquet", Body=out.getvalue())
    for n in (5, 6):
        for path, text in files(n).items():
            client.put_object(Bucket="lab", Key=f"packages/p{n}/{path}", Body=text.encode())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in files(7).items():
            archive.writestr(f"p7/{path}", text)
    client.put_object(Bucket="lab", Key="packed.zip", Body=packed.getvalue())
    yield "s3://lab"
    server.stop()


def read(*sources: str) -> list[Item | InputError]:
    return list(open_inputs(sources, InputOptions(), Meter()))


def trains(*sources: str) -> list[str]:
    found = []
    for item in read(*sources):
        assert isinstance(item, Item), item
        data = item.load().files["src/train.py"].data
        assert data is not None
        found.append(data.decode())
    return found


def test_everything_is_read_from_a_remote_store(store: str) -> None:
    small = {n: files(n)["src/train.py"] for n in range(8)}
    assert trains(f"{store}/rows/a.jsonl") == [small[0], small[1], small[2]]
    assert trains(f"{store}/tables") == ["x = 3\n", "x = 4\n"]
    assert trains(f"{store}/tables/*/*.parquet") == ["x = 3\n", "x = 4\n"]
    assert trains(f"{store}/packages") == [small[5], small[6]]
    assert trains(f"{store}/packed.zip") == [small[7]]


def test_what_is_not_there_is_a_row(store: str) -> None:
    sources = [f"{store}/absent.jsonl", f"{store}/*.none", "abc://x/y"]
    for source in sources:
        (error,) = read(source)
        assert isinstance(error, InputError)
        assert error.location == source


def test_an_audit_of_a_store_is_that_of_its_files(store: str, tmp_path: Path) -> None:
    audit(options([f"{store}/rows/a.jsonl"], tmp_path / "remote"))
    audit(options([tmp_path / "rows.jsonl"], tmp_path / "local"))
    remote, local = table(tmp_path / "remote"), table(tmp_path / "local")
    for package in (*remote[0], *local[0]):
        package.source = ""
    same(remote, local)
