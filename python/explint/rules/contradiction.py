"""Rules about the protocol itself: what it says twice, and not the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from explint.model import Severity
from explint.rules.registry import Hit, Unknown, rule

if TYPE_CHECKING:
    from explint.experiment import Experiment

_SWITCHES = ("trial_mode=true", "mode=trial", "mode=sanity")


@rule("protocol/contradiction", code="SPC001", severity=Severity.INFO, criteria=())
def contradiction(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The protocol, or the runs it names, contradict themselves.

    ## What it does
    Reports run ids that the experiment names and that the protocol's own command line does not
    carry, and, in a judge record, a text that speaks of `args.run_ids` where its command line hands
    over key=value words, or that names the trial switch in two ways.

    ## Why is this bad
    No code can follow both. What is judged as a defect of the package may be one of the task.

    ## Example
    A run that is named `proposed-ResNet-18 (11M)`, and the command line
    `uv run python -u -m src.main run={run_id}`.

    ## Use instead
    A run that is named `proposed-resnet-18-11m`.

    ## References
    - The command lines of the experiment protocol
    """
    paths = {run.run_id: run.path for run in experiment.run_configs()}
    main = experiment.profile.config.primary or "pyproject.toml"
    named = list(dict.fromkeys(run.run_id for run in experiment.package.runs))
    refused = [run_id for run_id in named if experiment.refused(run_id) is not None]
    if refused:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        yield Hit(
            path=paths.get(refused[0], main),
            message=f"The experiment names the run `{refused[0]}`{more}, which the protocol's "
            "command line does not carry.",
            help="Name runs with letters, digits, `-`, `_` and `.` only.",
            runs=tuple(refused),
        )
    record = experiment.package.record
    if record is None:
        return
    command = experiment.profile.commands.evaluate or ""
    if "args.run_ids" in record.prompt and "run_ids=" in command and "--run_ids" not in command:
        yield Hit(
            path=experiment.profile.evaluation.module or main,
            message="The protocol speaks of `args.run_ids`, while its command line hands over "
            "key=value words, which argparse does not take.",
            help="Follow the command line: read `run_ids=…` as a key=value word.",
        )
    switches = [switch for switch in _SWITCHES if switch in record.prompt]
    if len(switches) > 1:
        listed = " and ".join(f"`{switch}`" for switch in switches)
        yield Hit(
            path=main,
            message=f"The protocol names the trial switch in more than one way: {listed}.",
            help="Name one switch, or accept them all.",
        )
