"""Session logs of coding agents: the files they wrote, rebuilt from their tool calls.

Understood are Claude Code's transcripts (a line of JSON an event, ``tool_use`` blocks in
messages), OpenHands' events (``action`` with ``args``), SWE-agent's trajectories (``history`` with
tool calls, or ``trajectory`` with actions), and chat messages with ``tool_calls``. A call counts
when its result is no error. Of shell commands only ``cat > FILE <<'END'`` is followed; others that
may write are counted in a note.
"""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from explint.model import SourceInfo
from explint.package import Package
from explint.regex import regex
from explint.source.find import find_packages, load_package
from explint.source.limits import Limits
from explint.source.salvage import encode_text
from explint.source.tree import MemoryTree, RefusedError, bytes_leaf, clean_path, printable

_PATH_KEYS = ("file_path", "path", "filename", "file", "target_file", "relative_workspace_path")
_CONTENT_KEYS = ("content", "contents", "file_text", "text", "code")
_OLD_KEYS = ("old_string", "old_str", "old_text", "search")
_NEW_KEYS = ("new_string", "new_str", "new_text", "replace")
_COMMAND_KEYS = ("command", "cmd", "script")
_SHELLS = frozenset({"bash", "shell", "run", "execute_bash", "terminal", "run_command", "cmd"})
_EDITORS = frozenset({"str_replace_editor", "str_replace_based_edit_tool", "edit_file", "create"})
_READERS = ("read", "view", "open", "grep", "glob", "search", "list", "ls")
# A here-document that makes a file whole: `cat > path <<'END'` up to END on a line of its own.
_HEREDOC = regex(
    r"cat\s*>\s*(?P<path>'[^'\n]+'|\"[^\"\n]+\"|[^\s<>|&;]+)\s*<<-?\s*(?P<q>['\"]?)(?P<end>\w+)(?P=q)"
    r"[^\n]*\n(?P<body>(?:.*\n)*?)(?P=end)[ \t]*(?:\n|\Z)"
)
_WRITES = regex(
    r"(?:^|[\s;&|])(?:sed\s+-i|tee|mv|cp|rm|patch|git\s+(?:apply|checkout|restore))\s|>"
)
_MAX_EVENTS = 500_000


class _Call(msgspec.Struct):
    """One tool call, and what is known of its result."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""


class Session(msgspec.Struct):
    """The files of one session as its calls leave them, by absolute or relative path.

    ``unknown`` are files that were changed and whose text was never seen whole.
    """

    files: dict[str, str] = msgspec.field(default_factory=dict)
    unknown: dict[str, None] = msgspec.field(default_factory=dict)
    folders: dict[str, None] = msgspec.field(default_factory=dict)
    folder: str = ""
    commands: int = 0
    calls: int = 0
    cut: bool = False

    def place(self, path: str) -> str:
        """A path as it is kept: from the folder that the session worked in at the time."""
        return posixpath.normpath(posixpath.join(self.folder, path))

    def write(self, path: str, text: str) -> None:
        """A file gets this text."""
        self.files[path] = text
        self.unknown.pop(path, None)

    def edit(self, path: str, old: str, new: str, *, everywhere: bool = False) -> None:
        """One text in a file is replaced by another."""
        text = self.files.get(path)
        if text is None:
            if old:
                self.unknown[path] = None
            else:
                self.write(path, new)
        elif old not in text:
            # The file was changed by something that the log does not show.
            self.files.pop(path)
            self.unknown[path] = None
        else:
            self.files[path] = text.replace(old, new, -1 if everywhere else 1)

    def insert(self, path: str, line: int, new: str) -> None:
        """Text is put behind a line of a file."""
        text = self.files.get(path)
        if text is None:
            self.unknown[path] = None
            return
        lines = text.splitlines(keepends=True)
        lines.insert(line, new if new.endswith("\n") else f"{new}\n")
        self.files[path] = "".join(lines)


def looks_like_log(value: object) -> bool:
    """Whether an object is an event of a session, or a session as a whole."""
    if isinstance(value, list):
        return any(looks_like_log(item) for item in value[:20])
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("trajectory"), list) or isinstance(value.get("history"), list):
        return True
    message = value.get("message")
    if isinstance(message, dict) and isinstance(message.get("role"), str):
        return value.get("type") in ("user", "assistant", "system") or "content" in message
    if value.get("type") in ("file-history-snapshot", "permission-mode", "summary"):
        return "sessionId" in value or "messageId" in value or "leafUuid" in value
    if isinstance(value.get("action"), str) and isinstance(value.get("args"), dict):
        return True
    if isinstance(value.get("observation"), str) and "extras" in value:
        return True
    return isinstance(value.get("tool_calls"), list) or (
        value.get("role") in ("user", "assistant", "system") and "content" in value
    )


def replay(events: Iterator[object]) -> Session:
    """The files that a session's events leave behind."""
    session = Session()
    waiting: dict[str, _Call] = {}
    for count, event in enumerate(_flat(events)):
        if count >= _MAX_EVENTS:
            session.cut = True
            break
        cwd = event.get("cwd")
        if isinstance(cwd, str):
            session.folder = cwd
            session.folders[cwd] = None
        _results(event, waiting, session)
        for call in _calls(event):
            session.calls += 1
            if call.id:
                waiting[call.id] = call
            else:
                _apply(call, session)
    # The last calls of a log that was cut have no result.
    for call in waiting.values():
        _apply(call, session)
    return session


def _flat(events: Iterator[object]) -> Iterator[dict[str, Any]]:
    for event in events:
        if isinstance(event, list):
            yield from _flat(iter(event))
        elif isinstance(event, dict):
            for key in ("history", "trajectory", "messages", "events"):
                inner = event.get(key)
                if isinstance(inner, list) and not isinstance(event.get("role"), str):
                    # SWE-agent writes both; the history holds the calls as they were made.
                    if key == "history" and not any(_calls(e) for e in inner[:200] if _is(e)):
                        continue
                    yield from _flat(iter(inner))
                    break
            else:
                yield event


def _is(event: object) -> bool:
    return isinstance(event, dict)


def _calls(event: Any) -> list[_Call]:  # noqa: ANN401 - any JSON
    message = event.get("message") if isinstance(event.get("message"), dict) else event
    calls = []
    content = message.get("content")
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") == "tool_use":
            arguments = block.get("input")
            if isinstance(arguments, dict):
                calls.append(_Call(_text(block.get("name")), arguments, _text(block.get("id"))))
    tools = message.get("tool_calls")
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict):
            arguments = _object(function.get("arguments"))
            calls.append(_Call(_text(function.get("name")), arguments, _text(tool.get("id"))))
    action, arguments = event.get("action"), event.get("args")
    if isinstance(action, str) and isinstance(arguments, dict):
        number = event.get("id")
        calls.append(_Call(action, arguments, f"#{number}" if isinstance(number, int) else ""))
    elif isinstance(action, str) and "observation" in event and not calls:
        calls += _typed(action)
    return calls


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value, strict=False)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _typed(action: str) -> list[_Call]:
    """The call in an action that the agent typed as a command line."""
    name = action.split(maxsplit=1)[0] if action.strip() else ""
    if name not in _EDITORS:
        return [_Call("bash", {"command": action})]
    try:
        words = shlex.split(action)[1:]
    except ValueError:
        return [_Call("bash", {"command": action})]
    arguments: dict[str, Any] = {}
    places = ["command", "path"]
    at = 0
    while at < len(words):
        if words[at].startswith("--") and at + 1 < len(words):
            arguments[words[at][2:]] = words[at + 1]
            at += 2
        else:
            if places:
                arguments[places.pop(0)] = words[at]
            at += 1
    return [_Call(name, arguments)]


def _results(event: dict[str, Any], waiting: dict[str, _Call], session: Session) -> None:
    """Takes the results in an event: what they answer is done, or did not happen."""
    message = event["message"] if isinstance(event.get("message"), dict) else event
    content = message.get("content")
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") == "tool_result":
            call = waiting.pop(_text(block.get("tool_use_id")), None)
            if call is not None and block.get("is_error") is not True:
                _apply(call, session, event.get("toolUseResult"))
    if message.get("role") == "tool":
        for key in (message.get("tool_call_id"), *_list(message.get("tool_call_ids"))):
            call = waiting.pop(_text(key), None)
            if call is not None:
                _apply(call, session)
    cause = event.get("cause")
    if isinstance(event.get("observation"), str) and isinstance(cause, int):
        call = waiting.pop(f"#{cause}", None)
        if call is not None and event["observation"] != "error":
            _apply(call, session, event.get("extras"))


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _apply(call: _Call, session: Session, result: object = None) -> None:
    """What a call does to the files. ``result`` may tell what a file held before."""
    arguments, name = call.arguments, call.name.lower()
    path = _first(arguments, _PATH_KEYS)
    if isinstance(result, dict):
        _learn(result, session)
    if name in _SHELLS or (path is None and _first(arguments, _COMMAND_KEYS) is not None):
        _shell(_first(arguments, _COMMAND_KEYS) or "", session)
        return
    if path is None or name.startswith(_READERS):
        return
    path = session.place(path)
    command = _text(arguments.get("command"))
    edits = arguments.get("edits")
    content, new = _first(arguments, _CONTENT_KEYS), _first(arguments, _NEW_KEYS)
    old = _first(arguments, _OLD_KEYS)
    line = arguments.get("insert_line")
    if isinstance(line, str) and line.isdigit():
        line = int(line)
    if isinstance(edits, list):
        for edit in edits:
            if isinstance(edit, dict):
                _replace(edit, path, session)
    elif command == "insert" and isinstance(line, int):
        session.insert(path, line, new or "")
    elif command in ("view", "undo_edit"):
        if command == "undo_edit":
            session.files.pop(path, None)
            session.unknown[path] = None
    elif old is not None and (new is not None or command == "str_replace"):
        _replace(arguments, path, session)
    elif content is not None:
        session.write(path, content)


def _replace(edit: Mapping[str, Any], path: str, session: Session) -> None:
    session.edit(
        path,
        _first(edit, _OLD_KEYS) or "",
        _first(edit, _NEW_KEYS) or "",
        everywhere=edit.get("replace_all") is True,
    )


def _learn(result: dict[str, Any], session: Session) -> None:
    """A file that was there before the session, as an editor or a reader saw it whole."""
    path = _first(result, ("filePath", "path"))
    before = result.get("originalFile", result.get("old_content"))
    file = result.get("file")
    if isinstance(file, dict) and _is_whole(file):
        path, before = _first(file, ("filePath",)), file.get("content")
    if path is not None and isinstance(before, str) and session.place(path) not in session.files:
        session.write(session.place(path), before)


def _is_whole(file: Mapping[str, Any]) -> bool:
    return file.get("startLine") == 1 and file.get("numLines") == file.get("totalLines")


def _first(arguments: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    return next((arguments[k] for k in keys if isinstance(arguments.get(k), str)), None)


def _shell(command: str, session: Session) -> None:
    end = 0
    for match in _HEREDOC.finditer(command[:1_000_000]):
        path = match["path"].strip("'\"")
        if "$" not in path and (match["q"] or not any(c in match["body"] for c in "$`\\")):
            session.write(session.place(path), match["body"])
            end = match.end()
    if _WRITES.search(command[end:]):
        session.commands += 1


def package_of(session: Session, package_id: str, source: SourceInfo, limits: Limits) -> Package:
    """The package of a session's files, below the folder that holds them.

    It is a part of one: what was there before the session may be elsewhere.
    Raises RefusedError when the session wrote no source.
    """
    tree = MemoryTree()
    refused = 0
    root = _root(session)
    for path, text in sorted(session.files.items()):
        inner = posixpath.normpath(path).removeprefix(root).lstrip("/")
        try:
            tree.add(clean_path(inner, limits.max_depth), bytes_leaf(encode_text(text)))
        except RefusedError:
            refused += 1
    found = find_packages(tree, limits)
    if not found.roots:
        raise RefusedError(_nothing(session))
    # Of several the one with most files is the experiment, others are copies and examples.
    packages = [load_package(tree.sub(r), package_id, source, limits) for r in found.roots]
    package = max(packages, key=lambda p: len(p.files))
    notes = [f"rebuilt from {session.calls:,} tool calls of a session"]
    inside = [p for p in session.unknown if posixpath.normpath(p).startswith(root)]
    if inside:
        names = ", ".join(printable(posixpath.basename(p)) for p in inside[:5])
        notes.append(f"files whose text the log never shows whole were left out: {names}")
    if session.commands:
        notes.append(f"{session.commands:,} shell commands that may write were not followed")
    if refused:
        notes.append(f"{refused:,} files outside the package were left out")
    if session.cut:
        notes.append(f"only the first {_MAX_EVENTS:,} events were read")
    return msgspec.structs.replace(package, partial=True, notes=(*package.notes, *notes))


def _root(session: Session) -> str:
    """The working folder that most files lie in, else what all have in common."""
    paths = [posixpath.normpath(p) for p in session.files]
    absolute = [p for p in paths if p.startswith("/")]
    if not absolute:
        return ""
    for folder in session.folders:
        inside = sum(p.startswith(f"{folder}/") for p in absolute)
        if 2 * inside > len(absolute):
            return posixpath.normpath(folder)
    return posixpath.commonpath([posixpath.dirname(p) for p in absolute])


def _nothing(session: Session) -> str:
    if session.unknown:
        return (
            "the session wrote no source whole: it edited files that the log never shows "
            "(keep the results of reading and editing in the log)"
        )
    if session.calls:
        return f"none of its {session.calls:,} tool calls that are understood writes a source file"
    return (
        "no tool call in it is understood: give a transcript of Claude Code, events of OpenHands, "
        "a trajectory of SWE-agent or chat messages with tool_calls"
    )
