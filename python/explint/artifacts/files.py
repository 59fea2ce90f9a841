"""The files that an entry writes and reads, read off its trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from explint.artifacts.paths import ANY, Paths
from explint.trace import facts as f
from explint.trace.specialise import Specialised, evaluate

_OPENS: Final = frozenset({"open", "io.open", "gzip.open", "codecs.open", "builtins.open"})
# Methods of what is written; the path or an open file comes first.
_TO: Final = frozenset(
    {
        "to_csv", "to_json", "to_parquet", "to_pickle", "to_excel", "to_latex", "to_markdown",
        "to_html", "to_feather", "to_hdf", "savefig", "write_image", "write_html", "write_json",
    }
)  # fmt: skip
# Functions by the position of the path, or of the open file, in their arguments.
_WRITERS: Final = {
    "json.dump": 1, "pickle.dump": 1, "yaml.dump": 1, "yaml.safe_dump": 1, "joblib.dump": 1,
    "torch.save": 1, "omegaconf.OmegaConf.save": 1, "numpy.save": 0, "numpy.savez": 0,
    "numpy.savez_compressed": 0, "numpy.savetxt": 0, "matplotlib.pyplot.imsave": 0,
    "matplotlib.pyplot.savefig": 0, "shutil.copy": 1, "shutil.copy2": 1, "shutil.copyfile": 1,
    "shutil.move": 1, "os.rename": 1, "os.replace": 1, "plotly.io.write_image": 1,
    "matplotlib.backends.backend_pdf.PdfPages": 0, "toml.dump": 1, "tomli_w.dump": 1,
}  # fmt: skip
_PATH_KEYWORDS: Final = (
    "path_or_buf", "fname", "path", "filename", "file", "fp", "stream", "f", "dst", "buf",
)  # fmt: skip
_READERS: Final = {
    "json.load": 0, "pickle.load": 0, "yaml.safe_load": 0, "yaml.load": 0, "yaml.full_load": 0,
    "joblib.load": 0, "torch.load": 0, "numpy.load": 0, "numpy.loadtxt": 0, "numpy.genfromtxt": 0,
    "pandas.read_csv": 0, "pandas.read_json": 0, "pandas.read_parquet": 0, "pandas.read_pickle": 0,
    "pandas.read_excel": 0, "omegaconf.OmegaConf.load": 0, "tomllib.load": 0, "toml.load": 0,
}  # fmt: skip


class Written(msgspec.Struct, frozen=True):
    """A file that is written.

    ``number`` is the event's, ``state`` whether it happens, ``paths`` the texts its path may have
    (see ``paths``), ``how`` the call's name without its receiver, ``document`` the value that is
    written where it is one value.
    """

    number: int
    state: bool | None
    paths: tuple[str, ...]
    how: str
    document: f.ValueId | None
    event: f.LibraryCall


class FileRead(msgspec.Struct, frozen=True):
    """A file that is read; the fields are those of ``Written``."""

    number: int
    state: bool | None
    paths: tuple[str, ...]
    how: str
    event: f.LibraryCall


def written(special: Specialised, paths: Paths) -> list[Written]:
    """The files that may be written, in program order. Opening for writing counts."""
    return list(_written(special, paths))


def files_read(special: Specialised, paths: Paths) -> list[FileRead]:
    """The files that may be read, in program order; parsing an open file is its reading."""
    return list(_files_read(special, paths))


def argument(event: f.LibraryCall, position: int, *names: str) -> f.ValueId | None:
    """An argument by its name, else by its position; None when it is not given."""
    found = next((v for k, v in event.kwargs if k in names), None)
    if found is None and len(event.args) > position:
        return event.args[position]
    return found


def open_file(value: f.ValueId, paths: Paths) -> tuple[tuple[str, ...], str] | None:
    """The paths and the mode of an open file; None when a value is none. An unknown mode is ""."""
    row = paths.env.entry.values[value]
    if not isinstance(row, f.CallValue):
        return None
    callee = paths.env.entry.values[row.callee]
    named = dict(row.kwargs)
    if isinstance(callee, f.Library) and callee.name in _OPENS:
        target = row.args[0] if row.args else named.get("file")
        mode = row.args[1] if len(row.args) > 1 else named.get("mode")
        texts = (ANY,) if target is None else paths.of(target)
    elif isinstance(callee, f.Attribute) and callee.name == "open":
        texts = paths.of(callee.of)
        mode = row.args[0] if row.args else named.get("mode")
    else:
        return None
    said = "r" if mode is None else evaluate(mode, paths.env)
    return texts, said if isinstance(said, str) else ""


def _events(special: Specialised) -> Iterator[tuple[int, bool | None, f.LibraryCall]]:
    for number, event in special.happening_of(f.LibraryCall):
        yield number, special.states[number], event


def _written(special: Specialised, paths: Paths) -> Iterator[Written]:
    for number, state, event in _events(special):
        name = tail(event.name)
        position = _WRITERS.get(event.name)
        target: f.ValueId | None = None
        document: f.ValueId | None = None
        texts: tuple[str, ...] | None = None
        if name in ("write_text", "write_bytes"):
            texts = paths.of(_receiver(event, paths))
            document = event.args[0] if event.args else None
        elif event.name in _OPENS or name == "open":
            found = _opened(event, paths)
            if found is not None and (set(found[1]) & set("wax+") or not found[1]):
                texts = found[0]
        elif position is not None:
            target = argument(event, position, *_PATH_KEYWORDS)
            document = event.args[0] if position == 1 and event.args else None
        elif name in _TO:
            target = argument(event, 0, *_PATH_KEYWORDS)
        elif name == "write" and event.args:
            target, document = _receiver(event, paths), event.args[0]
            if open_file(target, paths) is None:
                continue
        if target is not None:
            opened = open_file(target, paths)
            texts = paths.of(target) if opened is None else opened[0]
        if texts is not None:
            yield Written(number, state, texts, name, document, event)


def _files_read(special: Specialised, paths: Paths) -> Iterator[FileRead]:
    for number, state, event in _events(special):
        name = tail(event.name)
        position = _READERS.get(event.name)
        if name in ("read_text", "read_bytes"):
            yield FileRead(number, state, paths.of(_receiver(event, paths)), name, event)
        elif event.name in _OPENS or name == "open":
            found = _opened(event, paths)
            if found is not None and found[1] and not set(found[1]) & set("wax+"):
                yield FileRead(number, state, found[0], name, event)
        elif position is not None:
            target = argument(event, position, *_PATH_KEYWORDS, "filepath_or_buffer", "io", "fp")
            if target is not None and open_file(target, paths) is None:
                yield FileRead(number, state, paths.of(target), name, event)


def _opened(event: f.LibraryCall, paths: Paths) -> tuple[tuple[str, ...], str] | None:
    entry = paths.env.entry
    callee = entry.values[event.callee]
    named = dict(event.kwargs)
    if isinstance(callee, f.Attribute):
        texts, position = paths.of(callee.of), 0
    else:
        target = event.args[0] if event.args else named.get("file")
        texts, position = ((ANY,) if target is None else paths.of(target)), 1
    mode = event.args[position] if len(event.args) > position else named.get("mode")
    said = "r" if mode is None else evaluate(mode, paths.env)
    return texts, said if isinstance(said, str) else ""


def _receiver(event: f.LibraryCall, paths: Paths) -> f.ValueId:
    callee = paths.env.entry.values[event.callee]
    return callee.of if isinstance(callee, f.Attribute) else event.callee


def tail(name: str) -> str:
    """The last word of a call's canonical name."""
    return name.rpartition(".")[2]
