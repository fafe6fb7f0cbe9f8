"""From events to the server-sent events of a streamed response.

Every event has its name, its type and the next sequence_number. An item is added, filled and done; a function call
stays open until its arguments are whole, because providers may mix the fragments of several. There is no [DONE].
"""

from __future__ import annotations

from typing import Final

import msgspec

from mintage.base import (
    AnswerStarted,
    ChoiceFinished,
    Event,
    MintageError,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageReported,
)
from mintage.protocols.openai.errors import error_code
from mintage.protocols.openai.logprobs import encode_chat_logprobs
from mintage.protocols.openai.responses.encode_answer import (
    Frame,
    call_item,
    content_part,
    final_status,
    message_item,
    reasoning_item,
)
from mintage.protocols.strict_json import encode_json, json_object

_json = msgspec.json.Encoder().encode
_DELTA: Final = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":'


class _Open:
    """An item that is being written."""

    __slots__ = ("call_id", "content", "index", "kind", "logprobs", "name", "refusal", "signature", "tail", "texts")

    def __init__(self, kind: str, index: int) -> None:
        self.kind = kind
        self.index = index
        self.texts: list[str] = []
        self.content: list[dict[str, object]] = []  # the parts of a message that are done
        self.refusal = False
        self.logprobs: list[TokenLogprob] = []
        self.call_id = ""
        self.name = ""
        self.signature = ""
        self.tail = b""


class StreamEncoder:
    """encode() each event in order, then end(); or error() and cut the connection."""

    __slots__ = ("_calls", "_finish", "_frame", "_item", "_number", "_output", "_started")

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._number = -1
        self._started = False
        self._item: _Open | None = None  # a message or reasoning
        self._calls: dict[int, _Open] = {}
        self._output: list[object] = []
        self._finish = ChoiceFinished("stop")

    def encode(self, event: Event) -> bytes:
        """The events of one event, none if there is nothing to say."""
        item = self._item
        if type(event) is TextDelta and item is not None and item.tail and not event.logprobs:
            if not event.text:
                return b""
            item.texts.append(event.text)
            self._number += 1
            try:
                text = _json(event.text)
            except UnicodeEncodeError:
                text = encode_json(event.text)
            return _DELTA + text + item.tail + b"%d}\n\n" % self._number
        opening = b"" if self._started else self._start()
        return opening + self._write(event)

    def end(self) -> bytes:
        return b""

    def error(self, error: MintageError) -> bytes:
        return self._event("error", code=error_code(error), message=str(error), param=error.param)

    def _start(self) -> bytes:
        self._started = True
        response = self._frame.response("in_progress")
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def _write(self, event: Event) -> bytes:
        if isinstance(event, TextDelta):
            return self._say(event.text, event.logprobs, refusal=False) if event.text or event.logprobs else b""
        if isinstance(event, RefusalDelta):
            return self._say(event.text, (), refusal=True) if event.text else b""
        if isinstance(event, ReasoningDelta):
            return self._reason(event)
        if isinstance(event, ToolCallDelta):
            return self._call(event)
        if isinstance(event, ChoiceFinished):
            self._finish = event
            return self._close(final_status(event.reason)) + self._close_calls(final_status(event.reason))
        if isinstance(event, UsageReported):
            status = final_status(self._finish.reason)
            response = self._frame.response(status, self._output, event.usage, self._finish.reason)
            return self._close(status) + self._event(f"response.{status}", response=response)
        if isinstance(event, AnswerStarted):
            return b""
        raise MintageError("unsupported", "A response cannot hold this part of the answer.", "Ask in another way.")

    # Messages

    def _say(self, text: str, logprobs: tuple[TokenLogprob, ...], *, refusal: bool) -> bytes:
        out, item = b"", self._item
        if item is None or item.kind != "message":
            out = self._close()
            item = self._item = self._begin("message")
            out += self._added(item, message_item(self._frame, item.index, "in_progress", []))
            out += self._open_part(item, refusal)
        elif item.refusal is not refusal:
            out = self._close_part(item) + self._open_part(item, refusal)
        item.texts.append(text)
        where = self._where(item, content_index=len(item.content))
        if refusal:
            return out + self._event("response.refusal.delta", delta=text, **where)
        wanted = logprobs if self._frame.request.logprobs else ()
        item.logprobs += wanted
        tokens = encode_chat_logprobs(wanted)["content"] if wanted else []
        return out + self._event("response.output_text.delta", delta=text, logprobs=tokens, **where)

    def _open_part(self, item: _Open, refusal: bool) -> bytes:
        item.refusal, item.texts, item.logprobs = refusal, [], []
        where = self._where(item, content_index=len(item.content))
        if not refusal:
            item.tail = b',"logprobs":[],' + encode_json(where)[1:-1] + b',"sequence_number":'
        part = content_part(Refusal("") if refusal else Text(""))
        return self._event("response.content_part.added", part=part, **where)

    def _close_part(self, item: _Open) -> bytes:
        text, where = "".join(item.texts), self._where(item, content_index=len(item.content))
        part = content_part(Refusal(text) if item.refusal else Text(text), item.logprobs)
        if item.refusal:
            done = self._event("response.refusal.done", refusal=text, **where)
        else:
            done = self._event("response.output_text.done", text=text, logprobs=part["logprobs"], **where)
        item.tail = b""
        item.content.append(part)
        return done + self._event("response.content_part.done", part=part, **where)

    # Reasoning

    def _reason(self, event: ReasoningDelta) -> bytes:
        text = event.text if self._frame.request.reasoning_shown else ""
        if not text and not event.signature:
            return b""
        out, item = b"", self._item
        if item is None or item.kind != "reasoning":
            out = self._close()
            item = self._item = self._begin("reasoning")
            out += self._added(item, reasoning_item(self._frame, item.index, Reasoning(text="")))
        where = self._where(item, summary_index=0)
        if text:
            if not item.texts:
                part = {"type": "summary_text", "text": ""}
                out += self._event("response.reasoning_summary_part.added", part=part, **where)
            item.texts.append(text)
            out += self._event("response.reasoning_summary_text.delta", delta=text, **where)
        if event.signature:
            item.signature = event.signature
            out += self._close()
        return out

    # Function calls

    def _call(self, event: ToolCallDelta) -> bytes:
        out, call = b"", self._calls.get(event.index)
        if call is None:
            out = self._close() + self._close_calls("completed", whole_only=True)
            call = self._calls[event.index] = self._begin("call")
            call.call_id, call.name = event.id, event.name
            out += self._added(call, self._call_item(call, "in_progress"))
        if event.arguments:
            call.texts.append(event.arguments)
            where = self._where(call)
            out += self._event("response.function_call_arguments.delta", delta=event.arguments, **where)
        return out

    def _call_item(self, call: _Open, status: str) -> dict[str, object]:
        return call_item(self._frame, call.index, call.call_id, call.name, "".join(call.texts), status)

    def _close_calls(self, status: str, *, whole_only: bool = False) -> bytes:
        out = b""
        for index, call in list(self._calls.items()):
            arguments = "".join(call.texts)
            if call.kind == "done" or (whole_only and json_object(arguments) is None):
                continue
            call.kind = "done"
            where = self._where(self._calls[index], kind="call")
            out += self._event("response.function_call_arguments.done", arguments=arguments, **where)
            out += self._done(call, self._call_item(call, status))
        return out

    # Items

    def _begin(self, kind: str) -> _Open:
        self._output.append(None)
        return _Open(kind, len(self._output) - 1)

    def _close(self, status: str = "completed") -> bytes:
        """The open message or reasoning is done."""
        item, self._item = self._item, None
        if item is None:
            return b""
        if item.kind == "message":
            out = self._close_part(item)
            return out + self._done(item, message_item(self._frame, item.index, status, item.content))
        out, text, where = b"", "".join(item.texts), self._where(item, summary_index=0)
        if text:
            part = {"type": "summary_text", "text": text}
            out += self._event("response.reasoning_summary_text.done", text=text, **where)
            out += self._event("response.reasoning_summary_part.done", part=part, **where)
        reasoning = Reasoning(text=text, signature=item.signature)
        return out + self._done(item, reasoning_item(self._frame, item.index, reasoning))

    def _added(self, item: _Open, wire: dict[str, object]) -> bytes:
        return self._event("response.output_item.added", output_index=item.index, item=wire)

    def _done(self, item: _Open, wire: dict[str, object]) -> bytes:
        self._output[item.index] = wire
        return self._event("response.output_item.done", output_index=item.index, item=wire)

    def _where(self, item: _Open, *, kind: str = "", **indexes: object) -> dict[str, object]:
        prefix = {"message": "msg", "reasoning": "rs", "call": "fc"}[kind or item.kind]
        item_id = self._frame.item_id(prefix, item.index)
        return {"item_id": item_id, "output_index": item.index, **indexes}

    def _event(self, name: str, **fields: object) -> bytes:
        self._number += 1
        body = encode_json({"type": name, **fields, "sequence_number": self._number})
        return b"event: %b\ndata: %b\n\n" % (name.encode(), body)
