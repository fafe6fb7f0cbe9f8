"""Takes the documentation's screenshots of the console.

`python -m tests.acceptance.browser_screenshots HOME MODELS OUT [MINUTES]`


HOME is an empty folder, MODELS a home that holds the default model. A little trade is made first, so that there is
something to see. Needs a font that the page's stack names; with only a CJK font its Latin letters come from there.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

from .browser_kit import PHONE, Shop, ask, launch, open_shop, sign_in

QUESTIONS: Final = {"en": "In one sentence, what is a mint?", "zh": "Say hello to a tea house."}
SIZE_LIMIT_BYTES: Final = 200_000
SCREEN: Final = {"width": 1440, "height": 810}


def trade(shop: Shop, minutes: int) -> None:
    """Some requests a minute, more or less, so that the chart has something to say."""
    chance = random.Random(7)
    until_s = time.monotonic() + minutes * 60
    while time.monotonic() < until_s:
        customer = chance.choices(["acme", "borealis", "chen"], [5, 1, 3])[0]
        shop.chat(customer, "smollm2-135m", chance.choice(["Hello!", "Name three coins.", "What is a ledger?"]))
        time.sleep(chance.choice([1, 2, 4, 15]))


def take(page: Page, path: Path, *, whole: bool = False) -> None:
    page.mouse.move(0, 0)
    page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished.catch(() => 0)))")
    page.screenshot(path=path, full_page=whole)
    assert path.stat().st_size <= SIZE_LIMIT_BYTES, path


def overview(browser: Browser, shop: Shop, out: Path, language: str, theme: str) -> None:
    context = browser.new_context(viewport=SCREEN, color_scheme=theme, locale={"en": "en-GB", "zh": "zh-CN"}[language])
    page = context.new_page()
    page.goto(f"{shop.url}/console/sign-in")
    take(page, out / f"console-sign-in-{language}-{theme}.png")
    sign_in(page, shop)
    page.get_by_role("link", name={"en": "Last hour", "zh": "近一小时"}[language]).click()
    page.wait_for_url("**period=hour")
    ask(page, QUESTIONS[language], model="smollm2-135m")
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(1_500)  # until the stream has told the page of its own request
    take(page, out / f"console-{language}-{theme}.png")
    page.locator("#customers").screenshot(path=out / f"console-customers-{language}-{theme}.png")
    page.set_viewport_size(PHONE)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)  # the chart is drawn again at its new size
    take(page, out / f"console-phone-{language}-{theme}.png")
    page.evaluate("document.getElementById('playground').scrollIntoView()")
    take(page, out / f"console-phone-playground-{language}-{theme}.png")
    context.close()


def main(home: str, models: str, out: str, minutes: str = "10") -> None:
    with open_shop(Path(home), Path(models)) as shop, sync_playwright() as playwright:
        browser = launch(playwright)
        trade(shop, int(minutes))
        for language in ("en", "zh"):
            for theme in ("light", "dark"):
                overview(browser, shop, Path(out), language, theme)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
