"""The money, the lab and one's own account through a real browser, on a business with five months behind it.

One server and one browser for the module: what a test changes, no other test looks at.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

from mintage.accounts import NewUser

from .till import MovedClock, Till, fill
from .world import open_world

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 780}
DESK = (
    "/console/subscriptions", "/console/customers/chen/subscription", "/console/wallets",
    "/console/customers/acme/wallet", "/console/invoices", "/console/invoices/INV-000002", "/console/payments",
    "/console/payments?tab=received", "/console/payments?tab=bank", "/console/taxes", "/console/revenue",
    "/console/customers/dune/draft", "/console/plans/gallery", "/console/plans/new?from=graduated-tiers",
    "/console/lab", "/console/lab/new", "/console/account",
)  # fmt: skip
PORTAL = ("/portal", "/portal/invoices", "/portal/draft", "/portal/wallet", "/portal/plan", "/portal/account")


@dataclass
class Shop:
    till: Till
    browser: Browser

    async def page(self, who: str = "owner", *, language: str = "en", theme: str = "light", size=WIDE) -> Page:  # type: ignore[no-untyped-def]
        """A page of somebody who has signed in; an error in a script fails the test."""
        accounts = self.till.world.services.accounts
        if who == "owner":
            owner = accounts.staff.ensure_owner("system")
            token = accounts.staff.issue_link("system", owner.id).token
        else:
            tenant = self.till.tenants[who].id
            known = accounts.users.page(tenant).items
            person = known[0].id if known else accounts.users.invite(
                "system", tenant, NewUser(name="Ada", email=f"ada@{who}.example", role="admin")
            )[0].id  # fmt: skip
            token = accounts.users.issue_link("system", tenant, person).token
        session = accounts.sessions.redeem(token)
        locale = {"en": "en-GB", "zh": "zh-CN"}[language]
        context = await self.browser.new_context(viewport=size, color_scheme=theme, locale=locale)  # type: ignore[arg-type]
        await context.add_cookies([{"name": "mintage_session", "value": session.token, "url": self.till.world.url}])
        page = await context.new_page()
        page.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))
        return page

    async def open(self, page: Page, path: str) -> None:
        await page.goto(self.till.world.url + path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    home: Path = tmp_path_factory.mktemp("till")
    clock = MovedClock()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    async with open_world(home, clock) as world, async_playwright() as playwright:
        till = await fill(world, clock)
        jobs = world.services.jobs
        jobs.kinds.register("lab.compare", "mintage.lab.work:run", attempts_max=1)
        runner = jobs.runner(home=home)
        await runner.start()
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield Shop(till, browser)
        await browser.close()
        await runner.stop()


@pytest.mark.parametrize(
    ("language", "theme", "size"),
    [("en", "light", WIDE), ("zh", "dark", PHONE)],
    ids=["en-light-wide", "zh-dark-phone"],
)
async def test_nothing_stands_in_a_readers_way(shop: Shop, language: str, theme: str, size: dict[str, int]) -> None:
    found = {}
    for who, paths in (("owner", DESK), ("chen", PORTAL)):
        page = await shop.page(who, language=language, theme=theme, size=size)
        for path in paths:
            await shop.open(page, path)
            response = (await Axe().run(page)).response["violations"]
            troubles = [f"{one['id']}: {node['html'][:120]}" for one in response for node in one["nodes"]]
            if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                troubles.append("wider than the screen")
            if troubles:
                found[path] = troubles
        await page.context.close()
    assert found == {}


async def test_an_invoice_is_paid_credited_and_proved(shop: Shop) -> None:
    services = shop.till.world.services
    dune = shop.till.tenants["dune"]
    row = services.billing.invoices.page(tenant_id=dune.id, state="finalised").items[0]
    page = await shop.page()
    await shop.open(page, f"/console/invoices/{row.number}")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download PDF").click()
    saved = Path(await (await download.value).path())
    assert (await asyncio.to_thread(saved.read_bytes))[:5] == b"%PDF-"
    await page.get_by_role("link", name="Make it again and compare").click()
    await expect(page.get_by_role("status").first).to_contain_text("identical")
    await page.locator("summary", has_text="Credit").click()
    credit = page.locator("form[action$='/credit']")
    await credit.locator("select[name=line]").select_option("0")
    await credit.locator("input[name=amount]").fill("0.50")
    await credit.locator("input[name=reason]").fill("Outage")
    await credit.get_by_role("button", name="Credit").click()
    await expect(page.get_by_role("status").first).to_contain_text("credit note is issued")
    after = services.billing.invoices.get(dune.id, row.number)
    assert after.open_nanos == row.open_nanos - 500_000_000
    await page.locator("form[action$='/payment']").get_by_role("button", name="Record a payment").click()
    await expect(page.locator(".head-state").first).to_contain_text("paid")
    assert services.billing.invoices.get(dune.id, row.number).open_nanos == 0
    await page.context.close()


async def test_a_bill_follows_what_one_types(shop: Shop) -> None:
    page = await shop.page()
    await shop.open(page, "/console/plans/new?from=graduated-tiers")
    await expect(page.locator("#quote-lines .result")).to_contain_text("$40.50")
    await page.locator("input[name=input_tokens]").fill("48000000")
    await expect(page.locator("#quote-lines .result")).to_contain_text("$64.50")
    await expect(page.locator("#plot-bill canvas")).to_have_count(1)
    await page.locator("#plot-bill").focus()
    await page.keyboard.press("ArrowLeft")
    await expect(page.locator("#plot-bill-read")).to_contain_text("200 %")
    await page.locator("textarea[name=plan]").fill("id = ")
    await expect(page.locator("#preview .notice")).to_be_visible()
    await page.context.close()


async def test_plans_are_compared_in_the_lab(shop: Shop) -> None:
    page = await shop.page()
    await shop.open(page, "/console/lab/new")
    await page.fill("input[name=name]", "Tiers or not")
    for name in ("plan:payg", "plan:team"):
        await page.check(f"input[name='{name}']")
    await page.uncheck("input[name='plan:business']")
    await page.select_option("select[name=source]", "generated")
    await page.fill("input[name=requests]", "2000")
    await page.fill("input[name=runs]", "200")
    await page.fill("textarea[name=costs]", "smollm2-135m=openai/gpt-4o-mini")
    await page.get_by_role("button", name="Compare").click()
    await page.wait_for_selector(".verdict", timeout=90_000)
    assert await page.locator(".ridge polygon").count() == 2
    response = (await Axe().run(page)).response["violations"]
    assert [one["id"] for one in response] == []
    await page.get_by_role("link", name="Read the report").click()
    await expect(page.locator("h1")).to_contain_text("Which plan earns more?")
    await shop.open(page, "/console/lab")
    await expect(page.locator("#lab-table")).to_contain_text("Tiers or not")
    await page.context.close()


async def test_a_customer_changes_its_cap_and_sees_no_others_invoice(shop: Shop) -> None:
    services = shop.till.world.services
    page = await shop.page("acme")
    await shop.open(page, "/portal/wallet")
    await page.locator("summary", has_text="Set a cap").click()
    await page.fill("input[name=cap]", "75")
    await page.locator("form[action$='/cap']").get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status").first).to_be_visible()
    cap = services.billing.caps.get(shop.till.tenants["acme"].id)
    assert cap is not None and cap.amount_nanos == 75 * 10**9
    foreign = services.billing.invoices.page(tenant_id=shop.till.tenants["dune"].id).items[0].number
    for path in (f"/portal/invoices/{foreign}", f"/portal/invoices/{foreign}/pdf", f"/console/invoices/{foreign}"):
        answer = await page.request.get(shop.till.world.url + path)
        assert answer.status in (403, 404), path
    await page.context.close()


async def test_a_password_and_a_second_factor_are_set(shop: Shop) -> None:
    accounts = shop.till.world.services.accounts
    accounts.vault.open()
    page = await shop.page("elm")
    await shop.open(page, "/portal/account")
    await page.fill("input[name=password]", "four words nobody expects")
    await page.fill("input[name=again]", "four words nobody expects")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status").first).to_contain_text("password is set")
    await page.get_by_role("button", name="Set it up").click()
    secret = await page.locator("#totp-secret").inner_text()
    assert re.fullmatch(r"[A-Z2-7]{16,}", secret)
    await page.fill("input[name=code]", "000000")
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    person = accounts.users.page(shop.till.tenants["elm"].id).items[0]
    assert accounts.credentials.state(person.id).password
    await page.context.close()
