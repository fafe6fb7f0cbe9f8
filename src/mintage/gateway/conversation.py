"""One admitted request, from its durable hold to its one settlement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from mintage.base import (
    ATTOS_PER_NANO,
    Answer,
    AnswerStarted,
    Charge,
    ChoiceFinished,
    Cost,
    Event,
    Hold,
    MintageError,
    Outcome,
    RatedLine,
    ReasoningDelta,
    Receipt,
    Request,
    Settlement,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from mintage.engines import EventStream, MeteredStream
from mintage.gateway.attempt_stream import AttemptStream
from mintage.gateway.attempts import Attempts
from mintage.gateway.collect import Collector
from mintage.gateway.relay import RelayOutput, StreamRelay, WholeRelay
from mintage.gateway.scopes import settle_all
from mintage.gateway.shape_output import OutputShaper
from mintage.gateway.snapshot import Caller, Route
from mintage.gateway.spans import TraceParent

if TYPE_CHECKING:
    from mintage.gateway.gateway import Gateway

_NOTHING = UsageReported(usage=Usage())  # no attempt came so far that its answer counts
_BYTES_PER_TOKEN = 4  # only for estimates of prompts whose provider never reported


class Conversation:
    """Iterate events() or await answer(); both settle before they hand over their last piece.

    A reader that leaves calls reader_left(). Whatever happens, exactly one of settle and release reaches the books.
    """

    __slots__ = (
        "_cut",
        "_deltas",
        "_gateway",
        "_read",
        "_reserved_tokens",
        "_settled",
        "_stop",
        "_stream",
        "attempts",
        "caller",
        "ended",
        "estimated",
        "failure",
        "first_token_ns",
        "hold",
        "id",
        "idempotency_key",
        "input_bound",
        "input_tokens",
        "kept",
        "left",
        "measured",
        "on_writable",
        "outcome",
        "output_bound",
        "payload_hash",
        "prompt_bytes",
        "receipt",
        "request",
        "route",
        "started_monotonic_ns",
        "started_ns",
        "tally",
        "trace_parent",
        "upstream_id",
        "usage",
    )

    def __init__(self, gateway: Gateway, request_id: str, caller: Caller, route: Route, request: Request) -> None:
        self._gateway = gateway
        self.id = request_id
        self.caller = caller
        self.route = route
        self.attempts: Attempts | None = None  # where the route has a plan
        self.request = request
        self.kept = None if gateway.keeper is None else gateway.keeper.begin(caller.tenant_id)
        self.started_ns = gateway.clock.now_ns()
        self.started_monotonic_ns = gateway.clock.monotonic_ns()
        self.first_token_ns = 0
        self.hold: Hold | None = None
        self.input_tokens: int | None = None  # exact, if the engine counted
        self.prompt_bytes = 0
        self.input_bound = 0
        self.measured: Usage | None = None  # of what is not written token by token: the most it can use
        self.output_bound = 0
        self.idempotency_key: str | None = None
        self.payload_hash = ""
        self.usage: Usage | None = None
        self.receipt: Receipt | None = None
        self.outcome: Outcome | None = None
        self.estimated = False
        self.failure = ""  # code of the error that ended it
        self.upstream_id = ""  # the provider's own id of this request, for reconciliation
        self.trace_parent: TraceParent | None = None  # the client's own span, where tracing is on
        self.left = False
        self.on_writable: Callable[[], None] | None = None  # how it goes on after its reader was slow
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reserved_tokens = 0
        self._deltas = 0
        self._read: Usage | None = None  # what the provider said it read, before it wrote
        self._cut = False
        self.tally: Callable[[], UsageReported] | None = None  # what the byte path has seen pass
        self._stream: EventStream | None = None
        self._settled: asyncio.Future[Receipt] | None = None
        self._stop: Callable[[], object] | None = None  # how what answers now is stopped

    # The two ways to read it

    async def events(self) -> AsyncGenerator[Event, None]:
        """The shaped events of the answer. UsageReported comes last, after the settlement is durable.

        Raises MintageError if the engine fails, and upstream_failed ("cut") if it was cut while someone still reads.
        """
        if (task := asyncio.current_task()) is not None:
            self._stop = task.cancel
        shaper = OutputShaper(self.caller.policies.output) if self.caller.policies.output.shapes else None
        attempts = self.attempts
        stream = self._stream = (
            self.route.engine.stream(self.engine_request()) if attempts is None else AttemptStream(self, attempts)
        )
        reported: UsageReported | None = None
        try:
            async with aclosing(stream):
                async for event in stream:
                    if type(event) is UsageReported:
                        reported = self._with_prompt(event) if event.estimated else event
                        continue
                    self._count(event)
                    if self.kept is not None:
                        self.kept.append(event)
                    if self.drained():
                        break
                    for shaped in shaper.feed(event) if shaper else (event,):
                        yield shaped
            if reported is None:
                self.settle_cut()
                raise _cut_error()
            await shielded(self.settle(reported, "ok"))
        except (asyncio.CancelledError, GeneratorExit):
            if reported is None:
                self.settle_cut()
            else:
                self.settle(reported, "cut")
            raise
        except MintageError as error:
            if (settled := self.fail(error)) is not None:
                await shielded(settled)
            raise
        yield msgspec.structs.replace(reported, usage=self.usage or reported.usage)

    async def answer(self) -> Answer:
        """The whole answer, settled."""
        collector = Collector(self.request.model)
        async for event in self.events():
            collector.add(event)
        return collector.answer()

    def relay(self, raw: bytes, output: RelayOutput, durable: asyncio.Future[None] | None = None) -> None:
        """The byte path: raw goes upstream, what comes back goes to output. Only where gateway.relays() says so.

        durable: the hold's future, where it has not resolved yet; then nothing is sent before it does.
        """
        relay = (StreamRelay if self.request.stream else WholeRelay)(self, raw, output)
        self._stop = relay.cut
        if durable is None:
            relay.dispatch()
        else:
            durable.add_done_callback(relay.held)

    # What its reader and the gateway do to it

    def reader_left(self) -> None:
        """The client hung up: cut or drain, as the plan says. Safe to call at any time."""
        self.left = True
        if self.caller.policies.disconnect == "cut" or not self.request.stream:
            self.cut()
        else:
            self.resume()  # nobody is too slow any more

    def resume(self) -> None:
        """The reader keeps up again."""
        if self.on_writable is not None:
            self.on_writable()

    def cut(self) -> None:
        """Stop the answer now; what was streamed is billed as an estimate."""
        self._cut = True
        if self._stop is not None and self._settled is None:
            self._stop()

    @property
    def was_cut(self) -> bool:
        return self._cut

    def release(self, reason: str) -> None:
        """Nothing was used: give the hold back. The record is queued before this returns."""
        if self._settled is None and not self.ended.done():
            self._gateway.log.release(self.id, reason)
            self._end(0)

    def not_held(self, error: MintageError) -> None:
        """The hold did not get into the books: the request was refused after all."""
        self._gateway.open.pop(self.id, None)
        self._gateway.meters.refused(error.code)
        self.unreserve()
        if self.caller.budgets:
            self._end_budgets()

    def fail(self, error: MintageError) -> asyncio.Future[Receipt] | None:
        """The engine failed. A failed answer is free to the customer; what it cost us is booked.

        Returns the settlement's future, if there was anything to settle.
        """
        self._gateway.meters.failed(error.code)
        self.failure = error.code
        if self._settled is None and not self.ended.done():
            if self._deltas and (used := self._used()) is not None:
                return self.settle(used, "failed")
            if self.attempts is not None and self.attempts.costs:
                return self.settle(_NOTHING, "failed")
            self.release(error.code)
        return None

    # Limits

    def reserve(self, tokens: int) -> None:
        """Take an estimate from the key's limits, or raise rate_limited. It is corrected when the usage is known."""
        self.caller.limits.admit(tokens, self.started_monotonic_ns)
        self._reserved_tokens = tokens

    def unreserve(self) -> None:
        """The request was refused after all."""
        self.caller.limits.done(-self._reserved_tokens)
        self._reserved_tokens = 0

    # Settlement

    def settle(self, reported: UsageReported, outcome: Outcome) -> asyncio.Future[Receipt]:
        """Queue the one settlement and return the future of its receipt. A task awaits it shielded().

        The record is in the log's queue when this returns, so that a cancelled task loses nothing.
        """
        if self._settled is None:
            self.usage = usage = msgspec.structs.replace(reported.usage, requests=1)
            self.outcome, self.estimated = outcome, reported.estimated
            future = self._gateway.log.settle(self._settlement(usage, reported, outcome))
            self._settled = future
            future.add_done_callback(self._on_receipt)
        return self._settled

    def reported(self) -> UsageReported:
        """The usage of an answer that ended well on the byte path; counted by us if the provider never said."""
        used = self._used()
        return used if used is not None else UsageReported(usage=Usage(), estimated=True)

    def settle_cut(self) -> None:
        """It was cut: bill what was used so far, or give the hold back if that is nothing."""
        if self._settled is None and not self.ended.done():
            if (used := self._used()) is None:
                if self.attempts is not None and self.attempts.costs:
                    self.settle(_NOTHING, "failed")
                    return
                self.release("cut before the first token")
            else:
                self.settle(used, "cut")

    def _settlement(self, usage: Usage, reported: UsageReported, outcome: Outcome) -> Settlement:
        caller, request = self.caller, self.request
        return Settlement(
            hold_id=self.id,
            tenant_id=caller.tenant_id,
            project_id=caller.project_id,
            wallet_id=caller.wallet_id if self.hold is None else self.hold.wallet_id,
            key_id=caller.key_id,
            model=request.model,
            product=caller.product,
            occurred_ns=self.started_ns,
            usage=usage,
            charge=self._charge(usage, outcome),
            costs=self._costs(usage, reported),
            outcome=outcome,
            estimated=self.estimated,
            end_user=request.end_user,
            operation=request.operation,
            latency_ms=self.latency_ms(),
            first_token_ms=self.first_token_ms(),
            idempotency_key=self.idempotency_key,
            payload_hash=self.payload_hash,
        )

    def _charge(self, usage: Usage, outcome: Outcome) -> Charge:
        card = self.caller.card
        if outcome == "failed":
            return Charge(price_id=card.id, currency=card.currency, attos=0)
        held_attos = self.hold.amount_nanos * ATTOS_PER_NANO if self.hold is not None else 0
        try:
            charge = card.rate(self.request.model, usage, self.started_ns)
        except MintageError as error:  # the provider reported what nobody asked for and the plan has no price of
            self._gateway.meters.failed(error.code)
            self.estimated = True
            line = RatedLine(meter="unpriced_usage", quantity=1, rate_attos=held_attos, attos=held_attos)
            return Charge(price_id=card.id, currency=card.currency, attos=held_attos, lines=(line,))
        if charge.attos > held_attos and self.caller.policies.settle_above_hold == "cap":
            excess = held_attos - charge.attos
            line = RatedLine(meter="hold_cap", quantity=1, rate_attos=excess, attos=excess)
            charge = msgspec.structs.replace(charge, attos=held_attos, lines=(*charge.lines, line))
        return charge

    def _costs(self, usage: Usage, reported: UsageReported) -> tuple[Cost, ...]:
        """Of every attempt, the one that answered last."""
        if self.attempts is None:
            return (self.cost(usage, reported.engine_ms),)
        if reported is _NOTHING:
            return tuple(self.attempts.costs)
        return (*self.attempts.costs, self.cost(usage, reported.engine_ms))

    def cost(self, usage: Usage, engine_ms: float) -> Cost:
        """What so much costs us at the route's provider; nothing, marked, where its price is not known."""
        try:
            cost = self.route.costing(usage, engine_ms, self.started_ns)
        except MintageError as error:  # booked as nothing under a name that reconciliation looks for
            self._gateway.meters.failed(error.code)
            self.estimated = True
            currency, provider = self.caller.currency, self.route.engine.name
            cost = Cost(provider=provider, price_id="unpriced", currency=currency, attos=0, usage=usage)
        return msgspec.structs.replace(cost, upstream_id=self.upstream_id) if self.upstream_id else cost

    def _on_receipt(self, future: asyncio.Future[Receipt]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.receipt = future.result()
        usage = self.usage or Usage()
        self._end(usage.prompt_tokens + usage.completion_tokens)

    def _end_budgets(self) -> None:
        if (hold := self.hold) is not None:
            receipt = self.receipt
            spent = 0 if receipt is None or receipt.replayed else receipt.posted_nanos
            settle_all(self.caller.budgets, hold.amount_nanos, spent, self.started_ns)

    def _end(self, tokens: int) -> None:
        self.caller.limits.done(tokens - self._reserved_tokens)
        if self.caller.budgets:
            self._end_budgets()
        self._gateway.open.pop(self.id, None)
        self._stop = self.on_writable = None  # they lead back here: no cycle may keep a finished request
        self._gateway.meters.ended(self)
        if self.kept is not None and self._gateway.keeper is not None:
            self._gateway.keeper.end(self)
            self.kept = None
        if self._gateway.request_log is not None:
            self._gateway.request_log.write(self, self.outcome or "released")
        if self._gateway.spans is not None:
            self._gateway.spans.ended(self, self.outcome or "released")
        if not self.ended.done():
            self.ended.set_result(None)

    # What it took

    def latency_ms(self) -> float:
        """From admission until now."""
        return (self._gateway.clock.monotonic_ns() - self.started_monotonic_ns) / 1e6

    def first_token_ms(self) -> float | None:
        return (self.first_token_ns - self.started_monotonic_ns) / 1e6 if self.first_token_ns else None

    def monotonic_ns(self) -> int:
        return self._gateway.clock.monotonic_ns()

    def use(self, route: Route) -> None:
        """From now on this target of the route's plan answers."""
        self.route = route
        self.upstream_id = ""
        self._read = None

    def engine_request(self) -> Request:
        """The request under the name that the upstream knows, within what it can write."""
        request, route = self.request, self.route
        if self.attempts is not None:
            most, asked = route.capabilities.max_output_tokens, request.max_output_tokens
            if most is not None and asked is not None and asked > most:
                request = msgspec.structs.replace(request, max_output_tokens=most)
        if route.upstream_model == request.model:
            return request
        return msgspec.structs.replace(request, model=route.upstream_model)

    def _count(self, event: Event) -> None:
        kind = type(event)
        if kind is TextDelta or kind is ReasoningDelta or kind is ToolCallDelta:
            if not self._deltas:
                self.first_token_ns = self._gateway.clock.monotonic_ns()
            self._deltas += 1
        elif kind is AnswerStarted:
            self._read = event.usage  # type: ignore[union-attr]  # the kind says which event it is
        elif kind is not ChoiceFinished:
            self._deltas += 1

    def note_relayed(self, deltas: int) -> None:
        """The byte path saw this many deltas in all."""
        if deltas and not self._deltas:
            self.first_token_ns = self._gateway.clock.monotonic_ns()
        self._deltas = deltas

    def drained(self) -> bool:
        """The reader has left, and what the plan lets us read on for is read."""
        return self.left and self._deltas > self.caller.policies.drain_limit_tokens

    def _used(self) -> UsageReported | None:
        """What was used so far: the engine's own count if it keeps one, else what passed here. None: nothing."""
        stream: object = self._stream
        if type(stream) is AttemptStream:
            stream = stream.current
        if stream is not None and isinstance(stream, MeteredStream):  # the second look costs 5 us
            return stream.consumed()
        if self.measured is not None:  # embeddings, speech and the like are used up as soon as they are begun
            return (
                UsageReported(usage=self.measured, engine_ms=self.latency_ms(), estimated=True)
                if self._deltas
                else None
            )
        if self.tally is not None:
            reported = self.tally()
        else:
            reported = UsageReported(usage=Usage(output_tokens=self._deltas), estimated=True)
        said = reported.usage
        if not (self._deltas or self.route.engine.local or said.prompt_tokens or said.completion_tokens):
            return None
        reported = self._with_prompt(reported)
        if self.route.engine.local and not reported.engine_ms:
            reported = msgspec.structs.replace(reported, engine_ms=self.latency_ms())
        return reported

    def _with_prompt(self, reported: UsageReported) -> UsageReported:
        if reported.usage.prompt_tokens:
            return reported
        return msgspec.structs.replace(reported, usage=self.with_prompt(reported.usage))

    def with_prompt(self, usage: Usage) -> Usage:
        """Where the provider never said how much it read, count it ourselves."""
        if usage.prompt_tokens:
            return usage
        if (read := self._read) is not None and read.prompt_tokens:
            return usage + msgspec.structs.replace(read, output_tokens=0, reasoning_tokens=0)
        prompt = self.input_tokens if self.input_tokens is not None else self.prompt_bytes // _BYTES_PER_TOKEN
        return usage + Usage(input_tokens=max(1, prompt))


def shielded(settled: asyncio.Future[Receipt]) -> asyncio.Future[Receipt]:
    """asyncio.shield in a third of its time: a task that is cancelled while it waits does not cancel the settlement."""
    waiter: asyncio.Future[Receipt] = settled.get_loop().create_future()
    settled.add_done_callback(lambda _: _pass_on(settled, waiter))
    return waiter


def _pass_on(settled: asyncio.Future[Receipt], waiter: asyncio.Future[Receipt]) -> None:
    if waiter.done():
        return
    if settled.cancelled():
        waiter.cancel()
    elif (error := settled.exception()) is not None:
        waiter.set_exception(error)
    else:
        waiter.set_result(settled.result())


def _cut_error() -> MintageError:
    return MintageError(
        "upstream_failed", "The answer was cut before its end.", "Ask again; what was streamed is billed."
    )
