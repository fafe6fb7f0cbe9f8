"""What a first run sets up: the default model, three plans, three customers with keys. Safe to repeat."""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import Final, NamedTuple

import msgspec

from mintage.accounts import SYSTEM, NewKey, NewTenant, Tenant
from mintage.app.parts import App
from mintage.base import NANOS_PER_UNIT, MintageError
from mintage.billing import TopUp
from mintage.registry import ModelEntry, ProgressCallback

PLANS: Final = ("payg", "business", "trial")
_KEYS_NAME: Final = "demo/keys"


class DemoCustomer(msgspec.Struct, frozen=True, kw_only=True):
    """One of the three customers that a first run makes, with its key. handle is its name on the command line."""

    handle: str
    name: str
    plan: str
    key: str


class _Wanted(NamedTuple):
    handle: str
    name: str
    plan: str
    first_top_up_nanos: int = 0


_CUSTOMERS: Final = (
    _Wanted("acme", "Acme Writing Co.", "payg", 10 * NANOS_PER_UNIT),
    _Wanted("borealis", "Borealis GmbH", "business"),
    _Wanted("chen", "Chen's Teahouse 陈记茶馆", "trial"),
)


async def pull_default_model(app: App, progress: ProgressCallback | None = None) -> ModelEntry:
    """The model that this home sells first; already there, it is only looked at."""
    return await asyncio.to_thread(app.registry.pull, app.settings.default_model, progress=progress)


async def set_up(app: App) -> list[DemoCustomer]:
    """The legal entity, an owner, the plans and the customers. What is there stays as it is."""
    await asyncio.to_thread(app.accounts.entities.ensure, app.settings.operator, app.settings.currency)
    await asyncio.to_thread(app.accounts.staff.ensure_owner, SYSTEM)
    for plan in PLANS:
        raw = resources.files("mintage.app").joinpath("plans", f"{plan}.toml").read_bytes()
        try:
            await asyncio.to_thread(app.billing.plans.current, plan, app.clock.now_ns())
        except MintageError:
            await asyncio.to_thread(app.billing.plans.apply, SYSTEM, raw, "toml")
    keys = await asyncio.to_thread(_stored_keys, app)
    customers = [await _customer(app, wanted, keys.get(wanted.handle)) for wanted in _CUSTOMERS]
    await asyncio.to_thread(
        app.accounts.vault.put, SYSTEM, _KEYS_NAME, msgspec.json.encode({c.handle: c.key for c in customers}).decode()
    )
    return customers


def _stored_keys(app: App) -> dict[str, str]:
    """The demo customers' keys, sealed in the vault, so that the next run can show working commands again."""
    if _KEYS_NAME not in app.accounts.vault.names():
        return {}
    return msgspec.json.decode(app.accounts.vault.get(_KEYS_NAME), type=dict[str, str])


async def _customer(app: App, wanted: _Wanted, key: str | None) -> DemoCustomer:
    try:
        tenant: Tenant = await asyncio.to_thread(app.accounts.tenants.get, wanted.handle)
    except MintageError:
        new = NewTenant(name=wanted.name, handle=wanted.handle)
        tenant = await asyncio.to_thread(app.accounts.tenants.add, SYSTEM, new, currency=app.settings.currency)
    await app.billing.assign(SYSTEM, tenant, wanted.plan)
    if wanted.first_top_up_nanos:
        top_up = TopUp(amount_nanos=wanted.first_top_up_nanos, source="demo", source_id=f"first:{tenant.id}")
        await app.billing.wallets.top_up(SYSTEM, tenant, top_up)
    if key is None:
        created = await asyncio.to_thread(app.accounts.keys.create, SYSTEM, tenant.id, NewKey(name="demo"))
        key = created.secret
    return DemoCustomer(handle=wanted.handle, name=tenant.name, plan=wanted.plan, key=key)
