"""Rules about the command lines that the protocol fixes: criteria 2 and 8."""

from __future__ import annotations

import ast
import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.registry import Hit, Unknown, rule
from explint.rules.started import module_of, started, target, unread
from explint.rules.workdir import installs_src
from explint.syntax import parsed

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.rules.argparser import Parser
    from explint.rules.started import Start
    from explint.trace.children import Child
    from explint.trace.facts import LibraryCall, Place, TraceDocument
    from explint.trace.specialise import Env, Specialised

_RESULTS_DIR: Final = ".research/results"

_TAKES_APART: Final = regex(
    r"""(?:split|partition|find|index)\(\s*["'](?:=|[^"'\n]*=["'])|startswith\(|removeprefix\("""
    r"""|from_dotlist|from_cli|["']=["']\s*(?:not\s+)?in\b|\bre\.\w+\("""
)
"""What code does that takes key=value words apart by itself."""

_READERS: Final = regex(
    r"\b(?:sys\s*\.\s*argv|argv|argparse|hydra|click|fire|typer|tyro|from_cli|absl|docopt|getopt"
    r"|optparse|simple_parsing|jsonargparse|plac|HfArgumentParser|environ|getenv|input)\b"
)


@rule("cli/evaluate-contract", code="CLI001", severity=Severity.ERROR, criteria=(8,))
def evaluate_contract(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The evaluation script cannot take the command line that the protocol fixes.

    ## What it does
    Hands the words of the profile's evaluation command, `results_dir=… run_ids='["a", "b"]'`, to
    the way in which the script takes its arguments: `argparse` (the parser the script builds is
    built again and asked), Hydra (the words are composed), `click`, `fire`, and items of
    `sys.argv`. A script that takes `key=value` words apart by itself, or hands them to
    `OmegaConf.from_cli`, is sound.

    ## Why is this bad
    The words have no dashes: `argparse` takes them for positional arguments. A parser with
    `--results_dir` ends with an error, and one with a positional `results_dir` gets the whole word
    `results_dir=…` for a folder.

    ## Example
    ```python
    parser = argparse.ArgumentParser()
    parser.add_argument("--results_dir", required=True)
    parser.add_argument("--run_ids", required=True)
    args = parser.parse_args()
    ```

    ## Use instead
    ```python
    values = dict(word.split("=", 1) for word in sys.argv[1:])
    results_dir, run_ids = values["results_dir"], json.loads(values["run_ids"])
    ```

    ## References
    - Criterion 8 of the experiment protocol
    """
    command = experiment.profile.commands.evaluate
    if command is None:
        return
    ids = list(experiment.run_ids()) or ["run-1", "run-2"]
    filled = command.replace("{results_dir}", _RESULTS_DIR)
    filled = filled.replace("{run_ids}", json.dumps(ids).replace("'", "'\\''"))
    yield from _judge(experiment, command, filled, "evaluation")


@rule("cli/train-contract", code="CLI002", severity=Severity.ERROR, criteria=(2,))
def train_contract(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The training script cannot take the command line that the protocol fixes.

    ## What it does
    Where `src/main.py` does not start Hydra, hands the words of the profile's training command,
    `run=… results_dir=…` and the mode's, to the way in which the script takes its arguments, as
    `cli/evaluate-contract` does for evaluation. What Hydra makes of the words is told by
    `hydra/composition-error` and `hydra/bad-override`.

    Where `src/main.py` only starts the training module as a process, reports that the process gets
    the same words in every mode, so that the mode argument is lost on the way. A package that
    reads the mode nowhere is told by `trial/no-mode`.

    ## Why is this bad
    The words have no dashes: `argparse` takes them for positional arguments, and the run ends
    before it begins, or trains something else.

    ## Example
    ```python
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", required=True)
    parser.add_argument("--mode", default="full")
    args = parser.parse_args()
    ```

    ## Use instead
    ```python
    @hydra.main(version_base=None, config_path="../config", config_name="config")
    def main(cfg: DictConfig) -> None: ...
    ```

    ## References
    - Criterion 2 of the experiment protocol
    """
    profile = experiment.profile
    if profile.commands.train is None:
        return
    if not isinstance(experiment.entry, str):
        yield from _lost_mode(experiment)
        return
    ids = experiment.run_ids() or ("run-1",)
    mode = next((m for m in profile.trial.modes if m.override), None)
    template = profile.commands.train if mode is None else profile.train_command(mode)
    filled = (template or "").replace("{results_dir}", _RESULTS_DIR).replace("{run_id}", ids[0])
    yield from _judge(experiment, profile.commands.train, filled, "training")


@rule("cli/child-process", code="CLI003", severity=Severity.ERROR, criteria=(2,))
def child_process(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The training process is started in a way that fails, or without the run.

    ## What it does
    Looks at the processes that the training command's script starts and reports those where

    - the module or script does not exist, or `-m` gets a path such as `src/train.py`;
    - a module with relative imports is run as a script;
    - the process starts in a folder in which Python does not find the module;
    - the words that it is handed do not say which run is meant, though the process starts Hydra
      and composes its own config.

    What Hydra's own change of the working directory breaks is told by `hydra/changes-directory`,
    words that Hydra refuses by `hydra/bad-override`.

    ## Why is this bad
    The run ends with `No module named …` or `attempted relative import with no known parent
    package`, or every run trains the same thing.

    ## Example
    ```python
    subprocess.run([sys.executable, "src/train.py", f"run={cfg.run.run_id}"], check=True)
    ```
    with `from .model import build_model` in `src/train.py`.

    ## Use instead
    ```python
    subprocess.run([sys.executable, "-m", "src.train", f"run={cfg.run.run_id}"], check=True)
    ```

    ## References
    - Criterion 2 of the experiment protocol
    - [Python: the -m option](https://docs.python.org/3/using/cmdline.html#cmdoption-m)
    """
    seen = started(experiment)
    if seen is None:
        return
    if seen.unknown is not None:
        yield seen.unknown
        return
    told: dict[tuple[str, int, int, str], tuple[str, dict[str, None], dict[str, None]]] = {}
    for start in seen.starts:
        for child in start.children:
            if child.state is not True:
                continue
            problem = _start_problem(experiment, child) or _lost_run(experiment, start, child)
            if problem is None:
                continue
            place = child.event.place
            key = (seen.path_of(place), place.line, place.column, problem[0])
            entry = told.setdefault(key, (problem[1], {}, {}))
            entry[1][start.run_id] = None
            entry[2][start.mode] = None
    all_runs = experiment.run_ids()
    all_modes = {s.mode for s in seen.starts}
    for (path, line, column, message), (help, runs, modes) in told.items():
        yield Hit(
            path=path,
            line=line,
            column=column,
            message=message,
            help=help,
            runs=tuple(runs) if len(runs) < len(all_runs) else (),
            modes=tuple(modes) if len(modes) < len(all_modes) else (),
        )


def _start_problem(experiment: Experiment, child: Child) -> tuple[str, str] | None:
    """Why a process does not start, and what to write instead."""
    package = experiment.package
    if not (child.cwd is None or isinstance(child.cwd, str)) or package.partial:
        return None
    folder = f"{child.cwd}/" if child.cwd else ""
    if child.module is not None:
        return _module_problem(experiment, child, child.module, folder)
    script = child.script or ""
    path = posixpath.normpath(folder + script)
    if script.startswith("/") or path.startswith(".."):
        return None
    if path not in package.files:
        if folder and posixpath.normpath(script) in package.files:
            return (
                f"`{script}` is started in the folder `{child.cwd}`, where it is not found.",
                "Leave out `cwd=`, or give the package's root.",
            )
        return (
            f"`{script}` is started, but the package has no `{path}`.",
            "Start the module that trains, as in `-m src.train`.",
        )
    imported = _relative_import(experiment.text(path) or "")
    if imported is None:
        return None
    module = path.removesuffix(".py").replace("/", ".")
    return (
        f"`{script}` is run as a script, and its `{imported}` fails there: a script has no "
        "parent package.",
        f"Start it as a module: `-m {module}`.",
    )


def _module_problem(
    experiment: Experiment, child: Child, module: str, folder: str
) -> tuple[str, str] | None:
    files = experiment.package.files
    if "/" in module or module.endswith(".py"):
        name = module.removesuffix(".py").strip("./").replace("/", ".")
        return (
            f"`-m {module}` is no module: `-m` takes a dotted name, not a path.",
            f"Write `-m {name}`.",
        )
    inner = module.replace(".", "/")

    def stands(folder: str) -> bool:
        return f"{folder}{inner}.py" in files or f"{folder}{inner}/__main__.py" in files

    if stands(folder) or child.has_env or installs_src(experiment):
        return None
    if folder and stands(""):
        return (
            f"`-m {module}` is started in the folder `{child.cwd}`, where Python does not find "
            f"`{inner}.py`.",
            "Leave out `cwd=`, or give the package's root.",
        )
    if folder:
        return None
    first = module.partition(".")[0]
    if any(path.startswith(f"{first}/") for path in files):
        return (
            f"`-m {module}` is started, but the package has no `{inner}.py`.",
            "Start the module that trains, as in `-m src.train`.",
        )
    if "." not in module and f"src/{module}.py" in files:
        return (
            f"`-m {module}` is started at the package's root, but the module is `src/{module}.py`.",
            f"Write `-m src.{module}`.",
        )
    return None


def _relative_import(text: str) -> str | None:
    """The first relative import that surely runs when a module is executed."""
    module = parsed(text)
    for node in module.body if module is not None else ():
        if isinstance(node, ast.ImportFrom) and node.level:
            return f"from {'.' * node.level}{node.module or ''} import …"
        # A script that names its own package can import relatively.
        if isinstance(node, ast.If | ast.Assign) and "__package__" in ast.unparse(node):
            return None
    return None


def _lost_run(experiment: Experiment, start: Start, child: Child) -> tuple[str, str] | None:
    """That a process which composes its own config is not told which run is meant."""
    from explint.trace.children import Word, keys_of_words

    path = target(experiment, child)
    words = [w for w in child.words if isinstance(w, Word)]
    if path is None or child.has_env or len(words) < len(child.words):
        return None
    if {"input", "stdin"} & {k for k, _ in child.event.kwargs}:
        return None
    point = experiment.entry_at(path)
    if isinstance(point, str) or point.way != "main" or point.unknown is not None:
        return None
    keys = keys_of_words(words)
    if not all(w.exact for w in words) or any(w.text.startswith("-") for w in words):
        return None
    if any(k is None or re.match(r"runs?\b|run_id\b|run_config\b", k) for k in keys):
        return None
    if any(start.run_id in w.text for w in words):
        return None
    # What the parent leaves in a file or in the environment may say it as well.
    own = experiment.text(experiment.entry.path) if not isinstance(experiment.entry, str) else ""
    if any(word in (own or "") for word in _LEFT_BEHIND):
        return None
    return (
        f"`{child.module or child.script}` composes its own config, and no word that it is handed "
        "says which run is meant.",
        'Hand on the run too, as in `f"run={cfg.run.run_id}"`.',
    )


_LEFT_BEHIND: Final = (".save", ".dump", "write_text", ".write", "environ", "putenv")
"""What code says that leaves something to a process in a file or in the environment."""


def _lost_mode(experiment: Experiment) -> Iterator[Hit]:
    """That the training process is handed the same words in every mode."""
    from explint.rules.trial import no_mode

    key = experiment.profile.trial.key
    seen = started(experiment)
    if key is None or seen is None or seen.document is None:
        return
    if any(word in (experiment.text(seen.path) or "") for word in _LEFT_BEHIND):
        return
    by_run: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {}
    child = None
    for start in seen.starts:
        words = []
        for child in start.children:
            texts = _sure_words(experiment, child)
            if start.composed is None or texts is None:
                return
            words.append(texts)
        by_run.setdefault(start.run_id, {})[start.mode] = tuple(words)
    for modes in by_run.values():
        if len(modes) < 2 or len(set(modes.values())) > 1:
            return
    if child is None or any(isinstance(h, Hit) for h in no_mode.function(experiment)):
        return
    place = child.event.place
    name = child.module or child.script
    yield Hit(
        path=seen.path_of(place),
        line=place.line,
        column=place.column,
        message=f"`{name}` is started with the same words in every mode: `{key}` does not reach "
        "it, and what it trains does not depend on the mode.",
        help=f'Hand it on too, as in `f"{key}={{cfg.{key}}}"`.',
    )


def _sure_words(experiment: Experiment, child: Child) -> tuple[str, ...] | None:
    """The words of a process that surely starts the training module with its own config, when
    they are all that it gets."""
    from explint.trace.children import Word

    path = target(experiment, child)
    words = [w for w in child.words if isinstance(w, Word)]
    if path is None or experiment.profile.files.jobs.get(path) != "train":
        return None
    if child.state is not True or child.has_env or not all(w.exact for w in words):
        return None
    if len(words) < len(child.words) or any(w.text.startswith("-") for w in words):
        return None
    if {"input", "stdin"} & {k for k, _ in child.event.kwargs}:
        return None
    point = experiment.entry_at(path)
    is_main = not isinstance(point, str) and point.way == "main" and point.unknown is None
    return tuple(w.text for w in words) if is_main else None


NOT_WHOLE = frozenset(
    {
        "structure/empty-file",
        "structure/gutted-module",
        "structure/unreadable-file",
        "complete/syntax-error",
        "complete/truncated-code",
    }
)


def _judge(experiment: Experiment, command: str, filled: str, job: str) -> Iterator[Hit | Unknown]:
    from explint.compose.shell import split

    module, split_words = module_of(command), split(filled)
    if module is None or not isinstance(split_words, list) or "-m" not in split_words:
        return
    path = f"{module.replace('.', '/')}.py"
    lacking = unread(experiment, path)
    if lacking is not None:
        yield lacking
        return
    # A module that is not whole takes no arguments either: one root cause.
    if any(found.path == path and found.rule in NOT_WHOLE for found in experiment.facts.findings):
        return
    text = experiment.text(path) or ""
    words = split_words[split_words.index("-m") + 2 :]
    document = experiment.trace(module)
    entry = None if document is None else document.entry(module)
    if document is None or entry is None:
        yield Unknown(reason=f"{path} cannot be read", decided_by=path, path=path)
        return
    from explint.trace.specialise import Unknown as NotKnown

    special = experiment.specialised(entry, NotKnown("no run was chosen"))
    found = _Script(experiment, document, special, path, text, tuple(words), job).answer()
    if found is not None:
        yield found


class _NotFollowedError(Exception):
    """The way in which a script takes its arguments is not followed."""


_ACTIONS: Final = frozenset(
    {"store", "store_true", "store_false", "store_const", "append", "count", "extend"}
)
_PASSED: Final = frozenset({"nargs", "default", "required", "dest", "choices", "const"})
_TYPES: Final[dict[str, Any]] = {"int": int, "float": float, "json.loads": json.loads}


class _Script(msgspec.Struct, frozen=True):
    """A script of the protocol, and the words that its command line hands it."""

    experiment: Experiment
    document: TraceDocument
    special: Specialised
    path: str
    text: str
    words: tuple[str, ...]
    job: str

    def answer(self) -> Hit | Unknown | None:
        calls = self._calls()
        parse = [c for c in calls if re.search(r"\.parse(_known)?_args$", c[0].name)]
        parse = [c for c in parse if c[0].name.startswith("argparse.")]
        if parse:
            try:
                return self._argparse(calls, parse)
            except _NotFollowedError as why:
                return self._open(str(why))
        for event, state in calls:
            if event.name == "omegaconf.OmegaConf.from_cli":
                return None
            if event.name in ("fire.Fire", "click.command") and state is True:
                if _TAKES_APART.search(self.text):
                    return self._open("it takes words apart by itself")
                return self._hit(
                    event.place,
                    f"{event.name.partition('.')[0]} takes `{self._word()}` for a positional "
                    "argument as it stands, not for a value by its name.",
                )
        point = self.experiment.entry_at(self.path)
        if not isinstance(point, str):
            return self._hydra(point)
        return self._by_hand(calls)

    def _calls(self) -> list[tuple[LibraryCall, bool | None]]:
        from explint.trace import facts as f

        return [
            (event, self.special.states[number])
            for number, event in self.special.happening_of(f.LibraryCall)
        ]

    def _word(self) -> str:
        return self.words[0] if self.words else ""

    def _open(self, why: str) -> Unknown:
        return Unknown(
            reason=f"how {self.path} takes its arguments is not decided: {why}",
            decided_by="a trial run",
            path=self.path,
        )

    def _hit(self, place: Place | None, message: str, related: Sequence[Related] = ()) -> Hit:
        shown = " ".join(w.partition("=")[0] + "=…" for w in self.words)
        how = (
            "Take `key=value` words: `dict(word.split('=', 1) for word in sys.argv[1:])`, "
            "or Hydra with these keys in its config."
        )
        return Hit(
            path=self.path if place is None else self.document.files[place.file],
            line=1 if place is None else place.line,
            column=1 if place is None else place.column,
            message=f"The {self.job} command hands over `{shown}`: {message}",
            help=how,
            related=tuple(related),
        )

    # ---- argparse ----

    def _argparse(
        self,
        calls: Sequence[tuple[LibraryCall, bool | None]],
        parse: Sequence[tuple[LibraryCall, bool | None]],
    ) -> Hit | Unknown | None:
        from explint.rules.argparser import Parser, RejectedError
        from explint.trace.describe import describe

        env = self.special.env
        event, state = parse[0]
        if state is not True or len(parse) > 1:
            raise _NotFollowedError("more than one parser, or a condition")
        given = [*event.args, *(v for _, v in event.kwargs)]
        if given and describe(given[0], env.entry) not in ("sys.argv[1:]", "None"):
            raise _NotFollowedError("the parser gets words that the script makes")
        if self.text.count("sys.argv") > len(given):
            raise _NotFollowedError("the script reads sys.argv too")
        parser = Parser(add_help=False)
        places: dict[str, Place] = {}
        for made, made_state in calls:
            # What is done with the parsed values comes later.
            if not made.name.startswith("argparse.") or "_args()" in made.name:
                continue
            method = made.name.rpartition(".")[2]
            if made_state is not True:
                raise _NotFollowedError("an argument is added under a condition")
            if method == "ArgumentParser":
                if {k for k, _ in made.kwargs} - _HARMLESS:
                    raise _NotFollowedError("the parser has settings of its own")
            elif method == "add_argument":
                places |= self._add(parser, made, env)
            elif method == "add_subparsers":
                message = f"the parser expects a subcommand where `{self._word()}` stands."
                return self._hit(made.place, message)
            elif method not in _GROUPS and made is not event:
                raise _NotFollowedError(f"`{method}` is not followed")
        related = [Related(path=self.path, line=event.place.line, message="The words are parsed.")]
        known = event.name.endswith("parse_known_args")
        try:
            space, rest = parser.parse_known_args(list(self.words))
            if rest and not known:
                parser.error(f"unrecognized arguments: {' '.join(rest)}")
        except RejectedError as rejected:
            said = str(rejected)
            named = [p for name, p in places.items() if name in said]
            first = next(iter(named or places.values()), event.place)
            if _TAKES_APART.search(self.text) and known:
                raise _NotFollowedError("it takes words apart by itself") from None
            return self._hit(first, f'argparse ends with "{said[:160]}".', related)
        taken = [
            (name, value)
            for name, values in vars(space).items()
            for value in (values if isinstance(values, list) else [values])
            if value in self.words
        ]
        if not taken and not rest:
            return None
        if _TAKES_APART.search(self.text):
            raise _NotFollowedError("it takes words apart by itself")
        if taken:
            name, value = taken[0]
            place = places.get(name, event.place)
            return self._hit(place, f"the positional `{name}` gets the whole `{value}`.", related)
        return self._hit(event.place, f"`{rest[0]}` is left over, and nothing reads it.")

    def _add(self, parser: Parser, event: LibraryCall, env: Env) -> dict[str, Place]:
        from argparse import ArgumentError

        from explint.trace.facts import Library
        from explint.trace.specialise import ABSENT, evaluate
        from explint.trace.specialise import Unknown as NotKnown

        names = [evaluate(a, env) for a in event.args]
        if not all(isinstance(n, str) for n in names):
            raise _NotFollowedError("an argument's name is made at run time")
        options: dict[str, Any] = {}
        for key, value in event.kwargs:
            concrete = evaluate(value, env)
            is_known = concrete is not ABSENT and not isinstance(concrete, NotKnown)
            if key == "type":
                row = env.entry.values[value]
                name = row.name if isinstance(row, Library) else ""
                if name in _TYPES:
                    options["type"] = _TYPES[name]
            elif key == "action":
                if concrete not in _ACTIONS:
                    raise _NotFollowedError("an action is not followed")
                options["action"] = concrete
            elif key == "default":
                # Which value it is says nothing about the words.
                options["default"] = concrete if is_known else None
            elif key in _PASSED:
                if not is_known:
                    raise _NotFollowedError(f"`{key}` is made at run time")
                options[key] = concrete
        try:
            action = parser.add_argument(*names, **options)
        except (TypeError, ValueError, ArgumentError) as error:
            raise _NotFollowedError(f"argparse refuses the argument: {error}") from None
        return {action.dest: event.place, **{str(n): event.place for n in names}}

    # ---- other ways ----

    def _hydra(self, point: Any) -> Hit | Unknown | None:  # noqa: ANN401
        from explint.compose import compose_tree
        from explint.compose.errors import CompositionError, ErrorKind
        from explint.compose.static import Unknown as NotComposed
        from explint.compose.tree import ConfigTree
        from explint.trace.facts import Place

        if point.unknown is not None or point.structured or point.way != "main":
            return self._open(point.unknown or "its config is registered in code")
        result, _ = compose_tree(
            self.experiment.config_tree if point.config_dir is not None else ConfigTree({}),
            config_dir=point.config_dir or "",
            config_name=point.config_name,
            overrides=self.words,
            version_base=point.version_base,
            reference=False,
        )
        if isinstance(result, NotComposed):
            return self._open(result.reason)
        if not isinstance(result, CompositionError):
            return None
        if result.override is None and result.kind is not ErrorKind.MANDATORY_CHOICE:
            # What is wrong with the config itself is told by the rules about composition.
            return None
        place = Place(
            self.document.files.index(self.path), point.line, point.column, point.line, point.column
        )
        word = "" if result.override is None else f" at `{self.words[result.override]}`"
        return self._hit(place, f'Hydra stops{word} with "{result.message}"')

    def _by_hand(self, calls: Sequence[tuple[LibraryCall, bool | None]]) -> Hit | Unknown | None:
        from explint.trace.describe import describe

        entry = self.special.env.entry
        if "sys.argv" in self.text or _READERS.search(self.text):
            if _TAKES_APART.search(self.text):
                return None
            for event, state in calls:
                if event.name == "json.loads" and state is True and event.args:
                    given = describe(event.args[0], entry)
                    if re.fullmatch(r"sys\.argv\[\d\]", given):
                        return self._hit(
                            event.place, f"`{given}` is a whole `key=value` word, and no JSON."
                        )
            return self._open("it reads the command line in a way that is not followed")
        from explint.trace.facts import Import

        if any(e.own for _, e in entry.events_of(Import)):
            return self._open("a module that it imports may read the command line")
        return self._hit(None, "nothing in the script reads its arguments.")


_HARMLESS: Final = frozenset(
    {"description", "prog", "usage", "epilog", "formatter_class", "add_help", "allow_abbrev"}
)
_GROUPS: Final = frozenset(
    {"add_argument_group", "add_mutually_exclusive_group", "set_defaults", "print_help", "error"}
)
