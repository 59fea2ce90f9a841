"""Suppression comments that are not in order. ``explint.suppress`` finds them."""

from __future__ import annotations

from explint.model import Severity
from explint.rules.registry import row_only


@row_only("suppression/unused", code="SUP001", severity=Severity.WARNING, criteria=())
def _unused() -> None:
    """A suppression comment hides nothing.

    ## What it does

    Reports every rule that an `# explint: ignore[...]` comment names although the rule ran and
    found nothing there. A rule that could not decide, or did not run under the profile, is not
    reported.

    ## Why is this bad

    The defect is gone, or stands on another line than the comment. The comment then tells the
    reader of a problem that does not exist, and would hide the next one.

    ## Example

    ```python
    return loss  # explint: ignore[complete/todo-marker]: tracked in the design document
    ```

    ## Use instead

    ```python
    return loss
    ```

    ## References

    - `explint rule suppression/unknown-rule`
    """


@row_only("suppression/unknown-rule", code="SUP002", severity=Severity.WARNING, criteria=())
def _unknown_rule() -> None:
    """A suppression comment names no rule, or cannot be understood.

    ## What it does

    Reports a name in the brackets of an `# explint: ignore[...]` comment that is neither the name
    nor the code of a rule, and a comment that is meant as a suppression but not written as one:
    no brackets, no colon after `explint`, another word than `ignore` or `ignore-file`. A family
    such as `complete` is not accepted: it would hide rules nobody has looked at.

    ## Why is this bad

    Such a comment hides nothing, while its author believes that it does.

    ## Example

    ```python
    loss = train()  # explint: ignore[todo-marker]: reported upstream
    seed_all(0)  # explint ignore
    ```

    ## Use instead

    ```python
    loss = train()  # explint: ignore[complete/todo-marker]: reported upstream
    seed_all(0)
    ```

    ## References

    - `explint rules` lists the names and codes.
    """


@row_only("suppression/no-reason", code="SUP003", severity=Severity.WARNING, criteria=())
def _no_reason() -> None:
    """A suppression comment does not say why.

    ## What it does

    Reports an `# explint: ignore[...]` comment without a colon and a reason behind its brackets.
    The comment hides its findings all the same.

    ## Why is this bad

    A finding is hidden because somebody knows better. Without the reason the next reader cannot
    tell whether that is still so.

    ## Example

    ```yaml
    batch_size: 8  # explint: ignore[hydra/invalid-run-config]
    ```

    ## Use instead

    ```yaml
    batch_size: 8  # explint: ignore[hydra/invalid-run-config]: the loader takes the sum of both
    ```

    ## References

    - `explint rule suppression/unused`
    """


ROWS = (_unused, _unknown_rule, _no_reason)
"""The rows of the family, in the order of codes."""
