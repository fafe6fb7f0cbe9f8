"""What an upstream's failure means for our customer.

A customer is told what is wrong with the request itself. Whatever is between us and the provider (our key, our quota,
its name for the model) is our failure: the words of the provider stay in details, for the operator's log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from mintage.base import MintageError

Headers = Iterable[tuple[bytes, bytes]] | Mapping[bytes, bytes]

_SHOWN_CHARS: Final = 300
_BODY_LIMIT_BYTES: Final = 64 * 1024
_RETRY_AFTER_MAX_S: Final = 60.0
_CONTEXT = re.compile(
    r"context[_ ](length|window|size)|maximum context|too many (input )?tokens|prompt is too long"
    r"|exceeds? the (available )?context",
    re.IGNORECASE,
)
#: Account ids, keys and addresses that a provider may put in a message.
_SECRET = re.compile(r"\b(?:sk|rk|pk|org|proj|acct)[-_][\w*.-]{6,}|\bBearer\s+\S+|https?://\S+")


class _ErrorObject(Struct):
    message: object = None
    code: object = None
    type: object = None
    param: object = None


class _ErrorBody(Struct):
    error: _ErrorObject | str | None = None
    message: object = None
    detail: object = None


_decode = msgspec.json.Decoder(_ErrorBody).decode


def decode_error(status: int, headers: Headers, body: bytes) -> MintageError:
    """The error to raise for an upstream's answer that is not a 2xx. details keep the provider's status and code."""
    fault = _fault(body)
    known = dict(headers.items() if isinstance(headers, Mapping) else headers)
    names = {name.lower(): value for name, value in known.items()}
    error = _translate(status, fault, _retry_after_s(names))
    error.details |= {
        "upstream_status": status,
        "upstream_code": _text(fault.code) or _text(fault.type),
        "upstream_message": _clean(_text(fault.message)),
        "upstream_request_id": (names.get(b"x-request-id") or names.get(b"request-id") or b"").decode("latin-1")[:128],
    }
    return error


def decode_stream_error(error: bytes | msgspec.Raw) -> MintageError:
    """The error to raise for the `error` member of a stream's event."""
    fault = _fault(b'{"error":' + bytes(error) + b"}")
    status = fault.code if isinstance(fault.code, int) and 400 <= fault.code <= 599 else 502
    return decode_error(status, (), b'{"error":' + bytes(error) + b"}")


def cut_error() -> MintageError:
    return MintageError("upstream_failed", "The upstream cut its answer before the end.", "Ask again.")


def unreadable(what: str) -> MintageError:
    """The upstream sent what is not the protocol."""
    return MintageError(
        "upstream_failed", f"The upstream sent {what}.", "Try again; if it persists, tell the operator."
    )


def _translate(status: int, fault: _ErrorObject, retry_after_s: float | None) -> MintageError:
    message = _clean(_text(fault.message))
    code = _text(fault.code) or _text(fault.type)
    if status in (400, 413, 422) and (code == "context_length_exceeded" or _CONTEXT.search(message)):
        return MintageError(
            "context_length_exceeded",
            message or "The request is longer than the model's context.",
            "Shorten the messages or ask for fewer tokens.",
            param="messages",
        )
    if status == 413:
        return MintageError("payload_too_large", "The request is too large for this model.", "Send less.")
    if status in (400, 422):
        return MintageError(
            "invalid_request",
            message or "The model refused the request.",
            "Change the request; sending it again will not help.",
            param=_text(fault.param) or None,
        )
    if status == 429 and "quota" not in code and "quota" not in message.lower() and "billing" not in code:
        return MintageError(
            "engine_busy", "The model is busy.", "Wait a moment and try again.", retry_after_s=retry_after_s or 1.0
        )
    if status in (408, 504):
        return MintageError("upstream_timeout", "The model did not answer in time.", "Try again.")
    if status in (503, 529):
        return MintageError(
            "unavailable", "The model is not available now.", "Try again later.", retry_after_s=retry_after_s or 2.0
        )
    return MintageError(
        "upstream_failed", "The model's provider failed.", "Try again; if it persists, tell the operator."
    )


def _fault(body: bytes) -> _ErrorObject:
    """The error object of any of the shapes that providers send; an empty one if it is none of them."""
    try:
        wire = _decode(body[:_BODY_LIMIT_BYTES])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _ErrorObject()
    if isinstance(wire.error, _ErrorObject):
        return wire.error
    return _ErrorObject(message=wire.error or wire.message or wire.detail)


def _text(value: object) -> str:
    return value[:_SHOWN_CHARS] if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def _clean(text: str) -> str:
    return _SECRET.sub("[removed]", text)


def _retry_after_s(headers: Mapping[bytes, bytes]) -> float | None:
    for name, per_second in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / per_second
        except (KeyError, ValueError):
            continue
        if 0 < seconds < float("inf"):
            return min(seconds, _RETRY_AFTER_MAX_S)
    return None
