"""The JSON Schema of plan files; schema.py writes it to docs/reference/plan.schema.json.

Editors complete and check plan files with it; `mintage plan apply` checks them with the types themselves.
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from mintage.pricing.plan import Plan


def plan_schema() -> dict[str, Any]:
    """JSON Schema draft 2020-12. Numbers may be written as strings, which keeps them exact everywhere."""
    schema = msgspec.json.schema(Plan)
    _exact_numbers(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Mintage plan",
        **schema,
    }


def _exact_numbers(node: object) -> None:
    """msgspec describes a Decimal as a string; plans also take bare numbers, read digit by digit.

    Descriptions are docstrings, which Python indents as they are written before 3.13 and not from then on.
    """
    if isinstance(node, dict):
        if isinstance(text := node.get("description"), str):
            node["description"] = inspect.cleandoc(text)
        if node.get("format") == "decimal":
            node.pop("format")
            node["type"] = ["string", "number"]
            node["pattern"] = r"^\d+(\.\d{1,12})?$"
            node["minimum"] = 0
        for child in node.values():
            _exact_numbers(child)
    elif isinstance(node, list):
        for child in node:
            _exact_numbers(child)


def schema_text() -> bytes:
    """What the published file holds."""
    return msgspec.json.format(msgspec.json.encode(plan_schema()), indent=2) + b"\n"
