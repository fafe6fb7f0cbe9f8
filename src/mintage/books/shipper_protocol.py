"""What the server and the shipper process say to each other, one JSON object a line."""

from __future__ import annotations

from typing import Any

import msgspec


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """sync: first read the log up to its present end."""

    id: int
    operation: str
    parameters: dict[str, Any] = {}
    sync: bool = False


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    message: str
    hint: str = ""


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: int
    result: Any = None
    error: Failure | None = None
