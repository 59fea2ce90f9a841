"""What a composition can end with besides a config."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class ErrorKind(StrEnum):
    """Why Hydra refuses to compose, one member for each cause a reader would tell apart."""

    OVERRIDE_SYNTAX = "override-syntax"
    SWEEP = "sweep"
    NO_CONFIG_FOLDER = "no-config-folder"
    NO_PRIMARY_CONFIG = "no-primary-config"
    MISSING_CONFIG = "missing-config"
    NOT_IN_DEFAULTS = "not-in-defaults"
    MANDATORY_CHOICE = "mandatory-choice"
    DUPLICATE_DEFAULT = "duplicate-default"
    INVALID_DEFAULTS = "invalid-defaults"
    RECURSIVE_DEFAULTS = "recursive-defaults"
    DEFAULTS_INTERPOLATION = "defaults-interpolation"
    INVALID_CHOICE = "invalid-choice"
    NOT_A_GROUP = "not-a-group"
    NOT_IN_STRUCT = "not-in-struct"
    CANNOT_ADD = "cannot-add"
    CANNOT_DELETE = "cannot-delete"
    INVALID_YAML = "invalid-yaml"
    INVALID_HEADER = "invalid-header"
    NOT_A_MAPPING = "not-a-mapping"
    MERGE = "merge"
    INTERPOLATION = "interpolation"


class CompositionError(msgspec.Struct, frozen=True):
    """What Hydra would have said.

    ``message`` is the first line of Hydra's text (libyaml's words for a YAML error), ``more`` what
    follows it and helps. ``path``, ``line`` and ``column`` (1-based, in characters) are the culprit
    in the config tree, None when the culprit is an override or a file that is not there;
    ``override`` is the index of the override then.
    """

    kind: ErrorKind
    message: str
    more: str = ""
    path: str | None = None
    line: int | None = None
    column: int | None = None
    override: int | None = None


class Unsupported(msgspec.Struct, frozen=True):
    """The static composer does not cover this; ``reason`` says what. Hydra itself may know."""

    reason: str


class CompositionFailure(Exception):  # noqa: N818 - it carries a result, nobody sees it raised
    """Carries a CompositionError out of the composer."""

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        more: str = "",
        *,
        path: str | None = None,
        line: int | None = None,
        column: int | None = None,
        override: int | None = None,
    ) -> None:
        super().__init__(message)
        self.error = CompositionError(kind, message, more, path, line, column, override)


class NotCovered(Exception):  # noqa: N818 - see CompositionFailure
    """Carries the reason of an Unsupported out of the composer."""
