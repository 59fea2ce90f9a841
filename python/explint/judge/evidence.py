"""What the files of a package themselves say to a claim, beyond the findings of rules.

Only here can a claim be refuted, and only by something that is there: a file with contents, a key
in every composed config, a definition in the module that is said to lack it. Each check reads one
form of words; where the words may mean anything else it says nothing. A sentence that only
supposes ("if", "would", "may") is never answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from explint import core
from explint.compose.entry import EntryPoint
from explint.compose.static import Composed
from explint.environment.pyproject import Pyproject
from explint.environment.requirement import canonicalize_name
from explint.environment.view import environment_of
from explint.experiment import Experiment
from explint.model import Finding, PackageReport
from explint.model.judgement import ClaimState, Evidence, Point
from explint.package import FileState, Package
from explint.protocol import choose_profile
from explint.protocol.profile import Mode
from explint.regex import regex

_FILE = r"[`'\"*]*(?:[\w.-]+/)*[\w-]+\.(?:py|toml|ya?ml)[`'\"*]*"
_LIST = rf"{_FILE}(?:(?:\s*,\s*(?:and\s+|or\s+)?|\s+and\s+|\s*&\s*|\s*/\s+|\s+or\s+){_FILE})*"
_GONE = (
    r"(?:empty|missing|absent|blank|not (?:provided|included|supplied|present|given|there))"
    r"(?=\s*(?:$|[.,;:()\[\]/-]|and\b|or\b|from the\b|in the (?:package|repository|record)\b"
    r"|entirely\b|altogether\b|so\b|which\b|while\b|but\b|even\b|though\b))"
)
_ARE = (
    r"(?:is|are|were|was|remains?|being)\s+(?:all\s+|both\s+|completely\s+|still\s+|entirely\s+)*"
)

_FILES = regex(_FILE)
_NAMED_EMPTY = regex(rf"({_LIST})\s+(?:files?\s+)?{_ARE}{_GONE}", re.IGNORECASE)
_LISTED_EMPTY = regex(
    rf"\b(?:files?|modules?)\s+{_ARE}{_GONE}[^.,;:()]{{0,20}}[:(-]\s*({_LIST})", re.IGNORECASE
)
_MISSING_LIST = regex(
    rf"\b(?:missing|empty)\s+(?:required\s+|mandatory\s+)?files?\s*[:(-]?\s*({_LIST})",
    re.IGNORECASE,
)
_NO_FILE = regex(
    rf"\bno\s+(?:file\s+)?({_FILE})\s+(?:file\s+)?(?:is|was)\s+(?:provided|included|supplied"
    rf"|present)",
    re.IGNORECASE,
)
_ALL_OTHERS = regex(
    rf"\ball (?:the )?other (?:required |mandatory )?(?:files?|modules?)\s+{_ARE}{_GONE}",
    re.IGNORECASE,
)
_NO_CONFIGS = regex(
    r"\bno (?:hydra )?config(?:uration)? files? (?:(?:is|are) )?(?:present|provided|included"
    r"|there)\b",
    re.IGNORECASE,
)
_ONLY = regex(rf"\bonly\b[^.;]{{0,80}}?({_FILE})", re.IGNORECASE)
_RUN_CONFIGS_GONE = regex(
    rf"\b(?:run[- ]configs?(?: files?)?|config/runs?/\S*)(?: ya?ml)?(?: files?)?\s+{_ARE}{_GONE}"
    r"|\bno run[- ]configs? (?:files? )?(?:is|are|was|were) (?:provided|included|present|supplied)",
    re.IGNORECASE,
)
_SUPPOSED = regex(
    r"\b(?:if|when|unless|may|might|could|would|should|possibly|potentially|perhaps|whether"
    r"|in case)\b",
    re.IGNORECASE,
)
_SYNTAX = regex(
    r"\bsyntax ?errors?\b|\binvalid syntax\b|\bIndentationError\b"
    r"|\bdoes(?: not|n't) (?:parse|compile)(?=\s*(?:$|[.,;:(]|as\b|because\b|due\b|and\b|at all\b))"
    r"|\bunterminated string\b",
    re.IGNORECASE,
)
_OTHER_SYNTAX = regex(r"\b(?:yaml|toml|json|hydra|override|omegaconf|shell|sql)\b", re.IGNORECASE)
_CONFIG_PATH = regex(
    r"\bconfig_path\b.{0,200}\b(?:current working dir|working dir|cwd\b|wrong|incorrect|outside"
    r"|above)"
    r"|\b(?:search|config\w*) path\b.{0,30}\b(?:is|are) (?:wrong|incorrect|invalid)",
    re.IGNORECASE | re.DOTALL,
)
_KEY = r"`?((?:cfg|config)(?:\.[A-Za-z_]\w*)+)`?"
_KEY_GONE = regex(
    rf"{_KEY}\s+(?:(?:is|was) (?:not|never) (?:defined|present|set|declared|specified|given)"
    r"|does(?: not|n't) exist|is missing|is undefined|is absent)"
    r"(?=\s*(?:$|[.,;:()]|and\b|or\b|so\b|in (?:the |any |every )?(?:run )?config))",
    re.IGNORECASE,
)
_ELSEWHERE = regex(
    r"wandb|w&b|flatten|run\.config|checkpoint|json|dict\b|under trial|in trial", re.IGNORECASE
)
_PROJECT_GONE = regex(
    r"config\.yaml\b[^.;]{0,40}\b(?:lacks?|misses|is missing|does(?: not|n't) (?:contain|define|"
    r"specify|hold|set|have|include))\s+[^.;]{0,40}?`?wandb\.(entity|project)\b",
    re.IGNORECASE,
)
_UNDECLARED = regex(
    r"([`\w][`\w\-, /&]{0,80}?)\s+(?:is|are)\s+(?:not|never)\s+(?:listed|declared|included"
    r"|specified)"
    r"\s+(?:as (?:a )?dependenc\w+\s+)?in\s+(?:the\s+)?(?:`?pyproject|dependenc|\[?project)"
    r"|pyproject(?:\.toml)?`?\s+(?:lacks|misses|is missing|does(?: not|n't) (?:list|declare"
    r"|include|"
    r"contain))\s+(?:the\s+)?(?:dependenc\w+\s+)?(?:on\s+)?([`\w][`\w\-, /&]{0,80})",
    re.IGNORECASE,
)
_NO_INIT = regex(
    r"(?:without|no|missing|lacks?|lacking|absent)\b[^.;]{0,40}`?(?:src/)?__init__\.py"
    r"|`?(?:src/)?__init__\.py`?[^.;]{0,20}\b(?:is|are)\s+(?:missing|absent|not)\b",
    re.IGNORECASE,
)
_IMPORT_FAILS = regex(
    r"ImportError|ModuleNotFoundError|imports?\b[^.;]{0,40}\b(?:fail|break|crash|cannot|will not)"
    r"|cannot (?:be )?import|fail\w*[^.;]{0,30}\bimport",
    re.IGNORECASE,
)
_NAME = r"(?:`([A-Za-z_]\w*)(?:\(\))?`|([A-Za-z]\w*_\w+|[A-Z][a-z]+[A-Z]\w*)(?:\(\))?)"
_NOT_IN = regex(
    rf"{_NAME}\s+(?:is|was)\s+(?:not|never)\s+(?:defined|provided)\s+(?:in|by)\s+({_FILE})"
)
_LACKS = regex(
    rf"({_FILE})\s+(?:does(?: not|n't)|never|fails to)\s+(?:define|provide|export)s?\s+"
    rf"(?:a\s+|the\s+|any\s+)?(?:function\s+|class\s+)?{_NAME}"
)
_IGNORED = regex(
    r"\b(?:ignor(?:es?|ed|ing)|not (?:read|used|honou?red|respected)|never (?:read|used|honou?red)|"
    r"hard-?coded|unused)\b",
    re.IGNORECASE,
)
_DOTTED = regex(r"(?<![\w./])(?:cfg\.|config\.)?((?:run\.)?(?:[a-z]\w*\.)+[a-z]\w*)(?![\w/(])")
_TOO_LONG = 4000
"""Longer statements are not read closely: no judge writes them, and patterns must stay cheap."""


class Code:
    """A package as the checks see it; what costs anything is made when a check asks for it."""

    def __init__(self, package: Package, report: PackageReport, profile: str | None) -> None:
        self.package = package
        self.report = report
        self._profile = profile
        self.profile, self.choice = choose_profile(package, profile)

    @cached_property
    def experiment(self) -> Experiment:
        """The package with its facts and configs."""
        protocol = core.FileProtocol()
        ((facts, _),) = core.Scanner(1).scan([core.Job(self.package, protocol, 11)])
        return Experiment(self.package, self.profile, self.choice, facts)

    def resolve(self, name: str) -> str | None:
        """The path of the package, or of the protocol, that a name in a verdict means."""
        name = name.strip("`'\"*").removeprefix("./")
        known = dict.fromkeys((*self.package.files, *self.profile.files.required))
        if name in known:
            return name
        found = [path for path in known if path.endswith(f"/{name}")]
        return found[0] if len(found) == 1 else None

    def files_in(self, text: str) -> tuple[str, ...]:
        """The files that a text names, in order."""
        named = (self.resolve(m.group()) for m in _FILES.finditer(text))
        return tuple(dict.fromkeys(path for path in named if path is not None))

    def findings(self, *rules: str, path: str | None = None) -> list[Finding]:
        """The findings of some rules, in one file or all."""
        return [
            f for f in self.report.findings if f.rule in rules and (path is None or f.path == path)
        ]

    def text(self, path: str) -> str | None:
        """A file's text when it is there as a whole."""
        file = self.package.files.get(path)
        if file is None or file.state is not FileState.PRESENT or file.truncated:
            return None
        return file.text

    @cached_property
    def modules(self) -> dict[str, str] | None:
        """The texts of all Python files; None when any that the protocol asks for is not known."""
        paths = {p for p in (*self.package.files, *self.profile.files.required) if p[-3:] == ".py"}
        texts = {path: self.text(path) for path in sorted(paths)}
        known = {path: text for path, text in texts.items() if text is not None}
        return known if len(known) == len(texts) else None

    @cached_property
    def configs(self) -> tuple[Composed, ...] | None:
        """The composed config of every run under every mode; None when one does not compose."""
        found = []
        modes: list[Mode | None] = [*self.profile.trial.modes] or [None]
        for run_id in self.experiment.run_ids():
            for mode in modes:
                result = self.experiment.composed(run_id, mode).result
                if not isinstance(result, Composed):
                    return None
                found.append(result)
        return tuple(found) or None


def as_evidence(finding: Finding) -> Evidence:
    """A finding as evidence for a claim."""
    return Evidence(path=finding.path, line=finding.line, text=finding.message, rule=finding.rule)


def answers(text: str, code: Code) -> Iterator[Point]:
    """What the files say to a statement: points that are confirmed or refuted by them."""
    if len(text) > _TOO_LONG:
        return
    for check in _CHECKS:
        yield from check(text, code)


def _files(text: str, code: Code) -> Iterator[Point]:
    """Files said to be empty or missing."""
    named: list[str] = []
    for pattern in (_NAMED_EMPTY, _LISTED_EMPTY, _MISSING_LIST, _NO_FILE):
        for match in pattern.finditer(text):
            if not _is_supposed(text, match.start()):
                named += code.files_in(match[1])
    if _ALL_OTHERS.search(text) and not named:
        only = _ONLY.search(text)
        if only is None:
            return
        kept = set(code.files_in(only[1]))
        named = [path for path in code.profile.files.required if path not in kept]
    primary = code.profile.config.primary
    if _NO_CONFIGS.search(text) and primary is not None and code.text(primary) is None:
        named.append(primary)
    gone, there = [], []
    for path in dict.fromkeys(named):
        found = code.findings("structure/empty-file", "structure/missing-file", path=path)
        if found:
            gone += [as_evidence(f) for f in found]
        elif (content := code.text(path)) is not None and (lines := _code_lines(content)) > 2:
            there.append(
                Evidence(path=path, line=1, text=f"`{path}` is there and holds {lines:,} lines.")
            )
    rules = ("structure/empty-file", "structure/missing-file")
    if gone:
        yield Point(
            topic="empty or missing files",
            state=ClaimState.CONFIRMED,
            rules=rules,
            criteria=(5,),
            evidence=tuple(gone),
        )
    if there:
        yield _refuted("empty or missing files", rules, (5,), there)


def _code_lines(text: str) -> int:
    lines = (line.strip() for line in text.splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def _run_configs(text: str, code: Code) -> Iterator[Point]:
    """Run configs said to be missing, which stand beside the code in a record."""
    match = _RUN_CONFIGS_GONE.search(text)
    if match is None or _is_supposed(text, match.start()):
        return
    configs = {config.run_id: config for config in code.experiment.run_configs()}
    wanted = code.experiment.run_ids()
    shown = []
    for run_id in wanted:
        config = configs.get(run_id)
        if config is None or code.text(config.path) is None:
            return
        shown.append(
            Evidence(path=config.path, line=1, text=f"The config of run `{run_id}` is there.")
        )
    if shown:
        yield _refuted("the run configs", ("structure/run-config-missing",), (5, 7), shown)


def _syntax(text: str, code: Code) -> Iterator[Point]:
    """Files said not to be Python."""
    match = _SYNTAX.search(text)
    if match is None or _OTHER_SYNTAX.search(text) or _is_supposed(text, match.start()):
        return
    rules = ("complete/syntax-error", "complete/truncated-code", "structure/unreadable-file")
    if code.findings(*rules):
        return
    paths = [path for path in code.files_in(text) if path.endswith(".py")]
    texts = code.modules if not paths else {path: code.text(path) for path in paths}
    if not texts or any(t is None or _code_lines(t) == 0 for t in texts.values()):
        return
    shown = [Evidence(path=p, line=1, text=f"`{p}` compiles as it stands.") for p in texts]
    yield _refuted("syntax", rules[:2], (1,), shown)


def _config_path(text: str, code: Code) -> Iterator[Point]:
    """A ``config_path`` said to be relative to the working directory, or to lead nowhere.

    Hydra takes it from the file that holds the decorated function (Hydra's documentation of
    ``hydra.main``; tests of the composer ask Hydra itself).
    """
    match = _CONFIG_PATH.search(text)
    if match is None or _is_supposed(text[: match.start()], match.start()):
        return
    if code.findings("hydra/composition-error", "hydra/no-config-name", "hydra/invalid-run-config"):
        return
    named = [path for path in code.files_in(text) if path.endswith(".py")]
    points = [code.experiment.entry_at(path) for path in named]
    starting = [point for point in points if isinstance(point, EntryPoint)]
    if not starting and not named and isinstance(code.experiment.entry, EntryPoint):
        starting = [code.experiment.entry]
    shown = []
    for point in starting:
        if point.unknown is not None or point.config_dir is None or point.config_name is None:
            return
        primary = f"{point.config_dir}/{point.config_name.removesuffix('.yaml')}.yaml"
        if point.way != "main" or code.text(primary) is None:
            return
        shown.append(
            Evidence(
                path=point.path,
                line=point.line,
                text="Hydra reads `config_path` from the folder of this file, not from the "
                f"working directory: it leads to `{primary}`, which is there.",
            )
        )
    if shown:
        rules = ("hydra/composition-error", "hydra/no-config-name")
        yield _refuted("how Hydra finds its configs", rules, (2,), shown)


def _config_keys(text: str, code: Code) -> Iterator[Point]:
    """Config keys said not to exist."""
    if _ELSEWHERE.search(text):
        return
    rules = ("hydra/undefined-key", "hydra/undefined-in-some-runs", "hydra/key-in-wrong-section")
    for match in _KEY_GONE.finditer(text):
        key = match[1].partition(".")[2]
        if "." not in key or _is_supposed(text, match.start()):
            continue
        doubted = any(match[1] in _words_of(f) for f in code.findings(*rules))
        if doubted or code.configs is None or not all(c.has(key) for c in code.configs):
            continue
        origin = code.configs[0].origin(key)
        if origin is None or origin.path is None or origin.line is None:
            continue
        place = Evidence(
            path=origin.path, line=origin.line, text=f"`{match[1]}` is defined for every run."
        )
        yield _refuted("config keys", rules, (2, 7), [place])


def _words_of(finding: Finding) -> str:
    return " ".join((finding.message, *(r.message for r in finding.related)))


def _wandb_project(text: str, code: Code) -> Iterator[Point]:
    """The W&B settings said to be missing in the primary config."""
    match = _PROJECT_GONE.search(text)
    if match is None or _is_supposed(text, match.start()):
        return
    if code.configs is None or code.findings("wandb/no-project"):
        return
    key = f"wandb.{match[1].lower()}"
    if not all(isinstance(c.get(key), str) and c.get(key).strip("? ") for c in code.configs):
        return
    origin = code.configs[0].origin(key)
    if origin is not None and origin.path is not None and origin.line is not None:
        place = Evidence(path=origin.path, line=origin.line, text=f"`{key}` is given here.")
        yield _refuted("W&B entity and project", ("wandb/no-project",), (6,), [place])


def _dependencies(text: str, code: Code) -> Iterator[Point]:
    """Distributions said not to be declared in pyproject.toml."""
    match = _UNDECLARED.search(text)
    if match is None or _is_supposed(text, match.start()):
        return
    file = environment_of(code.experiment).file
    rules = ("env/undeclared-dependency",)
    if not isinstance(file, Pyproject) or code.findings("env/invalid-pyproject", *rules):
        return
    declared = {str(canonicalize_name(d.name)): d for d in file.installed()}
    words = re.split(r"[,/&\s`]+|\band\b", match[1] or match[2] or "")
    for word in filter(None, words):
        known = declared.get(str(canonicalize_name(word)))
        if known is not None:
            mark = file.place(*known.path)
            place = Evidence(
                path="pyproject.toml", line=mark.line, text=f"`{word}` is declared here."
            )
            yield _refuted("dependencies", rules, (5, 1), [place])


def _namespace(text: str, code: Code) -> Iterator[Point]:
    """Imports said to fail because ``src`` has no ``__init__.py``.

    A folder without one is a namespace package (PEP 420), and ``python -m src.train`` makes
    relative imports in it work.
    """
    match = _NO_INIT.search(text)
    if match is None or _IMPORT_FAILS.search(text) is None or _SUPPOSED.search(text):
        return
    if " -m src." not in (code.profile.commands.train or ""):
        return
    if code.findings("complete/unresolved-import", "hydra/changes-directory"):
        return
    if code.modules is None or "src/__init__.py" in code.modules:
        return
    for path, source in code.modules.items():
        for number, line in enumerate(source.splitlines(), 1):
            if re.match(r"from (?:\.|src\b)\S* import ", line):
                told = (
                    "Started as `python -m src.…`, this import finds its module: a folder without "
                    "`__init__.py` is a namespace package."
                )
                place = Evidence(path=path, line=number, text=told)
                yield _refuted("imports", ("complete/unresolved-import",), (1,), [place])
                return


def _definitions(text: str, code: Code) -> Iterator[Point]:
    """Functions and classes that a module is said to lack."""
    pairs = [(m[1] or m[2], m[3], m.start()) for m in _NOT_IN.finditer(text)]
    pairs += [(m[2] or m[3], m[1], m.start()) for m in _LACKS.finditer(text)]
    for name, file, at in pairs:
        path = code.resolve(file)
        source = None if path is None else code.text(path)
        if path is None or source is None or _is_supposed(text, at):
            continue
        if code.findings("complete/syntax-error", "complete/placeholder-body", path=path):
            continue
        for number, line in enumerate(source.splitlines(), 1):
            if re.match(rf"(?:async def|def|class) {re.escape(name)}\b", line):
                place = Evidence(path=path, line=number, text=f"`{name}` is defined here.")
                yield _refuted(
                    "definitions", ("complete/undefined-name", "complete/unresolved-import"), (1,),
                    [place],
                )  # fmt: skip
                break


def _ignored_keys(text: str, code: Code) -> Iterator[Point]:
    """Config keys said to be ignored, whose name stands nowhere in the code."""
    if _IGNORED.search(text) is None or code.modules is None:
        return
    for match in _DOTTED.finditer(text):
        key = match[1].removeprefix("run.")
        leaf = key.rpartition(".")[2]
        for config in code.experiment.run_configs():
            lines = (code.text(config.path) or "").splitlines()
            at = next((n for n, x in enumerate(lines, 1) if _sets(x, leaf)), None)
            if at is None:
                continue
            # A section that is spread into a call hands its keys over unnamed.
            named = any(
                re.search(rf"\b{re.escape(leaf)}\b", source)
                or re.search(r"\*\*\s*\w*(?:cfg|conf)", source)
                for source in code.modules.values()
            )
            if not named:
                told = f"The run config sets `{key}`, and no module names `{leaf}`."
                yield Point(
                    topic="config values that code ignores",
                    state=ClaimState.CONFIRMED,
                    rules=("hydra/unused-key",),
                    criteria=(4, 2),
                    evidence=(Evidence(path=config.path, line=at, text=told),),
                )
                return
            break


def _sets(line: str, key: str) -> bool:
    return line.strip().startswith(f"{key}:")


def _is_supposed(text: str, at: int) -> bool:
    """Whether the sentence around a place only supposes what it says."""
    start = max(text.rfind(mark, 0, at) for mark in (". ", "; ", "! "))
    return _SUPPOSED.search(text[max(start, 0) : at]) is not None


def _refuted(
    topic: str, rules: tuple[str, ...], criteria: tuple[int, ...], evidence: Sequence[Evidence]
) -> Point:
    return Point(
        topic=topic,
        state=ClaimState.REFUTED,
        rules=rules,
        criteria=criteria,
        evidence=tuple(evidence),
    )


_CHECKS: tuple[Callable[[str, Code], Iterator[Point]], ...] = (
    _files,
    _run_configs,
    _syntax,
    _config_path,
    _config_keys,
    _wandb_project,
    _dependencies,
    _namespace,
    _definitions,
    _ignored_keys,
)
