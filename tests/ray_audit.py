"""Run by test_audit_ray in a network of its own: an audit on three nodes, of which one worker and
one node are lost on the way, beside the same audit on this machine."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

from audit_helpers import jsonl, options, row, same, table
from explint.audit.ray_engine import RayEngine
from explint.audit.run import Status, audit

ROWS = 90


def workers() -> list[int]:
    """The processes of Ray that have judged something, those at work first."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            title = (folder / "cmdline").read_bytes()
            if title.startswith((b"ray::judged", b"ray::IDLE")):
                found.append((title, int(folder.name)))
    return [pid for _, pid in sorted(found, reverse=True)]


def main(folder: Path) -> None:
    more = "\n\n" + "".join(f"def work_{n}(a, b):\n    return a + b\n\n\n" for n in range(150))
    source = jsonl(folder / "a.jsonl", [row(n, more) for n in range(ROWS)])
    audit(options([source], folder / "here", part_rows=25))
    # Nodes that take little memory.
    size: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=size)
    nodes = [cluster.add_node(**size) for _ in range(2)]
    cluster.wait_for_nodes()
    lost: list[str] = []

    def lose(status: Status) -> None:
        if status.counts.packages >= 15 and not lost and (there := workers()):
            os.kill(there[0], signal.SIGKILL)
            lost.append("worker")
        if status.counts.packages >= 40 and lost == ["worker"]:
            cluster.remove_node(nodes[0], allow_graceful=False)
            lost.append("node")

    asked = options([source], folder / "there", part_rows=25, jobs=0, address=cluster.address)
    about = audit(asked, engine=RayEngine, watch=lose)
    assert lost == ["worker", "node"], lost
    assert about.state == "complete"
    same(table(folder / "there"), table(folder / "here"))
    cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    print("the same")
