"""Our errors as OpenAI's: status, headers, and {"error": {message, type, param, code}}.

SDKs retry 408, 409, 429 and 5xx on their own. Where asking again cannot help, `x-should-retry: false` says so.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import msgspec

from mintage.base import MintageError, new_id

HeaderList = list[tuple[bytes, bytes]]


class _Shape(NamedTuple):
    """type and code as OpenAI's clients match them; code None means the finer reason of the error, or ours."""

    type: str
    code: str | None = None
    status: int | None = None  # where OpenAI's differs from ours
    retry: bool = True


_REQUEST: Final = "invalid_request_error"
_SERVER: Final = "server_error"
_QUOTA: Final = _Shape("insufficient_quota", "insufficient_quota", 429, retry=False)

_SHAPES: Final[dict[str, _Shape]] = {
    "invalid_request": _Shape(_REQUEST, "invalid_value"),
    "invalid_json": _Shape(_REQUEST),
    "unsupported": _Shape(_REQUEST, "unsupported_parameter"),
    "context_length_exceeded": _Shape(_REQUEST),
    "invalid_settings": _Shape(_REQUEST),
    "unauthenticated": _Shape(_REQUEST, "invalid_api_key"),
    "insufficient_funds": _QUOTA,
    "budget_exceeded": _QUOTA,
    "permission_denied": _Shape(_REQUEST),
    "not_found": _Shape(_REQUEST),
    "model_not_found": _Shape(_REQUEST),
    "method_not_allowed": _Shape(_REQUEST),
    "request_timeout": _Shape(_REQUEST),
    "conflict": _Shape(_REQUEST, retry=False),
    "idempotency_conflict": _Shape(_REQUEST, retry=False),
    "home_locked": _Shape(_REQUEST, retry=False),
    "payload_too_large": _Shape(_REQUEST),
    "unsupported_media_type": _Shape(_REQUEST),
    "rate_limited": _Shape("requests", "rate_limit_exceeded"),
    "engine_busy": _Shape(_SERVER, "engine_overloaded"),
    "headers_too_large": _Shape(_REQUEST),
    "client_closed": _Shape(_REQUEST),
    "internal": _Shape(_SERVER),
    "not_implemented": _Shape(_SERVER, retry=False),
    "upstream_failed": _Shape(_SERVER),
    "unpriceable": _Shape(_SERVER, retry=False),
    "unavailable": _Shape(_SERVER),
    "books_unavailable": _Shape(_SERVER),
    "shutting_down": _Shape(_SERVER),
    "upstream_timeout": _Shape(_SERVER),
}
_RETRIED: Final = frozenset({408, 409, 429})


def encode_error(error: MintageError, request_id: str | None = None) -> tuple[int, HeaderList, bytes]:
    """(status, headers, body). Retry-after is sent in milliseconds too, which SDKs prefer.

    request_id None, for what was refused before it had one, makes a fresh id: SDKs show it with every exception.
    """
    shape = _shape(error)
    status = shape.status or error.status
    headers: HeaderList = [
        (b"content-type", b"application/json"),
        (b"x-request-id", (request_id or new_id("req")).encode("ascii", "replace")),
    ]
    if error.retry_after_s is not None:
        wait_ms = max(1, math.ceil(error.retry_after_s * 1000))
        headers += [(b"retry-after", b"%d" % -(-wait_ms // 1000)), (b"retry-after-ms", b"%d" % wait_ms)]
    if not shape.retry and (status in _RETRIED or status >= 500):
        headers.append((b"x-should-retry", b"false"))
    return status, headers, _body(error, shape)


def error_frame(error: MintageError) -> bytes:
    """The same body as the last event of a stream that has begun. Cut the connection after it."""
    return b"data: " + _body(error, _shape(error)) + b"\n\n"


def error_code(error: MintageError) -> str:
    """OpenAI's code of an error, the finer reason where there is one."""
    reason = error.details.get("reason")
    return reason if isinstance(reason, str) else _shape(error).code or error.code


def _shape(error: MintageError) -> _Shape:
    return _SHAPES.get(error.code) or _Shape(_SERVER if error.status >= 500 else _REQUEST)


def _body(error: MintageError, shape: _Shape) -> bytes:
    limit = error.details.get("limit")
    fields: dict[str, object] = {
        "message": str(error),
        "type": "tokens" if shape.type == "requests" and limit == "tokens" else shape.type,
        "param": error.param,
        "code": error_code(error),
    }
    try:
        return msgspec.json.encode({"error": fields})
    except UnicodeEncodeError:  # a lone surrogate of the caller's own text
        fields |= {"message": str(error).encode("ascii", "replace").decode(), "param": None}
        return msgspec.json.encode({"error": fields})
