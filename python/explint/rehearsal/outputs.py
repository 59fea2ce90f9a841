"""What a rehearsed evaluation left behind, beside what the profile demands."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from explint.model import Severity
from explint.protocol.profile import Profile
from explint.rehearsal.pdf import read_figures

_LARGEST: Final = 64 << 20
_NAMED: Final = 5
"""How many of many things a message names."""

_IMAGES: Final = frozenset(
    {".pdf", ".png", ".jpg", ".jpeg", ".svg", ".eps", ".ps", ".gif", ".webp", ".tif", ".tiff"}
)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with an output, in one sentence, and what to write instead in another.

    ``path`` is the output's, relative to the results folder. ``severity`` is None where the rule's
    own holds.
    """

    path: str
    message: str
    help: str
    runs: tuple[str, ...] = ()
    severity: Severity | None = None


def problems(
    profile: Profile,
    results: Path,
    run_ids: Sequence[str],
    before: frozenset[str] = frozenset(),
    *,
    one_epoch: bool = False,
) -> list[Problem]:
    """Everything that is wrong with the outputs below ``results``.

    ``before`` are the files that lay there when evaluation started, as ``listing`` names them: what
    training wrote is not judged here. After ``one_epoch`` a curve has a single point, through no
    fault of the figure.

    Raises:
        MissingExtraError: a library of the extra ``rehearsal`` is not installed.
    """
    found = _Outputs(profile, results, tuple(run_ids), before, one_epoch)
    return [*found.files(), *found.documents(), *found.figures()]


def listing(results: Path) -> frozenset[str]:
    """The files below the results folder, relative to it; links are not followed."""
    return frozenset(
        path.relative_to(results).as_posix()
        for path in results.rglob("*")
        if path.is_file() and not path.is_symlink()
    )


class _Outputs:
    def __init__(
        self,
        profile: Profile,
        results: Path,
        run_ids: tuple[str, ...],
        before: frozenset[str],
        one_epoch: bool,
    ) -> None:
        self._profile = profile
        self._one_epoch = one_epoch
        self._results = results
        self._run_ids = run_ids
        self._all = listing(results)
        self._new = sorted(self._all - before)

    def files(self) -> Iterator[Problem]:
        """Mandated files that are not there."""
        artifacts = self._profile.artifacts
        for template in artifacts.per_run:
            missing = [run for run in self._run_ids if self._path(template, run) not in self._all]
            if missing:
                one = self._path(template, missing[0])
                yield Problem(
                    path=one,
                    message=f"Evaluation ends without writing `{one}`{_others(missing)}.",
                    help=f"Write `{template}` for every run in `run_ids`.",
                    runs=tuple(missing),
                )
        for template in artifacts.comparison:
            path = self._path(template)
            if path not in self._all:
                yield Problem(
                    path=path,
                    message=f"Evaluation ends without writing `{path}`.",
                    help=f"Write the metrics of all runs to `{template}`.",
                )

    def documents(self) -> Iterator[Problem]:
        """JSON that is none, that holds nothing, or that lacks what the protocol names."""
        artifacts = self._profile.artifacts
        mandated = {self._path(t, run) for t in artifacts.per_run for run in self._run_ids}
        aggregated = {self._path(t) for t in artifacts.comparison}
        wanted = (mandated | aggregated) & self._all
        for path in sorted(wanted | {p for p in self._new if p.endswith(".json")}):
            if not path.endswith(".json"):
                continue
            document = self._read(path)
            if isinstance(document, Problem):
                yield document
                continue
            if path in wanted and document in (None, {}, [], ""):
                yield Problem(
                    path=path,
                    message=f"Evaluation writes `{path}` without anything in it.",
                    help="Write the run's metrics as W&B has them.",
                )
                continue
            if spoiled := list(_not_finite(document)):
                yield _spoiled(path, spoiled)
            if path in aggregated and isinstance(document, dict):
                missing = [key for key in artifacts.aggregated_keys if key not in document]
                if missing:
                    yield Problem(
                        path=path,
                        message=f"`{path}` has no {_listed(missing)}.",
                        help=f"Give it the keys {_listed(artifacts.aggregated_keys)}.",
                    )

    def figures(self) -> Iterator[Problem]:
        """Figures that are not there, misnamed, broken or blank."""
        figures = self._profile.figures
        if figures.format is None:
            return
        images = [path for path in self._new if Path(path).suffix.lower() in _IMAGES]
        lacking = []
        for run in self._run_ids if figures.per_run_folder else ():
            folder = self._path(figures.per_run_folder or "", run)
            mine = [path for path in images if _folder(path) == folder]
            if not mine:
                lacking.append(run)
            yield from self._misnamed(mine, run)
        if lacking:
            folder = self._path(figures.per_run_folder or "", lacking[0])
            yield Problem(
                path=folder,
                message=f"Evaluation writes no figure to `{folder}`{_others(lacking)}.",
                help=f"Save a figure named `{figures.per_run}` for every run in `run_ids`.",
                runs=tuple(lacking),
            )
        if figures.comparison_folder:
            folder = self._path(figures.comparison_folder)
            mine = [path for path in images if _folder(path) == folder]
            if not mine:
                yield Problem(
                    path=folder,
                    message=f"Evaluation writes no figure to `{folder}`.",
                    help=f"Save a figure named `{figures.comparison}` that compares the runs.",
                )
            yield from self._misnamed(mine, None)
        yield from self._broken([path for path in images if path.lower().endswith(".pdf")])

    def _misnamed(self, paths: Sequence[str], run: str | None) -> Iterator[Problem]:
        pattern = self._profile.figure_pattern(run)
        shape = self._profile.figures.comparison if run is None else self._profile.figures.per_run
        if pattern is None:
            return
        for path in paths:
            if not pattern.fullmatch(path.rpartition("/")[2]):
                yield Problem(
                    path=path,
                    message=f"The figure `{path}` does not have a name of the form `{shape}`.",
                    help=f"Name it `{(shape or '').replace('{run_id}', run or '{run_id}')}`.",
                    runs=() if run is None else (run,),
                )

    def _broken(self, paths: Sequence[str]) -> Iterator[Problem]:
        for path, figure in zip(
            paths, read_figures([self._results / path for path in paths]), strict=True
        ):
            if figure.problem:
                yield Problem(
                    path=path,
                    message=f"The figure `{path}` cannot be opened: {figure.problem}.",
                    help="Save it once, under its final name, and close the figure afterwards.",
                )
            elif figure.unread:
                yield Problem(
                    path=path,
                    message=f"The figure `{path}` was not looked into: {figure.unread}.",
                    help="Draw fewer points, or save what is dense as an image within the figure.",
                    severity=Severity.INFO,
                )
            elif figure.blank and not (figure.lone_point and self._one_epoch):
                seen = "its axes hold no line, bar, point or image"
                if figure.lone_point:
                    seen = "a line through a single point is drawn without a marker"
                yield Problem(
                    path=path,
                    message=f"Nothing is to be seen in the figure `{path}`: {seen}.",
                    help="Draw what the run logged, under the key by which it was logged, and mark "
                    "single points.",
                    # What a bounded run has not logged, a whole one may have.
                    severity=Severity.WARNING,
                )

    def _read(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        file = self._results / path
        try:
            if file.stat().st_size > _LARGEST:
                return Problem(
                    path=path,
                    message=f"`{path}` has more than {_LARGEST >> 20} MB.",
                    help="Write metrics, and leave raw data in W&B.",
                )
            return json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            return Problem(
                path=path,
                message=f"`{path}` is no JSON document: {_said(error)}.",
                help="Write one document with `json.dump`.",
            )

    def _path(self, template: str, run: str = "") -> str:
        path = template.replace("{run_id}", run).replace("{results_dir}", "")
        return path.strip("/")


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _said(error: Exception) -> str:
    text = re.sub(r"\s+", " ", str(error)).strip().rstrip(".")
    return text[:200] or type(error).__name__


def _others(runs: Sequence[str]) -> str:
    more = len(runs) - 1
    return f", nor that of {more} more {'run' if more == 1 else 'runs'}" if more else ""


def _listed(names: Sequence[str]) -> str:
    shown = [f"`{name}`" for name in names[:_NAMED]]
    more = len(names) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _spoiled(path: str, spoiled: Sequence[tuple[str, str]]) -> Problem:
    names = dict.fromkeys(name for _, name in spoiled)
    places = _listed([place for place, _ in spoiled])
    return Problem(
        path=path,
        message=f"`{path}` holds {' and '.join(names)} at {places}, which JSON does not have.",
        help="Write null where there is no number, and find out why there is none.",
        # Few points, as a bounded run has, may have no spread and no test.
        severity=Severity.WARNING,
    )


def _not_finite(document: object) -> Iterator[tuple[str, str]]:
    """Where NaN and infinities stand, and which it is."""
    pending: list[tuple[str, object]] = [("", document)]
    while pending:
        place, value = pending.pop()
        match value:
            case float():
                if math.isnan(value):
                    yield place or "its top", "NaN"
                elif math.isinf(value):
                    yield place or "its top", "Infinity"
            case Mapping():
                dot = f"{place}." if place else ""
                pending += [(f"{dot}{key}", inner) for key, inner in reversed(list(value.items()))]
            case list():
                items = list(enumerate(value))
                pending += [(f"{place}[{i}]", inner) for i, inner in reversed(items)]
