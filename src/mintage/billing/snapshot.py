"""What the gateway must know of every key, gathered from accounts and billing at one version."""

from __future__ import annotations

from typing import Any

import msgspec

from mintage.accounts import Accounts, KeyGrant
from mintage.billing.caps import SpendCaps
from mintage.billing.credit import Credit
from mintage.billing.plans import Plans
from mintage.billing.subscriptions import Subscription, Subscriptions
from mintage.billing.wallets import WalletRow, Wallets
from mintage.pricing import PriceVersion


class CreditWallet(msgspec.Struct, frozen=True, kw_only=True):
    """models: patterns; empty pays for every model. products likewise."""

    wallet_id: str
    models: tuple[str, ...]
    products: tuple[str, ...]


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One usable key. price_id and wallet_id are empty for a tenant without a plan: it may buy nothing.

    models: names, or prefixes ending in `*`; empty allows all. The limits are the key's own; the plan has others.
    """

    digest: bytes
    key_id: str
    tenant_id: str
    project_id: str
    wallet_id: str
    currency: str
    price_id: str
    requests_per_minute: int | None
    tokens_per_minute: int | None
    models: tuple[str, ...]
    expires_ns: int | None
    suspended: bool
    paused: bool = False
    exhausted: bool = False  # the plan's allowance is used up, and nothing may go beyond it
    endpoints: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    budgets: tuple[tuple[str, int, str], ...] = ()  # (key, project or customer, nanos, period)
    credits: tuple[CreditWallet, ...] = ()  # wallets that pay first, for what fits them
    entitled: tuple[str, ...] | None = None  # models that the customer may use, as patterns; None: its plan's
    features: tuple[str, ...] | None = None  # the same for features


class KeySnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Valid while Accounts.version() is `version` and the time is before `valid_until_ns` (None: no end)."""

    version: int
    keys: list[KeyRecord]
    price_versions: dict[str, PriceVersion]
    valid_until_ns: int | None


def take_snapshot(  # noqa: PLR0917 - the parts of this room, in the order of its floors
    accounts: Accounts,
    plans: Plans,
    subscriptions: Subscriptions,
    wallets: Wallets,
    credit: Credit,
    caps: SpendCaps,
) -> KeySnapshot:
    """Blocking, for a thread: milliseconds per thousand keys."""
    version = accounts.version()  # first: a change that comes in between makes the result stale, never wrong
    now_ns = accounts.changes.clock.now_ns()
    current = subscriptions.all_current()
    versions = {plan: plans.current(plan, now_ns) for plan in {row.plan for row in current.values()}}
    rows = wallets.all()
    paused = subscriptions.all_paused()
    keys = [
        _record(grant, current.get(grant.tenant_id), rows.get(grant.tenant_id), versions, grant.tenant_id in paused)
        for grant in accounts.keys.grants()
    ]
    keys = _with_terms(keys, rows, credit, caps)
    if exhausted := subscriptions.all_exhausted():
        keys = [msgspec.structs.replace(key, exhausted=key.tenant_id in exhausted) for key in keys]
    changes = (plans.next_effective_ns(now_ns), subscriptions.next_change_ns(now_ns))
    return KeySnapshot(
        version=version,
        keys=keys,
        price_versions={version.id: version for version in versions.values()},
        valid_until_ns=min((at_ns for at_ns in changes if at_ns is not None), default=None),
    )


def _with_terms(keys: list[KeyRecord], rows: dict[str, WalletRow], credit: Credit, caps: SpendCaps) -> list[KeyRecord]:
    """Add what only some customers have: credit of a scope, hard caps, entitlements of their own."""
    side: dict[str, list[CreditWallet]] = {}
    for lot in sorted(credit.lots(open_only=True), key=lambda lot: (lot.priority, lot.expires_ns or 2**63, lot.id)):
        own = rows.get(lot.tenant_id)
        if own is not None and lot.wallet_id.startswith(f"{own.id}."):
            found = CreditWallet(wallet_id=lot.wallet_id, models=lot.models, products=lot.products)
            side.setdefault(lot.tenant_id, []).append(found)
    hard = {tenant_id: cap for tenant_id, cap in caps.all().items() if cap.hard}
    own_terms = caps.entitlements()
    if not (side or hard or own_terms):
        return keys
    found_keys = []
    for key in keys:
        changes: dict[str, Any] = {}
        if key.tenant_id in side:
            changes["credits"] = tuple(side[key.tenant_id])
        if (cap := hard.get(key.tenant_id)) is not None:
            changes["budgets"] = (*key.budgets, (key.tenant_id, cap.amount_nanos, cap.every))
        if (terms := own_terms.get(key.tenant_id)) is not None:
            changes["entitled"], changes["features"] = terms.models, terms.features
            changes["requests_per_minute"] = key.requests_per_minute or terms.requests_per_minute
            changes["tokens_per_minute"] = key.tokens_per_minute or terms.tokens_per_minute
        found_keys.append(msgspec.structs.replace(key, **changes) if changes else key)
    return found_keys


def _record(
    grant: KeyGrant,
    subscription: Subscription | None,
    wallet: WalletRow | None,
    versions: dict[str, PriceVersion],
    paused: bool,
) -> KeyRecord:
    ready = subscription is not None and wallet is not None
    return KeyRecord(
        digest=grant.digest,
        key_id=grant.key_id,
        tenant_id=grant.tenant_id,
        project_id=grant.project_id,
        wallet_id=wallet.id if ready and wallet else "",
        currency=wallet.currency if wallet else "",
        price_id=versions[subscription.plan].id if ready and subscription else "",
        requests_per_minute=grant.requests_per_minute,
        tokens_per_minute=grant.tokens_per_minute,
        models=grant.models,
        expires_ns=grant.expires_ns,
        suspended=grant.suspended,
        paused=paused,
        endpoints=grant.endpoints,
        ip_ranges=grant.ip_ranges,
        budgets=grant.budgets,
    )
