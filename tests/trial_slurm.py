"""A real Slurm of one node, in folders and on ports of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "scontrol", "srun")

CONF = """\
ClusterName=explint
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=3
SchedulerParameters=sched_interval=2,batch_sched_delay=0,requeue_setup_env_fail
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 Gres=gpu:fake:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES
"""


class NoSlurmError(Exception):
    """Slurm cannot be started here; the text says why."""


@contextmanager
def slurm() -> Iterator[dict[str, str]]:
    """Starts the cluster and yields what its programs need in the environment."""
    for program in PROGRAMS:
        if shutil.which(program, path=_path()) is None:
            raise NoSlurmError(f"{program} is not installed")
    if os.getuid() != 0:
        raise NoSlurmError("only root can start munged and slurmd for all users")
    # Short, because the sockets in it are named by their paths, and not below a folder that others
    # may write in, which munged refuses.
    folder = Path(tempfile.mkdtemp(prefix="explint-slurm-", dir="/run"))
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}
        _configure(folder)
        socket_file = folder / "munge.socket"
        daemons.append(
            _start(
                "munged",
                "--foreground",
                f"--socket={socket_file}",
                f"--key-file={folder / 'munge.key'}",
                f"--pid-file={folder / 'munged.pid'}",
                f"--seed-file={folder / 'munge.seed'}",
                f"--log-file={folder / 'munged.log'}",
                "--force",
                environment=environment,
            )
        )
        _until(socket_file.exists, "munged makes no socket", folder)
        daemons.append(_start("slurmctld", "-D", environment=environment))
        daemons.append(_start("slurmd", "-D", environment=environment))

        def ready() -> bool:
            said = subprocess.run(
                ["sinfo", "-h", "-o", "%T"],
                capture_output=True,
                text=True,
                env={**os.environ, **environment},
                check=False,
            )
            return said.stdout.strip() == "idle"

        _until(ready, "the node does not become idle", folder)
        yield environment
    finally:
        for daemon in reversed(daemons):
            with suppress(ProcessLookupError):
                daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(timeout=5)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def _configure(folder: Path) -> None:
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    host = socket.gethostname().partition(".")[0]
    controller_port, node_port = _free_ports()
    (folder / "slurm.conf").write_text(
        CONF.format(folder=folder, host=host, controller_port=controller_port, node_port=node_port)
    )
    lines = ["AutoDetect=off"]
    for number in range(2):
        device = folder / f"gpu{number}"
        try:
            os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        except OSError as error:
            raise NoSlurmError(f"a device for a logical GPU cannot be made: {error}") from None
        lines.append(f"Name=gpu Type=fake File={device}")
    (folder / "gres.conf").write_text("\n".join(lines) + "\n")
    key = folder / "munge.key"
    subprocess.run(
        ["mungekey", "--create", f"--keyfile={key}"],
        check=True,
        capture_output=True,
        env={**os.environ, "PATH": _path()},
    )
    key.chmod(0o400)


def _free_ports() -> tuple[int, int]:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        return one.getsockname()[1], other.getsockname()[1]


def _start(*words: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    program = shutil.which(words[0], path=_path())
    assert program is not None
    return subprocess.Popen(
        [program, *words[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def _until(true: object, what: str, folder: Path) -> None:
    assert callable(true)
    end = time.monotonic() + 40
    while time.monotonic() < end:
        if true():
            return
        time.sleep(0.1)
    logs = "\n".join(
        f"{log.name}: {log.read_text(errors='replace')[-600:]}" for log in folder.glob("*.log")
    )
    raise NoSlurmError(f"{what}\n{logs}")
