"""Errors as problem+json (RFC 9457), the same shape for every failure of the admin API."""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from mintage.base import STATUS_BY_CODE, MintageError

MEDIA_TYPE: Final = "application/problem+json"
_CODE_BY_STATUS: Final = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}
_log = logging.getLogger("mintage.admin")

AnyRequest = Request[Any, Any, Any]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """code is stable and for programs; detail and hint are for people. param names the field at fault."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    hint: str = ""
    param: str | None = None
    details: dict[str, Any] = {}


def problem_of(error: MintageError) -> Problem:
    return Problem(
        title=error.code.replace("_", " ").capitalize(),
        status=error.status,
        code=error.code,
        detail=error.message,
        hint=error.hint,
        param=error.param,
        details=error.details,
    )


def render_error(request: AnyRequest, error: MintageError) -> Response[bytes]:
    headers = {"cache-control": "no-store"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    if error.status == STATUS_BY_CODE["unauthenticated"]:
        headers["www-authenticate"] = 'Bearer realm="mintage admin"'
    return Response(
        msgspec.json.encode(problem_of(error)), status_code=error.status, media_type=MEDIA_TYPE, headers=headers
    )


def render_http(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """What the framework itself refuses: an unknown path, a wrong method, a query parameter of the wrong type."""
    code = _CODE_BY_STATUS.get(error.status_code, "internal" if error.status_code >= 500 else "invalid_request")
    if isinstance(error, ValidationException):
        return render_error(request, _bad_parameter(error))
    if code == "internal":
        return render_unexpected(request, error)
    message = "There is nothing here." if error.status_code == 404 else error.detail or "The request is refused."
    return render_error(
        request,
        MintageError(code, message, "GET /admin/v1/openapi.json describes every call.", status=error.status_code),
    )


def _bad_parameter(error: ValidationException) -> MintageError:
    extra = error.extra if isinstance(error.extra, list) else []
    first = extra[0] if extra and isinstance(extra[0], dict) else {}
    name = str(first.get("key", "")) or None
    message = str(first.get("message", "A parameter is not valid."))
    return MintageError(
        "invalid_request", f"{name}: {message}" if name else message, "Check the query parameters.", param=name
    )


def render_unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A fault of ours: the log gets the trace, the caller does not."""
    _log.error("unexpected failure of %s %s", request.method, request.url.path, exc_info=error)
    return render_error(
        request, MintageError("internal", "Something failed inside Mintage.", "The server's log says what.")
    )


HANDLERS: Final[Any] = {MintageError: render_error, HTTPException: render_http, Exception: render_unexpected}
