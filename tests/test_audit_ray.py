"""The Ray engine gives the dataset of one machine, whatever the cluster loses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("ray")

# Ray looks for the internet when it starts: the network of the tests has nothing but loopback.
APART = ("unshare", "--user", "--map-root-user", "--net", "--")
SCRIPT = Path(__file__).parent / "ray_audit.py"


def can_be_apart() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_be_apart(), reason="needs a network namespace (unshare, ip)")
def test_a_lost_worker_and_a_lost_node_change_nothing(tmp_path: Path) -> None:
    home = Path(__file__).parent
    path = [str(home), str(home.parent / "python"), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "RAY_USAGE_STATS_ENABLED": "0"}
    command = f'ip link set lo up && exec "{sys.executable}" "{SCRIPT}" "{tmp_path}"'
    # The names of Ray's sockets have to be short.
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as short:
        env["RAY_TMPDIR"] = short
        done = subprocess.run(
            [*APART, "sh", "-c", command],
            env=env,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.endswith("the same\n")
