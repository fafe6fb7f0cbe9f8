"""What OpenAI's dialect does besides writing: embeddings, moderations, speech, transcriptions and translations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mintage.base import MintageError, Moderation, Request, Segment, UsageReported
from mintage.gateway import Conversation, Gateway
from mintage.protocols import openai
from mintage.server.answering import JSON, Answering, Handling, Headers, embeddings
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.listener import Handler
from mintage.server.openai_door import OpenAIVoice


class EmbeddingVoice(OpenAIVoice):
    _encoding: Literal["float", "base64"] = "float"

    def decode(self, http: HttpRequest) -> Request:
        request, self._encoding = openai.decode_embedding_body(http.body)
        return request

    async def respond(self, conversation: Conversation) -> tuple[Headers, bytes]:
        vectors, reported = await embeddings(conversation)
        model = conversation.request.model
        return [JSON], openai.encode_embeddings(vectors, reported.usage, model, self._encoding)


class ModerationVoice(OpenAIVoice):
    def decode(self, http: HttpRequest) -> Request:
        return openai.decode_moderation_body(http.body)

    async def respond(self, conversation: Conversation) -> tuple[Headers, bytes]:
        verdicts = [event async for event in conversation.events() if isinstance(event, Moderation)]
        if len(verdicts) != len(conversation.request.prompts):
            raise MintageError("upstream_failed", "A verdict is missing.", "Ask again.")
        answer_id = "modr" + conversation.id[3:]
        return [JSON], openai.encode_moderations(verdicts, conversation.request.model, answer_id)


class _Speech(OpenAIVoice):
    """Sound, sent as it is made."""

    _format = "mp3"

    @property
    def stream_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"content-type", openai.MEDIA_TYPES[self._format]),)

    def decode(self, http: HttpRequest) -> Request:
        request = openai.decode_speech_body(http.body)
        if request.speech is not None:
            self._format = request.speech.format
        return request

    def encoder(self, conversation: Conversation) -> openai.SpeechEncoder:
        return openai.SpeechEncoder()


class _Transcription(OpenAIVoice):
    def __init__(self, *, translate: bool) -> None:
        self._translate = translate
        self._written: Literal["json", "text", "srt", "verbose_json", "vtt"] = "json"

    def decode(self, http: HttpRequest) -> Request:
        content_type = http.header(b"content-type") or b""
        request, self._written = openai.decode_transcription_form(content_type, http.body, translate=self._translate)
        return request

    def encoder(self, conversation: Conversation) -> openai.TranscriptEncoder:
        return openai.TranscriptEncoder()

    async def respond(self, conversation: Conversation) -> tuple[Headers, bytes]:
        segments: list[Segment] = []
        reported: UsageReported | None = None
        async for event in conversation.events():
            if isinstance(event, Segment):
                segments.append(event)
            elif isinstance(event, UsageReported):
                reported = event
        if reported is None:
            raise MintageError("upstream_failed", "The transcript was cut.", "Ask again.")
        content_type, body = openai.encode_transcript(segments, reported.usage, self._written)
        return [(b"content-type", content_type)], body


class MediaDoor:
    def __init__(self, gateway: Gateway) -> None:
        self._answering = Answering(gateway)

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("POST", "/v1/embeddings"): self.embed,
            ("POST", "/v1/moderations"): self.moderate,
            ("POST", "/v1/audio/speech"): self.say,
            ("POST", "/v1/audio/transcriptions"): self.transcribe,
            ("POST", "/v1/audio/translations"): self.translate,
        }

    def embed(self, http: HttpRequest, exchange: Exchange) -> Handling:
        return self._answering.serve(http, exchange, EmbeddingVoice())

    def moderate(self, http: HttpRequest, exchange: Exchange) -> Handling:
        return self._answering.serve(http, exchange, ModerationVoice())

    def say(self, http: HttpRequest, exchange: Exchange) -> Handling:
        return self._answering.serve(http, exchange, _Speech())

    def transcribe(self, http: HttpRequest, exchange: Exchange) -> Handling:
        return self._answering.serve(http, exchange, _Transcription(translate=False))

    def translate(self, http: HttpRequest, exchange: Exchange) -> Handling:
        return self._answering.serve(http, exchange, _Transcription(translate=True))
