"""What went wrong in explint itself. The pipeline reports it."""

from __future__ import annotations

from explint.model import Severity
from explint.rules.registry import row_only


@row_only("internal/rule-crash", code="INT001", severity=Severity.WARNING, criteria=())
def _rule_crash() -> None:
    """A rule failed on this input, so its answer is missing.

    ## What it does

    Reports a rule that stopped with an error of its own. The run goes on with the other rules, the
    criteria that the rule would have decided are unknown, and the report is marked incomplete
    (exit code 4 with `--require-complete`). It is shown whatever rules are selected.

    ## Why is this bad

    It is a defect of explint, not of the package. What the rule would have found is not in the
    report.

    ## Example

    ```text
    src/train.py:1:1: INT001 internal/rule-crash: The rule complete/call-signature failed.
    ```

    ## Use instead

    Report the defect with the file it stands at and the traceback that `EXPLINT_DEBUG=1` prints.

    ## References

    - `explint check --help`
    """


RULE_CRASH = _rule_crash
