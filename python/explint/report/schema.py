"""The JSON Schemas of the JSON reports, made from the structs they encode.

``python -m explint.report.schema FOLDER`` writes them all.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from explint.model import SCHEMA_VERSION, PackageReport, Report
from explint.model.audit import AUDIT_SUMMARY_VERSION, AuditSummary
from explint.model.judgement import JUDGEMENT_VERSION, Judgement

DIALECT = "https://json-schema.org/draft/2020-12/schema"

FILES = (
    "report.schema.json",
    "report-line.schema.json",
    "judgement.schema.json",
    "audit-summary.schema.json",
)


def report_schema() -> dict[str, Any]:
    """The schema of the ``json`` report."""
    return _document(Report, "report", "A report of explint.")


def line_schema() -> dict[str, Any]:
    """The schema of one line of the ``jsonl`` report: a package with the schema's version."""
    schema = _document(PackageReport, "report-line", "One line of a JSONL report of explint.")
    schema["properties"] = {"schema_version": {"const": SCHEMA_VERSION}, **schema["properties"]}
    schema["required"] = ["schema_version", *schema["required"]]
    return schema


def judgement_schema() -> dict[str, Any]:
    """The schema of the JSON report of ``explint judge``."""
    return _document(
        Judgement, "judgement", "What explint says of an LLM judge.", JUDGEMENT_VERSION
    )


def audit_summary_schema() -> dict[str, Any]:
    """The schema of the JSON report of ``explint audit summary``."""
    return _document(
        AuditSummary, "audit-summary", "What explint sums up of an audit.", AUDIT_SUMMARY_VERSION
    )


def _document(
    struct: type[msgspec.Struct], name: str, title: str, version: int = SCHEMA_VERSION
) -> dict[str, Any]:
    (reference,), definitions = msgspec.json.schema_components(
        (struct,), ref_template="#/$defs/{name}"
    )
    for definition in definitions.values():
        if definition.get("type") == "object":
            _complete(definition, version)
    root = definitions.pop(reference["$ref"].rpartition("/")[2])
    root.pop("title", None)
    return {
        "$schema": DIALECT,
        "$id": f"urn:explint:schema:{name}:{version}",
        "title": title,
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _complete(definition: dict[str, Any], version: int) -> None:
    """Says of an object what the encoder does: it writes every field, defaults too."""
    properties = definition.get("properties", {})
    definition["required"] = list(properties)
    definition["description"] = inspect.cleandoc(definition["description"])
    for name, field in properties.items():
        field.pop("default", None)
        if name == "schema_version":
            properties[name] = {"const": version}
        elif field.get("type") == "integer":
            first = name in ("line", "column", "end_line", "end_column", "criterion")
            field["minimum"] = 1 if first else 0
        elif name == "criteria" and field.get("type") == "object":
            field["propertyNames"] = {"pattern": "^[1-9]$"}


def write(folder: Path) -> None:
    """Writes the schemas into a folder."""
    schemas = (report_schema(), line_schema(), judgement_schema(), audit_summary_schema())
    for name, schema in zip(FILES, schemas, strict=True):
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m explint.report.schema FOLDER")
    write(Path(sys.argv[1]))
