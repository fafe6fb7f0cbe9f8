"""One structured line per request: who, which model, how long, charge, cost, margin. Never a prompt, never a key.

Lines are gathered and written a few times a second, so that a request pays for encoding only. Fields and their
meaning: docs/reference/logs.md.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from mintage.base import Usage
from mintage.gateway.attempts import AttemptRecord

if TYPE_CHECKING:
    from mintage.gateway.conversation import Conversation

_NO_USAGE: Final = Usage()
_FLUSH_S: Final = 0.25
_WAITING_LIMIT: Final = 10_000  # lines; beyond it lines are dropped and counted
_FILE_LIMIT_BYTES: Final = 64 * 1024 * 1024  # then it becomes requests.1.jsonl, and the one before that goes


class RequestLine(msgspec.Struct, omit_defaults=True, gc=False):
    """Written in this order; what is zero or empty is left out."""

    time_ns: int
    request_id: str
    tenant_id: str
    key_id: str
    model: str
    outcome: str  # ok, cut, failed, released
    latency_ms: float
    first_token_ms: float | None = None
    input_tokens: int = 0
    cached_read_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    currency: str = ""
    charge_nanos: int = 0
    cost_nanos: int = 0
    margin_nanos: int = 0
    estimated: bool = False
    failure: str = ""  # code of the error that ended it
    attempts: list[AttemptRecord] = []  # where the model's route has a plan: every attempt, the last one answered


class RequestLog:
    """Appends to one file; a full or failing disk drops lines and counts them, it never stops a request."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._encode = msgspec.json.Encoder().encode
        self.dropped = 0

    def write(self, conversation: Conversation, outcome: str) -> None:
        if len(self._waiting) >= _WAITING_LIMIT:
            self.dropped += 1
            return
        self._waiting.append(self._encode(_line(conversation, outcome)))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write what waits, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._waiting = self._waiting, []
        if not lines:
            return
        try:
            if self._path.exists() and self._path.stat().st_size > _FILE_LIMIT_BYTES:
                self._path.replace(self._path.with_suffix(".1.jsonl"))
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(b"\n".join(lines) + b"\n")
        except OSError:
            self.dropped += len(lines)


def _line(conversation: Conversation, outcome: str) -> RequestLine:
    caller, usage, receipt = conversation.caller, conversation.usage or _NO_USAGE, conversation.receipt
    charge_nanos, cost_nanos = (receipt.posted_nanos, receipt.cost_nanos) if receipt is not None else (0, 0)
    return RequestLine(
        conversation.started_ns,
        conversation.id,
        caller.tenant_id,
        caller.key_id,
        conversation.request.model,
        outcome,
        round(conversation.latency_ms(), 3),
        conversation.first_token_ms(),
        usage.input_tokens,
        usage.cached_read_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        receipt.currency if receipt is not None else "",
        charge_nanos,
        cost_nanos,
        charge_nanos - cost_nanos,
        conversation.estimated,
        conversation.failure,
        conversation.attempts.records if conversation.attempts is not None else [],
    )
