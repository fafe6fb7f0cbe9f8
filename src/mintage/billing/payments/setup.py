"""Which payment providers are set up: their keys are sealed in the vault, never in settings, logs or answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from mintage.accounts import Accounts
from mintage.base import MintageError
from mintage.billing.payments.desk import Payments
from mintage.billing.payments.stripe_provider import StripeProvider

STRIPE_KEY: Final = "payments/stripe/key"
STRIPE_WEBHOOK: Final = "payments/stripe/webhook"
_KEYS: Final = ("sk_", "rk_")


class ProviderRow(msgspec.Struct, frozen=True, kw_only=True):
    """webhook_path: where the provider sends its messages. test: its key moves no real money."""

    name: str
    webhook_path: str
    test: bool


def _nobody() -> None:
    """Who waits for nothing."""


class ProviderSetup:
    """stripe_url: another address than Stripe's own; empty for that.

    ready is called once saved methods can be charged.
    """

    def __init__(self, accounts: Accounts, payments: Payments) -> None:
        self._accounts = accounts
        self._payments = payments
        self.stripe_url = ""
        self.ready: Callable[[], None] = _nobody

    async def load(self) -> None:
        """Open every provider whose secrets the vault has. Raises unsupported where its client is not installed."""
        names = await asyncio.to_thread(self._accounts.vault.names)
        if STRIPE_KEY in names and STRIPE_WEBHOOK in names:
            self._payments.providers["stripe"] = await asyncio.to_thread(self._open_stripe)
            self.ready()

    def _open_stripe(self) -> StripeProvider:
        vault = self._accounts.vault
        return StripeProvider(vault.get(STRIPE_KEY), vault.get(STRIPE_WEBHOOK), base_url=self.stripe_url or None)

    async def set_stripe(self, actor: str, api_key: str, webhook_secret: str) -> ProviderRow:
        """Keep both secrets and use them at once. Raises invalid_request for what cannot be a secret of Stripe."""
        for param, value, begins in (
            ("api_key", api_key, _KEYS),
            ("webhook_secret", webhook_secret, ("whsec_",)),
        ):
            if not value.startswith(begins) or not value.isascii() or not value.isprintable() or len(value) > 500:
                raise MintageError(
                    "invalid_request",
                    f"The {param} is none of Stripe's.",
                    f"It begins with {' or '.join(begins)}; Stripe's dashboard shows it under Developers.",
                    param=param,
                )
        await asyncio.to_thread(self._accounts.vault.put, actor, STRIPE_KEY, api_key)
        await asyncio.to_thread(self._accounts.vault.put, actor, STRIPE_WEBHOOK, webhook_secret)
        await self.load()
        return (await self.all())[0]

    async def all(self) -> list[ProviderRow]:
        """Those that can be used now."""
        if "stripe" not in self._payments.providers:
            return []
        key = await asyncio.to_thread(self._accounts.vault.get, STRIPE_KEY)
        return [ProviderRow(name="stripe", webhook_path="/webhooks/stripe", test="_test_" in key)]
