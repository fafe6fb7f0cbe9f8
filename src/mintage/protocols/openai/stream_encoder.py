"""From events to the server-sent events of a streamed chat or completion.

The rules that clients rely on: the first chunk of a chat choice carries its role; with include_usage every chunk has
`usage: null` but the last, which has no choices; the stream ends with `data: [DONE]` and a blank line. One event never
shares a chunk with another, so no client has to merge two deltas of one tool call.
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
    ReasoningDelta,
    RefusalDelta,
    Request,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageReported,
)
from mintage.protocols.media import encode_base64
from mintage.protocols.openai.encode_answer import completion_reason, echoed_prompt
from mintage.protocols.openai.errors import error_frame
from mintage.protocols.openai.logprobs import encode_chat_logprobs, encode_completion_logprobs
from mintage.protocols.openai.usage import encode_usage
from mintage.protocols.strict_json import encode_json

_DONE: Final = b"data: [DONE]\n\n"
_ROLE: Final = b'{"role":"assistant","content":"","refusal":null}'
_DIGITS: Final = tuple(b"%d" % n for n in range(1024))
_json = msgspec.json.Encoder().encode


class StreamEncoder:
    """encode() each event in order, then end(); or error() and cut the connection."""

    __slots__ = ("_chat", "_counts", "_field", "_head", "_name", "_offsets", "_open", "_request", "_tail", "_text_tail")

    def __init__(self, request: Request, *, id: str, created_s: int, model: str) -> None:  # noqa: A002
        self._request = request
        self._chat = request.operation == "chat"
        self._name = (id, created_s, model)
        self._head = self._frame_head("")
        self._field = b',"delta":{"content":' if self._chat else b',"text":'
        self._tail = b'],"usage":null}\n\n' if request.include_usage else b"]}\n\n"
        self._text_tail = (b"}" if self._chat else b"") + b',"logprobs":null,"finish_reason":null}' + self._tail
        self._open: set[int] = set()  # choices whose first chunk is out
        self._counts = request.logprobs and not self._chat
        self._offsets: dict[int, int] = {}  # characters written of each completion, for its log-probabilities

    def encode(self, event: Event) -> bytes:
        """The frames of one event: one as a rule, several for a start with n > 1, none if there is nothing to say."""
        if type(event) is TextDelta and not event.logprobs and event.choice in self._open:
            if not event.text:
                return b""
            try:
                text = _json(event.text)
            except UnicodeEncodeError:
                text = encode_json(event.text)
            if self._counts:
                self._offsets[event.choice] += len(event.text)
            return b"".join((self._head, _DIGITS[event.choice], self._field, text, self._text_tail))
        if isinstance(event, AnswerStarted):
            return self._start(event)
        if isinstance(event, UsageReported):
            return self._usage(event)
        opening = b"" if event.choice in self._open else self._open_choice(event.choice)
        return opening + (self._chat_frame(event) if self._chat else self._completion_frame(event))

    def end(self) -> bytes:
        return _DONE

    def error(self, error: MintageError) -> bytes:
        """The last frame of a failed stream. No [DONE] follows: cut the connection after it."""
        return error_frame(error)

    def keep_alive(self) -> bytes:
        """A chunk that says nothing, for long silences; comments and `id:` lines crash some clients."""
        if self._chat and not self._open:
            return self._open_choice(0)
        return self._frame(0, b'"delta":{}' if self._chat else b'"text":""')

    def _frame_head(self, fingerprint: str) -> bytes:
        """Everything up to the number of the choice."""
        answer_id, created_s, model = self._name
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        head: dict[str, object] = {"id": answer_id, "object": kind, "created": created_s, "model": model}
        if fingerprint:
            head["system_fingerprint"] = fingerprint
        return b"data: " + encode_json(head)[:-1] + b',"choices":[{"index":'

    def _frame(self, choice: int, content: bytes, *, logprobs: bytes = b"null", finish: bytes = b"null") -> bytes:
        body = b',%b,"logprobs":%b,"finish_reason":%b}' % (content, logprobs, finish)
        return self._head + _DIGITS[choice] + body + self._tail

    def _start(self, event: AnswerStarted) -> bytes:
        if event.fingerprint:
            self._head = self._frame_head(event.fingerprint)
        count = self._request.n * max(1, len(self._request.prompts))
        return b"".join([self._open_choice(choice) for choice in range(count) if choice not in self._open])

    def _open_choice(self, choice: int) -> bytes:
        self._open.add(choice)
        if self._chat:
            return self._frame(choice, b'"delta":' + _ROLE)
        echo = echoed_prompt(self._request, choice)
        self._offsets[choice] = len(echo)
        return self._frame(choice, b'"text":' + encode_json(echo)) if echo else b""

    def _usage(self, event: UsageReported) -> bytes:
        if not self._request.include_usage:
            return b""
        head = self._head[: -len(b'{"index":')]
        return head + b'],"usage":' + encode_usage(event.usage) + b"}\n\n"

    def _chat_frame(self, event: Event) -> bytes:
        if isinstance(event, TextDelta):
            return self._delta(event.choice, {"content": event.text}, event.logprobs)
        if isinstance(event, ReasoningDelta):
            return self._delta(event.choice, {"reasoning_content": event.text}) if event.text else b""
        if isinstance(event, RefusalDelta):
            return self._delta(event.choice, {"refusal": event.text})
        if isinstance(event, ToolCallDelta):
            return self._delta(event.choice, {"tool_calls": [_call(event)]})
        if isinstance(event, AudioDelta):
            return self._delta(event.choice, {"audio": {"data": encode_base64(event.data)}})
        if isinstance(event, ChoiceFinished):
            return self._frame(event.choice, b'"delta":{}', finish=b'"%b"' % event.reason.encode())
        return b""

    def _delta(self, choice: int, delta: dict[str, object], tokens: tuple[TokenLogprob, ...] = ()) -> bytes:
        logprobs = encode_json(encode_chat_logprobs(tokens)) if tokens and self._request.logprobs else b"null"
        return self._frame(choice, b'"delta":' + encode_json(delta), logprobs=logprobs)

    def _completion_frame(self, event: Event) -> bytes:
        if isinstance(event, TextDelta | RefusalDelta):
            logprobs = b"null"
            offset = self._offsets[event.choice]
            if isinstance(event, TextDelta) and event.logprobs and self._request.logprobs:
                logprobs = encode_json(encode_completion_logprobs(event.logprobs, offset))
            self._offsets[event.choice] = offset + len(event.text)
            return self._frame(event.choice, b'"text":' + encode_json(event.text), logprobs=logprobs)
        if isinstance(event, ChoiceFinished):
            return self._frame(event.choice, b'"text":""', finish=b'"%b"' % completion_reason(event.reason).encode())
        return b""


def _call(event: ToolCallDelta) -> dict[str, object]:
    """id, type and name come with the first delta of a call only: clients concatenate what they get."""
    if event.id or event.name:
        function = {"name": event.name, "arguments": event.arguments}
        return {"index": event.index, "id": event.id, "type": "function", "function": function}
    return {"index": event.index, "function": {"arguments": event.arguments}}
