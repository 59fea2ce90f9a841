"""Runs as tasks of a real Ray, in a network namespace of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def alone(*words: str) -> list[str]:
    """The command in a network of its own, where loopback is all there is."""
    script = 'ip link set lo up && exec "$@"'
    return ["unshare", "--map-root-user", "--net", "sh", "-c", script, "sh", *words]


def why_not() -> str:
    if find_spec("ray") is None:
        return "Ray is not installed"
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "unshare and ip (iproute2) are needed to keep Ray off the network"
    tried = subprocess.run(alone("true"), capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"no network namespace here: {tried.stderr.strip()}"


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_runs_get_gpus_and_survive_the_loss_of_a_node(tmp_path: Path) -> None:
    done = subprocess.run(
        alone(sys.executable, str(TESTS / "trial_ray.py"), str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={
            **os.environ,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_DISABLE_IMPORT_WARNING": "1",
            # Short, because Ray names socket files by it.
            "RAY_TMPDIR": "/tmp",
        },
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert "no node of the cluster has 2 processors and 4 GPUs" in told["greedy"]
    shown = set()
    for name in ("gpu-0", "gpu-1"):
        problem, outcome = told[name]
        assert problem == ""
        assert outcome["exit_code"] == 0
        shown.add(outcome["tail"].strip())
    assert shown == {"0", "1"}
    problem, outcome = told["lost"]
    assert problem == ""
    assert outcome["tail"] == "anew\n"
    assert outcome["notes"] == ["It was begun anew after it was lost (attempt 2)."]
