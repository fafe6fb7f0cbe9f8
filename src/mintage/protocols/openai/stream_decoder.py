"""From an upstream's server-sent events to ours, for chat and completions alike, whatever chunks they come in."""

from __future__ import annotations

import msgspec

from mintage.base import (
    AnswerStarted,
    AudioDelta,
    ChoiceFinished,
    Event,
    MintageError,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TokenLogprob,
    Usage,
    UsageReported,
)
from mintage.protocols.estimate import believable
from mintage.protocols.media import decode_base64
from mintage.protocols.openai.answer_wire import AnswerWire, ChoiceWire, MessageWire, content_texts, finish_reason
from mintage.protocols.openai.decode_answer import decode_wire
from mintage.protocols.openai.logprobs import decode_logprobs
from mintage.protocols.openai.tool_calls import ToolCallMerger
from mintage.protocols.openai.usage import parse_usage
from mintage.protocols.sse import EventBuffer, event_data
from mintage.protocols.upstream_errors import cut_error, unreadable

_PREFIX = b"data: {"


class StreamDecoder:
    """feed() bytes as they arrive, then close().

    The events keep the order that base/answer.py promises; UsageReported comes once, at the end, and is marked
    estimated (output counted by us, input 0) if the upstream reported nothing that can be true. A failure
    inside a chunk is raised after the events before it were handed over.
    """

    __slots__ = ("_buffer", "_calls", "_characters", "_deltas", "_failure", "_finished", "_started", "_usage", "done")

    def __init__(self) -> None:
        self._buffer = EventBuffer()
        self._calls: dict[int, ToolCallMerger] = {}  # of every choice that was seen
        self._finished: set[int] = set()
        self._usage: Usage | None = None
        self._deltas = 0
        self._characters = 0
        self._started = False
        self._failure: MintageError | None = None
        self.done = False  # [DONE] was read

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
        """What was still to say when the connection ended. Raises upstream_failed if the answer was cut.

        An answer without [DONE] is whole if all its choices had finished and its usage was reported.
        """
        if self._failure is not None:
            raise self._failure
        events: list[Event] = []
        if not self.done and (rest := self._buffer.rest()):
            self._read(rest, events)
        if not self.done:
            if self._usage is None or not self._calls or self._finished < self._calls.keys():
                raise cut_error()
            self._end(events)
        return events

    def _read(self, event: bytes, events: list[Event]) -> None:
        data = event[6:] if event.startswith(_PREFIX) and b"\n" not in event else event_data(event)
        if not data:
            return  # a comment: the upstream's keep-alive
        if data == b"[DONE]":
            self._end(events)
            return
        wire = decode_wire(data)
        if not self._started:
            self._started = True
            events.append(
                AnswerStarted(
                    model=wire.model or "",
                    upstream_id=wire.id or "",
                    fingerprint=wire.system_fingerprint or "",
                    usage=None if bytes(wire.usage) == b"null" else parse_usage(wire.usage),
                )
            )
        self._chunk(wire, events)

    def _chunk(self, wire: AnswerWire, events: list[Event]) -> None:
        try:
            for choice in wire.choices or ():
                self._choice(choice, events)
        except (msgspec.MsgspecError, UnicodeError):
            raise unreadable("a chunk that cannot be read") from None
        if bytes(wire.usage) != b"null":
            self._usage = parse_usage(wire.usage) or self._usage

    def _choice(self, wire: ChoiceWire, events: list[Event]) -> None:
        index = wire.index
        calls = self._calls.get(index)
        if calls is None:
            calls = self._calls[index] = ToolCallMerger()
        logprobs = decode_logprobs(wire.logprobs)
        if (delta := wire.delta or wire.message) is not None:
            self._delta(delta, index, logprobs, calls, events)
        elif wire.text or logprobs:
            self._text(wire.text or "", index, logprobs, events)
        if wire.finish_reason is not None and index not in self._finished:
            calls.check()
            self._finished.add(index)
            stop = wire.stop_reason if isinstance(wire.stop_reason, str) else None
            events.append(ChoiceFinished(finish_reason(wire.finish_reason), index, stop))

    def _delta(
        self,
        delta: MessageWire,
        index: int,
        logprobs: tuple[TokenLogprob, ...],
        calls: ToolCallMerger,
        events: list[Event],
    ) -> None:
        thought, text = content_texts(delta.content)
        if reasoning := delta.reasoning_content or delta.reasoning or thought:
            self._count(reasoning)
            events.append(ReasoningDelta(reasoning, index))
        if text or logprobs:
            self._text(text, index, logprobs, events)
        if delta.refusal:
            self._count(delta.refusal)
            events.append(RefusalDelta(delta.refusal, index))
        for fragment in delta.tool_calls or ():
            if (call := calls.merge(fragment)) is not None:
                self._count(call.name + call.arguments)
                events.append(msgspec.structs.replace(call, choice=index) if index else call)
        if delta.audio is not None and delta.audio.data:
            try:
                events.append(AudioDelta(data=decode_base64(delta.audio.data, "audio"), choice=index))
            except MintageError:
                raise unreadable("audio that is not base64") from None

    def _text(self, text: str, index: int, logprobs: tuple[TokenLogprob, ...], events: list[Event]) -> None:
        self._count(text)
        events.append(TextDelta(text, index, logprobs))

    def _count(self, said: str) -> None:
        self._deltas += 1
        self._characters += len(said)

    def _end(self, events: list[Event]) -> None:
        if not self._calls:
            raise unreadable("an answer without choices")
        for index, calls in self._calls.items():
            if index not in self._finished:
                calls.check()
                events.append(ChoiceFinished("tool_calls" if calls.any else "stop", index))
        usage, estimated = believable(self._usage, self._deltas, self._characters)
        events.append(UsageReported(usage=usage, estimated=estimated))
        self.done = True
