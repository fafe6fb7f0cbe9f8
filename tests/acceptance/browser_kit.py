"""What the browser tests share: a served shop, Chromium, and the questions that they ask of every page."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright

from .upstream import Handler, Provider

HOSTILE: Final = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "</div><b>bold</b>",
)
CHROMIUM_ARGUMENTS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
#: Lighthouse's "slow 4G": bytes per second and added milliseconds per round trip.
SLOW_4G: Final = {
    "offline": False, "latency": 150, "downloadThroughput": 1_638_400 / 8, "uploadThroughput": 675_000 / 8,
}  # fmt: skip
WIDE: Final = {"width": 1440, "height": 900}
PHONE: Final = {"width": 390, "height": 844}


class BrowserProvider(Handler):
    """The scripted provider, and a model that tries to break out of the page."""

    def _hostile(self, body: dict[str, Any]) -> None:
        self._answer(body, [{"content": word} for word in HOSTILE])


@dataclass
class Shop:
    url: str
    token: str
    keys: dict[str, str]

    def link(self) -> str:
        """A fresh one-time link, made as `mintage staff link` makes it."""
        answer = httpx.post(
            f"{self.url}/admin/v1/staff/owner/links", headers={"authorization": f"Bearer {self.token}"}, timeout=20
        )
        answer.raise_for_status()
        return str(answer.json()["url"])

    def chat(self, customer: str, model: str = "smollm2-135m-say", text: str = "Hello") -> str:
        """One request of a customer through the public door; its id."""
        answer = httpx.post(
            f"{self.url}/v1/chat/completions",
            headers={"authorization": f"Bearer {self.keys[customer]}"},
            json={"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 40},
            timeout=60,
        )
        answer.raise_for_status()
        return answer.headers["x-request-id"]


@contextmanager
def open_shop(home: Path, model_home: Path) -> Iterator[Shop]:
    shutil.copytree(model_home / "models", home / "models", copy_function=os.link)
    provider = Provider()
    provider.RequestHandlerClass = BrowserProvider
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{provider.server_address[1]}"
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("browser_shop.py")), str(home), address],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        yield Shop(**json.loads(server.stdout.readline()))
    finally:
        server.terminate()
        server.wait(30)
        provider.stopping.set()
        provider.shutdown()
        provider.server_close()


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium, or Google's Chrome where that is what there is."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "make install-dev installs a browser"
    return playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))


def sign_in(page: Page, shop: Shop) -> None:
    page.goto(shop.link())
    page.wait_for_url("**/console")
    page.wait_for_selector("#link-state[data-state=live]")


def ask(page: Page, text: str, *, model: str = "smollm2-135m-say") -> None:
    """Ask in the playground, and wait for the receipt."""
    turns = page.locator(".turn").count()
    page.select_option("select[name=model]", model)
    page.fill("#prompt", text)
    page.keyboard.press("Control+Enter")
    page.locator(".turn").nth(turns).locator(".receipt").wait_for()


def violations(page: Page) -> list[str]:
    """axe's findings on the page as it is now."""
    found = Axe().run(page).response["violations"]
    return [f"{item['id']}: {node['html'][:160]}" for item in found for node in item["nodes"]]


#: Draws each character of the page in its own font, and again as a code point that no font has. Equal pictures: a box.
_MISSING_GLYPHS: Final = """
() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 40;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const draw = (font, text) => {
    pen.clearRect(0, 0, 40, 40);
    pen.font = font;
    pen.fillText(text, 4, 30);
    return pen.getImageData(0, 0, 40, 40).data.join();
  };
  const boxes = new Map(), missing = new Set(), seen = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (parent.closest("script, style, noscript")) continue;
    const font = "24px " + getComputedStyle(parent).fontFamily;
    if (!boxes.has(font)) boxes.set(font, draw(font, "\\u{10FFFF}"));
    for (const character of walker.currentNode.data) {
      if (/[\\s\\u200b-\\u200f\\u202f]/u.test(character) || seen.has(font + character)) continue;
      seen.add(font + character);
      if (draw(font, character) === boxes.get(font)) missing.add(character);
    }
  }
  return [...missing];
}
"""


def missing_glyphs(page: Page) -> list[str]:
    """Characters on the page that are shown as a box."""
    return list(page.evaluate(_MISSING_GLYPHS))


def platform_fonts(page: Page, selector: str) -> set[str]:
    """The fonts that Chromium really used for an element's text."""
    session = page.context.new_cdp_session(page)
    session.send("DOM.enable")
    session.send("CSS.enable")
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    node = session.send("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
    fonts = session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
    session.detach()
    return {font["familyName"] for font in fonts}


_SPOKEN: Final = """
() => {
  const spoken = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    const quoted = parent.closest("script, style, noscript, code, pre, .answer, .asked");
    if (!quoted) spoken.add(walker.currentNode.data.trim());
  }
  for (const element of document.querySelectorAll("[aria-label], [placeholder], [title]"))
    for (const name of ["aria-label", "placeholder", "title"])
      if (element.hasAttribute(name)) spoken.add(element.getAttribute(name).trim());
  return [...spoken];
}
"""


def spoken(page: Page) -> set[str]:
    """Every text that a reader sees or hears, but code, questions and answers."""
    return set(page.evaluate(_SPOKEN))


@dataclass
class Weight:
    requests: int
    bytes: int
    first_paint_ms: float
    chart_ms: float


def weigh(browser: Browser, shop: Shop, *, throttle: bool) -> Weight:
    """Load the overview with an empty cache, as a reader who has a session does."""
    context = browser.new_context(viewport=WIDE)
    page = context.new_page()
    sign_in(page, shop)
    page.goto("about:blank")
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    if throttle:
        session.send("Network.emulateNetworkConditions", SLOW_4G)
    requests: list[str] = []
    sizes: list[float] = []
    session.on("Network.requestWillBeSent", lambda event: requests.append(event["request"]["url"]))
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(f"{shop.url}/console")
    page.wait_for_selector("#chart canvas")
    chart_ms = page.evaluate("performance.now()")
    page.wait_for_selector("#link-state[data-state=live]")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    context.close()
    return Weight(len(requests), int(sum(sizes)), paint, chart_ms)
