"""The playground: a chat that goes through the gateway as the chosen customer, and shows what it cost and earned."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from mintage.base import Message, MintageError, Request, Sampling, Text, TextDelta
from mintage.books import Settled
from mintage.console.figures import money
from mintage.console.i18n import Translator
from mintage.console.live import LiveDesk
from mintage.console.receipt import receipt
from mintage.console.render import fragment
from mintage.console.services import ConsoleServices
from mintage.gateway import Caller, Conversation

_LOG: Final = logging.getLogger("mintage.console")
PRODUCT: Final = "playground"
BODY_LIMIT_BYTES: Final = 1024 * 1024
_QUEUE_LIMIT: Final = 256
#: A wait this long without a word: a comment keeps proxies from closing the stream.
_SILENCE_S: Final = 15.0
#: How long a receipt may take after the last word: one commit of the log.
_SETTLE_S: Final = 30.0


class Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: Literal["user", "assistant"]
    content: Annotated[str, Meta(max_length=64_000)]


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page sends. customer is a tenant's id."""

    customer: Annotated[str, Meta(min_length=1, max_length=64)]
    model: Annotated[str, Meta(min_length=1, max_length=200)]
    messages: Annotated[tuple[Turn, ...], Meta(min_length=1, max_length=100)]
    system: Annotated[str, Meta(max_length=8_000)] = ""
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    temperature: Decimal | None = None


_DECODER: Final = msgspec.json.Decoder(Question)


def decode_question(raw: bytes) -> Question:
    """Raises MintageError invalid_json or invalid_request."""
    try:
        question = _DECODER.decode(raw)
    except msgspec.ValidationError as error:
        raise MintageError("invalid_request", str(error), "Reload the page.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MintageError("invalid_json", "The question is not JSON.", "Reload the page.") from error
    temperature = question.temperature
    if temperature is not None and not (temperature.is_finite() and 0 <= temperature <= 2):
        raise MintageError(
            "invalid_request", "The temperature is not between 0 and 2.", "Change it.", param="temperature"
        )
    return question


def canonical(question: Question) -> Request:
    turns = [Message(turn.role, (Text(turn.content),)) for turn in question.messages]
    if question.system.strip():
        turns.insert(0, Message("system", (Text(question.system),)))
    return Request(
        operation="chat",
        model=question.model,
        messages=tuple(turns),
        sampling=Sampling(temperature=None if question.temperature is None else float(question.temperature)),
        max_output_tokens=question.max_tokens,
        stream=True,
        include_usage=True,
    )


class Playground:
    """Opens conversations in a customer's name: its wallet pays, its plan sets the price, its limits hold."""

    def __init__(self, services: ConsoleServices, desk: LiveDesk) -> None:
        self._services = services
        self._desk = desk
        self._callers: tuple[int, dict[str, Caller]] = (-1, {})
        self._tasks: set[asyncio.Task[None]] = set()  # the loop alone would let a running task be collected

    def callers(self) -> dict[str, Caller]:
        """Who can pay, by tenant id: for each customer the key that may use the most models, the oldest of those."""
        snapshot = self._services.gateway.snapshot
        if self._callers[0] != snapshot.version:
            now_ns = self._services.clock.now_ns()
            best: dict[str, Caller] = {}
            for caller in sorted(snapshot.callers.values(), key=_preference):
                if caller.expires_ns is None or caller.expires_ns > now_ns:
                    best.setdefault(caller.tenant_id, dataclasses.replace(caller, product=PRODUCT))
            self._callers = (snapshot.version, best)
        return self._callers[1]

    def models(self) -> list[str]:
        return sorted(self._services.gateway.snapshot.routes)

    async def open(self, question: Question) -> Conversation:
        """Hold the money; nothing has been answered yet. Raises MintageError, and then nothing is held."""
        caller = self.callers().get(question.customer)
        if caller is None:
            raise MintageError(
                "not_found", "This customer has no key that works.", "Make one, or choose another.", param="customer"
            )
        return await self._services.gateway.admit(caller, canonical(question))

    def stop(self, request_id: str, tenant_id: str | None = None) -> None:
        """End a running answer now; what was written is charged. Unknown, ended or another's: nothing happens.

        tenant_id: the only customer whose answers the reader may stop; None for staff.
        """
        conversation = self._services.gateway.open.get(request_id)
        if conversation is None or tenant_id not in (None, conversation.caller.tenant_id):
            return
        if conversation.caller.product == PRODUCT:
            conversation.cut()

    def stream(self, conversation: Conversation, t: Translator, *, costs: bool = True) -> AsyncIterator[bytes]:
        """costs: the receipt says what it cost us and what we earned.

        Server-sent events: `held`, pieces of `text`, `error` if it failed, and `receipt` if it was settled."""
        reading = _Reading(conversation)
        task = asyncio.create_task(reading.run())  # at once: what is held must end, even if nobody reads
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return self._stream(conversation, reading, t, costs)

    async def _stream(
        self, conversation: Conversation, reading: _Reading, t: Translator, costs: bool
    ) -> AsyncIterator[bytes]:
        try:
            hold = conversation.hold
            amount = "" if hold is None else money(hold.amount_nanos, hold.currency).text
            yield _event("held", {"id": conversation.id, "amount": amount})
            async with aclosing(reading.items()) as items:
                async for item in items:
                    if item is None:
                        yield b": \n\n"
                    elif isinstance(item, str):
                        yield _event("text", item)
                    else:
                        yield _event("error", {"message": t.problem(item)})
            settled = await self._desk.settled(conversation.id)
            if settled is not None:
                yield self._receipt(settled, t, costs)
            elif not reading.failed:
                yield _event("error", {"message": t("playground.released")})
        except Exception:  # the head is sent: the page must hear of it inside the stream
            _LOG.exception("the playground failed at %s", conversation.id)
            yield _event("error", {"message": t.phrases["problem.internal"]})
        finally:
            reading.leave()

    @staticmethod
    def _receipt(settled: Settled, t: Translator, costs: bool) -> bytes:
        shown = receipt(settled)
        html = fragment("_receipt.html", {"t": t, "receipt": shown, "costs": costs})
        margin = shown.margin.text if costs else ""
        return _event("receipt", {"html": html, "charge": shown.charge.text, "margin": margin})


def _preference(caller: Caller) -> tuple[int, str]:
    return (-len(caller.models) if caller.models is not None else -1_000_000, caller.key_id)


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


class _Reading:
    """Reads a conversation to its end in a task of its own, so that a reader who leaves does not lose the settlement.

    items() gives pieces of text, a MintageError if the answer failed, and None where there was silence.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._queue: asyncio.Queue[str | MintageError | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(_QUEUE_LIMIT)  # the end needs none: it must never wait for a reader
        self._left = False
        self._ended = False
        self.failed = False

    async def run(self) -> None:
        conversation = self._conversation
        try:
            async with aclosing(conversation.events()) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        await self._put(event.text)
        except MintageError as error:
            self.failed = True
            await self._put(error)
        except Exception:
            _LOG.exception("an answer failed at %s", conversation.id)
            self.failed = True
            await self._put(MintageError("internal", "The answer failed."))
        except asyncio.CancelledError:
            if not conversation.was_cut:
                raise
        finally:
            self._ended = True
            self._queue.put_nowait(None)

    async def _put(self, item: str | MintageError) -> None:
        if not self._left:
            await self._room.acquire()
            self._queue.put_nowait(item)

    def leave(self) -> None:
        """The page is gone or has read all: what the plan says about disconnects applies to what still runs."""
        self._left = True
        self._room.release()  # it may be waiting for room
        if not self._ended:
            self._conversation.reader_left()

    async def items(self) -> AsyncGenerator[str | MintageError | None, None]:
        while True:
            try:
                item = await asyncio.wait_for(self._queue.get(), _SILENCE_S)
            except TimeoutError:
                yield None
                continue
            if item is None:
                await asyncio.wait([self._conversation.ended], timeout=_SETTLE_S)
                return
            self._room.release()
            yield item
