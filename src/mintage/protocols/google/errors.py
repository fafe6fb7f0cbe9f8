"""Our errors as Google's: {"error":{code,message,status,details}}, as google.rpc.Status is written in JSON."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from mintage.base import MintageError, new_id

HeaderList = list[tuple[bytes, bytes]]
_TYPE: Final = "type.googleapis.com/google.rpc."
#: Our status -> theirs: (HTTP status, google.rpc.Code).
_STATUS: Final[dict[int, tuple[int, str]]] = {
    400: (400, "INVALID_ARGUMENT"),
    401: (401, "UNAUTHENTICATED"),
    402: (429, "RESOURCE_EXHAUSTED"),
    403: (403, "PERMISSION_DENIED"),
    404: (404, "NOT_FOUND"),
    408: (408, "DEADLINE_EXCEEDED"),
    409: (409, "ABORTED"),
    429: (429, "RESOURCE_EXHAUSTED"),
    499: (499, "CANCELLED"),
    501: (501, "UNIMPLEMENTED"),
    503: (503, "UNAVAILABLE"),
    504: (504, "DEADLINE_EXCEEDED"),
}


def encode_error(error: MintageError, request_id: str | None = None) -> tuple[int, HeaderList, bytes]:
    """(status, headers, body). request_id None makes a fresh one."""
    status, _ = _status(error)
    headers: HeaderList = [
        (b"content-type", b"application/json; charset=UTF-8"),
        (b"x-request-id", (request_id or new_id("req")).encode("ascii", "replace")),
    ]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
    return status, headers, _body(error)


def error_frame(error: MintageError, *, sse: bool = True, first: bool = False) -> bytes:
    """The same body as the last piece of a stream that has begun. Cut the connection after it."""
    if sse:
        return b"data: " + _body(error) + b"\n\n"
    return (b"[" if first else b",\n") + _body(error) + b"]"


def _status(error: MintageError) -> tuple[int, str]:
    known = _STATUS.get(error.status)
    if known is None:
        known = (500, "INTERNAL") if error.status >= 500 else (error.status, "INVALID_ARGUMENT")
    return known


def _body(error: MintageError) -> bytes:
    status, name = _status(error)
    reason: dict[str, object] = {"@type": f"{_TYPE}ErrorInfo", "reason": error.code.upper(), "domain": "mintage"}
    details = [reason]
    if error.param is not None:
        violation = {"field": _clean(error.param), "description": _clean(error.message)}
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{max(error.retry_after_s, 0.001):.3f}s"})
    fields = {"code": status, "message": _clean(str(error)), "status": name, "details": details}
    return msgspec.json.encode({"error": fields})


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
