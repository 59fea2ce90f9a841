"""The pipeline: sources → packages → reports, by as many processes as help, and from the cache
where a package was judged before."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeAlias

import msgspec

from explint.model import InputError, PackageReport, Report, Summary
from explint.package import FileState, Package, Run
from explint.request import CheckOptions, PackageText, tool_info
from explint.source import open_sources, package_of_files

# The rules and the core take longer to load than a package that was judged before takes to tell of:
# they are imported when there is something to judge.
if TYPE_CHECKING:
    from concurrent.futures import Future

    from explint.checker import Checker

FEW_PACKAGES = 8
"""So many are checked in this process before others are started, which takes as long as they do."""

WAITING_PER_JOB = 4
"""Packages read ahead for each process, so that none of them waits for the next one."""

Result: TypeAlias = tuple[PackageReport, PackageText] | InputError


def check_stream(
    locations: Sequence[str], options: CheckOptions, *, stdin: BinaryIO | None = None
) -> Iterator[Result]:
    """Checks everything at ``locations``, one package after the other.

    Yields each package's report with its text, or an InputError where an input gave no package.

    Raises:
        ConfigError, SelectorError, ProfileError: the configuration cannot be used.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    packages = open_sources(locations, rev=options.rev, limits=options.limits, stdin=stdin)
    yield from check_packages(packages, options)


def check(
    source: str | Path | Mapping[str, str | bytes],
    *,
    profile: str | None = None,
    partial: bool = False,
    runs: Sequence[str] = (),
    rev: str | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    isolated: bool = True,
    jobs: int = 0,
) -> Report:
    """Checks a path, or files given as a mapping of path to content, and returns the report.

    Args:
        source: Anything ``explint check`` takes as a PATH, or the files of one package. Text is
            taken as UTF-8. In a mapping an empty text is an empty file, unless ``partial``.
        profile: Name or file of a protocol profile; found out when None.
        partial: The mapping is a part of a package: an empty text means that the file was
            withheld, and absent files may exist elsewhere.
        runs: The ids of the runs that the experiment names, for a mapping; found out when empty.
        rev: A git revision to check instead of the working tree.
        select: Rules to report, by name, code, family or ``criterion:N``; empty for all.
        ignore: Rules not to report.
        isolated: Read no configuration file.
        jobs: Processes for more than a few packages; 0 means one per processor.

    Raises:
        ConfigError, SelectorError, ProfileError: an option or configuration cannot be used.
        ValueError: a path of the mapping is absolute or leads out of the package.
    """
    flags = {"profile": profile, "select": tuple(select), "ignore": tuple(ignore)}
    options = CheckOptions(rev=rev, isolated=isolated, flags=flags, jobs=jobs)
    started = time.perf_counter()
    results: Iterable[Result]
    if isinstance(source, Mapping):
        package = msgspec.structs.replace(
            package_of_files(source), runs=tuple(Run(run_id) for run_id in runs)
        )
        results = check_packages([_as_part(package) if partial else package], options)
    else:
        results = check_stream([str(source)], options)
    summary = Summary()
    packages = []
    for result in results:
        if isinstance(result, InputError):
            summary.input_errors.append(result)
        else:
            packages.append(result[0])
            summary.add(result[0])
    summary.seconds = time.perf_counter() - started
    return Report(tool=tool_info(), summary=summary, packages=packages)


def _as_part(package: Package) -> Package:
    """The package as a part of one: an empty file was withheld, an absent one may exist."""
    files = {
        path: msgspec.structs.replace(file, state=FileState.WITHHELD)
        if file.state is FileState.EMPTY
        else file
        for path, file in package.files.items()
    }
    return msgspec.structs.replace(package, files=files, partial=True)


def check_packages(
    packages: Iterable[Package | InputError], options: CheckOptions
) -> Iterator[Result]:
    """``check_stream`` for packages that are at hand; the results come in their order."""
    if options.cache is None:
        yield from _checked(packages, options)
        return
    from explint.known import KnownReports

    with KnownReports(options) as known:
        yield from known.completed(lambda rest: _checked(rest, options), packages)


def _checked(packages: Iterable[Package | Result], options: CheckOptions) -> Iterator[Result]:
    """Checks the packages; results among them pass."""
    following = iter(packages)
    for package in following:
        if not isinstance(package, Package):
            yield package
            continue
        following = chain((package,), following)
        break
    else:
        return
    from explint.checker import Checker

    here = Checker(options)
    jobs = options.jobs or os.cpu_count() or 1
    if jobs == 1 or not sys.executable:
        yield from here.check(following)
        return
    yield from here.check(islice(following, FEW_PACKAGES))
    first = next(following, None)
    if first is not None:
        yield from _check_apart(chain((first,), following), options, jobs, here)


def _check_apart(
    packages: Iterable[Package | Result], options: CheckOptions, jobs: int, here: Checker
) -> Iterator[Result]:
    """Checks packages in ``jobs`` processes; the results come in the order of the packages."""
    from explint.fanout import Pool

    waiting: deque[_Waiting | Result] = deque()
    with Pool("explint.checker:worker", msgspec.structs.replace(options, jobs=1), jobs) as pool:
        for package in packages:
            if isinstance(package, Package):
                waiting.append(_Waiting(package, pool.submit(package)))
            else:
                waiting.append(package)
            while waiting and (len(waiting) > WAITING_PER_JOB * jobs or _is_there(waiting[0])):
                yield _answer(waiting.popleft(), here)
        while waiting:
            yield _answer(waiting.popleft(), here)


class _Waiting(NamedTuple):
    """A package at one of the processes."""

    package: Package
    answer: Future[PackageReport | InputError]


def _is_there(item: _Waiting | Result) -> bool:
    return not isinstance(item, _Waiting) or item.answer.done()


def _answer(item: _Waiting | Result, here: Checker) -> Result:
    from explint.fanout import CrashedError, FailedError

    if not isinstance(item, _Waiting):
        return item
    package, answer = item
    try:
        report = answer.result()
    except FailedError:
        # Asked again where the caller sees the error itself.
        return next(here.check([package]))
    except CrashedError as how:
        return InputError(
            location=package.id,
            message=f"the process that checked it ended: {how}",
            help="This is a defect of explint or a lack of memory; --jobs 1 checks in one process.",
        )
    return report if isinstance(report, InputError) else (report, PackageText(package))
