"""The one table of all rules, whichever side answers them."""

from __future__ import annotations

import functools

from explint import core
from explint.model import Rule
from explint.rules import python_rules
from explint.rules.internal import RULE_CRASH
from explint.rules.run import ROWS as RUN_ROWS
from explint.rules.suppression import ROWS as SUPPRESSION_ROWS


@functools.cache
def rule_table() -> tuple[Rule, ...]:
    """Every rule, in the order of codes."""
    rows = [
        *core.rules(),
        *(r.row for r in python_rules()),
        *RUN_ROWS,
        *SUPPRESSION_ROWS,
        RULE_CRASH,
    ]
    return tuple(sorted(rows, key=lambda row: row.code))


@functools.cache
def rules_by_name() -> dict[str, Rule]:
    """The table by rule name."""
    return {row.name: row for row in rule_table()}
