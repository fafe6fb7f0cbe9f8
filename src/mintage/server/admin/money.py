"""Wallets and their balances, top-ups, and what was used."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import get, post
from litestar.params import RawBody

from mintage.accounts import Page, Tenant
from mintage.base import ATTOS_PER_NANO, new_id
from mintage.billing import TopUp
from mintage.books import TopUpKind, UsageLine, Wallet
from mintage.server.admin.bodies import day_ns, decode, money_nanos
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Limit, Path, Query

_QUARTER_NS: Final = 900 * 10**9


class WalletView(msgspec.Struct, frozen=True, kw_only=True):
    """available_nanos = balance + credit limit - held: what new requests may hold."""

    id: str
    tenant_id: str
    handle: str
    name: str
    currency: str
    funding: str
    balance_nanos: int
    held_nanos: int
    credit_limit_nanos: int
    available_nanos: int


class AskTopUp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """amount: currency units as text. The same (source, source_id) again changes nothing."""

    amount: str
    kind: TopUpKind = "cash"
    source: str = "manual"
    source_id: str | None = None
    memo: str = ""


class UsageView(msgspec.Struct, frozen=True, kw_only=True):
    """What one customer used of one meter at one rate. charge_nanos is rounded down; exact is in attos (1e-18)."""

    tenant_id: str
    handle: str
    model: str
    product: str
    meter: str
    price_id: str
    currency: str
    rate_attos: int
    quantity: int
    charge_nanos: int
    exact_attos: str
    requests: int


def _wallet_view(tenant: Tenant, wallet: Wallet) -> WalletView:
    return WalletView(
        id=wallet.id,
        tenant_id=tenant.id,
        handle=tenant.handle,
        name=tenant.name,
        currency=wallet.currency,
        funding=wallet.funding,
        balance_nanos=wallet.balance_nanos,
        held_nanos=wallet.held_nanos,
        credit_limit_nanos=wallet.credit_limit_nanos,
        available_nanos=wallet.available_nanos,
    )


def _usage_view(tenant: Tenant, line: UsageLine) -> UsageView:
    return UsageView(
        tenant_id=tenant.id,
        handle=tenant.handle,
        model=line.model,
        product=line.product,
        meter=line.meter,
        price_id=line.price_id,
        currency=line.currency,
        rate_attos=line.rate_attos,
        quantity=line.quantity,
        charge_nanos=line.attos // ATTOS_PER_NANO,
        exact_attos=str(line.attos),
        requests=line.entries,
    )


@get("/wallets")
async def list_wallets(desk: DeskPart, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None) -> Page[WalletView]:
    """Balances of a page of customers; a customer without a wallet is left out."""
    page = await asyncio.to_thread(desk.accounts.tenants.page, limit=limit, cursor=cursor)
    own = {row.id for row in (await asyncio.to_thread(desk.billing.wallets.all)).values()}  # credit may have its own
    wallets = {wallet.tenant_id: wallet for wallet in desk.log.wallets() if wallet.id in own}
    items = [_wallet_view(tenant, wallets[tenant.id]) for tenant in page.items if tenant.id in wallets]
    return Page(items=items, next_cursor=page.next_cursor)


@get("/customers/{customer:str}/wallet")
async def show_wallet(desk: DeskPart, customer: Path) -> WalletView:
    """A customer's balance, now."""
    tenant = await asyncio.to_thread(desk.accounts.tenants.get, customer)
    return _wallet_view(tenant, desk.billing.wallets.balance(tenant.id))


@post(
    "/customers/{customer:str}/top-ups",
    takes=AskTopUp,
    example={"amount": "25.00", "source": "bank", "source_id": "statement-7-line-3"},
)
async def top_up(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> WalletView:
    """Add money to a customer's wallet, once per source."""
    asked = decode(body, AskTopUp)
    tenant = await asyncio.to_thread(desk.accounts.tenants.get, customer)
    new = TopUp(
        amount_nanos=money_nanos(asked.amount, tenant.currency),
        source=asked.source,
        source_id=new_id("top") if asked.source_id is None else asked.source_id,
        kind=asked.kind,
        memo=asked.memo,
    )
    return _wallet_view(tenant, await desk.billing.wallets.top_up(actor, tenant, new))


@get("/usage")
async def list_usage(
    desk: DeskPart,
    *,
    customer: Query = None,
    start: Query = None,
    end: Query = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[UsageView]:
    """Usage of one customer, or of a page of customers, by model, meter and rate. Days are UTC; end is not included."""
    start_ns = day_ns(start, "start") or 0
    end_ns = day_ns(end, "end") or (desk.clock.now_ns() // _QUARTER_NS + 2) * _QUARTER_NS
    await desk.catch_up()

    def read() -> Page[UsageView]:
        tenants = desk.accounts.tenants
        page = Page(items=[tenants.get(customer)]) if customer else tenants.page(limit=limit, cursor=cursor)
        items = [
            _usage_view(tenant, line)
            for tenant in page.items
            for line in desk.ledger.usage_lines(tenant.id, start_ns, end_ns)
        ]
        return Page(items=items, next_cursor=page.next_cursor)

    return await asyncio.to_thread(read)


HANDLERS: Final[list[Any]] = [list_wallets, show_wallet, top_up, list_usage]
