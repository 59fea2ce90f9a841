"""What a package needs before its first run: a private copy, and an environment."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from explint.package import Package
from explint.trial import interpreter, sandbox
from explint.trial.job import appear, from_json, to_json
from explint.trial.network import Network
from explint.trial.places import Places
from explint.trial.run import Limits, run_command

LEFT_OUT = frozenset(
    {".git", ".venv", "venv", "__pycache__", "node_modules", "wandb", "outputs", "multirun"}
)
"""Folders that are not copied: histories, environments, and what earlier runs left."""

_UV_SECONDS = 1800.0


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """An environment, or why there is none (``problem``).

    ``folders`` is what an environment made by uv needs beside the system's and explint's own.
    """

    python: Path | None = None
    seconds: float = 0.0
    problem: str = ""
    folders: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def digest_of(package: Package) -> str:
    """A digest of everything that is known of a package's files."""
    whole = hashlib.sha256()
    for path in sorted(package.files):
        file = package.files[path]
        content = hashlib.sha256(file.data or b"").hexdigest()
        whole.update(f"{path}\0{file.state}\0{content}\n".encode(errors="surrogatepass"))
    return whole.hexdigest()[:16]


def copy_package(package: Package, target: Path) -> tuple[str, ...]:
    """Writes the package's files below ``target``, which is there whole or not at all.

    A folder on disk is copied with all that lies in it, links that lead out of it excepted. Returns
    notes on what could not be.
    """
    notes: list[str] = []
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    source = package.source
    if source.kind == "folder":
        origin = Path(source.location, source.member or "").resolve()
        _copy_folder(origin, part, notes)
    else:
        absent = []
        for path, file in package.files.items():
            if file.data is None:
                absent.append(path)
                continue
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            (part / path).write_bytes(file.data)
        if absent:
            notes.append(f"{len(absent):,} files have no contents in the source: {absent[0]}, …")
    shutil.rmtree(target, ignore_errors=True)
    part.replace(target)
    return tuple(notes)


def _copy_folder(origin: Path, target: Path, notes: list[str]) -> None:
    for folder, folders, files in os.walk(origin):
        here = Path(folder)
        there = target / here.relative_to(origin)
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        for name in [*folders, *sorted(files)]:
            path = here / name
            try:
                if path.is_symlink():
                    if not path.resolve().is_relative_to(origin):
                        notes.append(
                            f"The link {path.relative_to(origin)} leads out of the package."
                        )
                        folders[:] = [f for f in folders if f != name]
                        continue
                    (there / name).symlink_to(os.readlink(path))  # noqa: PTH115 - as written
                elif path.is_dir():
                    (there / name).mkdir()
                elif stat.S_ISREG(path.stat().st_mode):
                    shutil.copy2(path, there / name)
            except OSError as error:
                notes.append(f"{path.relative_to(origin)} was not copied: {error.strerror}.")


def prepared_environment(place: Path) -> Prepared:
    """The environment or interpreter a person named."""
    try:
        python = interpreter.find(place)
    except interpreter.NoInterpreterError as error:
        return Prepared(problem=str(error))
    return Prepared(
        python=python, notes=(f"The environment is a prepared one, {place}, not that of uv.",)
    )


def uv_environment(
    source: Path, folder: Path, *, cache: Path, offline: bool, wish: sandbox.Wish
) -> Prepared:
    """Makes the environment that ``uv run`` would make, once, below ``folder``.

    Building may execute code of the package and of what it depends on, so it is done in the
    sandbox; the network is open to it unless ``offline``.
    """
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        return Prepared(
            problem="uv is not installed: install it, or name a prepared environment with --env"
        )
    environment = folder / "venv"
    done = folder / interpreter.MADE
    folder.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(folder / "lock"):
        if done.is_file() and (environment / "bin" / "python").exists():
            return from_json(done.read_bytes(), Prepared)
        places = Places(folder / "making").make()
        shutil.rmtree(places.package)
        shutil.copytree(source, places.package, symlinks=True)
        environment.mkdir(exist_ok=True)
        words = [uv, "sync", "--no-editable", "--no-progress"]
        if offline:
            words.append("--offline")
        outcome = run_command(
            words,
            places=places,
            python=Path(sys.executable),
            environment={
                "UV_PROJECT_ENVIRONMENT": str(environment),
                "UV_CACHE_DIR": str(cache),
                "UV_PYTHON_INSTALL_DIR": str(cache / "python"),
            },
            limits=Limits(seconds=_UV_SECONDS, disk=64 << 30),
            network=Network(open=not offline),
            readable=(Path(uv), *interpreter.own_folders()),
            writable=(environment, cache),
            wish=wish,
            visible_gpus="",
        )
        if not outcome.succeeded:
            said = outcome.tail.strip()[-2000:]
            why = outcome.problem or f"`uv sync` failed: {said}"
            if outcome.timed_out:
                why = f"`uv sync` took longer than {_UV_SECONDS:.0f} seconds: {said}"
            return Prepared(problem=why, seconds=outcome.seconds)
        made = Prepared(
            python=environment / "bin" / "python",
            seconds=outcome.seconds,
            folders=(environment, cache / "python"),
        )
        appear(done, to_json(made))
        return made


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
