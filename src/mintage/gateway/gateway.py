"""The gateway: who asks, what it may cost at most, and the conversation that then answers, settled once.

Whatever costs money comes through admit(): the doors of the server, the products and the playground alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec

from mintage.base import Clock, Hold, MintageError, Request, new_id
from mintage.base.addresses import TrustedProxies
from mintage.books import CommitLog
from mintage.gateway.begin_attempts import begin_attempts
from mintage.gateway.bounds import (
    answers,
    body_bytes,
    check_capabilities,
    check_features,
    input_bound_tokens,
    output_bound_tokens,
)
from mintage.gateway.conversation import Conversation
from mintage.gateway.idempotency import Replay, ReplayStore, already_answered, other_body
from mintage.gateway.keep import Keeper
from mintage.gateway.measure import WRITTEN, measure_route, text_tokens_estimate
from mintage.gateway.meters import GatewayMeters
from mintage.gateway.request_log import RequestLog
from mintage.gateway.scopes import Budget, Origin, settle_all, take_all
from mintage.gateway.shape_input import normalise, too_long, truncate
from mintage.gateway.snapshot import Caller, Snapshot
from mintage.gateway.spans import SpanSink

#: A conversation is cut this long before its lease ends, so that it settles under its own hold.
_LEASE_MARGIN_NS: Final = 30 * 1_000_000_000
_SETTLE_WAIT_S: Final = 5


class Gateway:
    """One per process. The snapshot is swapped whole; conversations keep the routes they began with."""

    def __init__(
        self,
        log: CommitLog,
        clock: Clock,
        *,
        hold_lease_s: int,
        request_log: RequestLog | None = None,
        proxies: TrustedProxies | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.log = log
        self.clock = clock
        self.snapshot = Snapshot()
        self.meters = GatewayMeters()
        self.replays = ReplayStore(clock)
        self.request_log = request_log
        self.spans: SpanSink | None = None  # tracing, where it is on
        self.keeper = keeper
        self.open: dict[str, Conversation] = {}
        self.closing = False
        self.proxies = proxies or TrustedProxies()
        self._lease_ns = hold_lease_s * 1_000_000_000

    def identify(self, key: bytes, origin: Origin | None = None) -> Caller:
        """origin: the request that carries the key, so that its scopes can be checked. Raises unauthenticated, or
        permission_denied where the key is narrowed to other endpoints or addresses."""
        caller = self.snapshot.identify(key, self.clock.now_ns())
        if caller.scope is not None:
            caller.scope.check(origin, self.proxies)
        return caller

    async def admit(self, caller: Caller, request: Request, *, size_bytes: int | None = None) -> Conversation:
        """Check, limit, shape and hold. Returns once the hold is durable; raises MintageError with nothing held.

        size_bytes is the length of the body as received, if the request came over the wire.
        """
        try:
            conversation = self._begin(caller, request, size_bytes)
            try:
                await self._shape(conversation)
                durable = self._hold(conversation)
            except BaseException:
                conversation.unreserve()
                raise
        except MintageError as error:
            self.meters.refused(error.code)
            raise
        try:
            await durable
        except asyncio.CancelledError:
            conversation.release("the reader left before dispatch")
            raise
        except MintageError as error:
            conversation.not_held(error)
            raise
        return conversation

    async def count_tokens(self, caller: Caller, request: Request) -> int:
        """Input tokens of a request that is not made: exact where the engine counts so, else an upper bound.

        Free, but within the key's rate of requests. Raises MintageError as admit() does.
        """
        route = self.snapshot.route(caller, request.model)
        check_capabilities(request, route.capabilities)
        if caller.features is not None:
            check_features(request, caller.features)
        caller.limits.admit(0, self.clock.monotonic_ns())
        try:
            return await route.engine.count_tokens(_renamed(request, route.upstream_model))
        finally:
            caller.limits.done(0)

    def relays(self, caller: Caller, model: str, dialect: str) -> bool:
        """Whether the model's engine speaks the client's dialect and nothing has to look into the text."""
        policies = caller.policies
        route = self.snapshot.route(caller, model)
        spoken = route.engine.dialect if route.plan is None else route.plan.dialect
        return spoken == dialect and not policies.output.shapes and not policies.input.normalise

    def admit_relay(
        self, caller: Caller, request: Request, *, size_bytes: int
    ) -> tuple[Conversation, asyncio.Future[None]]:
        """admit() for what relays(), at once: the hold is in memory, and durable when the future resolves."""
        try:
            conversation = self._begin(caller, request, size_bytes)
            try:
                self._bound(conversation)
                return conversation, self._hold(conversation)
            except BaseException:
                conversation.unreserve()
                raise
        except MintageError as error:
            self.meters.refused(error.code)
            raise

    def _begin(self, caller: Caller, request: Request, size_bytes: int | None) -> Conversation:
        """Everything that needs no waiting, up to the key's limits."""
        if self.closing:
            raise _shutting_down()
        route = self.snapshot.route(caller, request.model)
        check_capabilities(request, route.capabilities)
        conversation = Conversation(self, new_id("req", self.clock.now_ns()), caller, route, request)
        conversation.prompt_bytes = body_bytes(request) if size_bytes is None else size_bytes
        if route.plan is not None:
            conversation.attempts = begin_attempts(route.plan, request, conversation)
        if request.operation not in WRITTEN:
            conversation.reserve(text_tokens_estimate(request))
            return conversation
        output_bound = output_bound_tokens(request, caller.policies.output, route.capabilities)
        conversation.output_bound = output_bound
        conversation.reserve(conversation.prompt_bytes // 4 + output_bound * answers(request))
        return conversation

    async def _shape(self, conversation: Conversation) -> None:
        """Normalise and fit the input; make the output limit explicit, so that nothing runs past its hold."""
        request, route, policy = conversation.request, conversation.route, conversation.caller.policies.input
        if policy.normalise:
            request = conversation.request = normalise(request)
        if request.operation not in WRITTEN:
            conversation.measured = await measure_route(request, route)
            return
        if route.plan is not None:  # whoever answers counts for itself
            self._bound(conversation)
            conversation.request = msgspec.structs.replace(
                conversation.request, cache_scope=conversation.caller.tenant_id
            )
            return
        context = route.capabilities.context_tokens
        if not route.capabilities.exact_count or context is None:
            self._bound(conversation)
            return
        room = context - min(conversation.output_bound, context // 2)
        room = min(room, policy.max_tokens or room)
        if policy.too_long == "truncate" and request.messages:
            request, tokens = await truncate(request, route.engine.count_tokens, room)
        else:
            tokens = await route.engine.count_tokens(request)
            most = min(context - 1, policy.max_tokens or context)
            if tokens > most:
                raise too_long(tokens, most)
        conversation.input_tokens = conversation.input_bound = tokens
        conversation.output_bound = min(conversation.output_bound, context - tokens)
        conversation.request = msgspec.structs.replace(
            request, max_output_tokens=conversation.output_bound, cache_scope=conversation.caller.tenant_id
        )

    def _bound(self, conversation: Conversation) -> None:
        """The same where nobody can count the input beforehand."""
        request = conversation.request
        conversation.input_bound = input_bound_tokens(request, conversation.prompt_bytes)
        conversation.request = _limited(request, conversation.output_bound)

    def _hold(self, conversation: Conversation) -> asyncio.Future[None]:
        """Check and deduct, now. Raises insufficient_funds."""
        caller, request = conversation.caller, conversation.request
        measured = conversation.measured
        count = answers(request) if measured is None else 1
        hold = Hold(
            id=conversation.id,
            tenant_id=caller.tenant_id,
            wallet_id=caller.wallet_id,
            currency=caller.currency,
            amount_nanos=caller.card.bound(
                request.model,
                input_bound_tokens=conversation.input_bound * count,
                output_bound_tokens=conversation.output_bound * count,
                at_ns=conversation.started_ns,
                others=measured,
            ),
            created_ns=conversation.started_ns,
            lease_until_ns=conversation.started_ns + self._lease_ns,
            key_id=caller.key_id,
            model=request.model,
        )
        if caller.credits:
            hold = self._paid_by_credit(caller.credits, hold)
        conversation.hold = hold
        durable = self.log.hold(hold) if not caller.budgets else self._hold_within(caller.budgets, hold)
        self.open[conversation.id] = conversation
        return durable

    def _paid_by_credit(self, side: tuple[tuple[str, frozenset[str]], ...], hold: Hold) -> Hold:
        """The hold on the first credit that is for its model and covers all of it, else as it is."""
        for wallet_id, models in side:
            if hold.model in models and self.log.wallet(wallet_id).available_nanos >= max(hold.amount_nanos, 1):
                return msgspec.structs.replace(hold, wallet_id=wallet_id)
        return hold

    def _hold_within(self, budgets: tuple[Budget, ...], hold: Hold) -> asyncio.Future[None]:
        take_all(budgets, hold.amount_nanos, hold.created_ns)
        try:
            return self.log.hold(hold)
        except MintageError:
            settle_all(budgets, hold.amount_nanos, 0, hold.created_ns)
            raise

    async def replay(self, caller: Caller, key: str, payload_hash: str) -> Replay | None:
        """Begin a request under an idempotency key. A Replay: it was answered, send that again. None: go ahead.

        Raises idempotency_conflict for a key used with another body, or charged for an answer that is not kept.
        """
        replay = await self.replays.begin(caller.tenant_id, key, payload_hash)
        if replay is None and (known := self.log.idempotent(caller.tenant_id, key)) is not None:
            self.replays.abandon(caller.tenant_id, key)
            raise other_body() if known[0] != payload_hash else already_answered(known[1].hold_id)
        return replay

    def cut_overdue(self) -> int:
        """Cut what runs so long that its lease would end first. Returns how many."""
        deadline_ns = self.clock.now_ns() + _LEASE_MARGIN_NS
        overdue = [c for c in self.open.values() if c.hold is not None and c.hold.lease_until_ns < deadline_ns]
        for conversation in overdue:
            conversation.cut()
        return len(overdue)

    async def close(self, grace_s: float) -> None:
        """Refuse new requests, let running ones end within grace_s seconds, then cut and settle the rest."""
        self.closing = True
        await _all_ended(self.open.values(), grace_s)
        for conversation in list(self.open.values()):
            conversation.cut()
        await _all_ended(self.open.values(), _SETTLE_WAIT_S)
        if self.request_log is not None:
            self.request_log.flush()


async def _all_ended(conversations: Iterable[Conversation], timeout_s: float) -> None:
    if pending := [conversation.ended for conversation in conversations]:
        await asyncio.wait(pending, timeout=timeout_s)


def _renamed(request: Request, model: str) -> Request:
    return request if request.model == model else msgspec.structs.replace(request, model=model)


def _limited(request: Request, output_bound: int) -> Request:
    if request.max_output_tokens == output_bound:
        return request
    return msgspec.structs.replace(request, max_output_tokens=output_bound)


def _shutting_down() -> MintageError:
    return MintageError("shutting_down", "The server is shutting down.", "Try again in a moment.", retry_after_s=2)
