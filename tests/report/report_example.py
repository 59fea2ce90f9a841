"""A report made by hand that shows what every format has to cope with."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from explint.model import (
    Confidence,
    Coverage,
    CriterionState,
    Evidence,
    Failed,
    Finding,
    Implementation,
    InputError,
    PackageReport,
    ProfileChoice,
    Related,
    Rule,
    Severity,
    Skipped,
    SourceInfo,
    State,
    Summary,
    ToolInfo,
    Undecided,
    Verdict,
)
from explint.report import ReportOptions, Terminal, create

MET, VIOLATED, UNKNOWN = CriterionState.MET, CriterionState.VIOLATED, CriterionState.UNKNOWN

TOOL = ToolInfo(name="explint", version="0.1.0", rules_version="1")
OPTIONS = ReportOptions(rule_url="https://docs.example/rules/{slug}/")


def _rule(
    name: str, code: str, summary: str, criterion: int, severity: Severity = Severity.ERROR
) -> Rule:
    return Rule(
        name=name,
        code=code,
        severity=severity,
        criteria=(criterion,),
        summary=summary,
        doc=f"## What it does\n\n{summary}\n\n## Why is this bad\n\nThe run stops.\n",
        implementation=Implementation.CORE,
    )


RULES = (
    _rule("structure/missing-file", "STR001", "A file the protocol requires is absent.", 5),
    _rule("structure/empty-file", "STR002", "A required file is empty.", 5),
    _rule("complete/placeholder-body", "CMP003", "A body does nothing.", 1),
    _rule("complete/undefined-name", "CMP007", "A name is read that nothing defines.", 1),
    _rule(
        "complete/swallowed-error", "CMP011", "A failure looks like a result.", 1, Severity.WARNING
    ),
    _rule("data/no-error-handling", "DAT010", "A download has no handling.", 3, Severity.INFO),
)
_ROWS = {rule.name: rule for rule in RULES}


def found(
    rule: str,
    message: str,
    help: str,
    path: str,
    at: tuple[int, int, int, int] = (1, 1, 1, 1),
    *,
    related: tuple[Related, ...] = (),
    runs: tuple[str, ...] = (),
    modes: tuple[str, ...] = (),
    state: State = State.OPEN,
    reason: str | None = None,
) -> Finding:
    """A finding of one of ``RULES``; ``at`` is line, column, end line and end column."""
    row = _ROWS[rule]
    return Finding(
        rule=rule,
        code=row.code,
        severity=row.severity,
        confidence=Confidence.HIGH,
        message=message,
        help=help,
        path=path,
        line=at[0],
        column=at[1],
        end_line=at[2],
        end_column=at[3],
        criteria=row.criteria,
        fingerprint=f"{row.code}-{path}-{at[0]}",
        related=related,
        runs=runs,
        modes=modes,
        state=state,
        reason=reason,
    )


EVALUATE = '''"""Reads the runs and compares them."""
import wandb


def collect(run_ids):
    results = {}
    for run_id in run_ids:
        results[run_id] = histroy(run_id, keys=["train/loss", "val/accuracy"])
    return results


def label(name):
\tif name.startswith("提案手法"):
\t\treturn 表示名[name]
\treturn name
'''

MODEL = """import torch


class Adapter(torch.nn.Module):
    def forward(
        self,
        hidden_states,
        attention_mask=None,
        position_ids=None,
        head_mask=None,
    ):
        pass


def load(path):
    try:
        return torch.load(path, map_location="cpu", weights_only=True)["model"]["encoder"]["layers"]
    except Exception:
        return None
"""

LONG = "x = [" + ", ".join(f"'class_{n}'" for n in range(60)) + ", undefined_label, 'last']\n"


@dataclass(frozen=True)
class Sources:
    """Texts by path."""

    texts: Mapping[str, str] = field(default_factory=dict)

    def lines(self, path: str) -> Sequence[str] | None:
        text = self.texts.get(path)
        return None if text is None else text.split("\n")


FIRST = PackageReport(
    id="experiments/vit-adapter",
    source=SourceInfo(kind="folder", location="experiments/vit-adapter"),
    profile=ProfileChoice(
        name="full-trial", reason="the code compares `mode` with `trial` (src/main.py:14)"
    ),
    verdict=Verdict(
        is_code_ready=False,
        code_issue=(
            "It does not start:\n"
            "1. `src/preprocess.py` is required by the protocol and is not there. Add "
            "`src/preprocess.py` with its complete implementation. (structure/missing-file)\n"
            "It stops on the way:\n"
            "2. src/evaluate.py:8: `histroy` is read here and no scope defines it. Write "
            "`history`. (complete/undefined-name)\n"
            "It breaks the protocol:\n"
            "3. src/model.py:5: Method `forward` has no body. Implement `forward`. "
            "(complete/placeholder-body)"
        ),
        criteria={
            "1": VIOLATED,
            "2": UNKNOWN,
            "3": UNKNOWN,
            "4": UNKNOWN,
            "5": VIOLATED,
            "6": UNKNOWN,
            "7": MET,
            "8": UNKNOWN,
            "9": UNKNOWN,
        },
        undecided=tuple(
            Undecided(criterion=n, reason=reason, decided_by=decided_by)
            for n, reason, decided_by in (
                (2, "config reads are not judged yet", "a trial run"),
                (3, "src/preprocess.py is absent", "src/preprocess.py"),
                (4, "src/model.py depends on src/preprocess.py", "src/preprocess.py"),
                (6, "what training logs is not judged yet", "a trial run"),
                (8, "the evaluation script is not judged yet", "an evaluation rehearsal"),
                (9, "the trial switch is not judged yet", "a trial run"),
            )
        ),
        evidence={
            "1": (
                Evidence(rule="complete/undefined-name", path="src/evaluate.py", line=8),
                Evidence(rule="complete/placeholder-body", path="src/model.py", line=5),
                Evidence(rule="complete/placeholder-body", path="src/train.py", line=3),
            ),
            "5": (Evidence(rule="structure/missing-file", path="src/preprocess.py", line=1),),
        },
    ),
    coverage=Coverage(
        scanned=7,
        skipped=(
            Skipped(path=".venv", reason="a virtual environment"),
            Skipped(path="figures/loss.pdf", reason="not a text file"),
            *(Skipped(path=f"data/part-{n}.bin", reason="not a text file") for n in range(6)),
        ),
        failed=(Failed(path="src/tables.py", reason="not UTF-8: byte 0xff at offset 1,024"),),
    ),
    runs=("proposed-vit-cifar10", "baseline-vit-cifar10"),
    findings=(
        found(
            "complete/undefined-name",
            "`histroy` is read, and nothing in src/evaluate.py defines it.",
            "Import or define `histroy`, or correct the name.",
            "src/evaluate.py",
            at=(8, 27, 8, 34),
            related=(
                Related(path="src/train.py", line=12, message="`history` is defined here"),
                Related(path="src/main.py", line=3, message="the module is started from here"),
            ),
        ),
        found(
            "complete/undefined-name",
            "`表示名` is read, and nothing in src/evaluate.py defines it.",
            "Import or define `表示名`, or correct the name.",
            "src/evaluate.py",
            at=(14, 10, 14, 13),
            runs=("proposed-vit-cifar10",),
            modes=("trial", "full"),
        ),
        found(
            "complete/undefined-name",
            "`undefined_label` is read, and nothing in src/labels.py defines it.",
            "Import or define `undefined_label`, or correct the name.",
            "src/labels.py",
            at=(1, LONG.index("undefined_label") + 1, 1, LONG.index("undefined_label") + 16),
        ),
        found(
            "complete/placeholder-body",
            "`Adapter.forward` has no body but `pass`, so that the model returns None and the "
            "loss cannot be computed.",
            "Write the computation of the adapter, or raise an error that says why there is none.",
            "src/model.py",
            at=(5, 5, 12, 13),
        ),
        found(
            "complete/swallowed-error",
            "`except Exception` returns None, so that a missing checkpoint looks like a model.",
            "Catch the error you expect, and let the others end the run.",
            "src/model.py",
            at=(18, 5, 19, 20),
        ),
        found(
            "data/no-error-handling",
            "The checkpoint is read with no check that it exists.",
            "Say which file is missing and how to make it.",
            "src/model.py",
            at=(17, 16, 17, 26),
        ),
        found(
            "structure/missing-file",
            "src/preprocess.py is absent, and the protocol requires it.",
            "Add src/preprocess.py with the loading and preprocessing of the dataset.",
            "src/preprocess.py",
        ),
        found(
            "complete/placeholder-body",
            "`on_epoch_end` has no body but `pass`.",
            "Remove the function, or write what it does.",
            "src/train.py",
            at=(3, 5, 3, 17),
            state=State.SUPPRESSED,
            reason="the hook is optional",
        ),
        found(
            "complete/placeholder-body",
            "`on_start` has no body but `pass`.",
            "Remove the function, or write what it does.",
            "src/train.py",
            at=(9, 5, 9, 13),
            state=State.BASELINE,
        ),
    ),
    hidden=2,
    complete=False,
)
FIRST_SOURCES = Sources({"src/evaluate.py": EVALUATE, "src/model.py": MODEL, "src/labels.py": LONG})

SECOND = PackageReport(
    id="records/042.txt",
    source=SourceInfo(kind="record", location="records/042.txt"),
    profile=ProfileChoice(name="trial-mode", reason="the record's prompt names `trial_mode=true`"),
    verdict=Verdict(
        is_code_ready=False,
        code_issue="src/train.py is empty",
        criteria={str(n): VIOLATED if n == 5 else UNKNOWN for n in range(1, 10)},
        undecided=tuple(
            Undecided(criterion=n, reason="src/train.py is withheld", decided_by="src/train.py")
            for n in (1, 2, 3, 4, 6, 7, 8, 9)
        ),
    ),
    coverage=Coverage(scanned=7),
    findings=(
        found(
            "structure/empty-file",
            "src/train.py is empty.",
            "Write the training of one run.",
            "src/train.py",
        ),
    ),
)

CLEAN = PackageReport(
    id="experiments/sound",
    source=SourceInfo(kind="folder", location="experiments/sound"),
    profile=ProfileChoice(name="full-trial", reason="chosen with --profile"),
    verdict=Verdict(
        is_code_ready=True, code_issue="", criteria={str(n): MET for n in range(1, 10)}
    ),
    coverage=Coverage(scanned=9),
)

INPUT_ERROR = InputError(
    location="records/missing.txt",
    message="No such file.",
    help="Check the path, or quote it if it holds spaces.",
)

SEVERAL: tuple[tuple[PackageReport, Sources], ...] = (
    (FIRST, FIRST_SOURCES),
    (SECOND, Sources({"src/train.py": ""})),
    (CLEAN, Sources()),
)


def render(
    format: str,
    packages: Sequence[tuple[PackageReport, Sources]] = SEVERAL,
    *,
    terminal: Terminal | None = None,
    options: ReportOptions = OPTIONS,
    input_errors: Sequence[InputError] = (INPUT_ERROR,),
) -> str:
    """The text that one format makes of some packages."""
    sink = io.StringIO()
    reporter = create(format, sink, terminal=terminal or Terminal(), options=options)
    summary = Summary(input_errors=list(input_errors))
    reporter.start(TOOL, RULES)
    for package, sources in packages:
        summary.add(package)
        reporter.add(package, sources)
    reporter.finish(summary)
    return sink.getvalue()
