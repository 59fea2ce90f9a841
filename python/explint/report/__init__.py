"""Reports in every output format. Knows ``explint.model`` only; formats load when asked for.

Names, messages and source lines come from audited code and are untrusted: every format writes them
so that neither a terminal nor the tool that reads the format acts on them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TextIO

from explint.report.base import Reporter, ReportOptions, SourceText
from explint.report.terminal import ColorChoice, Terminal

__all__ = [
    "FORMATS",
    "ColorChoice",
    "ReportOptions",
    "Reporter",
    "SourceText",
    "Terminal",
    "create",
]

FORMATS: tuple[str, ...] = (
    "full",
    "concise",
    "json",
    "jsonl",
    "sarif",
    "github",
    "gitlab",
    "junit",
    "agent",
    "verdict",
)


def create(format: str, sink: TextIO, *, terminal: Terminal, options: ReportOptions) -> Reporter:
    """A reporter that writes one of ``FORMATS`` to ``sink``.

    ``terminal`` says what ``sink`` takes; with ``terminal.unicode`` false only ASCII is written,
    in the notation of the format. Raises ``ValueError`` for a format that does not exist.
    """
    if format not in FORMATS:
        raise ValueError(f"no report format `{format}`; there are {', '.join(FORMATS)}")
    module = import_module(f"explint.report.{format}")
    reporter: Reporter = module.REPORTER(sink, terminal, options)
    return reporter
