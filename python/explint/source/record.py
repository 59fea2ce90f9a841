"""Judge records: the prompt an LLM judge was given, the code in it as JSON, and its answer.

A record reads, in this order: criteria, hypothesis and research method, experimental design, the
runs with their configs, the code as one JSON object, and after a line ``Output:`` the verdict.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec
import yaml

from explint.model import SourceInfo
from explint.package import File, FileState, JudgeVerdict, Package, Record, Run
from explint.regex import regex
from explint.source.limits import Limits, too_large
from explint.source.salvage import (
    CODE_OBJECT,
    TRUNCATION_MARK,
    Code,
    Text,
    cut_at_mark,
    decode_code,
    encode_text,
    path_of_key,
)
from explint.source.tree import RefusedError, clean_path, printable

_OUTPUT_LINE = regex(r"^Output:[ \t]*\r?$", re.MULTILINE)
_CODE_HEADING = regex(r"^#+ .*\bCode\b.*$", re.MULTILINE)
_RECORD_START = regex(r"^LLM Name:.*\r?\n(?:.*\r?\n)?Input:", re.MULTILINE)
_RUNS_HEADING = regex(r"^# Experiment Runs[ \t]*\r?$", re.MULTILINE)
_RUN_LINE = regex(r"^- Run ID:(.*)$", re.MULTILINE)
_RUN_FIELD = regex(r"^[ \t]+(Method|Model|Dataset):(.*)$", re.MULTILINE)
_FENCE_OPEN = regex(r"^([ \t]*)```(?:ya?ml)?[ \t]*\r?\n", re.MULTILINE)
_FENCE_CLOSE = regex(r"^[ \t]*```[ \t]*\r?$", re.MULTILINE)
_FRAME_CLOSE = regex(r"^[ \t]*```[ \t]*\r?$(?=\s*(?:^# |\Z))", re.MULTILINE)
_IDEA_HEADINGS = regex(r"^# (?:Hypothesis|Current Research Method)[ \t]*\r?$", re.MULTILINE)
_TOP_HEADING = regex(
    r"^# (?:Instructions|Hypothesis|Current Research Method|Experimental Design|Experiment Runs"
    r"|Generated Experiment Code.*)[ \t]*\r?$",
    re.MULTILINE,
)
_METRICS = regex(r"^- Evaluation Metrics:[ \t]*(\[.*\])[ \t]*\r?$", re.MULTILINE)
_METRIC_NAME = regex(r"""\bname=(?:'([^']*)'|"([^"]*)")""")
_READY = regex(r"""["']is_code_ready["']\s*:\s*["']?(true|false)""", re.IGNORECASE)
_ISSUE = regex(r'"code_issue"\s*:\s*"((?:[^"\\]|\\.)*)', re.DOTALL)

# Braces tried as the start of a verdict: an answer of nothing but braces must not take quadratic
# time.
_MAX_BRACES = 100


class NoCodeError(Exception):
    """A text that is no judge record, or one without code; the message says which."""


def looks_like_record(text: str) -> bool:
    """Whether a text is laid out as records are, so that a missing code object is worth saying."""
    return _OUTPUT_LINE.search(text) is not None and _CODE_HEADING.search(text) is not None


def split_records(text: str) -> Iterator[str]:
    """The records in a text: most files hold one, a log may hold several one after the other."""
    starts = [m.start() for m in _RECORD_START.finditer(text)]
    if len(starts) < 2:
        yield text
        return
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield text[start:end]


class _Parts(msgspec.Struct, frozen=True):
    prompt: str
    code: Code
    answer: str


def _split(text: str) -> _Parts:
    outputs = list(_OUTPUT_LINE.finditer(text))
    answer_at = outputs[-1].start() if outputs else len(text)
    starts = list(CODE_OBJECT.finditer(text, 0, answer_at))
    answered = None if starts else CODE_OBJECT.search(text, answer_at)
    if starts:
        start, end = starts[-1].start(), answer_at
    elif answered is not None:
        # The prompt of a code generator has its code in the answer.
        start, end = answered.start(), len(text)
    else:
        start, end = _code_after_cut(text, answer_at), answer_at
    code = decode_code(text, start, end)
    if not code.texts:
        raise NoCodeError("it holds no code: no key such as `train_py` is left of it")
    return _Parts(text[:start], code, text[max(answer_at, code.end) :])


def _code_after_cut(text: str, end: int) -> int:
    """Where members of a code object may follow whose start was cut out."""
    headings = [m.end() for m in _CODE_HEADING.finditer(text, 0, end)]
    if headings:
        brace = text.find("{", headings[-1], end)
        return headings[-1] if brace < 0 else brace
    mark = TRUNCATION_MARK.search(text, 0, end)
    if mark is None:
        raise NoCodeError("it holds no code: no JSON object with keys such as `train_py` in it")
    return mark.end()


def parse_record(text: str, package_id: str, source: SourceInfo, limits: Limits) -> Package:
    """The package a record describes. Raises NoCodeError.

    A file given as an empty string is withheld, and the package is partial: the generator that was
    asked for a repair returned only what it changed.
    """
    parts = _split(text)
    prompt, code = parts.prompt, parts.code
    notes = [f"`{key}` occurs twice in the code: the last one counts" for key in code.duplicates]
    if code.other_keys:
        shown = ", ".join(f"`{printable(k)[:60]}`" for k in code.other_keys[:8])
        notes.append(f"keys of the code that name no file were left out: {shown}")
    if code.broken:
        notes.append("the code in the record is cut: files that are missing may have been in it")
    truncated = code.broken or any(map(TRUNCATION_MARK.search, (prompt, parts.answer)))
    files = files_of(code.texts, limits)
    runs = _runs(prompt)
    folder = "config/runs" if "config/runs/" in prompt else "config/run"
    notes += add_run_configs(files, runs, folder, limits)
    return Package(
        id=package_id,
        source=source,
        files=files,
        runs=runs,
        record=Record(
            prompt=prompt,
            hypothesis=_hypothesis(prompt),
            metrics=_metrics(prompt),
            verdict=parse_verdict(parts.answer),
            truncated=truncated,
        ),
        partial=True,
        notes=tuple(notes),
    )


def files_of(texts: Mapping[str, Text], limits: Limits) -> dict[str, File]:
    """Files from code keys, sorted by path."""
    files = {path_of_key(k): text_file(path_of_key(k), t, limits) for k, t in texts.items()}
    return dict(sorted(files.items()))


def text_file(path: str, text: Text, limits: Limits) -> File:
    """A file of a record or partial package: an empty string is a withheld file."""
    if not text.text:
        return File(path, FileState.WITHHELD, truncated=text.truncated)
    data = encode_text(text.text)
    if len(data) > limits.max_file_bytes:
        reason = too_large(len(data), limits.max_file_bytes)
        return File(path, FileState.PRESENT, failure=reason)
    return File(path, FileState.PRESENT, data, truncated=text.truncated)


def add_run_configs(
    files: dict[str, File], runs: tuple[Run, ...], folder: str, limits: Limits
) -> list[str]:
    """Puts the runs' configs where Hydra looks for them; returns notes on those it could not."""
    notes = []
    for run in runs:
        if not run.config:
            continue
        try:
            path = printable(clean_path(f"{folder}/{run.run_id}.yaml", limits.max_depth))
        except RefusedError as problem:
            notes.append(f"the config of run `{printable(run.run_id)}` has no file: {problem}")
            continue
        if path in files:
            notes.append(f"{path} is given twice: the config in the list of runs counts")
        cut = TRUNCATION_MARK.search(run.config) is not None
        files[path] = text_file(path, Text(run.config, truncated=cut), limits)
    return notes


def _runs(prompt: str) -> tuple[Run, ...]:
    heading = _RUNS_HEADING.search(prompt)
    if heading is None:
        return ()
    marks = list(_RUN_LINE.finditer(prompt, heading.end()))
    runs = []
    for i, mark in enumerate(marks):
        end = marks[i + 1].start() if i + 1 < len(marks) else len(prompt)
        block = prompt[mark.end() : end]
        opening = _FENCE_OPEN.search(block)
        fields = dict(_RUN_FIELD.findall(block, 0, opening.start() if opening else len(block)))
        runs.append(
            Run(
                run_id=mark[1].strip(),
                method=fields.get("Method", "").strip() or None,
                model=fields.get("Model", "").strip() or None,
                dataset=fields.get("Dataset", "").strip() or None,
                # What follows a cut may belong to another run.
                config=None if opening is None else cut_at_mark(_config(block, opening)).text,
            )
        )
    return tuple(runs)


def _config(block: str, opening: re.Match[str]) -> str:
    # A config may hold fences of its own: the frame's one is followed by the next run, the next
    # heading or nothing. The line break before it belongs to the frame.
    frame = _FRAME_CLOSE.search(block, opening.end())
    closings = [m.start() for m in _FENCE_CLOSE.finditer(block, opening.end())]
    if not closings:
        return strip_frame_indent(block[opening.end() :], opening[1])
    close = frame.start() if frame is not None else closings[-1]
    text = block[opening.end() : close].removesuffix("\n").removesuffix("\r")
    return strip_frame_indent(text, opening[1])


def strip_frame_indent(text: str, indent: str) -> str:
    """Takes away the indentation that the frame gave to a config.

    A template that indents the place of the config indents its first line only; one that indents
    the block indents every line.
    """
    if not indent or not text.startswith(indent):
        return text
    first_only = text[len(indent) :]
    lines = text.splitlines(keepends=True)
    whole_block = all(line.startswith(indent) or not line.strip() for line in lines)
    if whole_block and (first_only.startswith("#") or not _starts_a_mapping(first_only)):
        return "".join(line.removeprefix(indent) for line in lines)
    return first_only


def _starts_a_mapping(text: str) -> bool:
    """Whether the first two lines with content are YAML together."""
    lines = (line for line in text.splitlines() if line.strip() and line.strip()[0] != "#")
    try:
        yaml.safe_load("\n".join(islice(lines, 2)))
    except (yaml.YAMLError, RecursionError, ValueError):
        return False
    return True


def _hypothesis(prompt: str) -> str:
    sections = []
    for heading in _IDEA_HEADINGS.finditer(prompt):
        following = _TOP_HEADING.search(prompt, heading.end())
        sections.append(prompt[heading.end() : following.start() if following else None].strip())
    return "\n\n".join(s for s in sections if s)


def _metrics(prompt: str) -> tuple[str, ...]:
    found = _METRICS.search(prompt)
    if found is None:
        return ()
    literal = found[1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = ast.literal_eval(literal) if len(literal) < 20_000 else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        values = None
    if not isinstance(values, list):
        return tuple(single or double for single, double in _METRIC_NAME.findall(literal))
    names = [v.get("name") if isinstance(v, dict) else v for v in values]
    return tuple(n for n in names if isinstance(n, str))


def parse_verdict(answer: str) -> JudgeVerdict | None:
    """The verdict in a judge's answer: the last JSON object that has one, or, when the JSON is
    broken, what can be read of it. None when there is none."""
    found = None
    at, attempts = answer.find("{"), 0
    while at >= 0 and attempts < _MAX_BRACES:
        attempts += 1
        try:
            value, stop = json.JSONDecoder(strict=False).raw_decode(answer, at)
        except (ValueError, RecursionError):
            stop = at + 1
        else:
            found = verdict_of(value) or found
        at = answer.find("{", stop)
    if found is not None:
        return found
    ready = _READY.search(answer)
    if ready is None:
        return None
    issue = _ISSUE.search(answer)
    text = "" if issue is None else issue[1]
    try:
        text = str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        text = text.replace("\\n", "\n")
    return JudgeVerdict(is_code_ready=ready[1].lower() == "true", code_issue=text)


def verdict_of(value: object) -> JudgeVerdict | None:
    """A verdict object as a record or a JSON row gives it, None when it is not one."""
    if not isinstance(value, dict):
        return None
    ready, issue = value.get("is_code_ready"), value.get("code_issue")
    if isinstance(ready, str) and ready.lower() in ("true", "false"):
        ready = ready.lower() == "true"
    if not isinstance(ready, bool):
        return None
    return JudgeVerdict(is_code_ready=ready, code_issue=issue if isinstance(issue, str) else "")
