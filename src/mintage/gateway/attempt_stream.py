"""The events of an answer that may take several attempts, as one stream.

A whole answer is gathered before any of it is handed over, so that an upstream that breaks midway can be replaced. A
stream is handed over from its first delta on; after that a failure is the customer's to see.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from mintage.base import (
    AnswerStarted,
    ChoiceFinished,
    Cost,
    Event,
    MintageError,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from mintage.engines import EventStream, MeteredStream
from mintage.gateway.attempts import Attempts, Try, Wait

if TYPE_CHECKING:
    from mintage.gateway.conversation import Conversation

_WRITTEN = (TextDelta, ReasoningDelta, ToolCallDelta)


class AttemptStream:
    """Iterate it and aclose() it like an engine's stream. current: the stream of the attempt that runs or ran last."""

    def __init__(self, conversation: Conversation, attempts: Attempts) -> None:
        self.current: EventStream | None = None
        self._conversation = conversation
        self._attempts = attempts
        self._seen: list[Event] = []  # of this attempt, while nothing was handed over
        self._events = self._run()

    def __aiter__(self) -> AsyncGenerator[Event, None]:
        return self._events

    async def __anext__(self) -> Event:
        return await self._events.__anext__()

    async def aclose(self) -> None:
        await self._events.aclose()

    async def _run(self) -> AsyncGenerator[Event, None]:
        attempts, conversation = self._attempts, self._conversation
        while True:
            await self._choose()
            self._seen = []
            stream = self.current = conversation.route.engine.stream(conversation.engine_request())
            try:
                async with aclosing(stream):
                    async for event in stream:
                        if attempts.sent:
                            yield event
                            continue
                        self._seen.append(event)
                        if self._ready(event):
                            attempts.sent = True
                            for early in self._seen:
                                yield early
                if not attempts.sent:
                    raise _ended_early()
            except MintageError as error:
                cost = None if attempts.sent else self._cost()
                if not attempts.failed(error, conversation.monotonic_ns(), cost):
                    raise
            except BaseException:
                if not attempts.sent:  # nobody saw it, but it was written: it is billed like any cut answer
                    conversation.note_relayed(sum(isinstance(event, _WRITTEN) for event in self._seen))
                attempts.abandoned(conversation.monotonic_ns())
                raise
            else:
                attempts.succeeded(conversation.monotonic_ns())
                return

    async def _choose(self) -> None:
        """Wait for the turn of the next attempt and make its route the conversation's."""
        while not isinstance(step := self._attempts.next(self._conversation.monotonic_ns()), Try):
            if not isinstance(step, Wait):
                raise step.error
            await asyncio.sleep(step.seconds)
        self._conversation.use(step.target.route)

    def _ready(self, event: Event) -> bool:
        """Whether the customer may see what came so far."""
        if self._conversation.request.stream:
            return not isinstance(event, AnswerStarted)
        return isinstance(event, UsageReported)

    def _cost(self) -> Cost | None:
        """What an attempt that nobody saw cost us, by what it reported or by what it wrote."""
        stream: object = self.current
        if isinstance(stream, MeteredStream):
            used = stream.consumed()
            return None if used is None else self._conversation.cost(used.usage, used.engine_ms)
        usage = Usage()
        for event in self._seen:
            if isinstance(event, UsageReported):
                return self._conversation.cost(event.usage, event.engine_ms)
            if isinstance(event, AnswerStarted) and event.usage is not None:
                usage = event.usage
            elif isinstance(event, _WRITTEN):
                usage = msgspec.structs.replace(usage, output_tokens=usage.output_tokens + 1)
            elif isinstance(event, ChoiceFinished):
                continue
        if not usage.prompt_tokens and not usage.completion_tokens:
            return None
        return self._conversation.cost(self._conversation.with_prompt(usage), 0.0)


def _ended_early() -> MintageError:
    return MintageError("upstream_failed", "The answer ended before it was finished.", "Try again.")
