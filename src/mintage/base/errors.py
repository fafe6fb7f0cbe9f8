"""The one error root. An error carries data; each dialect renders it in its own shape."""

from __future__ import annotations

import traceback
from typing import Final

#: code -> HTTP status. A code is stable and public: scripts and SDKs match on it.
STATUS_BY_CODE: Final[dict[str, int]] = {
    "invalid_request": 400,
    "invalid_json": 400,
    "unsupported": 400,
    "context_length_exceeded": 400,
    "invalid_settings": 400,
    "unauthenticated": 401,
    "insufficient_funds": 402,
    "budget_exceeded": 402,
    "permission_denied": 403,
    "not_found": 404,
    "model_not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "conflict": 409,
    "idempotency_conflict": 409,
    "home_locked": 409,
    "precondition_failed": 412,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "engine_busy": 429,
    "headers_too_large": 431,
    "client_closed": 499,
    "internal": 500,
    "not_implemented": 501,
    "upstream_failed": 502,
    "unpriceable": 503,
    "unavailable": 503,
    "books_unavailable": 503,
    "shutting_down": 503,
    "upstream_timeout": 504,
}


class MintageError(Exception):
    """Every failure that a caller may see.

    code: a key of STATUS_BY_CODE. message: what happened, in one sentence, without secrets or another
    tenant's data. hint: what the caller can do about it. param: the field at fault, if one is. details: plain
    data for programs (for example balance_nanos, held_nanos and needed_nanos of a refusal).
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        status: int | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.status = STATUS_BY_CODE[code] if status is None else status
        self.param = param
        self.retry_after_s = retry_after_s
        self.details = details or {}

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()

    def __repr__(self) -> str:
        return f"MintageError({self.code!r}, {self.message!r}, {self.hint!r})"


def places(error: BaseException) -> str:
    """Where an error came from, innermost first. For logs: its message is left out, as it may hold a secret."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
