import asyncio
import random

import pytest

from mintage.base import MintageError, TextDelta, Usage, UsageReported

from .conftest import Desk, ask

UNIT = 10**9
INPUT_NANOS, OUTPUT_NANOS = UNIT // 1000, UNIT // 100
HELLO_NANOS = 5 * INPUT_NANOS + 3 * OUTPUT_NANOS


async def refusal(awaitable: object) -> MintageError:
    with pytest.raises(MintageError) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value


async def test_an_answer_is_settled_before_it_is_handed_over(desk: Desk) -> None:
    caller = await desk.caller(funds=UNIT)
    conversation = await desk.gateway.admit(caller, ask(max_output_tokens=10))
    assert desk.log.wallet("wal_a").held_nanos == 5 * INPUT_NANOS + 10 * OUTPUT_NANOS
    answer = await conversation.answer()
    assert answer.choices[0].parts[0].text == "Hello world."  # type: ignore[union-attr]
    assert answer.usage == Usage(input_tokens=5, output_tokens=3, requests=1)
    assert conversation.receipt is not None
    assert conversation.receipt.posted_nanos == HELLO_NANOS
    assert conversation.receipt.cost_nanos == 10 * 10**6
    assert desk.balance() == UNIT - HELLO_NANOS
    assert desk.log.open_holds() == []
    assert desk.gateway.open == {}


async def test_a_stream_ends_with_its_usage_after_the_settlement(desk: Desk) -> None:
    caller = await desk.caller()
    conversation = await desk.gateway.admit(caller, ask(stream=True))
    async for event in conversation.events():
        if isinstance(event, UsageReported):
            assert conversation.receipt is not None
        else:
            assert conversation.receipt is None


async def test_sixty_four_at_once_with_funds_for_ten(desk: Desk) -> None:
    desk.engine.usage = Usage(input_tokens=5, output_tokens=10)  # cost equal to hold
    caller = await desk.caller(funds=10 * (5 * INPUT_NANOS + 10 * OUTPUT_NANOS))

    async def one() -> str:
        try:
            conversation = await desk.gateway.admit(caller, ask(max_output_tokens=10))
        except MintageError as error:
            return error.code
        await conversation.answer()
        return "answered"

    results = await asyncio.gather(*(one() for _ in range(64)))
    assert results.count("answered") == 10
    assert results.count("insufficient_funds") == 54
    assert desk.balance() == 0


async def test_random_costs_refuse_only_what_is_not_covered(desk: Desk) -> None:
    rng = random.Random(7)
    caller = await desk.caller(funds=20 * UNIT)

    async def one() -> None:
        limit = rng.randint(1, 200)
        need = 5 * INPUT_NANOS + limit * OUTPUT_NANOS
        wallet = desk.log.wallet("wal_a")
        try:
            conversation = await desk.gateway.admit(caller, ask(max_output_tokens=limit))
        except MintageError as error:
            assert error.code == "insufficient_funds"
            assert error.details["needed_nanos"] == need
            assert error.details["balance_nanos"] - error.details["held_nanos"] < need  # type: ignore[operator]
            return
        assert wallet.balance_nanos >= 0
        desk.engine.usage = Usage(input_tokens=5, output_tokens=rng.randint(0, limit))
        await conversation.answer()
        assert desk.balance() >= 0

    for _ in range(6):
        await asyncio.gather(*(one() for _ in range(32)))
    assert desk.log.open_holds() == []
    settled = sum(e.body.posted_nanos for e in desk.log.entries(0, 10_000) if e.kind == "settle")  # type: ignore[union-attr]
    assert desk.balance() == 20 * UNIT - settled


@pytest.mark.parametrize("policy", ["cut", "drain"])
async def test_twenty_streams_left_after_ten_events_are_billed_by_policy(desk: Desk, policy: str) -> None:
    desk.engine.words = [f"w{i} " for i in range(50)]
    caller = await desk.caller(policies=f'disconnect = "{policy}"')

    async def reader() -> None:
        conversation = await desk.gateway.admit(caller, ask(stream=True))
        seen = 0
        async for event in conversation.events():
            seen += isinstance(event, TextDelta)
            if seen == 10:
                conversation.reader_left()
                if policy == "cut":
                    await asyncio.sleep(0)

    before = desk.balance()
    await asyncio.gather(*(reader() for _ in range(20)), return_exceptions=True)
    assert desk.log.open_holds() == []
    tokens = 10 if policy == "cut" else 50
    assert before - desk.balance() == 20 * (5 * INPUT_NANOS + tokens * OUTPUT_NANOS)
    assert desk.engine.closed == 20


async def test_draining_stops_at_its_limit(desk: Desk) -> None:
    desk.engine.words = ["w "] * 900
    caller = await desk.caller(policies='disconnect = "drain"\ndrain_limit_tokens = 100')
    conversation = await desk.gateway.admit(caller, ask(stream=True))
    with pytest.raises(MintageError):
        async for event in conversation.events():
            if isinstance(event, TextDelta) and not conversation.left:
                conversation.reader_left()
    assert conversation.usage is not None
    assert conversation.usage.output_tokens == 101
    assert conversation.estimated


async def test_a_failure_before_the_first_token_holds_and_costs_nothing(desk: Desk) -> None:
    desk.engine.fail_at = 0
    caller = await desk.caller(funds=UNIT)
    conversation = await desk.gateway.admit(caller, ask(max_output_tokens=10))
    assert (await refusal(conversation.answer())).code == "upstream_failed"
    await conversation.ended
    assert desk.balance() == UNIT
    assert desk.log.wallet("wal_a").held_nanos == 0


async def test_a_failure_midway_is_free_to_the_customer_and_costs_us(desk: Desk) -> None:
    desk.engine.fail_at = 2
    caller = await desk.caller(funds=UNIT)
    conversation = await desk.gateway.admit(caller, ask(max_output_tokens=10))
    assert (await refusal(conversation.answer())).code == "upstream_failed"
    assert conversation.receipt is not None
    assert conversation.receipt.posted_nanos == 0
    assert desk.balance() == UNIT
    assert desk.log.open_holds() == []


async def test_settlement_survives_the_cancellation_of_its_task(desk: Desk) -> None:
    desk.engine.gate_at = 2
    caller = await desk.caller(funds=UNIT)

    async def reader() -> None:
        conversation = await desk.gateway.admit(caller, ask(max_output_tokens=10))
        await conversation.answer()

    task = asyncio.ensure_future(reader())
    await desk.engine.said.wait()
    [conversation] = desk.gateway.open.values()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await conversation.ended
    assert desk.balance() == UNIT - (5 * INPUT_NANOS + 2 * OUTPUT_NANOS)
    assert conversation.outcome == "cut"
    assert conversation.estimated


async def test_closing_cuts_and_settles_what_still_runs(desk: Desk) -> None:
    desk.engine.gate_at = 1
    caller = await desk.caller(funds=UNIT)
    conversation = await desk.gateway.admit(caller, ask(max_output_tokens=10))
    task = asyncio.ensure_future(conversation.answer())
    await desk.engine.said.wait()
    await desk.gateway.close(0.01)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert desk.log.open_holds() == []
    assert desk.balance() == UNIT - (5 * INPUT_NANOS + 1 * OUTPUT_NANOS)
    assert (await refusal(desk.gateway.admit(caller, ask()))).code == "shutting_down"


async def test_what_outlives_its_lease_is_cut_and_settled_first(desk: Desk) -> None:
    desk.engine.gate_at = 1
    caller = await desk.caller(funds=UNIT)
    conversation = await desk.gateway.admit(caller, ask(max_output_tokens=10))
    task = asyncio.ensure_future(conversation.answer())
    await desk.engine.said.wait()
    assert desk.gateway.cut_overdue() == 0
    desk.clock.advance(880)
    assert desk.gateway.cut_overdue() == 1
    with pytest.raises(asyncio.CancelledError):
        await task
    await conversation.ended
    assert conversation.receipt is not None
    assert await desk.log.expire(desk.clock.now_ns() + 10**12) == []


async def test_refusals_hold_nothing_and_give_the_limits_back(desk: Desk) -> None:
    caller = await desk.caller(funds=0, rpm=5)
    for _ in range(3):
        assert (await refusal(desk.gateway.admit(caller, ask()))).code == "insufficient_funds"
    rich = await desk.caller("b", rpm=2)
    for _ in range(2):
        await (await desk.gateway.admit(rich, ask())).answer()
    limited = await refusal(desk.gateway.admit(rich, ask()))
    assert limited.code == "rate_limited"
    assert limited.retry_after_s is not None
    assert desk.gateway.meters.refusals == {"insufficient_funds": 3, "rate_limited": 1}
    assert desk.log.open_holds() == []


@pytest.mark.parametrize(
    ("request_fields", "code", "param"),
    [
        ({"n": 5}, "unsupported", "n"),
        ({"logprobs": True}, "unsupported", "logprobs"),
    ],
)
async def test_what_the_model_cannot_do_is_refused_by_name(
    desk: Desk, request_fields: dict[str, object], code: str, param: str
) -> None:
    caller = await desk.caller()
    error = await refusal(desk.gateway.admit(caller, ask(**request_fields)))
    assert (error.code, error.param) == (code, param)
    assert error.hint


async def test_a_prompt_beyond_the_context_is_refused_before_anything_runs(desk: Desk) -> None:
    desk.engine.prompt_tokens = 2000
    caller = await desk.caller()
    error = await refusal(desk.gateway.admit(caller, ask()))
    assert error.code == "context_length_exceeded"
    assert desk.engine.requests == []


async def test_the_output_limit_is_made_explicit_within_plan_and_context(desk: Desk) -> None:
    desk.engine.prompt_tokens = 1500
    caller = await desk.caller()
    await (await desk.gateway.admit(caller, ask())).answer()
    assert desk.engine.requests[0].max_output_tokens == 500


async def test_a_capped_plan_never_charges_more_than_it_held(desk: Desk) -> None:
    desk.engine.usage = Usage(input_tokens=5, output_tokens=99)
    caller = await desk.caller(policies='settle_above_hold = "cap"')
    conversation = await desk.gateway.admit(caller, ask(max_output_tokens=10))
    await conversation.answer()
    assert conversation.receipt is not None
    assert conversation.hold is not None
    assert conversation.receipt.posted_nanos == conversation.hold.amount_nanos


async def test_shaping_changes_the_text_and_not_the_meter(desk: Desk) -> None:
    desk.engine.words = ["  The sea is wide.", " The sea is wide.", " "]
    caller = await desk.caller(output="trim = true\ndeduplicate = true")
    answer = await (await desk.gateway.admit(caller, ask())).answer()
    assert answer.choices[0].parts[0].text == "The sea is wide."  # type: ignore[union-attr]
    assert answer.usage.output_tokens == 3


async def test_a_key_is_found_by_its_digest_only(desk: Desk) -> None:
    caller = await desk.caller("a")
    assert desk.gateway.identify(b"a") is caller
    with pytest.raises(MintageError) as caught:
        desk.gateway.identify(b"b")
    assert caught.value.code == "unauthenticated"


async def test_usage_that_has_no_price_is_settled_at_the_hold_and_marked(desk: Desk) -> None:
    """A provider that reports a meter nobody asked for must neither block the settlement nor be served for free."""
    desk.engine.usage = Usage(input_tokens=5, output_tokens=3, image_count=2)
    caller = await desk.caller()
    conversation = await desk.gateway.admit(caller, ask(max_output_tokens=10))
    await conversation.answer()
    assert conversation.receipt is not None
    assert conversation.hold is not None
    assert conversation.receipt.posted_nanos == conversation.hold.amount_nanos
    assert conversation.estimated
    assert desk.gateway.meters.failures["unpriceable"] == 1
    assert desk.log.open_holds() == []
