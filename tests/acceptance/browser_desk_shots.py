"""Takes the documentation's screenshots of the desk and the portal, as WebP.

`python -m tests.acceptance.browser_desk_shots HOME MODELS OUT`

HOME is an empty folder, MODELS a home that holds the default model. Some trade is made first, so that there is
something to see. Every page in both languages: English in light, 中文 in dark, and a few on a phone.
"""

from __future__ import annotations

import base64
import random
import sys
from pathlib import Path
from typing import Final

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from .browser_kit import Shop, launch, open_shop, sign_in

SCREEN: Final = {"width": 1280, "height": 800}
PHONE: Final = {"width": 360, "height": 740}
REQUESTS: Final = 60
DESK: Final = {
    "overview": "/console", "requests": "/console/requests", "usage": "/console/usage?by=day&by=model&by=customer",
    "playground": "/console/playground", "customers": "/console/customers", "customer": "/console/customers/acme",
    "customer-new": "/console/customers/new", "plans": "/console/plans", "plan-new": "/console/plans/new",
    "models": "/console/models", "profit": "/console/profit", "ledger": "/console/ledger",
    "journals": "/console/ledger/journals", "staff": "/console/staff", "audit": "/console/audit",
    "jobs": "/console/jobs", "settings": "/console/settings",
}  # fmt: skip
PORTAL: Final = {
    "portal": "/portal", "portal-usage": "/portal/usage", "portal-keys": "/portal/keys",
    "portal-playground": "/portal/playground",
}  # fmt: skip
ON_A_PHONE: Final = ("requests", "customer", "usage", "portal")


#: The browser itself turns a PNG into WebP.
_PACK: Final = """
async (png) => {
  const image = new Image();
  image.src = "data:image/png;base64," + png;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL("image/webp", 0.72);
}
"""


def trade(shop: Shop) -> str:
    """Some requests of every customer; the id of one."""
    chance, request_id = random.Random(7), ""
    for _ in range(REQUESTS):
        customer = chance.choices(["acme", "borealis", "chen"], [5, 2, 3])[0]
        request_id = shop.chat(customer, text=chance.choice(["Hello!", "Name three coins.", "What is a ledger?"]))
    return request_id


def portal_link(shop: Shop) -> str:
    """Invites somebody of a customer, as an operator does."""
    head = {"authorization": f"Bearer {shop.token}"}
    body = {"name": "Ada", "email": f"ada{random.randrange(10**9)}@acme.example", "role": "admin"}
    answer = httpx.post(f"{shop.url}/admin/v1/customers/acme/users", headers=head, json=body, timeout=20)
    answer.raise_for_status()
    return str(answer.json()["link"]["url"])


def take(page: Page, file: Path) -> None:
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)  # charts are drawn, streams are open
    picture = base64.b64encode(page.screenshot()).decode()
    blank = page.context.new_page()
    packed = blank.evaluate(_PACK, picture)
    blank.close()
    file.write_bytes(base64.b64decode(packed.partition(",")[2]))


def round_trip(browser: Browser, shop: Shop, out: Path, language: str, request_id: str) -> None:
    theme = {"en": "light", "zh": "dark"}[language]
    for pages, portal in ((DESK | {"request": f"/console/requests/{request_id}"}, False), (PORTAL, True)):
        context = browser.new_context(
            viewport=SCREEN, color_scheme=theme, locale={"en": "en-GB", "zh": "zh-CN"}[language]
        )
        page = context.new_page()
        if portal:
            page.goto(portal_link(shop))
            page.wait_for_url("**/portal")
        else:
            sign_in(page, shop)
        for name, path in pages.items():
            page.set_viewport_size(SCREEN)
            page.goto(shop.url + path)
            take(page, out / f"desk-{name}-{language}.webp")
            if name in ON_A_PHONE:
                page.set_viewport_size(PHONE)
                take(page, out / f"desk-{name}-phone-{language}.webp")
        context.close()


def main(home: str, models: str, out: str) -> None:
    with open_shop(Path(home), Path(models)) as shop, sync_playwright() as playwright:
        browser = launch(playwright)
        request_id = trade(shop)
        for language in ("en", "zh"):
            round_trip(browser, shop, Path(out), language, request_id)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
