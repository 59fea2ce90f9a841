"""One row of the rule table."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from explint.model.finding import Confidence, Severity


class RuleStatus(StrEnum):
    """``preview`` rules run only when asked for by name; ``deprecated`` ones warn when selected."""

    STABLE = "stable"
    PREVIEW = "preview"
    DEPRECATED = "deprecated"


class Implementation(StrEnum):
    """Which side finds it: the Rust core or the Python layer."""

    CORE = "core"
    PYTHON = "python"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as every list, page and report knows it.

    ``doc`` is the rule's page in Markdown under the fixed headings *What it does*, *Why is this
    bad*, *Example*, *Use instead* and *References*; ``summary`` is the sentence above them.
    ``profiles`` is empty when the rule applies to every profile.
    """

    name: str
    code: str
    severity: Severity
    criteria: tuple[int, ...]
    summary: str
    doc: str
    implementation: Implementation
    confidence: Confidence = Confidence.HIGH
    profiles: tuple[str, ...] = ()
    since: str = "0.1.0"
    status: RuleStatus = RuleStatus.STABLE

    @property
    def family(self) -> str:
        """The part of the name before the slash."""
        return self.name.partition("/")[0]

    @property
    def slug(self) -> str:
        """The file name of the rule's page, without its suffix."""
        return self.name.replace("/", "-")
