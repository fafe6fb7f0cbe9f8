"""From Google's chunks to our events: server-sent events of any cut. A whole response is a stream of one chunk.

There is no last mark: the stream is whole when its connection ends after every candidate has a finish reason.
"""

from __future__ import annotations

import msgspec

from mintage.base import (
    AnswerStarted,
    ChoiceFinished,
    Event,
    FinishReason,
    MintageError,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReported,
    new_id,
)
from mintage.protocols.estimate import believable
from mintage.protocols.google.answer_wire import (
    NULL,
    AnswerWire,
    CandidateWire,
    PartWire,
    arguments_text,
    decode_logprobs,
    decode_wire,
    finish_reason,
)
from mintage.protocols.google.usage import parse_usage
from mintage.protocols.sse import EventBuffer, event_data
from mintage.protocols.upstream_errors import cut_error, decode_stream_error, unreadable


class StreamDecoder:
    """feed() bytes as they arrive, then close(). See openai.StreamDecoder, whose promises are the same."""

    __slots__ = (
        "_buffer", "_calls", "_characters", "_deltas", "_failure", "_finished", "_seen", "_started", "_usage", "done",
    )  # fmt: skip

    def __init__(self) -> None:
        self._buffer = EventBuffer()
        self._calls: dict[int, int] = {}  # calls of each candidate so far
        self._seen: set[int] = set()
        self._finished: dict[int, FinishReason] = {}
        self._usage: Usage | None = None
        self._deltas = 0
        self._characters = 0
        self._started = False
        self._failure: MintageError | None = None
        self.done = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that are complete now. Raises upstream_failed or what the upstream's error means."""
        if self._failure is not None:
            raise self._failure
        events: list[Event] = []
        try:
            for event in self._buffer.push(data).split(b"\n\n"):
                if event and (chunk := event_data(event) or b""):
                    self.read(chunk, events)
        except MintageError as error:
            self._failure = error
            if not events:
                raise
        return events

    def close(self) -> list[Event]:
        """Raises upstream_failed if the answer was cut."""
        if self._failure is not None:
            raise self._failure
        events: list[Event] = []
        if rest := self._buffer.rest():
            self.read(event_data(rest) or rest, events)
        if not self._seen or self._finished.keys() < self._seen:
            raise cut_error()
        events += [ChoiceFinished(reason, choice) for choice, reason in sorted(self._finished.items())]
        usage, estimated = believable(self._usage, self._deltas, self._characters)
        events.append(UsageReported(usage=usage, estimated=estimated))
        self.done = True
        return events

    def read(self, chunk: bytes, events: list[Event]) -> None:
        """One chunk's JSON."""
        try:
            wire = decode_wire(chunk)
            if wire.error != NULL:
                raise decode_stream_error(wire.error)
            self._chunk(wire, events)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise unreadable("what is not an answer") from None

    def _chunk(self, wire: AnswerWire, events: list[Event]) -> None:
        if wire.usage_metadata != NULL:
            self._usage = parse_usage(wire.usage_metadata) or self._usage
        if not self._started:
            self._started = True
            read = self._usage and Usage(
                input_tokens=self._usage.input_tokens, cached_read_tokens=self._usage.cached_read_tokens
            )
            events.append(AnswerStarted(model=wire.model_version or "", upstream_id=wire.response_id or "", usage=read))
        for candidate in wire.candidates or ():
            self._candidate(candidate, events)
        if wire.prompt_feedback is not None and wire.prompt_feedback.block_reason and not self._seen:
            self._seen.add(0)
            self._finished[0] = "content_filter"  # it was read and refused

    def _candidate(self, wire: CandidateWire, events: list[Event]) -> None:
        index = wire.index
        self._seen.add(index)
        logprobs = decode_logprobs(wire.logprobs_result)
        for part in (wire.content.parts if wire.content else None) or ():
            if part.function_call is not None:
                self._call(part, index, events)
            elif part.thought:
                self._count(part.text or "")
                events.append(ReasoningDelta(part.text or "", index, part.thought_signature or ""))
            else:
                if part.text:
                    self._count(part.text)
                    events.append(TextDelta(part.text, index, logprobs))
                    logprobs = ()
                if part.thought_signature:
                    events.append(ReasoningDelta("", index, part.thought_signature))
        if logprobs:
            events.append(TextDelta("", index, logprobs))
        if wire.finish_reason and wire.finish_reason != "FINISH_REASON_UNSPECIFIED":
            self._finished[index] = finish_reason(wire.finish_reason, called=index in self._calls)

    def _call(self, part: PartWire, choice: int, events: list[Event]) -> None:
        call = part.function_call
        if call is None or not call.name:
            raise unreadable("a function call without a name")
        number = self._calls.get(choice, 0)
        self._calls[choice] = number + 1
        arguments = arguments_text(call.args)
        self._count(call.name + arguments)
        events.append(
            ToolCallDelta(
                index=number, id=call.id or new_id("call"), name=call.name, arguments=arguments, choice=choice,
                signature=part.thought_signature or "",
            )
        )  # fmt: skip

    def _count(self, said: str) -> None:
        if said:
            self._deltas += 1
            self._characters += len(said)
