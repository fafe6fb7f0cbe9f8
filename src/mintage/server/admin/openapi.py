"""The API's own description, OpenAPI 3.1. Litestar writes it from the handlers; request bodies and errors are added
here, because handlers decode raw bytes themselves (the framework's decoder passes decimals through a float).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Litestar

from mintage.server.admin.problems import MEDIA_TYPE, Problem

_REF: Final = "#/components/schemas/{name}"


def describe(app: Litestar, prefix: str) -> dict[str, Any]:
    """The whole document of the routes under prefix."""
    document = app.openapi_schema.to_schema()
    document["paths"] = {path: item for path, item in document["paths"].items() if path.startswith(prefix)}
    bodies = _bodies(app, prefix)
    (problem, *_), schemas = msgspec.json.schema_components([Problem, *set(bodies.values())], ref_template=_REF)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas)
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "admin_token of server.json in the home folder"},
        "session": {"type": "apiKey", "in": "cookie", "name": "mintage_session"},
    }
    document["security"] = [{"token": []}, {"session": []}]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if (type_ := bodies.get((path, method))) is not None:
                (schema,), _ = msgspec.json.schema_components([type_], ref_template=_REF)
                operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
            responses = operation.setdefault("responses", {})
            responses.pop("400", None)
            responses["default"] = {
                "description": "Any failure",
                "content": {MEDIA_TYPE: {"schema": problem}},
            }
    return document


def _bodies(app: Litestar, prefix: str) -> dict[tuple[str, str], Any]:
    """(path as OpenAPI writes it, method) -> type of the body."""
    found: dict[tuple[str, str], Any] = {}
    for route in app.routes:
        if not route.path.startswith(prefix):
            continue
        path = route.path_format
        for handler in getattr(route, "route_handlers", []):
            if (type_ := handler.opt.get("takes")) is not None:
                for method in handler.http_methods:
                    found[path, str(method).lower()] = type_
    return found
