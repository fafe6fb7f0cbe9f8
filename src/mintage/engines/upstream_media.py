"""What an upstream does besides writing: embeddings, moderation, speech, transcription. One call, one answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from mintage.base import (
    AnswerStarted,
    AudioDelta,
    Embedding,
    Event,
    MintageError,
    Request,
    Usage,
    UsageReported,
)
from mintage.engines.audio_length import audio_bound_ms
from mintage.engines.http_client import ResponseStream
from mintage.protocols import google, openai


class SendMedia(Protocol):
    """Sends a body of this content type and returns with the head of a 200; any other raises."""

    async def __call__(self, request: Request, content_type: bytes, body: bytes) -> ResponseStream: ...


async def media_events(send: SendMedia, request: Request, dialect: str) -> AsyncGenerator[Event, None]:
    """The events of one answer that is not written token by token."""
    if dialect == google.DIALECT:
        content_type, body = b"application/json", google.encode_embed_request(request, request.model)
    else:
        content_type, body = openai.encode_media_request(request, request.model)
    response = await send(request, content_type, body)
    try:
        yield AnswerStarted(model=request.model, upstream_id=_request_id(response))
        if request.operation == "speech":
            async for data in response:
                yield AudioDelta(data=data)
            yield UsageReported(usage=Usage(characters=len(request.prompts[0])))
            return
        for event in _read(await response.read(), request, dialect):
            yield event
    finally:
        await response.aclose()


def _read(raw: bytes, request: Request, dialect: str) -> list[Event]:
    if dialect == google.DIALECT:
        return _google_embeddings(raw, request)
    if request.operation == "embedding":
        return openai.decode_embeddings(raw, request)
    if request.operation == "moderation":
        return openai.decode_moderations(raw, request)
    if request.transcription is None:
        raise MintageError("invalid_request", "There is no audio to transcribe.", "Send a file.", param="file")
    return openai.decode_transcript(raw, audio_bound_ms(request.transcription.audio))


def _google_embeddings(raw: bytes, request: Request) -> list[Event]:
    vectors, tokens = google.decode_embeddings(raw)
    if len(vectors) != len(request.prompts):
        raise MintageError("upstream_failed", "The upstream sent not one embedding per text.", "Try again.")
    events: list[Event] = [Embedding(vector, index) for index, vector in enumerate(vectors)]
    estimate = sum(len(prompt.encode()) for prompt in request.prompts) // 4
    usage = Usage(input_tokens=max(1, estimate if tokens is None else tokens))
    return [*events, UsageReported(usage=usage, estimated=tokens is None)]


def _request_id(response: ResponseStream) -> str:
    return (response.header(b"x-request-id") or b"").decode("latin-1")[:128]
