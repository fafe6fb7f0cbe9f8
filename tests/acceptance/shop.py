"""A whole Mintage on a fresh home, selling the scripted provider's behaviours as models.

Run it as `python shop.py HOME PROVIDER_URL`; it prints {"url", "keys"} and serves until SIGTERM. A key is named after
its customer: rich, poor (an empty wallet), hasty (one request a minute), shaped (its plan changes the answers, so they
are decoded and encoded instead of passed through).
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Final

from mintage.accounts import SYSTEM, NewKey, NewTenant
from mintage.app import App, Service
from mintage.base import NANOS_PER_UNIT, load_settings
from mintage.billing import TopUp

PLAN: Final = """
id = "{plan}"
currency = "USD"
funding = "prepaid"
name = {{ en = "{plan}" }}
[[prices]]
model = "*"
input_tokens = {{ per_million = "1" }}
cached_read_tokens = {{ per_million = "0.25" }}
output_tokens = {{ per_million = "4" }}
reasoning_tokens = {{ per_million = "4" }}
characters = {{ per_million = "15" }}
audio_ms = {{ per_minute = "0.006" }}
[policies]
disconnect = "cut"
{policies}
"""
POLICIES: Final = {
    "plain": "",
    "hasty": "[policies.limits]\nrequests_per_minute = 1",
    "shaped": "[policies.output]\ntrim = true",
}
CUSTOMERS: Final = (
    ("rich", "plain", 100),
    ("poor", "plain", 0),
    ("hasty", "hasty", 100),
    ("shaped", "shaped", 100),
    ("thrifty", "plain", 100),
)
BEHAVIOURS: Final = (
    "say", "think", "tools", "json_schema", "completion",
    "slow", "cut", "busy", "broken", "long", "garbage", "wrong_usage",
)  # fmt: skip
#: What does not write: behaviour -> its one operation.
MEDIA: Final = {"embed": "embedding", "moderate": "moderation", "speak": "speech", "transcribe": "transcription"}
UPSTREAM_MODELS: Final = {
    "embed": "text-embedding-3-small", "moderate": "gpt-4o-mini", "speak": "tts-1", "transcribe": "whisper-1",
}  # fmt: skip
CONTEXT_TOKENS: Final = 20_000


async def open_shop(app: App, provider_url: str) -> dict[str, str]:
    """The models, the plans, the customers. Returns their keys."""
    for behaviour in BEHAVIOURS:
        app.registry.add(
            behaviour.replace("_", "-"),
            provider="openai",
            model="gpt-4o-mini",
            base_url=f"{provider_url}/{behaviour}/v1",
            api_key="provider-key",
            allow_private=True,
            context_tokens=CONTEXT_TOKENS,
            images=True,
        )
    for behaviour, operation in MEDIA.items():
        app.registry.add(
            behaviour,
            provider="openai",
            model=UPSTREAM_MODELS[behaviour],
            base_url=f"{provider_url}/{behaviour}/v1",
            api_key="provider-key",
            allow_private=True,
            operations=(operation,),
        )
    app.accounts.entities.ensure("Acceptance", "USD")
    for plan, policies in POLICIES.items():
        app.billing.plans.apply(SYSTEM, PLAN.format(plan=plan, policies=policies).encode(), "toml")
    keys = {}
    for name, plan, units in CUSTOMERS:
        tenant = app.accounts.tenants.add(SYSTEM, NewTenant(name=name, handle=name), currency="USD")
        await app.billing.assign(SYSTEM, tenant, plan)
        if units:
            top_up = TopUp(amount_nanos=units * NANOS_PER_UNIT, source="acceptance", source_id=name)
            await app.billing.wallets.top_up(SYSTEM, tenant, top_up)
        keys[name] = app.accounts.keys.create(SYSTEM, tenant.id, NewKey(name=name)).secret
    return keys


async def main(home: str, provider_url: str) -> None:
    settings = load_settings({"MINTAGE_PORT": "0", "MINTAGE_SHUTDOWN_GRACE_S": "2"}, home=home)
    app = await App.open(settings)
    try:
        keys = await open_shop(app, provider_url)
        service = await Service.start(app)
        try:
            json.dump({"url": service.url, "keys": keys}, sys.stdout)
            print(flush=True)
            await service.until_signal()
        finally:
            await service.stop()
    finally:
        await app.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
