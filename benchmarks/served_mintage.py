"""A whole Mintage in front of the benchmark's upstream: `python benchmarks/served_mintage.py HOME UPSTREAM_URL`.

Everything that costs time is on: keys, limits, holds and settlements on disk, ledger, lake, receipts, metrics, logs.
Prints one JSON line {"port", "key"} when it serves; SIGTERM ends it.
"""

from __future__ import annotations

import sys

import msgspec
import uvloop

from mintage.accounts import SYSTEM, NewKey, NewTenant
from mintage.app import App, Service
from mintage.base import NANOS_PER_UNIT, load_settings
from mintage.billing import TopUp

MODEL = "gpt-4o-mini"
PLAN = f"""
id = "bench"
currency = "USD"
funding = "prepaid"

[name]
en = "Benchmark"

[[prices]]
model = "{MODEL}"
input_tokens = {{ per_million = "0.60" }}
cached_read_tokens = {{ per_million = "0.15" }}
output_tokens = {{ per_million = "2.40" }}

[policies]
disconnect = "drain"
drain_limit_tokens = 512

[policies.limits]
requests_per_minute = 100_000_000
tokens_per_minute = 100_000_000_000

[policies.output]
max_tokens = 1024
default_tokens = 256
"""


async def main(home: str, upstream: str) -> None:
    settings = load_settings({"MINTAGE_HOME": home, "MINTAGE_PORT": "0"})
    app = await App.open(settings)
    try:
        app.accounts.entities.ensure(settings.operator, settings.currency)
        app.accounts.staff.ensure_owner(SYSTEM)
        app.billing.plans.apply(SYSTEM, PLAN.encode(), "toml")
        app.registry.add(
            MODEL, provider="openai", model=MODEL, base_url=upstream, api_key="sk-bench", allow_private=True
        )
        tenant = app.accounts.tenants.add(SYSTEM, NewTenant(name="Bench", handle="bench"), currency=settings.currency)
        await app.billing.assign(SYSTEM, tenant, "bench")
        top_up = TopUp(amount_nanos=1_000_000 * NANOS_PER_UNIT, source="bench", source_id="1")
        await app.billing.wallets.top_up(SYSTEM, tenant, top_up)
        key = app.accounts.keys.create(SYSTEM, tenant.id, NewKey(name="bench")).secret
        service = await Service.start(app)
        try:
            port = int(service.url.rsplit(":", 1)[1])
            sys.stdout.write(msgspec.json.encode({"port": port, "key": key}).decode() + "\n")
            sys.stdout.flush()
            await service.until_signal()
        finally:
            await service.stop()
    finally:
        await app.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:3]))
