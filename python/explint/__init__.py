"""explint finds, without running anything, what keeps a generated experiment from running.

    import explint

    report = explint.check("path/to/package")
    for finding in report.packages[0].findings:
        print(finding.path, finding.line, finding.rule, finding.message)

Importing this module loads nothing of the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = ["Finding", "PackageReport", "Report", "Severity", "Verdict", "__version__", "check"]

if TYPE_CHECKING:
    from explint.model import Finding, PackageReport, Report, Severity, Verdict
    from explint.pipeline import check


def __getattr__(name: str) -> object:
    # Loaded on first use, so that `import explint` costs next to nothing.
    if name == "check":
        from explint.pipeline import check

        return check
    if name in __all__:
        from explint import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
