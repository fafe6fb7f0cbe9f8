"""What a customer is entitled to, at the gateway: features of its plan, and credit that pays first for what fits."""

import dataclasses

import pytest
from tests.gateway.conftest import ask

from mintage.base import MintageError, OutputFormat


async def test_credit_pays_whole_requests_first_and_the_wallet_the_rest(desk):
    caller = await desk.caller()
    await desk.log.open_wallet(caller.tenant_id, "credit", caller.currency, "promo")
    free = await desk.gateway.admit(caller, ask(max_output_tokens=10))
    need = free.hold.amount_nanos
    free.release("only a measure")
    await desk.log.top_up("credit", need, source="grant", source_id="1", kind="promo")
    before = desk.balance()
    fits = dataclasses.replace(caller, credits=(("credit", frozenset({free.request.model})),))
    first = await desk.gateway.admit(fits, ask(max_output_tokens=10))
    assert first.hold.wallet_id == "credit"
    await first.answer()
    assert desk.balance() == before
    assert desk.log.wallet("credit").balance_nanos == need - first.receipt.posted_nanos
    second = await desk.gateway.admit(fits, ask(max_output_tokens=10))  # what is left does not cover it whole
    assert second.hold.wallet_id == caller.wallet_id
    await second.answer()
    assert desk.balance() == before - second.receipt.posted_nanos
    other = dataclasses.replace(caller, credits=(("credit", frozenset({"another"})),))
    third = await desk.gateway.admit(other, ask(max_output_tokens=10))
    assert third.hold.wallet_id == caller.wallet_id
    third.release("done")


async def test_what_a_plan_does_not_include_is_refused_before_anything_is_held(desk):
    caller = dataclasses.replace(await desk.caller(), features=frozenset({"tools"}))
    asked = ask(max_output_tokens=10)
    conversation = await desk.gateway.admit(caller, asked)
    conversation.release("allowed")
    with pytest.raises(MintageError) as refused:
        await desk.gateway.admit(caller, ask(max_output_tokens=10, output=OutputFormat(kind="json_object")))
    assert refused.value.code in ("permission_denied", "unsupported")
    assert desk.log.open_holds() == []
