"""A package as a source yields it: files by path, and what a judge record says beside them."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from explint.model import SourceInfo


class FileState(StrEnum):
    """What is known of a file.

    ``withheld``: a record or partial package names the file and gives no text. The structure
    finding says it is empty; whatever depends on its contents is unknown.
    """

    PRESENT = "present"
    EMPTY = "empty"
    ABSENT = "absent"
    WITHHELD = "withheld"


class File(msgspec.Struct, frozen=True):
    """One file of a package.

    ``data`` is the raw content, or None when the file was not read: then ``failure`` says why it
    could not be read, or, with ``failure`` None too, it is listed only for its name (a picture, a
    checkpoint) and ``skipped`` says so. ``truncated`` says that ``data`` ends, or has a hole, where
    text was cut out of a record: what is missing there is not the author's doing.
    """

    path: str
    state: FileState
    data: bytes | None = None
    failure: str | None = None
    skipped: str | None = None
    truncated: bool = False

    @property
    def text(self) -> str | None:
        """The text without byte order mark; None when it is not known or not UTF-8."""
        if self.data is None or self.state not in (FileState.PRESENT, FileState.EMPTY):
            return None
        try:
            return self.data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return None


class Run(msgspec.Struct, frozen=True):
    """A run the experiment names: its id and, where a record gives it, its config file's text."""

    run_id: str
    method: str | None = None
    model: str | None = None
    dataset: str | None = None
    config: str | None = None


class JudgeVerdict(msgspec.Struct, frozen=True):
    """The LLM judge's answer as it stands in a record."""

    is_code_ready: bool
    code_issue: str


class Record(msgspec.Struct, frozen=True):
    """What a judge record says beside the code.

    ``prompt`` is the text before the code: criteria and command lines. ``hypothesis`` is the
    research method as text, ``metrics`` the design's evaluation metrics. ``truncated`` says that
    text was cut out of the record, so what is not there may have been there.
    """

    prompt: str = ""
    hypothesis: str = ""
    metrics: tuple[str, ...] = ()
    verdict: JudgeVerdict | None = None
    truncated: bool = False


class Package(msgspec.Struct, frozen=True):
    """What a source yields. Paths are relative to the package root, with forward slashes.

    ``skipped_folders`` are (path, reason) of folders that were not entered. ``partial`` says that
    absent files may exist elsewhere (a record), so their absence decides nothing beyond structure.
    """

    id: str
    source: SourceInfo
    files: dict[str, File]
    runs: tuple[Run, ...] = ()
    record: Record | None = None
    skipped_folders: tuple[tuple[str, str], ...] = ()
    partial: bool = False
    notes: tuple[str, ...] = ()

    def state(self, path: str) -> FileState:
        """The state of a file, ``absent`` when the package does not list it."""
        file = self.files.get(path)
        return FileState.ABSENT if file is None else file.state
