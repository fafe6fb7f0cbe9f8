"""The operation behind each endpoint that a batch may ask."""

from __future__ import annotations

from collections.abc import Callable

from mintage.server.answering import Voice
from mintage.server.anthropic_door import Messages
from mintage.server.media_door import EmbeddingVoice, ModerationVoice
from mintage.server.openai_door import Chat, Completion
from mintage.server.responses_door import ResponseVoice


def batch_voices() -> dict[str, Callable[[], Voice]]:
    return {
        "/v1/chat/completions": Chat,
        "/v1/completions": Completion,
        "/v1/responses": ResponseVoice,
        "/v1/embeddings": EmbeddingVoice,
        "/v1/moderations": ModerationVoice,
        "/v1/messages": Messages,
    }
