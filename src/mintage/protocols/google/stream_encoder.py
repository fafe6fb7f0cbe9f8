"""From events to the chunks of streamGenerateContent: server-sent events, or the elements of one JSON array.

A function call is sent whole, once its arguments are; the last chunk has the finish reason and the usage. Nothing
follows it: there is no [DONE].
"""

from __future__ import annotations

from typing import Final

import msgspec

from mintage.base import (
    AnswerStarted,
    AudioDelta,
    ChoiceFinished,
    Event,
    MintageError,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    Request,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    UsageReported,
)
from mintage.protocols.google.encode_answer import REASONS, encode_logprobs, encode_part
from mintage.protocols.google.errors import error_frame
from mintage.protocols.google.usage import encode_usage
from mintage.protocols.strict_json import encode_json

_json = msgspec.json.Encoder().encode
_TEXT: Final = b'{"candidates":[{"content":{"parts":[{"text":'


class StreamEncoder:
    """encode() each event in order, then end(); or error() and cut the connection. sse: else a JSON array."""

    __slots__ = ("_calls", "_finished", "_first", "_request", "_sse", "_tail", "_text_tail")

    def __init__(self, request: Request, *, id: str, model: str, sse: bool = True) -> None:  # noqa: A002
        self._request = request
        self._sse = sse
        self._first = True
        named = b'"modelVersion":' + encode_json(model) + b',"responseId":' + encode_json(id) + b"}"
        self._tail = b"]," + named
        self._text_tail = b'}],"role":"model"},"index":0}' + self._tail
        self._calls: dict[tuple[int, int], list[ToolCallDelta]] = {}
        self._finished: list[ChoiceFinished] = []

    def encode(self, event: Event) -> bytes:
        """The chunk of one event; b"" if there is nothing to say yet."""
        if type(event) is TextDelta and not event.choice and not event.logprobs and not self._calls:
            if not event.text:
                return b""
            try:
                text = _json(event.text)
            except UnicodeEncodeError:
                text = encode_json(event.text)
            return self._chunk(_TEXT + text + self._text_tail)
        if isinstance(event, AnswerStarted):
            return b""
        if isinstance(event, ToolCallDelta):
            return self._collect(event)
        if isinstance(event, ChoiceFinished):
            self._finished.append(event)
            return self._flush(event.choice)
        if isinstance(event, UsageReported):
            return self._last(event)
        if isinstance(event, AudioDelta):
            raise MintageError("unsupported", "A candidate cannot hold audio here.", "Ask over another protocol.")
        return self._flush(event.choice) + self._said(event)

    def end(self) -> bytes:
        return b"" if self._sse else b"[]" if self._first else b"]"

    def error(self, error: MintageError) -> bytes:
        return error_frame(error, sse=self._sse, first=self._first)

    def _said(self, event: Event) -> bytes:
        if isinstance(event, ReasoningDelta):
            part = Reasoning(text=event.text, signature=event.signature)
            return b"".join([self._parts([wire], event.choice) for wire in encode_part(self._request, part)])
        if isinstance(event, TextDelta | RefusalDelta):
            logprobs = event.logprobs if isinstance(event, TextDelta) and self._request.logprobs else ()
            extra = {"logprobsResult": encode_logprobs(logprobs)} if logprobs else {}
            return self._parts([{"text": event.text}], event.choice, **extra) if event.text or logprobs else b""
        return b""

    def _collect(self, event: ToolCallDelta) -> bytes:
        self._calls.setdefault((event.choice, event.index), []).append(event)
        return b""

    def _flush(self, choice: int) -> bytes:
        """The calls of one choice, whole, in their order."""
        out = b""
        for key in sorted([key for key in self._calls if key[0] == choice]):
            deltas = self._calls.pop(key)
            call = ToolCall(
                id=deltas[0].id,
                name=deltas[0].name,
                arguments="".join([delta.arguments for delta in deltas]),
                signature=next((delta.signature for delta in deltas if delta.signature), ""),
            )
            out += self._parts(encode_part(self._request, call), choice)
        return out

    def _last(self, event: UsageReported) -> bytes:
        candidates = [
            {
                "content": {"parts": [{"text": ""}], "role": "model"},
                "finishReason": REASONS[finished.reason],
                "index": finished.choice,
            }
            for finished in self._finished
        ]
        body = b'{"candidates":' + encode_json(candidates)[:-1]
        usage = b'"usageMetadata":' + encode_usage(event.usage) + b","
        return self._chunk(body + self._tail.replace(b"],", b"]," + usage, 1))

    def _parts(self, parts: list[dict[str, object]], choice: int, **fields: object) -> bytes:
        candidate = {"content": {"parts": parts, "role": "model"}, "index": choice, **fields}
        return self._chunk(b'{"candidates":[' + encode_json(candidate) + self._tail)

    def _chunk(self, body: bytes) -> bytes:
        if self._sse:
            return b"data: " + body + b"\n\n"
        lead = b"[" if self._first else b",\n"
        self._first = False
        return lead + body
