"""Runs jobs on a real Ray of two nodes, one of which is lost; prints what became of them.

A program of its own, because Ray looks for other machines when it starts and is therefore kept in a
network namespace with nothing but loopback.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from explint.trial.executors import ExecutorError
from explint.trial.executors.ray import RayExecutor
from trial_helpers import make_job

CONFIG = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
}
"""A node that is lost is noticed within seconds, not within a minute."""


def to_text(value: object) -> object:
    return msgspec.to_builtins(value, enc_hook=str)


def main(folder: Path) -> None:
    from ray.cluster_utils import Cluster

    # Only the second node has room for the runs.
    cluster: Any = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "num_gpus": 0, "_system_config": CONFIG},
    )
    room = {"num_cpus": 4, "num_gpus": 2}
    node = cluster.add_node(**room)
    cluster.wait_for_nodes()
    shown = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(1)"
    # On the node that is lost it sleeps for ever; begun anew it ends at once.
    mark = folder / "mark"
    lost = f"""
import pathlib, time
mark = pathlib.Path({str(mark)!r})
if not mark.exists():
    mark.write_text("")
    time.sleep(600)
print("anew")
"""
    jobs = [make_job(folder, f"gpu-{n}", shown, gpus=1) for n in range(2)]
    jobs.append(make_job(folder, "lost", lost, sandbox="none"))
    told: dict[str, Any] = {}
    with RayExecutor(address=cluster.address, cpus=2, retries=2) as executor:
        try:
            list(executor.run([make_job(folder, "greedy", shown, gpus=4)]))
        except ExecutorError as error:
            told["greedy"] = str(error)
        for ended in executor.run(jobs[:2]):
            told[ended.job.id] = [ended.problem, ended.job.outcome()]

        def run_the_last() -> None:
            for ended in executor.run(jobs[2:]):
                told[ended.job.id] = [ended.problem, ended.job.outcome()]

        # Ray lets nodes be added from the main thread only.
        running = threading.Thread(target=run_the_last, daemon=True)
        running.start()
        while not mark.exists():
            time.sleep(0.1)
        cluster.add_node(**room)
        cluster.remove_node(node, allow_graceful=False)
        running.join()
    cluster.shutdown()
    print(json.dumps(told, default=to_text))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
