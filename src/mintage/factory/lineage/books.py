"""The cost of making a model in double entry: an asset when it is made, an expense as its tokens are served.

    model_made       debit assets:models:RUN         credit assets:compute        each attempt of each step, once
    model_amortised  debit expenses:cogs:factory     credit assets:models:RUN     served tokens / lifetime_tokens of it

What a run cost is capitalised whether its steps went well or not: failed attempts are part of the price of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from mintage.books import Journal, Ledger, Posting, cogs_account, model_account
from mintage.factory.costs import CostLine
from mintage.factory.lineage.records import Deployment

PROVIDER: Final = "factory"
_COMPUTE: Final = "assets:compute"


class MakingCost(msgspec.Struct, frozen=True, kw_only=True):
    """What making a model cost and how much of it its tokens have paid back. per_million_nanos: of served tokens."""

    run_id: str
    model: str
    currency: str
    capitalised_nanos: int
    amortised_nanos: int
    lifetime_tokens: int
    tokens_served: int
    per_million_nanos: int
    cpu_s: float
    gpu_s: float
    energy_wh: float
    tokens: int
    lines: tuple[CostLine, ...] = ()


def post_costs(ledger: Ledger, run_id: str, name: str, lines: Sequence[CostLine]) -> int:
    """Post every attempt that is not in the books yet; how many nanos the run has cost in all."""
    for line in lines:
        if line.nanos == 0:
            continue
        amounts = ((model_account(run_id), line.nanos), (_COMPUTE, -line.nanos))
        ledger.post(
            Journal(
                event="model_made",
                source="factory",
                source_id=f"{run_id}:{line.step}:{line.attempt}",
                occurred_ns=line.at_ns,
                memo=f"{name}: {line.step}, {line.outcome}, {line.price_version}"[:500],
                postings=_postings(amounts, line.currency, name),
            )
        )
    return sum(line.nanos for line in lines)


def amortise(ledger: Ledger, deployments: Sequence[Deployment], now_ns: int) -> int:
    """Move what served tokens have used up of each model's cost to expenses; the nanos moved. Doing it again is free.

    A model that has served its lifetime has no cost left; one that was replaced keeps the rest until written off.
    """
    moved = 0
    for run_id in sorted({one.run_id for one in deployments}):
        mine = [one for one in deployments if one.run_id == run_id]
        served = {one.id: ledger.tokens_served(one.model, one.created_ns, one.ended_ns) for one in mine}
        for currency, (made, spent) in _totals(ledger, run_id).items():
            done = spent
            for one in mine:
                due = made * min(served[one.id], one.lifetime_tokens) // one.lifetime_tokens
                before = _posted(ledger, one.id, currency)
                amount = min(due - before, made - done)
                if amount <= 0:
                    continue
                ledger.post(
                    Journal(
                        event="model_amortised",
                        source="factory.amortise",
                        source_id=f"{one.id}:{currency}:{before + amount}",
                        occurred_ns=now_ns,
                        memo=f"{served[one.id]:,} tokens served by {one.id}",
                        postings=_postings(
                            ((cogs_account(PROVIDER), amount), (model_account(run_id), -amount)), currency, one.model
                        ),
                    )
                )
                done, moved = done + amount, moved + amount
    return moved


def making_cost(  # noqa: PLR0917 - what a run is known by
    ledger: Ledger, run_id: str, name: str, lines: Sequence[CostLine], deployment: Deployment | None,
    default_lifetime: int,
) -> MakingCost:  # fmt: skip
    currency = lines[0].currency if lines else "USD"
    made, done = _totals(ledger, run_id).get(currency, (0, 0))
    lifetime = deployment.lifetime_tokens if deployment else default_lifetime
    served = ledger.tokens_served(deployment.model, deployment.created_ns, deployment.ended_ns) if deployment else 0
    return MakingCost(
        run_id=run_id,
        model=deployment.model if deployment else name,
        currency=currency,
        capitalised_nanos=made,
        amortised_nanos=done,
        lifetime_tokens=lifetime,
        tokens_served=served,
        per_million_nanos=made * 1_000_000 // lifetime,
        cpu_s=round(sum(line.cpu_s for line in lines), 3),
        gpu_s=round(sum(line.gpu_s for line in lines), 3),
        energy_wh=round(sum(line.energy_wh for line in lines), 4),
        tokens=sum(line.tokens for line in lines),
        lines=tuple(lines),
    )


def _totals(ledger: Ledger, run_id: str) -> dict[str, tuple[int, int]]:
    """currency -> (capitalised, amortised or written off) of the run's account."""
    account = model_account(run_id)
    return {
        row.currency: (row.debit_nanos, row.credit_nanos) for row in ledger.trial_balance() if row.account == account
    }


def _posted(ledger: Ledger, deployment_id: str, currency: str) -> int:
    """What this deployment has amortised so far: the running total that its last journal's id carries."""
    found = 0
    for journal in _pages(ledger, "model_amortised"):
        head, _, total = journal.source_id.rpartition(":")
        if head == f"{deployment_id}:{currency}":
            found = max(found, int(total))
    return found


def _pages(ledger: Ledger, event: str) -> list[Journal]:
    found: list[Journal] = []
    cursor: str | None = None
    while True:
        page = ledger.journals(event=event, limit=500, cursor=cursor)
        found += page.journals
        cursor = page.cursor
        if cursor is None or len(found) >= 100_000:
            return found


def _postings(amounts: Sequence[tuple[str, int]], currency: str, model: str) -> tuple[Posting, ...]:
    make: Callable[..., Posting] = Posting
    return tuple(
        make(account=account, currency=currency, amount_nanos=nanos, model=model, provider=PROVIDER)
        for account, nanos in amounts
    )
