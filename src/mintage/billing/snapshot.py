"""What the gateway must know of every key, gathered from accounts and billing at one version."""

from __future__ import annotations

import msgspec

from mintage.accounts import Accounts, KeyGrant
from mintage.billing.plans import Plans
from mintage.billing.subscriptions import Subscription, Subscriptions
from mintage.billing.wallets import WalletRow, Wallets
from mintage.pricing import PriceVersion


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
    endpoints: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    budgets: tuple[tuple[str, int, str], ...] = ()  # (key or project, nanos, period)


class KeySnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Valid while Accounts.version() is `version` and the time is before `valid_until_ns` (None: no end)."""

    version: int
    keys: list[KeyRecord]
    price_versions: dict[str, PriceVersion]
    valid_until_ns: int | None


def take_snapshot(accounts: Accounts, plans: Plans, subscriptions: Subscriptions, wallets: Wallets) -> KeySnapshot:
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
    changes = (plans.next_effective_ns(now_ns), subscriptions.next_change_ns(now_ns))
    return KeySnapshot(
        version=version,
        keys=keys,
        price_versions={version.id: version for version in versions.values()},
        valid_until_ns=min((at_ns for at_ns in changes if at_ns is not None), default=None),
    )


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
