"""Which profile a package follows, and why: by request, by its record, by its code, by its files.

The scan is a search in text with comments and docstrings blanked. It decides only which profile
is in force, so it looks for the words a switch cannot do without and parses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from explint.model import ProfileChoice
from explint.package import File, FileState, Package
from explint.protocol.load import builtin_profiles, load_profile
from explint.protocol.profile import Profile
from explint.regex import regex

LAYOUT_PROFILE = "full-trial"
GENERIC_PROFILE = "hydra-wandb"

# Of the protocol's seven files. Human repositories share two or three of their names (src/train.py,
# src/model.py, pyproject.toml), so without a switch most of the seven must be there.
FILES_WITH_SWITCH = 3
FILES_WITH_RUN_CONFIGS = 4
FILES_ALONE = 5

MAX_CHARACTERS = 1_000_000

_PYTHON_WORDS = regex(
    r"""(?P<docstring>\"{3}.*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z))
       |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
       |(?P<comment>\#[^\n]*)""",
    re.X | re.S,
)
_YAML_COMMENT = regex(r"(?m)(?:^|(?<=\s))#.*$")
_MODE = regex(r"(?i)(?<![a-z0-9])modes?(?![a-z0-9])")
_COMPARES = regex(r"==|!=|\bin\b|\bcase\b|\bchoices\b|modes\s*(:[^=]*)?=", re.I)
_LITERAL = regex(r"""["']([A-Za-z_]+)["']""")


def choose_profile(package: Package, requested: str | None) -> tuple[Profile, ProfileChoice]:
    """The profile to judge a package by, with the reason.

    ``requested`` is a shipped profile's name or a profile file, from the command line or the
    configuration. Raises ProfileError when it names none.
    """
    if requested is not None:
        profile = load_profile(requested)
        return profile, ProfileChoice(name=profile.name, reason="it was asked for")
    profiles = {profile.name: profile for profile in builtin_profiles()}
    name, reason = _detect(package, profiles)
    return profiles[name], ProfileChoice(name=name, reason=reason)


def _detect(package: Package, profiles: dict[str, Profile]) -> tuple[str, str]:
    switched = sorted(
        (p for p in profiles.values() if p.detect.priority), key=lambda p: -p.detect.priority
    )
    prompt = package.record.prompt if package.record is not None else ""
    for profile in switched:
        for word in profile.detect.prompt:
            # `wandb.mode=…` and `trial_mode=…` are other words than `mode=…`.
            if re.search(rf"(?<![\w.]){re.escape(word)}", prompt):
                return profile.name, f"the record's prompt says {word}"

    required = profiles[LAYOUT_PROFILE].files.required
    listed = sum(package.state(path) is not FileState.ABSENT for path in required)
    run_folders = [p.config.run_folder for p in switched if p.config.run_folder]
    has_run_configs = any(
        path.startswith(f"{folder}/") and path.endswith(".yaml")
        for folder in run_folders
        for path in package.files
    )
    if package.partial and listed:
        follows = alone = True
    else:
        follows = listed >= FILES_WITH_SWITCH or (has_run_configs and listed > 0)
        alone = listed >= (FILES_WITH_RUN_CONFIGS if has_run_configs else FILES_ALONE)
    if not follows:
        seen = f"{listed} of the {len(required)} files of the experiment protocol"
        return GENERIC_PROFILE, f"the package has {seen}"

    texts = list(_texts(package, _words(switched)))
    for profile in switched:
        seen_at = _switch(package, profile, texts, has_run_configs)
        if seen_at is not None:
            return profile.name, seen_at
    if not alone:
        seen = f"only {listed} of the {len(required)} files of the experiment protocol"
        return GENERIC_PROFILE, f"the package has {seen} and no switch of one"
    for profile in switched:
        layout = profile.detect.layout
        if layout and all(path in package.files for path in layout):
            files = " and ".join(layout)
            return profile.name, f"the protocol's files with {files}, and nothing reads a switch"
    return LAYOUT_PROFILE, "the protocol's files are there and nothing reads a switch"


def _switch(
    package: Package, profile: Profile, texts: list[tuple[str, str]], has_run_configs: bool
) -> str | None:
    """Where a package shows this profile's switch or layout, in words."""
    hints = profile.detect
    for folder in hints.folders:
        if any(path.startswith(f"{folder}/") and path.endswith(".yaml") for path in package.files):
            return f"run configs stand in {folder}/"
        if has_run_configs:
            continue
        parts = r"""["')]*\s*[,/]\s*["'(]*""".join(map(re.escape, folder.split("/")))
        for path, text in texts:
            found = re.search(rf"(?<![\w/]){parts}(?!\w)", text)
            if found is not None:
                return f"{path}:{_line(text, found.start())} looks for {folder}/"
    for path, text in texts:
        if hints.mode_values and path.endswith(".py"):
            seen = _mode_value(path, text, hints.mode_values)
            if seen is not None:
                return seen
        for flag in hints.flags:
            if flag not in text:
                continue
            found = re.search(rf"(?<![\w-]){re.escape(flag)}(?!\w)", text)
            if found is not None:
                return f"{path}:{_line(text, found.start())} names {flag}"
    return None


def _mode_value(path: str, text: str, values: list[str]) -> str | None:
    matched_on: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        # The plain search spares nearly every line the pattern, which starts with a look-behind.
        about_mode = "mode" in line.lower() and _MODE.search(line) is not None
        if about_mode and line.lstrip().startswith("match "):
            matched_on = line
        is_case = matched_on is not None and line.lstrip().startswith("case ")
        if not (is_case or (about_mode and _COMPARES.search(line))):
            continue
        for literal in _LITERAL.finditer(line):
            if literal[1] in values:
                return f'{path}:{number} compares mode with "{literal[1]}"'
    return None


def _words(profiles: list[Profile]) -> tuple[str, ...]:
    """What a text holds at least one of where it shows a profile's switch or layout."""
    hints = [profile.detect for profile in profiles]
    return (
        *(flag for h in hints for flag in h.flags),
        *(folder.rpartition("/")[2] for h in hints for folder in h.folders),
        *(quote + value + quote for h in hints for value in h.mode_values for quote in "'\""),
    )


def _texts(package: Package, words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The Python files of src/ and the YAML of config/, comments and docstrings blanked.

    Those without any of ``words`` are left out.
    """
    for path in sorted(package.files):
        is_python = path.startswith("src/") and path.endswith(".py")
        is_yaml = path.startswith("config/") and path.endswith(".yaml")
        if not (is_python or is_yaml):
            continue
        text = _decoded(package.files[path])
        if any(word in text for word in words):
            yield (
                path,
                _PYTHON_WORDS.sub(_blank, text) if is_python else _YAML_COMMENT.sub("", text),
            )


def _decoded(file: File) -> str:
    # Half a character at the cut, or bytes that are no UTF-8, cannot be part of an ASCII word.
    return (file.data or b"")[:MAX_CHARACTERS].decode("utf-8-sig", errors="replace")


def _blank(found: re.Match[str]) -> str:
    return found[0] if found["string"] is not None else "\n" * found[0].count("\n")


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
