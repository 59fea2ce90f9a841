"""The engine on a Ray cluster: the same bounded worker process, one behind each Ray worker.

Packages are read, and rows written, where the audit was started; the cluster judges. What it loses
with a worker or a node is judged again elsewhere, so the dataset is that of one machine. explint
must be installed on every node.
"""

from __future__ import annotations

import os
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

from explint.audit.store import StoreError
from explint.fanout import (
    Bounds,
    CrashedError,
    FailedError,
    MemoryExceededError,
    Pool,
    TimedOutError,
)
from explint.package import Package

if TYPE_CHECKING:
    from explint.audit.judging import JudgingOptions
    from explint.audit.run import AuditOptions

LOST_AT_MOST = 5
"""How often a package is handed out again after its worker or node was lost."""

_ERRORS: tuple[type[Exception], ...] = (
    TimedOutError,
    MemoryExceededError,
    CrashedError,
    FailedError,
)
Answered = tuple[bytes | None, int, str]
"""The answer; or None, the number of the error in ``_ERRORS``, and what it says."""


class RayEngine:
    """Judges packages on a Ray cluster, or on a Ray of its own where no address is given."""

    size: int

    def __init__(self, options: AuditOptions) -> None:
        self._options = options
        self._bounds = Bounds(options.timeout, options.memory)
        # Before Ray is imported: it would tell its makers of the run.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError:
            raise StoreError(
                "--engine ray needs Ray, which is not here",
                "install it with: pip install 'explint[ray]'",
            ) from None
        self._ray: Any = ray
        self._own = False

    def __enter__(self) -> RayEngine:
        ray = self._ray
        if not ray.is_initialized():
            settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
            if self._options.address is None:
                settings["include_dashboard"] = False
            try:
                ray.init(address=self._options.address, **settings)
            except Exception as error:  # noqa: BLE001 - Ray has many of its own
                raise StoreError(
                    f"Ray cannot be reached: {str(error).strip() or type(error).__name__}",
                    "Check the --address, and that the cluster runs the same version of Ray.",
                ) from None
            self._own = True
        self.size = self._options.jobs or max(int(ray.cluster_resources().get("CPU", 1)), 1)
        self._judge = ray.remote(num_cpus=1, max_retries=LOST_AT_MOST)(judged)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._own:
            with suppress(Exception):
                self._ray.shutdown()

    def submit(self, package: Package, /) -> Future[bytes]:
        """See ``explint.audit.run.Engine``."""
        answer: Future[bytes] = Future()
        reference = self._judge.remote(self._options.judging, self._bounds, package)

        def hand_on(done: Future[Answered]) -> None:
            try:
                data, number, said = done.result()
            except Exception as error:  # noqa: BLE001 - whatever Ray says of a task it gave up
                answer.set_exception(CrashedError(f"Ray gave it up: {type(error).__name__}"))
                return
            if data is None:
                answer.set_exception(_ERRORS[number](said))
            else:
                answer.set_result(data)

        reference.future().add_done_callback(hand_on)
        return answer


def judged(options: JudgingOptions, bounds: Bounds, package: Package) -> Answered:
    """What a Ray worker does: hands a package to its own bounded process."""
    try:
        data: bytes = _pool(options, bounds).submit(package).result()
    except _ERRORS as error:
        number = next(n for n, kind in enumerate(_ERRORS) if isinstance(error, kind))
        return None, number, str(error)
    return data, 0, ""


@cache
def _pool(options: JudgingOptions, bounds: Bounds) -> Pool:
    """The process behind this worker; it ends with the worker."""
    return Pool("explint.audit.judging:worker", options, 1, bounds)
