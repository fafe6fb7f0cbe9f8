"""A whole Mintage as a first run sets it up, with the real default model and a scripted provider beside it.

Run it as `python browser_shop.py HOME PROVIDER_URL`; it prints {"url", "token", "keys"} and serves until SIGTERM.
HOME already holds the default model.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Final

from mintage.app import App, Service
from mintage.app.first_run import pull_default_model, set_up
from mintage.app.pages import make_pages
from mintage.base import load_settings

#: The demo plans price `smollm2-135m*`, so the scripted models take that name too.
SCRIPTED: Final = ("say", "slow", "hostile", "broken")


async def main(home: str, provider_url: str) -> None:
    settings = load_settings({"MINTAGE_PORT": "0", "MINTAGE_SHUTDOWN_GRACE_S": "2"}, home=home)
    app = await App.open(settings)
    try:
        await pull_default_model(app)
        for behaviour in SCRIPTED:
            app.registry.add(
                f"smollm2-135m-{behaviour}",
                provider="openai",
                model="gpt-4o-mini",
                base_url=f"{provider_url}/{behaviour}/v1",
                api_key="provider-key",
                allow_private=True,
                context_tokens=20_000,
            )
        customers = await set_up(app)
        service = await Service.start(app, make_pages=make_pages)
        try:
            keys = {customer.handle: customer.key for customer in customers}
            json.dump({"url": service.url, "token": service.address.admin_token, "keys": keys}, sys.stdout)
            print(flush=True)
            await service.until_signal()
        finally:
            await service.stop()
    finally:
        await app.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
