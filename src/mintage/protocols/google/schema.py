"""Google's own schemas (a subset of OpenAPI 3.0) as JSON Schema, which is what every other dialect takes."""

from __future__ import annotations

from typing import Final

_SAME: Final = (
    "description", "enum", "format", "default", "title", "pattern", "minimum", "maximum", "required",
)  # fmt: skip
_LIMITS: Final = (
    "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties",
)  # fmt: skip


def json_schema(wire: dict[str, object]) -> dict[str, object]:
    """What cannot be said in JSON Schema (propertyOrdering) says nothing about what is valid.

    Types may be in lower case: then the schema is JSON Schema already, and stays as it is.
    """
    kind = wire.get("type")
    if isinstance(kind, str) and kind.islower():
        return wire
    out: dict[str, object] = {}
    if isinstance(kind, str) and kind != "TYPE_UNSPECIFIED":
        out["type"] = [kind.lower(), "null"] if wire.get("nullable") is True else kind.lower()
    out |= {name: wire[name] for name in _SAME if name in wire}
    for name in _LIMITS:
        if name in wire:
            limit = wire[name]
            out[name] = int(limit) if isinstance(limit, str) and limit.isdigit() else limit
    if "example" in wire:
        out["examples"] = [wire["example"]]
    if isinstance(items := wire.get("items"), dict):
        out["items"] = json_schema(items)
    if isinstance(any_of := wire.get("anyOf"), list):
        out["anyOf"] = [json_schema(member) if isinstance(member, dict) else member for member in any_of]
    if isinstance(properties := wire.get("properties"), dict):
        out["properties"] = {n: json_schema(p) if isinstance(p, dict) else p for n, p in properties.items()}
    for name in ("additionalProperties", "$defs", "$ref"):
        if name in wire:
            out[name] = wire[name]
    return out
