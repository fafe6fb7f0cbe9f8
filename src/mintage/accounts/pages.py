"""Lists come in pages: a limit and an opaque cursor that names the last row seen, so no list grows without bound."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from mintage.base import MintageError

T = TypeVar("T")

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 500


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """next_cursor is None on the last page."""

    items: list[T]
    next_cursor: str | None = None


def encode_cursor(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The key of the last row seen. Raises MintageError("invalid_request")."""
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return raw.decode()
    except (ValueError, binascii.Error) as error:
        raise MintageError(
            "invalid_request", "The cursor cannot be read.", "Pass next_cursor of the previous page.", param="cursor"
        ) from error


def check_limit(limit: int) -> int:
    if not 1 <= limit <= PAGE_MAX:
        raise MintageError(
            "invalid_request", f"limit is {limit}.", f"Ask for 1 to {PAGE_MAX} rows a page.", param="limit"
        )
    return limit


def fetch_page(
    connection: sa.Connection,
    select: sa.Select[Any],
    key: sa.ColumnElement[Any],
    *,
    limit: int,
    cursor: str | None,
    newest_first: bool = False,
) -> tuple[list[dict[str, Any]], str | None]:
    """Rows of one page as dicts, and the cursor of the next. key is the unique column that orders them."""
    check_limit(limit)
    if cursor is not None:
        after: Any = decode_cursor(cursor)
        if isinstance(key.type, sa.Integer):
            after = int(after) if after.isdecimal() and len(after) < 19 else 0
        select = select.where(key < after if newest_first else key > after)
    select = select.order_by(key.desc() if newest_first else key).limit(limit + 1)
    rows = [dict(row) for row in connection.execute(select).mappings()]
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode_cursor(str(rows[limit - 1][str(key.key)]))
