"""Runs that try to get out of the sandbox, to outlive it, or to use more than they may."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from explint.trial import interpreter, prepare, sandbox
from explint.trial.job import to_json
from explint.trial.network import Network, allows
from explint.trial.outcome import Outcome
from explint.trial.places import Places
from explint.trial.run import Limits, run_command

KINDS = [
    pytest.param(
        "bubblewrap",
        marks=pytest.mark.skipif(bool(sandbox.bubblewrap()), reason=sandbox.bubblewrap()),
    ),
    pytest.param(
        "landlock",
        marks=pytest.mark.skipif(bool(sandbox.own_means()), reason=sandbox.own_means()),
    ),
]
every_kind = pytest.mark.parametrize("kind", KINDS)

SMALL = Limits(
    seconds=60,
    memory=400 << 20,
    processes=40,
    file_size=4 << 20,
    disk=24 << 20,
    output=1 << 20,
    patience=(1, 1),
)


def attempt(folder: Path, code: str, kind: str = "auto", **more: object) -> Outcome:
    """Runs ``code`` as the package's only module."""
    places = Places(folder / "run").make()
    (places.package / "main.py").write_text(code)
    words: dict[str, Any] = {"limits": SMALL, **more}
    return run_command(
        ["uv", "run", "python", "-u", "-m", "main"],
        places=places,
        python=Path(sys.executable),
        wish=cast(sandbox.Wish, kind),
        **words,
    )


def processes_with(word: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if word.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


@every_kind
def test_a_run_works_in_folders_of_its_own(kind: str, tmp_path: Path) -> None:
    code = """
import os, pathlib, subprocess, sys, tempfile
pathlib.Path("out.txt").write_text("1")
pathlib.Path.home().joinpath("cache.bin").write_bytes(b"22")
tempfile.NamedTemporaryFile(delete=False).write(b"333")
print(subprocess.run(["uv", "run", "python", "-c", "import sys; print(sys.executable)"],
    capture_output=True, text=True, check=True).stdout, end="")
print(subprocess.run([sys.executable, "-c", "print(4)"], capture_output=True, text=True).stdout)
sys.exit(3)
"""
    outcome = attempt(tmp_path, code, kind)
    assert (outcome.exit_code, outcome.signal, outcome.exceeded) == (3, None, None)
    assert not outcome.succeeded
    assert outcome.tail.split() == [sys.executable, "4"]
    assert [(f.place, f.size, f.change) for f in outcome.written] == [
        ("home", 2, "new"),
        ("package", 1, "new"),
        ("temporary", 3, "new"),
    ]
    assert outcome.sandbox.kind == kind
    assert outcome.sandbox.network == "none"
    assert outcome.left_behind == ()


@every_kind
def test_nothing_outside_can_be_written(kind: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("kept")
    (tmp_path / "run").mkdir()
    code = f"""
import os
for path in ({str(outside)!r}, os.path.dirname({sys.executable!r}), "/usr/lib", "/etc", "/"):
    try:
        open(path + "/planted", "w").write("x")
        print("wrote", path)
    except OSError as error:
        print("refused", type(error).__name__)
for act in (lambda: os.remove({str(outside / "kept.txt")!r}),
            lambda: os.symlink({str(outside)!r}, "door") or open("door/planted", "w"),
            lambda: os.rename("main.py", {str(outside / "main.py")!r}),
            lambda: open({str(outside / "kept.txt")!r}, "r+").truncate(0)):
    try:
        act()
        print("did it")
    except OSError as error:
        print("refused", type(error).__name__)
"""
    outcome = attempt(tmp_path, code, kind)
    assert outcome.exit_code == 0, outcome.tail
    assert outcome.tail.count("refused") == 9
    assert sorted(p.name for p in outside.iterdir()) == ["kept.txt"]
    assert (outside / "kept.txt").read_text() == "kept"


@every_kind
def test_no_secret_is_read(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home of a person"
    home.mkdir()
    (home / "credentials").write_text("hunter2")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("WANDB_API_KEY", "hunter2")
    monkeypatch.setenv("NAMED_ONE", "handed on")
    code = f"""
import glob, os
print(os.environ.get("NAMED_ONE"))
for path in ({str(home / "credentials")!r}, "/etc/shadow", "/etc/ssl/private/key.pem",
             *glob.glob("/proc/*/environ")):
    try:
        print("hunter2" in open(path, "rb").read().decode("latin-1"))
    except OSError:
        continue
print("hunter2" in str(os.environ))
"""
    # A process of the same user, as any other program of the person is.
    with subprocess.Popen(["sleep", "60"], env={"PATH": os.defpath, "OTHER": "hunter2"}) as other:
        outcome = attempt(tmp_path, code, kind, passed=("NAMED_ONE",))
        other.kill()
    assert outcome.tail.split("\n")[0] == "handed on"
    assert "True" not in outcome.tail
    assert outcome.exit_code == 0


@every_kind
def test_nothing_is_reached(kind: str, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.bind(("127.0.0.1", 0))
        code = f"""
import socket
def tcp():
    socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), 2)
def udp():
    # In a network of its own a datagram to nobody is no error; it must only not arrive.
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(
        b"x", ("127.0.0.1", {datagrams.getsockname()[1]}))
    raise OSError
def dns():
    socket.getaddrinfo("example.org", 443)
def outside():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53))
def host():
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
def raw():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
for act in (tcp, udp, dns, outside, host, raw):
    try:
        act()
        print("reached", act.__name__)
    except OSError:
        print("refused")
"""
        outcome = attempt(tmp_path, code, kind)
        assert outcome.tail.split() == ["refused"] * 6
        datagrams.setblocking(False)
        with pytest.raises(BlockingIOError):
            datagrams.recv(16)


@contextmanager
def web_server() -> Iterator[int]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"hello {self.headers['Host']}".encode())

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@every_kind
def test_one_port_of_this_machine_is_reached(kind: str, tmp_path: Path) -> None:
    with web_server() as open_port, web_server() as closed_port:
        code = f"""
import urllib.request
for port in ({open_port}, {closed_port}):
    try:
        print(urllib.request.urlopen(f"http://127.0.0.1:{{port}}/", timeout=5).read().decode())
    except OSError:
        print("refused")
"""
        outcome = attempt(tmp_path, code, kind, network=Network(ports=(open_port,)))
    assert outcome.tail.splitlines() == [f"hello 127.0.0.1:{open_port}", "refused"]
    assert outcome.sandbox.network == "loopback"


@every_kind
def test_named_hosts_are_reached_through_the_proxy(kind: str, tmp_path: Path) -> None:
    with web_server() as port:
        code = f"""
import os, urllib.request
for name in list(os.environ):
    if name.lower() == "no_proxy":
        del os.environ[name]
for host in ("localhost", "127.0.0.1"):
    try:
        print(urllib.request.urlopen(f"http://{{host}}:{port}/", timeout=5).read().decode())
    except OSError as error:
        print(error)
"""
        outcome = attempt(tmp_path, code, kind, network=Network(hosts=("localhost",)))
    assert outcome.tail.splitlines() == [f"hello localhost:{port}", "HTTP Error 403: Forbidden"]
    assert outcome.notes == ("The proxy refused 127.0.0.1.",)
    assert outcome.sandbox.network == "proxy"


def test_hosts_are_compared_by_whole_labels() -> None:
    hosts = ("hub.example", "*.files.example")
    assert allows(hosts, "HUB.example.")
    assert allows(hosts, "a.b.files.example")
    assert not allows(hosts, "files.example")
    assert not allows(hosts, "nothub.example")
    assert not allows(hosts, "a.hub.example")


@every_kind
def test_root_has_no_privileges(kind: str, tmp_path: Path) -> None:
    code = """
import pathlib, subprocess, sys
status = "import pathlib; print(pathlib.Path('/proc/self/status').read_text())"
for text in (pathlib.Path("/proc/self/status").read_text(),
             subprocess.run([sys.executable, "-c", status], capture_output=True, text=True).stdout):
    print(*(line.split()[1] for line in text.splitlines() if line.startswith("Cap")))
"""
    outcome = attempt(tmp_path, code, kind)
    assert outcome.tail.splitlines() == [" ".join(["0" * 16] * 5)] * 2


def test_an_environment_made_from_a_package_opens_no_other_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    (secret / "bin").mkdir(parents=True)
    (secret / "bin" / "python").touch()
    site = tmp_path / "made" / "venv" / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (site / "door.pth").write_text(f"{secret}\n")
    (site / "door").symlink_to(secret)
    venv = tmp_path / "made" / "venv"
    (venv / "pyvenv.cfg").write_text(f"home = {secret / 'bin'}\n")
    (venv / "bin").mkdir()
    python = venv / "bin" / "python"
    python.symlink_to(secret / "bin" / "python")
    # What a person prepared is believed.
    assert secret in interpreter.folders(python)
    made = prepare.Prepared(python=python, folders=(venv,))
    (tmp_path / "made" / interpreter.MADE).write_bytes(to_json(made))
    assert interpreter.folders(python) == [venv]


DAEMONS = {
    "new session": "os.setsid(); os.execvp(sys.executable, words)",
    "double fork": "os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); "
    "os.execvp(sys.executable, words)",
    "nohup": "os.execvp('nohup', ['nohup', *words])",
}


@every_kind
@pytest.mark.parametrize("how", DAEMONS)
def test_no_daemon_stays(kind: str, how: str, tmp_path: Path) -> None:
    word = f"explint-daemon-{os.getpid()}-{time.time_ns()}"
    code = f"""
import os, sys, time
words = [sys.executable, "-c", "import signal, time\\n"
    "for s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\\n"
    "open('ready', 'w')\\n"
    "time.sleep(600)", {word!r}]
if os.fork() == 0:
    {DAEMONS[how]}
while not os.path.exists("ready"):
    time.sleep(0.01)
print("main is done")
"""
    outcome = attempt(tmp_path, code, kind)
    assert outcome.exit_code == 0
    assert any(word in line for line in outcome.left_behind)
    assert processes_with(word) == []


@every_kind
def test_a_run_that_kills_its_launcher_is_still_gone(kind: str, tmp_path: Path) -> None:
    word = f"explint-orphan-{os.getpid()}-{time.time_ns()}"
    code = f"""
import os, signal, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", {word!r}],
    start_new_session=True)
try:
    os.kill(os.getppid(), signal.SIGKILL)
except PermissionError:
    pass
time.sleep(600)
"""
    attempt(tmp_path, code, kind, limits=Limits(seconds=2, patience=(0.5, 0.5)))
    assert processes_with(word) == []


@every_kind
def test_what_ignores_every_signal_is_ended(kind: str, tmp_path: Path) -> None:
    code = """
import signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda n, f: print("ignored", signal.Signals(n).name))
while True:
    time.sleep(0.1)
"""
    limits = Limits(seconds=1, patience=(0.7, 0.7))
    outcome = attempt(tmp_path, code, kind, limits=limits)
    assert outcome.tail.splitlines() == ["ignored SIGINT", "ignored SIGTERM"]
    assert (outcome.timed_out, outcome.exceeded, outcome.signal) == (True, "wall-clock", "SIGKILL")


@every_kind
def test_the_first_signal_lets_a_run_save_what_it_has(kind: str, tmp_path: Path) -> None:
    code = """
import pathlib, time
try:
    time.sleep(600)
except KeyboardInterrupt:
    pathlib.Path("rows.txt").write_text("saved")
"""
    outcome = attempt(tmp_path, code, kind, limits=Limits(seconds=1))
    assert outcome.timed_out
    assert outcome.exit_code == 0
    assert [f.path for f in outcome.written] == ["rows.txt"]
    assert not outcome.succeeded


@every_kind
def test_a_person_ends_a_run(kind: str, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    outcome = attempt(tmp_path, "import time; time.sleep(600)", kind, stop=stop)
    assert outcome.interrupted
    assert not outcome.timed_out


@every_kind
def test_memory_is_bounded_over_all_processes(kind: str, tmp_path: Path) -> None:
    code = """
import os, time
for _ in range(4):
    os.fork()
held = []
while True:
    held.append(os.urandom(1 << 20))
    time.sleep(0.002)
"""
    outcome = attempt(tmp_path, code, kind)
    assert outcome.exceeded == "memory"
    assert outcome.peak_memory is not None
    assert outcome.peak_memory > SMALL.memory
    assert not outcome.succeeded


@every_kind
def test_shared_pages_count_once(kind: str, tmp_path: Path) -> None:
    code = """
import os, time
held = os.urandom(150 << 20)
for _ in range(2):
    os.fork()
time.sleep(1)
"""
    outcome = attempt(tmp_path, code, kind)
    assert outcome.exceeded is None
    assert outcome.peak_processes is not None
    assert outcome.peak_processes >= 4


@pytest.mark.skipif(
    os.environ.get("EXPLINT_TEST_FORK_BOMB") is None,
    reason="forks without end: set EXPLINT_TEST_FORK_BOMB on a machine that may be lost",
)
@every_kind
def test_forks_without_end_are_ended(kind: str, tmp_path: Path) -> None:
    word = f"explint_bomb_{os.getpid()}_{time.time_ns()}"
    code = f"""
import os, time
open("{word}", "w").close()
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
"""
    places = Places(tmp_path / "run").make()
    (places.package / f"{word}.py").write_text(code)
    outcome = run_command(
        ["python", f"{word}.py"],
        places=places,
        python=Path(sys.executable),
        wish=cast(sandbox.Wish, kind),
        limits=Limits(seconds=20, processes=40, patience=(0.2, 0.2)),
    )
    assert not outcome.succeeded
    assert outcome.exceeded in ("processes", "wall-clock")
    assert processes_with(word) == []


@every_kind
def test_the_disk_is_not_filled(kind: str, tmp_path: Path) -> None:
    one = """
with open("large.bin", "wb") as file:
    while True:
        file.write(bytes(1 << 20))
"""
    outcome = attempt(tmp_path / "one", one, kind)
    assert outcome.exceeded == "file-size"
    assert outcome.exit_code == 1 or outcome.signal == "SIGXFSZ"
    many = """
import os, time
for number in range(10_000):
    with open(f"part-{number}", "wb") as file:
        file.write(os.urandom(1 << 20))
    time.sleep(0.01)
time.sleep(60)
"""
    outcome = attempt(tmp_path / "many", many, kind)
    assert outcome.exceeded == "disk"


@every_kind
def test_output_is_bounded_and_streamed(kind: str, tmp_path: Path) -> None:
    pieces: list[bytes] = []
    outcome = attempt(tmp_path, "while True: print('x' * 1000)", kind, watch=pieces.append)
    assert outcome.exceeded == "output"
    assert outcome.log.stat().st_size <= SMALL.output
    assert outcome.log_bytes > SMALL.output
    assert sum(map(len, pieces)) == outcome.log.stat().st_size


@every_kind
def test_a_program_that_is_not_there_is_told(kind: str, tmp_path: Path) -> None:
    places = Places(tmp_path / "run")
    outcome = run_command(
        ["no-such-program"],
        places=places,
        python=Path(sys.executable),
        wish=cast(sandbox.Wish, kind),
    )
    assert outcome.exit_code == 127
    assert "cannot start no-such-program" in outcome.tail


def test_without_a_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sandbox, "bubblewrap", lambda: "no bubblewrap")
    monkeypatch.setattr(sandbox, "own_means", lambda: "no Landlock")
    with pytest.raises(sandbox.SandboxError, match="no bubblewrap; no Landlock") as error:
        attempt(tmp_path, "print(1)")
    assert "--no-sandbox" in error.value.help
    outcome = attempt(tmp_path, "print(1)", "none")
    assert outcome.exit_code == 0
    assert outcome.sandbox.kind == "none"
    assert outcome.sandbox.lacks
