"""The desk's journeys in a real Chromium, and every page: axe, glyphs, width, weight, in both languages and themes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from .browser_kit import PHONE, SLOW_4G, WIDE, Shop, missing_glyphs, sign_in, violations
from .test_browser_console import browser, context, shop

__all__ = ["browser", "context", "shop"]

pytestmark = [pytest.mark.browser, pytest.mark.model]

DESK = (
    "/console/requests", "/console/usage", "/console/playground", "/console/customers", "/console/customers/new",
    "/console/customers/acme", "/console/plans", "/console/plans/new", "/console/models", "/console/profit",
    "/console/ledger", "/console/ledger/journals", "/console/staff", "/console/audit", "/console/jobs",
    "/console/settings", "/console/search?q=a", "/console/subscriptions", "/console/customers/acme/subscription",
    "/console/wallets", "/console/customers/acme/wallet", "/console/invoices", "/console/payments", "/console/taxes",
    "/console/revenue", "/console/plans/gallery", "/console/lab", "/console/lab/new", "/console/factory",
    "/console/account",
)  # fmt: skip


@pytest.fixture
def page(context: BrowserContext, shop: Shop) -> Iterator[Page]:
    """A signed-in page; a script error or a refused resource fails the test."""
    opened, troubles = context.new_page(), []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda message: troubles.append(message.text) if "Security Policy" in message.text else None)
    sign_in(opened, shop)
    yield opened
    assert troubles == []


def test_a_customer_is_added_gets_money_and_a_key_that_works(page: Page, shop: Shop) -> None:
    page.goto(f"{shop.url}/console/customers")
    page.get_by_role("link", name="Add a customer").first.click()
    page.get_by_label("Name", exact=True).fill("Zenith Zoo")
    plan = page.locator("select[name=plan]").locator("option").nth(1).get_attribute("value")
    page.locator("select[name=plan]").select_option(plan)
    page.get_by_role("button", name="Add a customer").click()
    page.wait_for_url("**/console/customers/zenith-zoo*")
    expect(page.get_by_role("status").first).to_contain_text("The customer is there")
    page.locator("input[name=amount]").fill("5.00")
    page.get_by_role("button", name="Top up").click()
    expect(page.locator("dd.big")).to_contain_text("$5.00")
    page.locator(".maker > summary").click()
    page.locator(".maker").get_by_label("Name", exact=True).fill("first key")
    page.locator(".maker").get_by_role("button", name="Make a key").click()
    secret = page.locator("#secret").inner_text()
    assert re.fullmatch(r"mk-\w{40}", secret)
    shop.keys["zenith"] = secret
    for _ in range(40):  # the gateway follows the desk four times a second
        answer = page.request.get(f"{shop.url}/v1/models", headers={"authorization": f"Bearer {secret}"})
        if answer.status == 200:
            break
        page.wait_for_timeout(100)
    assert answer.status == 200
    page.get_by_role("link", name="I have kept it").click()
    assert secret not in page.content()


def test_a_key_is_rotated_and_the_old_one_goes_on_for_a_while(page: Page, shop: Shop) -> None:
    page.goto(f"{shop.url}/console/customers/acme")
    rows = page.locator("tr[data-key]").count()
    page.get_by_role("link", name=re.compile("^Rotate ")).first.click()
    page.get_by_label("24 hours").check()
    page.get_by_role("button", name="Rotate").click()
    assert page.locator("#secret").inner_text() != shop.keys["acme"]
    page.get_by_role("link", name="I have kept it").click()
    expect(page.locator("tr[data-key]")).to_have_count(rows + 1)
    expect(page.locator("#main")).to_contain_text("ends soon")
    shop.chat("acme")  # the old key


def test_a_request_is_found_by_the_palette_and_taken_apart(page: Page, shop: Shop) -> None:
    request_id = shop.chat("chen")
    page.keyboard.press("Control+k")
    page.keyboard.type(request_id)
    expect(page.locator("#palette-found a")).to_have_count(1)
    expect(page.locator("#palette-found a")).to_have_attribute("href", f"/console/requests/{request_id}")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/requests/{request_id}")
    expect(page.locator(".waterfall").first).to_contain_text("All together")
    expect(page.locator(".receipt").first).to_contain_text("Margin")
    assert violations(page) == []


def test_usage_is_split_and_exported(page: Page, shop: Shop) -> None:
    shop.chat("acme")
    page.goto(f"{shop.url}/console/usage")
    page.get_by_label("Customer", exact=True).last.check()
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**by=customer**")
    page.wait_for_selector("#stacked canvas")
    page.locator("#stacked").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#stacked-read")).to_contain_text("$")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    text = Path(download.value.path()).read_text("utf-8")
    assert text.startswith("day,model,tenant_id,customer,") and "Acme Writing Co." in text


def test_two_models_answer_side_by_side(page: Page, shop: Shop) -> None:
    page.goto(f"{shop.url}/console/playground")
    page.select_option("select[name=model]", "smollm2-135m-say")
    page.select_option("select[name=other]", "smollm2-135m-hostile")
    page.fill("textarea[name=prompt]", "It's <b>one</b> question")
    expect(page.locator("#code")).to_contain_text("smollm2-135m-say")
    page.keyboard.press("Control+Enter")
    for lane in ("#lane-one", "#lane-two"):
        expect(page.locator(f"{lane} .receipt")).to_contain_text("Charge")
        expect(page.locator(f"{lane} [data-price]")).to_contain_text("At most $")
        assert page.locator(f"{lane} .answer *").count() == 0
    assert page.title().endswith("Mintage Demo") and violations(page) == []
    page.get_by_role("button", name="curl").click()
    expect(page.locator("#code")).to_contain_text("It'\\''s <b>one</b> question")


def test_a_draft_survives_the_end_of_a_session(page: Page, shop: Shop) -> None:
    page.goto(f"{shop.url}/console/customers/new")
    page.get_by_label("Name", exact=True).fill("Patience & Sons")
    page.context.clear_cookies(name="mintage_session")
    page.get_by_role("button", name="Add a customer").click()
    page.wait_for_url(re.compile(r"/console/sign-in\?.*next="))
    page.get_by_label("Sign-in link or code").fill(shop.link())
    page.locator("form.paste").get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/console/customers/new")
    expect(page.get_by_label("Name", exact=True)).to_have_value("Patience & Sons")


def test_a_phone_has_a_drawer(browser: Browser, shop: Shop) -> None:
    context = browser.new_context(viewport=PHONE, locale="en-GB")
    page = context.new_page()
    sign_in(page, shop)
    expect(page.get_by_role("link", name="Customers", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    assert violations(page) == []
    page.get_by_role("link", name="Customers", exact=True).click()
    page.wait_for_url("**/console/customers")
    context.close()


@pytest.mark.parametrize(
    ("language", "theme", "viewport"),
    [
        ("en", "light", WIDE),
        ("zh", "dark", {"width": 360, "height": 780}),
        ("zh", "light", WIDE),
        ("en", "dark", PHONE),
    ],
    ids=["en-light-wide", "zh-dark-phone", "zh-light-wide", "en-dark-phone"],
)
def test_nothing_stands_in_a_readers_way_on_any_page(
    browser: Browser, shop: Shop, language: str, theme: str, viewport: dict[str, int]
) -> None:
    context = browser.new_context(
        viewport=viewport, color_scheme=theme, locale={"zh": "zh-CN", "en": "en-GB"}[language]
    )
    page = context.new_page()
    sign_in(page, shop)
    found = {}
    for path in DESK:
        page.goto(shop.url + path)
        troubles = violations(page) + missing_glyphs(page)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            troubles.append("wider than the screen")
        if troubles:
            found[path] = troubles
    context.close()
    assert found == {}


def test_every_page_keeps_its_budget(browser: Browser, shop: Shop) -> None:
    """120 KB compressed, 10 requests, first paint within 1.5 s on slow 4G with an empty cache."""
    context = browser.new_context(viewport=WIDE)
    page = context.new_page()
    sign_in(page, shop)
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    session.send("Network.emulateNetworkConditions", SLOW_4G)
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    for path in DESK:
        page.goto("about:blank")
        sizes.clear()
        page.goto(shop.url + path)
        paint_ms = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")
        print(f"{path}: {len(sizes)} requests, {sum(sizes):,.0f} bytes, first paint {paint_ms:.0f} ms")
        assert len(sizes) <= 10 and sum(sizes) <= 120_000, path
        assert 0 < paint_ms <= 1_500, path
    context.close()
