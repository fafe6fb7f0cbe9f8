"""Takes the documentation's screenshots of money, lab and account, as WebP: `python -m tests.console.money_shots OUT`.

The business is that of till.py. English in light, 中文 in dark.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.async_api import BrowserContext, Page, async_playwright

from mintage.accounts import NewUser, Session

from .till import MovedClock, Till, fill
from .world import open_world

SCREEN: Final = {"width": 1280, "height": 900}
DESK: Final = {
    "subscriptions": "/console/subscriptions", "subscription": "/console/customers/chen/subscription",
    "invoices": "/console/invoices", "invoice": "/console/invoices/INV-000019",
    "draft": "/console/customers/dune/draft",
    "payments": "/console/payments", "wallets": "/console/wallets", "wallet": "/console/customers/acme/wallet",
    "taxes": "/console/taxes", "revenue": "/console/revenue", "gallery": "/console/plans/gallery",
    "plan-new": "/console/plans/new?from=graduated-tiers", "account": "/console/account",
}  # fmt: skip
PORTAL: Final = {
    "portal": "/portal", "portal-invoices": "/portal/invoices", "portal-wallet": "/portal/wallet",
    "portal-plan": "/portal/plan",
}  # fmt: skip
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


async def take(page: Page, file: Path, *, whole: bool = False) -> None:
    await page.wait_for_timeout(400)  # charts are drawn
    picture = base64.b64encode(await page.screenshot(full_page=whole)).decode()
    blank = await page.context.new_page()
    packed: str = await blank.evaluate(_PACK, picture)
    await blank.close()
    raw = base64.b64decode(packed.partition(",")[2])
    await asyncio.to_thread(file.write_bytes, raw)


async def compare(page: Page, url: str) -> str:
    """A comparison in the lab, by its form; its address."""
    await page.goto(f"{url}/console/lab/new")
    await page.fill("input[name=name]", "Tiers instead of one price")
    for name in ("plan:payg", "model:graduated-tiers", "model:volume-tiers", "model:pay-as-you-go"):
        await page.evaluate("(name) => { document.querySelector(`input[name='${name}']`).checked = true; }", name)
    for name in ("plan:business", "plan:team"):
        await page.evaluate("(name) => { document.querySelector(`input[name='${name}']`).checked = false; }", name)
    await page.select_option("select[name=baseline]", "payg")
    await page.select_option("select[name=source]", "generated")
    await page.fill("textarea[name=costs]", "smollm2-135m=openai/gpt-4o-mini")
    await page.get_by_role("button", name="Compare").click()
    await page.wait_for_selector(".verdict", timeout=90_000)
    return page.url.removeprefix(url)


def sessions(till: Till) -> dict[str, Session]:
    accounts = till.world.services.accounts
    owner = accounts.staff.ensure_owner("system")
    new = NewUser(name="Ada", email="ada@acme.example", role="admin")
    _, link = accounts.users.invite("system", till.tenants["acme"].id, new)
    desk = accounts.sessions.redeem(accounts.staff.issue_link("system", owner.id).token)
    return {"desk": desk, "portal": accounts.sessions.redeem(link.token)}


async def main(out: str) -> None:
    home, clock = Path(tempfile.mkdtemp()), MovedClock()
    async with open_world(home, clock) as world, async_playwright() as playwright:
        till = await fill(world, clock)
        world.services.jobs.kinds.register("lab.compare", "mintage.lab.work:run", attempts_max=1)
        runner = world.services.jobs.runner(home=home)
        await runner.start()
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        signed_in, lab = sessions(till), ""
        for language, theme, locale in (("en", "light", "en-GB"), ("zh", "dark", "zh-CN")):
            for place, pages in (("desk", DESK), ("portal", PORTAL)):
                context: BrowserContext = await browser.new_context(
                    viewport=SCREEN,  # type: ignore[arg-type]
                    color_scheme=theme,  # type: ignore[arg-type]
                    locale=locale,
                )
                cookie = {"name": "mintage_session", "value": signed_in[place].token, "url": world.url}
                await context.add_cookies([cookie])  # type: ignore[list-item]
                page = await context.new_page()
                if place == "desk":
                    lab = lab or await compare(page, world.url)
                more = {"lab": "/console/lab", "lab-run": lab} if place == "desk" else {}
                for name, path_ in (pages | more).items():
                    await page.goto(world.url + path_)
                    await take(page, Path(out) / f"desk-{name}-{language}.webp", whole=name in ("lab-run", "revenue"))
                await context.close()
        await browser.close()
        await runner.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
