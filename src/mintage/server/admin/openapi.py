"""The API's own description, OpenAPI 3.1. Litestar writes it from the handlers; what the house adds is added here:
request bodies with an example (handlers decode raw bytes themselves, as the framework's decoder passes decimals through
a float), who may call (access.py), the headers that every call understands, and the one shape of errors.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Litestar, Response
from litestar.response import Stream

from mintage.accounts import COOKIE
from mintage.server.admin.access import ENDPOINTS
from mintage.server.admin.problems import MEDIA_TYPE, Problem

_REF: Final = "#/components/schemas/{name}"
_CHANGES: Final = ("post", "put", "patch", "delete")
_HEADERS: Final[dict[str, tuple[str, str]]] = {
    "Idempotency-Key": ("Sent again with the same words within a day, the call is answered and not done again.", "k-1"),
    "If-Match": ("The ETag that the thing must still have; else the answer is 412.", '"0123456789abcdef"'),
    "x-csrf-token": ("For calls by session cookie: csrf of GET /session.", "0" * 64),
}
_PROBLEM_EXAMPLE: Final = {
    "title": "Not found",
    "status": 404,
    "code": "not_found",
    "detail": "There is no customer 'nobody'.",
    "hint": "`mintage customers list` shows all.",
}


@cache
def _examples() -> dict[str, dict[str, Any]]:
    """ "GET /path" -> the status and body of a real answer, as scripts/record_api_examples.py recorded it."""
    raw = Path(__file__).with_name("examples.json").read_bytes()
    return msgspec.json.decode(raw, type=dict[str, dict[str, Any]])


def describe(app: Litestar, prefix: str) -> dict[str, Any]:
    """The whole document of the routes under prefix."""
    document = app.openapi_schema.to_schema()
    document["paths"] = {path: item for path, item in document["paths"].items() if path.startswith(prefix)}
    handlers = _handlers(app, prefix)
    bodies = {handler.opt["takes"] for handler in handlers.values() if "takes" in handler.opt}
    (problem, *_), schemas = msgspec.json.schema_components([Problem, *bodies], ref_template=_REF)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas)
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "admin_token of server.json in the home folder"},
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
    }
    document["security"] = [{"token": []}, {"session": []}]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            handler = handlers[path, method]
            _describe_body(operation, handler.opt)
            _describe_access(operation, f"{method.upper()} {path.removeprefix(prefix)}")
            _describe_headers(operation, method, handler)
            _describe_answers(operation, handler, problem)
            _show_answer(operation, _examples().get(f"{method.upper()} {path.removeprefix(prefix)}"))
    _as_ecma(document)
    return document


def _as_ecma(value: Any) -> None:
    """Patterns in JSON Schema are of ECMA-262, where `$` is what Python's `\\Z` is."""
    if isinstance(value, dict):
        if isinstance(pattern := value.get("pattern"), str):
            value["pattern"] = pattern.replace("\\Z", "$")
        value = list(value.values())
    if isinstance(value, list):
        for member in value:
            _as_ecma(member)


def _describe_body(operation: dict[str, Any], opt: dict[str, Any]) -> None:
    if (type_ := opt.get("takes")) is not None:
        (schema,), _ = msgspec.json.schema_components([type_], ref_template=_REF)
        content: dict[str, Any] = {"schema": schema}
        if "example" in opt:
            content["examples"] = {"typical": {"value": opt["example"]}}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}


def _describe_access(operation: dict[str, Any], line: str) -> None:
    access = ENDPOINTS.get(line)
    if access is None:
        return
    if not (access.staff or access.portal or access.signed_in):
        operation["security"] = []
    elif access.signed_in:
        operation["security"] = [{"session": []}]
    operation["x-permission"] = access.staff
    operation["x-portal-permission"] = access.portal


def _describe_headers(operation: dict[str, Any], method: str, handler: Any) -> None:
    """Headers are optional and any text is understood: a tag that is none simply matches nothing."""
    wanted = ["Idempotency-Key", "x-csrf-token"] if method in _CHANGES else []
    if "match" in handler.parsed_fn_signature.parameters:
        wanted.append("If-Match")
    for name in wanted:
        text, example = _HEADERS[name]
        operation.setdefault("parameters", []).append(
            {"name": name, "in": "header", "description": text, "schema": {"type": "string"}, "example": example}
        )


def _describe_answers(operation: dict[str, Any], handler: Any, problem: Any) -> None:
    """What is handed on as bytes has the media type that its opt `media` says, or any."""
    answers = operation.setdefault("responses", {})
    answers.pop("400", None)
    if handler.parsed_fn_signature.return_type.raw in (Response[bytes], Stream):
        media = handler.opt.get("media", "*/*")
        for answer in answers.values():
            answer["content"] = {media: {"schema": {} if media.endswith("json") else {"type": "string"}}}
    content = {"schema": problem, "examples": {"typical": {"value": _PROBLEM_EXAMPLE}}}
    answers["default"] = {"description": "Any failure", "content": {MEDIA_TYPE: content}}


def _show_answer(operation: dict[str, Any], example: dict[str, Any] | None) -> None:
    answer = operation["responses"].get(example["status"]) if example is not None else None
    if example is not None and answer is not None:
        content = answer.setdefault("content", {}).setdefault("application/json", {"schema": {}})
        content["examples"] = {"recorded": {"value": example["value"]}}


def _handlers(app: Litestar, prefix: str) -> dict[tuple[str, str], Any]:
    """(path as OpenAPI writes it, method) -> its handler."""
    return {
        (route.path_format, str(method).lower()): handler
        for route in app.routes
        if route.path.startswith(prefix)
        for handler in getattr(route, "route_handlers", [])
        for method in handler.http_methods
    }
