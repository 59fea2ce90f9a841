"""TOML text of plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def value(data: Any) -> str:  # noqa: ANN401 - any value TOML has
    """A value on one line; tables are inline tables. None has no form in TOML."""
    if isinstance(data, Mapping):
        pairs = ", ".join(f"{json_string(k)} = {value(v)}" for k, v in data.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(data, list | tuple):
        return "[" + ", ".join(map(value, data)) + "]"
    if isinstance(data, str):
        return json_string(data)
    return json.dumps(data)


def document(table: Mapping[str, Any]) -> str:
    """A whole file: plain keys first, then one section per table. None values are left out."""
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping) and v is not None}
    lines = [f"{k} = {value(v)}\n" for k, v in plain.items()]
    for name, section in table.items():
        if isinstance(section, Mapping):
            entries = "".join(
                f"{key(k)} = {value(v)}\n" for k, v in section.items() if v is not None
            )
            lines.append(f"\n[{key(name)}]\n{entries}")
    return "".join(lines)


def key(name: str) -> str:
    """A key, quoted where it must be."""
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else json_string(name)


def json_string(text: str) -> str:
    """A basic string: what JSON writes, but for DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
