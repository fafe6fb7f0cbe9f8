"""Reading what callers send: bodies decoded by msgspec to a type, money and days as text, never through a float."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Final, TypeVar

import msgspec

from mintage.base import MintageError, Money

T = TypeVar("T")

BODY_LIMIT_BYTES: Final = 2 * 1024 * 1024
_PATH: Final = re.compile(r" - at `\$\.?(.*)`$")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def decode(body: bytes, type_: type[T]) -> T:
    """Raises invalid_json, or invalid_request whose param is the path of the field at fault."""
    if len(body) > BODY_LIMIT_BYTES:
        raise MintageError("payload_too_large", f"The body is larger than {BODY_LIMIT_BYTES} bytes.", "Send less.")
    try:
        return msgspec.json.decode(body or b"{}", type=type_)
    except msgspec.ValidationError as error:
        found = _PATH.search(str(error))
        path = found.group(1) if found else None
        message = _PATH.sub("", str(error))
        raise MintageError(
            "invalid_request",
            f"{path}: {message}." if path else f"{message}.",
            "GET /admin/v1/openapi.json describes the body.",
            param=path or None,
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MintageError("invalid_json", f"The body is not valid JSON: {error}.", "Send a JSON object.") from error


def money_nanos(amount: str, currency: str, param: str = "amount") -> int:
    """Currency units as text, at most 9 places: "25.00" is 25,000,000,000 nanos."""
    try:
        return Money.parse(amount, currency, param=param).nanos
    except MintageError as error:
        error.param = error.param or param
        raise


def day_ns(text: str | None, param: str) -> int | None:
    """The start of a UTC day, written as 2026-01-31."""
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise MintageError(
            "invalid_request", f"{param}: {text[:40]!r} is not a day.", "Write it as 2026-01-31.", param=param
        ) from error
    return (datetime(day.year, day.month, day.day, tzinfo=UTC) - _EPOCH).days * 86_400 * 10**9
