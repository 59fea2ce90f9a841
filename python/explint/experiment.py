"""One package as rules see it: its files as text and YAML, its profile, its run configs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from explint.compose.yaml import YamlDocument, YamlProblem, load_yaml
from explint.model import ProfileChoice
from explint.package import FileState, Package
from explint.protocol.profile import Profile

if TYPE_CHECKING:
    from explint.core import PackageFacts


@dataclass(frozen=True, slots=True)
class RunConfig:
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

    Texts and YAML documents are read once and kept for all rules.
    """

    def __init__(
        self, package: Package, profile: Profile, choice: ProfileChoice, facts: PackageFacts
    ) -> None:
        self.package = package
        self.profile = profile
        self.choice = choice
        self.facts = facts
        self._texts: dict[str, str | None] = {}
        self._yaml: dict[str, YamlDocument | YamlProblem | None] = {}

    def state(self, path: str) -> FileState:
        """Whether the package holds the file: present, empty, absent or withheld."""
        return self.package.state(path)

    def text(self, path: str) -> str | None:
        """A file's text without byte order mark; None when it is absent, withheld or not UTF-8."""
        if path not in self._texts:
            file = self.package.files.get(path)
            known = file is not None and file.state in (FileState.PRESENT, FileState.EMPTY)
            data = file.data if file is not None and known else None
            try:
                self._texts[path] = None if data is None else data.decode("utf-8-sig")
            except UnicodeDecodeError:
                self._texts[path] = None
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
