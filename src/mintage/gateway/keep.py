"""What is kept of a request, where its customer chose so: gathered as it passes, written after it has ended.

A customer who keeps nothing costs one look into a dictionary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.base import Request, Text
from mintage.content import Content
from mintage.gateway.collect import Collector

if TYPE_CHECKING:
    from mintage.gateway.conversation import Conversation

_PIECES_MAX: Final = 200_000


class Keeper:
    """begin() gives the list that a conversation's pieces go to, or None; end() hands it over, off the hot path."""

    def __init__(self, content: Content) -> None:
        self._chosen = content.policies.chosen
        self._records = content.records

    def begin(self, tenant_id: str) -> list[Any] | None:
        return [] if tenant_id in self._chosen else None

    def end(self, conversation: Conversation) -> None:
        caller, kept = conversation.caller, conversation.kept
        policy = self._chosen.get(caller.tenant_id)
        if policy is None or kept is None:
            return
        request, full = conversation.request, policy.keep == "full"
        record: dict[str, Any] = {
            "request_id": conversation.id,
            "at_ns": conversation.started_ns,
            "project_id": caller.project_id,
            "key_id": caller.key_id,
            "model": request.model,
            "operation": str(request.operation),
            "outcome": conversation.outcome or "released",
            "usage": conversation.usage,
        }

        def build() -> dict[str, Any]:
            record["messages"] = _outline(request)
            if full:
                record["request"] = request
                record["answer"] = _answer(request.model, kept[:_PIECES_MAX])
            return record

        self._records.offer(caller.tenant_id, conversation.id, conversation.started_ns, build)


def _outline(request: Request) -> list[dict[str, Any]]:
    """Who said how much, without a word of it."""
    return [
        {
            "role": message.role,
            "parts": [type(part).__name__.lower() for part in message.parts],
            "characters": sum(len(part.text) for part in message.parts if isinstance(part, Text)),
        }
        for message in request.messages
    ]


def _answer(model: str, pieces: list[Any]) -> Any:
    """The answer as it was collected; of the byte path, the provider's own bytes."""
    if pieces and isinstance(pieces[0], bytes):
        return {"raw": b"".join(piece for piece in pieces if isinstance(piece, bytes)).decode("utf-8", "replace")}
    collector = Collector(model)
    for piece in pieces:
        collector.add(piece)
    return msgspec.to_builtins(collector.answer()) if pieces else None
