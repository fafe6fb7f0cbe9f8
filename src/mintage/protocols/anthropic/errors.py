"""Our errors as Anthropic's: status, headers, and {"type":"error","error":{type,message},"request_id"}."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import msgspec

from mintage.base import MintageError, new_id

HeaderList = list[tuple[bytes, bytes]]
#: Its SDKs sleep as long as they are told, for minutes; a client that asks sooner is only told again.
_RETRY_AFTER_MAX_S: Final = 20.0


class _Shape(NamedTuple):
    type: str
    status: int | None = None  # where Anthropic's differs from ours
    retry: bool = True


_BILLING: Final = _Shape("billing_error", 402)
_OVERLOADED: Final = _Shape("overloaded_error", 529)
_SHAPES: Final[dict[str, _Shape]] = {
    "unauthenticated": _Shape("authentication_error"),
    "insufficient_funds": _BILLING,
    "budget_exceeded": _BILLING,
    "permission_denied": _Shape("permission_error"),
    "not_found": _Shape("not_found_error"),
    "model_not_found": _Shape("not_found_error"),
    "conflict": _Shape("conflict_error", retry=False),
    "idempotency_conflict": _Shape("conflict_error", retry=False),
    "home_locked": _Shape("conflict_error", retry=False),
    "payload_too_large": _Shape("request_too_large"),
    "rate_limited": _Shape("rate_limit_error"),
    "engine_busy": _OVERLOADED,
    "unavailable": _OVERLOADED,
    "shutting_down": _OVERLOADED,
    "not_implemented": _Shape("api_error", retry=False),
    "unpriceable": _Shape("api_error", retry=False),
    "upstream_timeout": _Shape("timeout_error"),
}
_RETRIED: Final = frozenset({408, 409, 429})


def encode_error(error: MintageError, request_id: str | None = None) -> tuple[int, HeaderList, bytes]:
    """(status, headers, body). request_id None makes a fresh one: SDKs show it with every exception."""
    shape = _shape(error)
    status = shape.status or error.status
    request_id = request_id or new_id("req")
    headers: HeaderList = [
        (b"content-type", b"application/json"),
        (b"request-id", request_id.encode("ascii", "replace")),
    ]
    if error.retry_after_s is not None:
        wait_ms = max(1, math.ceil(min(error.retry_after_s, _RETRY_AFTER_MAX_S) * 1000))
        headers += [(b"retry-after", b"%d" % -(-wait_ms // 1000)), (b"retry-after-ms", b"%d" % wait_ms)]
    if not shape.retry and (status in _RETRIED or status >= 500):
        headers.append((b"x-should-retry", b"false"))
    return status, headers, _body(error, shape, request_id)


def error_frame(error: MintageError, request_id: str | None = None) -> bytes:
    """The same body as the last event of a stream that has begun. Cut the connection after it."""
    return b"event: error\ndata: " + _body(error, _shape(error), request_id) + b"\n\n"


def _shape(error: MintageError) -> _Shape:
    return _SHAPES.get(error.code) or _Shape("api_error" if error.status >= 500 else "invalid_request_error")


def _body(error: MintageError, shape: _Shape, request_id: str | None) -> bytes:
    message = str(error) if error.param is None else f"{error.param}: {error}"
    fields = {"type": shape.type, "message": message.encode("utf-8", "replace").decode()}
    return msgspec.json.encode({"type": "error", "error": fields, "request_id": request_id})
