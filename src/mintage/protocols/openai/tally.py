"""What is read of an answer that passes through: enough to bill it, and to estimate it if it is cut."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from mintage.base import Usage, UsageReported
from mintage.protocols.estimate import estimate_tokens
from mintage.protocols.openai.answer_wire import NULL
from mintage.protocols.openai.usage import parse_usage
from mintage.protocols.upstream_errors import decode_stream_error, unreadable


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    function: _Function | None = None


class MessageScan(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class ChoiceScan(Struct):
    index: Annotated[int, Meta(ge=0, le=1023)] = 0
    delta: MessageScan | None = None
    message: MessageScan | None = None
    text: str | None = None
    finish_reason: str | None = None


class Scan(Struct):
    choices: list[ChoiceScan] | None = None
    usage: Raw = NULL
    error: Raw = NULL
    model: str | None = None
    id: str | None = None


class _Bare(Struct):
    """When a provider's choices have a shape of their own: money and errors are still read."""

    choices: list[Raw] | None = None
    usage: Raw = NULL
    error: Raw = NULL
    model: str | None = None
    id: str | None = None


_scan = msgspec.json.Decoder(Scan).decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_bare = msgspec.json.Decoder(_Bare).decode


def scan(data: bytes) -> Scan:
    """One chunk or one whole answer. Raises upstream_failed, or what its `error` member means."""
    try:
        try:
            found = _scan(data)
        except msgspec.ValidationError:
            bare = _bare(data)
            choices = [ChoiceScan(text=" ")] if bare.choices else None  # it counts as one delta
            found = Scan(choices=choices, usage=bare.usage, error=bare.error, model=bare.model, id=bare.id)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise unreadable("what is not an answer") from None
    if found.error != NULL:
        raise decode_stream_error(found.error)
    return found


def members(data: bytes) -> dict[str, Raw]:
    """The top level of a chunk or an answer, its values as they were written. Raises upstream_failed."""
    try:
        return _members(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):  # scan() skips what it does not read
        raise unreadable("what is not an answer") from None


class Tally:
    """What passed, counted for the case that the upstream never reports it."""

    __slots__ = ("characters", "events", "finished_choices", "reasoning_events", "reported", "seen_choices")

    def __init__(self) -> None:
        self.events = 0  # deltas that said something: about a token each
        self.reasoning_events = 0
        self.characters = 0
        self.reported: Usage | None = None
        self.seen_choices: set[int] = set()
        self.finished_choices: set[int] = set()

    @property
    def usage(self) -> Usage | None:
        """What the upstream reported; None if nothing, or no written tokens although text was written."""
        if self.reported is not None and (self.reported.completion_tokens or not self.characters):
            return self.reported
        return None

    @property
    def whole(self) -> bool:
        """All that money needs was read: every choice ended and usage was reported."""
        return self.usage is not None and bool(self.seen_choices) and self.seen_choices <= self.finished_choices

    def report(self, *, streamed: bool = True) -> UsageReported:
        """The upstream's numbers, or an estimate: by deltas if streamed, else by length.

        An estimate's input is what the upstream reported, else 0, for the caller to count.
        """
        if (usage := self.usage) is not None:
            return UsageReported(usage=usage)
        written = estimate_tokens(self.events if streamed else 0, self.characters)
        reasoning = min(self.reasoning_events, written)
        counted = Usage(output_tokens=written - reasoning, reasoning_tokens=reasoning)
        return UsageReported(usage=counted if self.reported is None else self.reported + counted, estimated=True)

    def add(self, found: Scan) -> None:
        """Count a chunk: its deltas, its ends, its usage."""
        for choice in found.choices or ():
            self._count(choice)
        if found.usage != NULL:
            self.reported = parse_usage(found.usage) or self.reported

    def _count(self, choice: ChoiceScan) -> None:
        message = choice.delta or choice.message
        text = choice.text if message is None else message.content
        if text:
            self.events += 1
            self.characters += len(text)
        if message is not None and (message.reasoning_content or message.tool_calls or not text):
            self._count_rest(message)
        self.seen_choices.add(choice.index)
        if choice.finish_reason is not None:
            self.finished_choices.add(choice.index)

    def _count_rest(self, message: MessageScan) -> None:
        if reasoning := message.reasoning_content or message.reasoning:
            self.reasoning_events += 1
            self.events += 1
            self.characters += len(reasoning)
        if message.refusal:
            self.events += 1
            self.characters += len(message.refusal)
        for call in message.tool_calls or ():
            if call.function is not None:
                self.events += 1
                self.characters += len(call.function.name or "") + len(call.function.arguments or "")
