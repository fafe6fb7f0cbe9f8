"""What a finished request tells to tracing: a sink gets every conversation once, and names its parent if it had one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from mintage.gateway.conversation import Conversation

#: https://www.w3.org/TR/trace-context/: version 00, or a later one that begins like it.
_PARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?\Z", re.DOTALL)
_PARENT_LIMIT: Final = 512  # bytes; a longer header is no traceparent


class SpanSink(Protocol):
    """Told of every request that was held, once it has ended. Must not wait and must not raise."""

    def ended(self, conversation: Conversation, outcome: str) -> None: ...


class TraceParent(NamedTuple):
    """The client's own span."""

    trace_id: int
    span_id: int
    sampled: bool


def trace_parent(header: bytes | None) -> TraceParent | None:
    """The header `traceparent`. None if it is absent or malformed: then the trace begins here."""
    if header is None or len(header) > _PARENT_LIMIT or (match := _PARENT.match(header.strip())) is None:
        return None
    trace_id, span_id = int(match[1], 16), int(match[2], 16)
    if not trace_id or not span_id:
        return None
    return TraceParent(trace_id, span_id, bool(int(match[3], 16) & 1))
