"""From events to the server-sent events of a streamed message.

The rules that clients rely on: every frame has its `event:`; message_start, then whole blocks one after the other,
then message_delta with the usage, then message_stop. Blocks never overlap: a tool call that begins before another
one's arguments are whole waits for it.
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
    ToolCallDelta,
    Usage,
    UsageReported,
)
from mintage.protocols.anthropic.encode_answer import stop_reason
from mintage.protocols.anthropic.errors import error_frame
from mintage.protocols.anthropic.usage import encode_usage
from mintage.protocols.strict_json import encode_json

_PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_json = msgspec.json.Encoder().encode
_is_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class StreamEncoder:
    """encode() each event in order, then end(); or error() and cut the connection.

    input_tokens: what the prompt has, for message_start, where the engine does not say so first; message_delta tells
    what is billed.
    """

    __slots__ = (
        "_arguments", "_call", "_finish", "_head", "_id", "_index", "_input_tokens", "_kind", "_model", "_request",
        "_started", "_waiting",
    )  # fmt: skip

    def __init__(self, request: Request, *, id: str, model: str, input_tokens: int = 0) -> None:  # noqa: A002
        self._request = request
        self._id = id
        self._model = model
        self._input_tokens = input_tokens
        self._started = False
        self._index = -1  # of the block that was begun last
        self._kind = ""  # of the open block; "" if none is
        self._head = b""  # of a text delta of the open block
        self._call = -1  # the number of the tool call that is open
        self._arguments: list[str] = []  # of the open tool call
        self._waiting: dict[int, list[ToolCallDelta]] = {}
        self._finish = ChoiceFinished("stop")

    def encode(self, event: Event) -> bytes:
        """The frames of one event, none if there is nothing to say."""
        if type(event) is TextDelta and self._kind == "text":
            if not event.text:
                return b""
            try:
                text = _json(event.text)
            except UnicodeEncodeError:
                text = encode_json(event.text)
            return self._head + text + b"}}\n\n"
        if isinstance(event, AnswerStarted):
            return self._start(event.usage)
        opening = b"" if self._started else self._start(None)
        return opening + self._frames(event)

    def end(self) -> bytes:
        return _STOP

    def error(self, error: MintageError) -> bytes:
        return error_frame(error, self._id)

    def keep_alive(self) -> bytes:
        return _PING

    def _start(self, usage: Usage | None) -> bytes:
        if self._started:
            return b""
        self._started = True
        usage = Usage(input_tokens=self._input_tokens) if usage is None else usage
        message: dict[str, object] = {
            "id": self._id, "type": "message", "role": "assistant", "model": self._model, "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": msgspec.Raw(encode_usage(usage)),
        }  # fmt: skip
        return _frame("message_start", {"message": message})

    def _frames(self, event: Event) -> bytes:
        if isinstance(event, TextDelta | RefusalDelta):
            if not event.text:
                return b""
            return self._open("text", {"type": "text", "text": ""}) + self._delta("text_delta", "text", event.text)
        if isinstance(event, ReasoningDelta):
            return self._reasoning(event)
        if isinstance(event, ToolCallDelta):
            return self._tool_call(event)
        if isinstance(event, ChoiceFinished):
            self._finish = event
            return self._close() + self._let_in(whole=True)
        if isinstance(event, UsageReported):
            reason = stop_reason(self._finish.reason, self._finish.stop_sequence)
            delta = {"stop_reason": reason, "stop_sequence": self._finish.stop_sequence}
            usage = msgspec.Raw(encode_usage(event.usage))
            return self._close() + _frame("message_delta", {"delta": delta, "usage": usage})
        if isinstance(event, AudioDelta):
            raise MintageError("unsupported", "A message cannot hold audio.", "Ask over another protocol.")
        return b""

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        if event.redacted:
            block: dict[str, object] = {"type": "redacted_thinking", "data": event.signature}
            return self._close() + self._open("redacted", block) + self._close()
        text = "" if self._request.reasoning_shown is False else event.text
        if not text and not event.signature:
            return b""
        out = self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if text:
            out += self._delta("thinking_delta", "thinking", text)
        if event.signature:
            out += self._delta("signature_delta", "signature", event.signature) + self._close()
        return out

    def _tool_call(self, event: ToolCallDelta) -> bytes:
        if self._kind == "tool" and event.index != self._call:
            waiting = self._waiting.setdefault(event.index, [])
            waiting.append(event)
            return self._let_in()
        out = b""
        if self._kind != "tool":
            if not event.name:
                raise MintageError("upstream_failed", "The model went back to a tool call it had ended.", "Ask again.")
            out = self._begin_call(event)
        return out + self._argue(event.arguments)

    def _begin_call(self, event: ToolCallDelta) -> bytes:
        self._call, self._arguments = event.index, []
        return self._open("tool", {"type": "tool_use", "id": event.id, "name": event.name, "input": {}})

    def _argue(self, arguments: str) -> bytes:
        if not arguments:
            return b""
        self._arguments.append(arguments)
        return self._delta("input_json_delta", "partial_json", arguments)

    def _let_in(self, *, whole: bool = False) -> bytes:
        """The calls that waited, once the open one is whole."""
        out = b""
        while self._waiting and (whole or self._whole()):
            first = min(self._waiting)
            deltas = self._waiting.pop(first)
            out += self._close() + self._begin_call(deltas[0])
            out += b"".join([self._argue(delta.arguments) for delta in deltas])
            if whole:
                out += self._close()
        return out

    def _whole(self) -> bool:
        """Whether the open call's arguments are an object; it gets no more once they are."""
        try:
            _is_object("".join(self._arguments))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return False
        return True

    def _open(self, kind: str, block: dict[str, object]) -> bytes:
        if self._kind == kind and kind != "tool":
            return b""
        out = self._close()
        self._index += 1
        self._kind = kind
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"text_delta","text":' % self._index
        )
        return out + _frame("content_block_start", {"index": self._index, "content_block": block})

    def _delta(self, kind: str, field: str, text: str) -> bytes:
        return _frame("content_block_delta", {"index": self._index, "delta": {"type": kind, field: text}})

    def _close(self) -> bytes:
        if not self._kind:
            return b""
        self._kind = ""
        return _frame("content_block_stop", {"index": self._index})


def _frame(name: str, fields: dict[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode_json({"type": name, **fields}))
