"""One package as rules see it: its files as text and YAML, its profile, its run configs."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from explint.compose.yaml import YamlDocument, YamlProblem, load_yaml
from explint.model import ProfileChoice
from explint.package import FileState, Package
from explint.protocol.profile import Profile
from explint.regex import regex

if TYPE_CHECKING:
    from explint.compose import RunComposition
    from explint.compose.carry import Refusal
    from explint.compose.entry import EntryPoint
    from explint.compose.tree import ConfigTree
    from explint.core import PackageFacts
    from explint.protocol.profile import Mode
    from explint.trace.facts import EntryTrace, TraceDocument
    from explint.trace.files import PackageFiles
    from explint.trace.specialise import Specialised, Tree


# Patterns for file names reach Hydra as they are, unless a file matches.
_IS_PLAIN = regex(r"[^*?\[]*", re.DOTALL)


ENTRIES = ("src.main", "src.train", "src.evaluate", "")
"""What rules ask for sooner or later: the modules that protocols start, and what none reaches."""


class RunConfig(msgspec.Struct, frozen=True):
    """A file in the profile's run folder.

    ``run_id`` is what ``run=`` on the command line says to choose it. ``doc`` is None when the
    package does not hold the file's text. ``is_run`` is false for a file that other run configs
    build on and that no run is named after.
    """

    run_id: str
    path: str
    doc: YamlDocument | YamlProblem | None
    is_run: bool = True


class Experiment:
    """A package, the profile it is judged by, and what the core found in it.

    ``document`` is the trace that came with the facts; other entries are traced when asked for.
    Texts and YAML documents are read once and kept for all rules.
    """

    def __init__(
        self,
        package: Package,
        profile: Profile,
        choice: ProfileChoice,
        facts: PackageFacts,
        document: TraceDocument | None = None,
    ) -> None:
        self.package = package
        self.profile = profile
        self.choice = choice
        self.facts = facts
        self._texts: dict[str, str | None] = {}
        self._yaml: dict[str, YamlDocument | YamlProblem | None] = {}
        self._composed: dict[tuple[str | None, str | None], RunComposition] = {}
        self._ask_hydra = True
        self._document = document
        self._traces: dict[str, TraceDocument | None] = {}
        self._points: dict[str, EntryPoint | str] = {}
        self._specialised: dict[int, list[tuple[Tree, bool, Specialised]]] = {}
        self.shared: dict[str, Any] = {}
        """What one rule found out and others use too, by a name of its own."""

    def state(self, path: str) -> FileState:
        """Whether the package holds the file: present, empty, absent or withheld."""
        return self.package.state(path)

    def text(self, path: str) -> str | None:
        """A file's text without byte order mark; None when it is absent, withheld or not UTF-8."""
        if path not in self._texts:
            file = self.package.files.get(path)
            self._texts[path] = None if file is None else file.text
        return self._texts[path]

    def yaml(self, path: str) -> YamlDocument | YamlProblem | None:
        """A file read as OmegaConf reads it; None when it has no text."""
        if path not in self._yaml:
            text = self.text(path)
            self._yaml[path] = None if text is None else load_yaml(text)
        return self._yaml[path]

    def yaml_files(self) -> tuple[str, ...]:
        """The YAML files in the profile's config folders, in order of path."""
        folders = tuple(f"{folder}/" for folder in self.profile.config.folders)
        return tuple(
            path
            for path in sorted(self.package.files)
            if path.startswith(folders) and path.endswith(".yaml")
        )

    @cached_property
    def loadable(self) -> PackageFiles:
        """The YAML files of the package, as its code loads them."""
        from explint.trace.files import PackageFiles

        return PackageFiles(self.yaml, self.package.files)

    def run_configs(self) -> tuple[RunConfig, ...]:
        """The files of the profile's run folder, in order of path; none when it has no folder."""
        return self._run_configs

    @cached_property
    def _run_configs(self) -> tuple[RunConfig, ...]:
        folder = self.profile.config.run_folder
        if folder is None:
            return ()
        paths = [p for p in self.yaml_files() if p.startswith(f"{folder}/")]
        ids = {path: path[len(folder) + 1 : -len(".yaml")] for path in paths}
        named = {run.run_id for run in self.package.runs}
        bases = {base for path in paths for base in self._bases(path)}
        return tuple(
            RunConfig(
                run_id=run_id,
                path=path,
                doc=self.yaml(path),
                is_run=run_id in named or not (run_id in bases or _is_base_name(run_id)),
            )
            for path, run_id in ids.items()
        )

    def run_ids(self) -> tuple[str, ...]:
        """The runs that a record names, else those that have a run config, in order."""
        named = tuple(dict.fromkeys(run.run_id for run in self.package.runs))
        return named or tuple(run.run_id for run in self.run_configs() if run.is_run)

    @cached_property
    def entry(self) -> EntryPoint | str:
        """How the module of the training command starts Hydra, or why that cannot be told."""
        from explint.compose import entry_of, started_module

        path = started_module(self.profile.commands.train)
        if path is not None:
            return self.entry_at(path)
        return self._settled(entry_of(self.package, self.profile.commands.train, self.facts.uses))

    def entry_at(self, path: str) -> EntryPoint | str:
        """How a module of the package starts Hydra, or why that cannot be told."""
        if path not in self._points:
            from explint.compose.entry import find_entry

            point = find_entry(self.package, path, self.facts.uses)
            self._points[path] = self._settled(point)
        return self._points[path]

    def _settled(self, point: EntryPoint | str) -> EntryPoint | str:
        """An entry point whose arguments the text does not give, completed from the trace."""
        from explint.trace.hydra import hydra_main, settled

        if isinstance(point, str) or point.unknown is None:
            return point
        module = point.path.removesuffix(".py").replace("/", ".")
        document = self.trace(module)
        entry = None if document is None else document.entry(module)
        if document is None or entry is None:
            return point
        return settled(point, hydra_main(document, entry))

    @cached_property
    def config_tree(self) -> ConfigTree:
        """The package's config files as Hydra sees them."""
        from explint.compose.tree import ConfigTree

        tree = ConfigTree.of(self.package)
        for path in self.yaml_files():
            data = tree.files.get(path)
            document = self.yaml(path)
            # With a byte order mark the places in the text would differ.
            if document is not None and data is not None and not data.startswith(b"\xef\xbb\xbf"):
                tree.adopt(path, document)
        return tree

    def composed(self, run_id: str | None, mode: Mode | None) -> RunComposition:
        """A run's config under a mode, as the training command composes it.

        An id that the command line does not carry (see ``refused``) is quoted, so that the config
        behind it can be judged. Without a run the word that names it is left out.
        """
        from explint.compose import compose_run
        from explint.compose.static import Unknown

        key = (run_id, None if mode is None else mode.name)
        found = self._composed.get(key)
        if found is None:
            command = self.profile.commands.train
            if mode is not None:
                command = self.profile.train_command(mode)
            found = self._composed[key] = compose_run(
                self.package,
                command,
                run_id,
                tree=self.config_tree,
                entry=self.entry,
                quoted=run_id is not None
                and (self.refused(run_id) is not None or not _IS_PLAIN.fullmatch(run_id)),
                reference=self._ask_hydra,
            )
            if isinstance(found.result, Unknown):
                # A worker that gives no answer for one run gives none for the others, and each
                # question may take its whole time limit.
                self._ask_hydra = False
        return found

    def trace(self, entry: str) -> TraceDocument | None:
        """What the module ``entry`` (``src.train``) does when started; None when it has no text."""
        if entry not in self._traces:
            document = self._document
            if document is None or entry not in document.names:
                from explint import core

                wanted = list(dict.fromkeys((entry, *ENTRIES)))
                document = core.Scanner(1).trace(self.package, wanted)
            self._traces[entry] = document if entry in document else None
        return self._traces[entry]

    def specialised(
        self, trace: EntryTrace, config: Tree, *, with_files: bool = False
    ) -> Specialised:
        """An entry's trace under a config, made once for all that ask for it under the same.

        ``with_files`` lets the code load the YAML files of the package.
        """
        from explint.trace.specialise import same_tree, specialise

        files = self.loadable if with_files and trace.asks_for_files else None
        known = self._specialised.setdefault(id(trace), [])
        for other, had_files, special in known:
            if had_files is (files is not None) and same_tree(config, other):
                return special
        special = specialise(trace, config, files=files)
        known.append((config, files is not None, special))
        return special

    def starts(self, path: str) -> bool:
        """Whether a module's file is there and does something when it is started.

        What a mere part of others does is seen where they use it, and in the entry ``""``.
        """
        module = path.removesuffix(".py").replace("/", ".")
        text = self.text(path)
        return bool(text) and (module in ENTRIES or "__main__" in (text or ""))

    def refused(self, run_id: str) -> Refusal | None:
        """Why the training command does not carry a run id; None when it does."""
        from explint.compose.carry import refusal

        command = self.profile.commands.train
        if command is None:
            return None
        return refusal(command, run_id, group=self.profile.config.run == "group")

    def _bases(self, path: str) -> list[str]:
        """The options of its own group that a run config's defaults list names."""
        doc = self.yaml(path)
        if not isinstance(doc, YamlDocument):
            return []
        entries = defaults_list(doc)
        return [e.removesuffix(".yaml") for e in entries if isinstance(e, str) and e != "_self_"]


def defaults_list(doc: YamlDocument) -> list[object]:
    """The entries of a config's defaults list, empty when it has none."""
    value = doc.value.get("defaults") if isinstance(doc.value, dict) else None
    return value if isinstance(value, list) else []


def _is_base_name(run_id: str) -> bool:
    name = run_id.rpartition("/")[2]
    return name in ("default", "base") or name.startswith("_")
