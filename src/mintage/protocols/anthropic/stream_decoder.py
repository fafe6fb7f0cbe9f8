"""From Anthropic's server-sent events to ours, whatever chunks they come in."""

from __future__ import annotations

import msgspec

from mintage.base import (
    AnswerStarted,
    ChoiceFinished,
    Event,
    MintageError,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReported,
    new_id,
)
from mintage.protocols.anthropic.answer_wire import (
    NULL,
    BlockWire,
    EventWire,
    finish_reason,
    input_text,
)
from mintage.protocols.anthropic.usage import WireUsage, parse_usage
from mintage.protocols.estimate import believable
from mintage.protocols.sse import EventBuffer, event_data
from mintage.protocols.upstream_errors import cut_error, decode_stream_error, unreadable

_decode = msgspec.json.Decoder(EventWire).decode


class StreamDecoder:
    """feed() bytes as they arrive, then close(). See openai.StreamDecoder, whose promises are the same."""

    __slots__ = (
        "_buffer", "_calls", "_characters", "_deltas", "_failure", "_finish", "_started", "_usage", "done",
    )  # fmt: skip

    def __init__(self) -> None:
        self._buffer = EventBuffer()
        self._calls: dict[int, int] = {}  # block index -> our number of the call
        self._usage: WireUsage | None = None
        self._finish: ChoiceFinished | None = None
        self._deltas = 0
        self._characters = 0
        self._started = False
        self._failure: MintageError | None = None
        self.done = False  # message_stop was read

    def feed(self, data: bytes) -> list[Event]:
        """The events that are complete now. Raises upstream_failed or what the upstream's error event means."""
        if self._failure is not None:
            raise self._failure
        events: list[Event] = []
        try:
            for event in self._buffer.push(data).split(b"\n\n"):
                if event and not self.done:
                    self._read(event, events)
        except MintageError as error:
            self._failure = error
            if not events:
                raise
        return events

    def close(self) -> list[Event]:
        """Raises upstream_failed if the answer was cut: it is whole once its stop reason and usage have passed."""
        if self._failure is not None:
            raise self._failure
        events: list[Event] = []
        if not self.done and (rest := self._buffer.rest()):
            self._read(rest, events)
        if not self.done:
            if self._finish is None:
                raise cut_error()
            self._end(events)
        return events

    def _read(self, event: bytes, events: list[Event]) -> None:
        data = event_data(event)
        if not data:
            return
        try:
            wire = _decode(data)
            self._event(wire, events)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise unreadable("what is not an answer") from None

    def _event(self, wire: EventWire, events: list[Event]) -> None:
        kind = wire.type
        if kind == "content_block_delta" and wire.delta is not None:
            self._delta(wire.index, wire.delta, events)
        elif kind == "content_block_start" and wire.content_block is not None:
            self._block(wire.index, wire.content_block, events)
        elif kind == "message_start" and not self._started:
            self._started = True
            message = wire.message
            self._usage = parse_usage(message.usage) if message else None
            events.append(
                AnswerStarted(
                    model=(message.model if message else None) or "",
                    upstream_id=(message.id if message else None) or "",
                    usage=self._usage.usage() if self._usage else None,
                )
            )
        elif kind == "message_delta":
            reported = parse_usage(wire.usage)
            self._usage = reported.over(self._usage) if reported else self._usage
            if wire.delta is not None and wire.delta.stop_reason is not None:
                self._finish = ChoiceFinished(
                    finish_reason(wire.delta.stop_reason), stop_sequence=wire.delta.stop_sequence
                )
        elif kind == "message_stop":
            self._end(events)
        elif kind == "error" or wire.error != NULL:
            raise decode_stream_error(wire.error)

    def _block(self, index: int, block: BlockWire, events: list[Event]) -> None:
        """A block's start holds nothing as a rule; what it does hold is its first delta."""
        if block.type == "tool_use":
            if not block.name:
                raise unreadable("a tool call without a name")
            number = self._calls[index] = len(self._calls)
            arguments = input_text(block.input)
            self._count(block.name + arguments)
            events.append(
                ToolCallDelta(index=number, id=block.id or new_id("call"), name=block.name, arguments=arguments)
            )
        elif block.type == "redacted_thinking":
            self._count(" ")
            events.append(ReasoningDelta("", signature=block.data or "", redacted=True))
        else:
            self._delta(index, block, events)

    def _delta(self, index: int, delta: BlockWire, events: list[Event]) -> None:
        if delta.text:
            self._count(delta.text)
            events.append(TextDelta(delta.text))
        elif delta.thinking or delta.signature:
            self._count(delta.thinking or "")
            events.append(ReasoningDelta(delta.thinking or "", signature=delta.signature or ""))
        elif delta.partial_json:
            if index not in self._calls:
                return  # of a block that nobody asked for
            self._count(delta.partial_json)
            events.append(ToolCallDelta(index=self._calls[index], arguments=delta.partial_json))

    def _count(self, said: str) -> None:
        if said:
            self._deltas += 1
            self._characters += len(said)

    def _end(self, events: list[Event]) -> None:
        if not self._started:
            raise unreadable("an answer without a beginning")
        events.append(self._finish or ChoiceFinished("tool_calls" if self._calls else "stop"))
        usage, estimated = believable(self._usage.usage() if self._usage else None, self._deltas, self._characters)
        events.append(UsageReported(usage=usage, estimated=estimated))
        self.done = True
