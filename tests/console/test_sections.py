"""Every page and every form x every role: open or closed as the table of roles says, whole in both languages, and of a
customer's own data alone. A page that is added and not listed here fails."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest

from mintage.accounts import CUSTOMER_ROLES, STAFF_ROLES, Key, NewKey, NewUser, Tenant, allows
from mintage.console.sections import PAGES
from mintage.console.views import HANDLERS as VIEWS
from mintage.factory.recipe import load_recipe
from mintage.factory.run import Run

from .test_i18n import Spoken
from .world import PLAN, World, open_world

HOSTILE = "</script><img src=x onerror=alert(1)> & Söhne"
RECIPE = Path(__file__).parents[2] / "recipes" / "smoke.toml"
#: Whoever is signed in: their own account.
ANYBODY = ""
#: Page -> the permission that opens it. {names} are filled in with what the world holds.
OPENS = {
    "/console/requests": "live.read",
    "/console/requests/{request_id}": "live.read",
    "/console/usage": "money.read",
    "/console/usage/export": "money.read",
    "/console/playground": "money.write",
    "/console/search": "live.read",
    "/console/customers": "customers.read",
    "/console/customers/new": "customers.write",
    "/console/customers/{customer}": "customers.read",
    "/console/customers/{customer}/keys": "customers.read",
    "/console/customers/{customer}/keys/{key_id}/rotate": "keys.write",
    "/console/plans": "plans.read",
    "/console/plans/new": "plans.write",
    "/console/plans/{plan_id}": "plans.read",
    "/console/models": "models.read",
    "/console/profit": "money.read",
    "/console/ledger": "money.read",
    "/console/ledger/journals": "money.read",
    "/console/staff": "staff.read",
    "/console/audit": "audit.read",
    "/console/jobs": "jobs.read",
    "/console/settings": "operator.read",
    "/console/jobs/{job_id}": "jobs.read",
    "/console/subscriptions": "money.read",
    "/console/customers/{customer}/subscription": "plans.read",
    "/console/wallets": "money.read",
    "/console/customers/{customer}/wallet": "money.read",
    "/console/customers/{customer}/draft": "money.read",
    "/console/invoices": "money.read",
    "/console/invoices/{number}": "money.read",
    "/console/invoices/{number}/{kind}": "money.read",
    "/console/payments": "money.read",
    "/console/taxes": "money.read",
    "/console/revenue": "money.read",
    "/console/plans/gallery": "plans.read",
    "/console/lab": "money.read",
    "/console/lab/new": "plans.write",
    "/console/lab/runs/{job_id}": "money.read",
    "/console/lab/runs/{job_id}/state": "money.read",
    "/console/lab/runs/{job_id}/{name}": "money.read",
    "/console/factory": "models.read",
    "/console/factory/{run_id}": "models.read",
    "/console/account": ANYBODY,
    "/portal/account": ANYBODY,
    "/portal/invoices": "portal.read",
    "/portal/invoices/{number}": "portal.read",
    "/portal/invoices/{number}/{kind}": "portal.read",
    "/portal/draft": "portal.read",
    "/portal/wallet": "portal.read",
    "/portal/plan": "portal.read",
    "/portal": "portal.read",
    "/portal/usage": "portal.read",
    "/portal/usage/export": "portal.read",
    "/portal/keys": "portal.read",
    "/portal/keys/{key_id}/rotate": "portal.keys",
    "/portal/playground": "portal.use",
}
#: Form -> the permission that it needs.
CHANGES = {
    "/console/customers/new": "customers.write",
    "/console/customers/{customer}/top-ups": "money.write",
    "/console/customers/{customer}/plan": "plans.write",
    "/console/customers/{customer}/status": "customers.write",
    "/console/customers/{customer}/projects": "customers.write",
    "/console/customers/{customer}/keys": "keys.write",
    "/console/customers/{customer}/keys/{key_id}/rotate": "keys.write",
    "/console/customers/{customer}/keys/{key_id}/revoke": "keys.write",
    "/console/plans/new": "plans.write",
    "/console/staff": "staff.write",
    "/console/staff/{person}": "staff.write",
    "/console/views": "live.read",
    "/console/views/{view_id}/delete": "live.read",
    "/portal/keys": "portal.keys",
    "/portal/keys/{key_id}/rotate": "portal.keys",
    "/portal/keys/{key_id}/revoke": "portal.keys",
    "/console/jobs/{job_id}/{action}": "jobs.write",
    "/console/customers/{customer}/subscription/{action}": "plans.write",
    "/console/customers/{customer}/wallet/{action}": "money.write",
    "/console/invoices/close": "money.write",
    "/console/invoices/{number}/credit": "money.write",
    "/console/invoices/{number}/void": "money.write",
    "/console/invoices/{number}/write-off": "money.write",
    "/console/invoices/{number}/payment": "money.write",
    "/console/payments/statement": "money.write",
    "/console/payments/match": "money.write",
    "/console/payments/dunning": "money.write",
    "/console/taxes/{action}": "money.write",
    "/console/plans/quote": "plans.write",
    "/console/lab/new": "plans.write",
    "/console/account/{action}": ANYBODY,
    "/portal/account/{action}": ANYBODY,
    "/portal/invoices/{number}/pay": "portal.pay",
    "/portal/wallet/top-up": "portal.pay",
    "/portal/wallet/{action}": "portal.pay",
    "/portal/plan": "portal.pay",
}
#: Files, redirections and data; and what quotes the audit log.
NO_PAGES = ("/export", "{customer}/keys", "/audit", "/{kind}", "/{name}", "/state")
ROLES = (*STAFF_ROLES, *CUSTOMER_ROLES)


def opens(role: str, permission: str) -> bool:
    return permission == ANYBODY or allows(role, permission)


class Desk:
    """A world with two customers, a plan, a key, a request, and somebody of every role."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.mine: Tenant
        self.other: Tenant
        self.key: Key
        self.values: dict[str, str] = {}

    async def fill(self) -> None:
        services = self.world.services
        services.entity()
        services.billing.plans.apply("system", PLAN.format(disconnect="cut").encode(), "toml")
        caller = await self.world.customer(HOSTILE)
        foreign = await self.world.customer("Foreign Freight")
        tenants = services.accounts.tenants
        self.mine, self.other = tenants.get(caller.tenant_id), tenants.get(foreign.tenant_id)
        request_id = await self.world.chat(caller)
        await self.world.chat(foreign)
        self.world.apply()
        self.key = services.accounts.keys.create("system", self.mine.id, NewKey(name=HOSTILE)).key
        self.foreign_key = services.accounts.keys.create("system", self.other.id, NewKey(name="foreign key")).key
        await services.billing.assign("system", self.mine, "standard")
        invoice = (await services.billing.closing.close("system", self.mine, early=True))[0]
        services.jobs.kinds.register("lab.compare", "mintage.lab.work:run")
        lab = services.jobs.enqueue("lab.compare", {"name": "Söhne", "plans": ["{}"]})
        folder = services.settings.home_path / "lab" / lab.id
        folder.mkdir(parents=True)
        (folder / "comparison.json").write_text("{}")
        run = Run.begin(services.settings.home_path, load_recipe(RECIPE))
        self.values = {
            "run_id": run.state.id,
            "number": invoice.number, "kind": "pdf", "job_id": lab.id, "name": "comparison.json",
            "action": "retry",
            "request_id": request_id, "customer": self.mine.handle, "key_id": self.key.id, "plan_id": "standard",
            "person": "nobody@example.com", "view_id": "viw_x",
        }  # fmt: skip

    def fill_in(self, path: str) -> str:
        return path.format(**self.values)

    @contextmanager
    def browser(self, role: str) -> Iterator[httpx.AsyncClient]:
        accounts = self.world.services.accounts
        email = f"{role}@example.com"
        if role in STAFF_ROLES:
            person_id = _known(accounts.staff.page().items, email) or accounts.staff.add(
                "system", name=f"A {role}", email=email, role=role
            ).id  # fmt: skip
            token = accounts.staff.issue_link("system", person_id).token
        else:
            known = _known(accounts.users.page(self.mine.id).items, email)
            if known is None:
                _, link = accounts.users.invite(
                    "system",
                    self.mine.id,
                    NewUser(name=f"A {role}", email=email, role=role),  # type: ignore[arg-type]
                )
                token = link.token
            else:
                token = accounts.users.issue_link("system", self.mine.id, known).token
        session = accounts.sessions.redeem(token)
        client = httpx.AsyncClient(
            base_url=self.world.url, headers={"accept": "text/html"}, cookies={"mintage_session": session.token},
            timeout=30,
        )  # fmt: skip
        client.csrf = session.csrf  # type: ignore[attr-defined]
        yield client


def _known(people: list, email: str) -> str | None:  # type: ignore[type-arg]
    return next((one.id for one in people if one.email == email), None)


@asynccontextmanager
async def open_desk(home: Path) -> AsyncIterator[Desk]:
    async with open_world(home) as world:
        desk = Desk(world)
        await desk.fill()
        yield desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        yield opened


def routed(method: str) -> set[str]:
    """Every address of the sections, as the router has it."""
    found = set()
    for handler in [*PAGES, *VIEWS]:
        if method in handler.http_methods:
            found |= {re.sub(r"\{(\w+):\w+\}", r"{\1}", path) for path in handler.paths}
    return found


def test_every_page_and_form_is_in_the_tables() -> None:
    assert routed("GET") == set(OPENS)
    assert routed("POST") == set(CHANGES)


async def test_every_page_is_open_to_whom_the_table_names(desk: Desk) -> None:
    for role in ROLES:
        with desk.browser(role) as client:
            for path, permission in OPENS.items():
                answer = await client.get(desk.fill_in(path))
                expected = (200, 303) if opens(role, permission) else (403,)
                assert answer.status_code in expected, (role, path, answer.status_code)
                if role in CUSTOMER_ROLES:
                    for secret in ("Foreign Freight", desk.other.id, desk.foreign_key.id, desk.foreign_key.prefix):
                        assert secret not in answer.text, (role, path)
            await client.aclose()


async def test_every_form_is_closed_to_whom_the_table_does_not_name(desk: Desk) -> None:
    audit = desk.world.services.accounts.changes
    for role in ROLES:
        with desk.browser(role) as client:
            for path, permission in CHANGES.items():
                if not opens(role, permission):
                    before = audit.log(limit=1).items[0].seq
                    answer = await client.post(desk.fill_in(path), data={"csrf": client.csrf, "name": "x"})  # type: ignore[attr-defined]
                    assert answer.status_code == 403, (role, path)
                    assert audit.log(limit=1).items[0].seq == before
            await client.aclose()


async def test_no_form_works_without_the_pages_own_token_or_from_elsewhere(desk: Desk) -> None:
    audit = desk.world.services.accounts.changes
    for role in ("owner", "admin"):
        with desk.browser(role) as client:
            before = audit.log(limit=1).items[0].seq
            for path, permission in CHANGES.items():
                if opens(role, permission):
                    for data, headers in (
                        ({"name": "x"}, {}),
                        ({"name": "x", "csrf": "0" * 64}, {}),
                        ({"name": "x", "csrf": client.csrf}, {"origin": "https://evil.example"}),  # type: ignore[attr-defined]
                    ):
                        answer = await client.post(desk.fill_in(path), data=data, headers=headers)
                        assert answer.status_code == 403, (path, data)
            assert audit.log(limit=1).items[0].seq == before
            await client.aclose()


async def test_a_foreign_key_is_not_there_for_a_customers_people(desk: Desk) -> None:
    with desk.browser("admin") as client:
        for action in ("rotate", "revoke"):
            path = f"/portal/keys/{desk.foreign_key.id}/{action}"
            answer = await client.post(path, data={"csrf": client.csrf, "overlap": "0"})  # type: ignore[attr-defined]
            assert answer.status_code in (404, 409), answer.text
        other = desk.world.services.accounts.keys.get(desk.other.id, desk.foreign_key.id)
        assert other.revoked_ns is None and other.expires_ns is None
        answer = await client.get(f"/portal/usage?customer={desk.other.handle}&by=customer")
        assert answer.status_code == 200 and desk.other.id not in answer.text
        await client.aclose()


#: What is the same in every language: names, units, codes, ids.
DATA = re.compile(
    r"standard@[0-9a-f]+"
    r"|Söhne|Foreign Freight|Mintage( Demo)?|smollm2\S*|standard|Standard|English|UTC|USD|[\w.]*nano-\S*|req_\w+|Python"
    r"|JavaScript|curl|Ctrl \+ Enter|\w+@\S+|\bA (owner|admin)\b|[a-z]+_[a-z_0-9.:]+\S*|key_\w+|\b(ms|s|min)\b"
    r"|[a-z]+:[\w:. ]+"
    r"|Read this page in English|Apache-2\.0|key\.|foreign\S*|scripted|system|default|Owner"
    r"|smoke|run_\w+|\b(corpus|tokenizer|store|pretrain|finetune|evaluate|export)\b"
    r"|lab\.compare|job_\w+|[A-Z]{2,3}-\d{6}|[0-9a-f]{16,}|EUR|\bsmall=\S+|\[\[usage\]\][\s\S]*|mk-\w+|PDF|invalid"
    r"|soehne|S-hne|\bown\b|[a-z]+@[0-9a-f]+"
)


def spoken(html: str) -> set[str]:
    parser = Spoken()
    html = re.sub(r"<textarea.*?</textarea>", "", html, flags=re.DOTALL)  # what somebody writes, in no language of ours
    parser.feed(re.sub(r"<(th|span|small|p|dd)[^>]*lang=\"en\".*?</\1>", "", html, flags=re.DOTALL))
    return {" ".join(word.split()) for word in parser.words if word.strip()}


@pytest.mark.parametrize("role", ["owner", "admin"])
async def test_every_page_is_whole_in_both_languages(desk: Desk, role: str) -> None:
    """What the English and the Chinese page have in common is data. Names are text and never markup."""
    with desk.browser(role) as client:
        for path, permission in OPENS.items():
            if not opens(role, permission) or path.endswith(NO_PAGES):
                continue
            english = (await client.get(desk.fill_in(path), headers={"accept-language": "en"})).text
            chinese = (await client.get(desk.fill_in(path), headers={"accept-language": "zh"})).text
            assert '<html lang="en"' in english and '<html lang="zh-Hans"' in chinese, path
            if path != "/console/settings":  # settings have English names and meanings: they are the command line's
                both = spoken(english) & spoken(chinese)
                untranslated = {
                    text for text in both if re.search(r"[A-Za-z]{2}", DATA.sub("", text.replace(HOSTILE, "")))
                }
                assert untranslated == set(), path
            for page in (english, chinese):
                assert "<img" not in page and "onerror=alert(1)>" not in page.replace("onerror=alert(1)&gt;", ""), path
                assert not re.search(r"<script(?![^>]*(?:src=|application/json))", page), path
                assert not re.search(r"""<[^>]*\s(on\w+|style)\s*=\s*["']""", page), path
        await client.aclose()


async def test_a_key_is_shown_once_and_made_once(desk: Desk) -> None:
    with desk.browser("support") as client:
        page = f"/console/customers/{desk.mine.handle}"
        once = re.search(r'name="once" value="([^"]+)"', (await client.get(page)).text)
        assert once is not None
        form = {"csrf": client.csrf, "once": once.group(1), "name": "fresh", "models": "smollm2-*"}  # type: ignore[attr-defined]
        made = await client.post(f"{page}/keys", data=form)
        secret = re.search(r'id="secret">(mk-\w{40})<', made.text)
        assert made.status_code == 200 and secret is not None and made.headers["cache-control"] == "no-store"
        again = await client.post(f"{page}/keys", data=form)
        assert again.status_code == 409 and "mk-" + secret.group(1)[3:] not in again.text
        names = [key.name for key in desk.world.services.accounts.keys.page(desk.mine.id).items]
        assert names.count("fresh") == 1
        assert secret.group(1) not in (await client.get(page)).text
        opened = await client.get(f"{page}/keys")
        assert (opened.status_code, opened.headers["location"]) == (303, f"{page}#keys")
        await client.aclose()


async def test_the_desk_adds_a_customer_with_a_plan_and_money(desk: Desk) -> None:
    with desk.browser("owner") as client:
        csrf = client.csrf  # type: ignore[attr-defined]
        form = {"csrf": csrf, "name": "Grace & Co", "plan": "standard", "email": "g@example.com"}
        added = await client.post("/console/customers/new", data=form)
        assert added.headers["location"] == "/console/customers/grace-co?done=customer_added"
        page = (await client.get(added.headers["location"])).text
        assert "Grace &amp; Co" in page and "The customer is there" in page
        payment = re.search(r'name="payment" value="([^"]+)"', page)
        assert payment is not None
        paid = {"csrf": csrf, "payment": payment.group(1), "amount": "12.50"}
        for _ in range(2):  # sent twice, added once
            assert (await client.post("/console/customers/grace-co/top-ups", data=paid)).status_code == 303
        tenant = desk.world.services.accounts.tenants.get("grace-co")
        assert desk.world.services.billing.wallets.balance(tenant.id).balance_nanos == 12_500_000_000
        refused = await client.post("/console/customers/grace-co/top-ups", data=paid | {"amount": "much"})
        assert refused.status_code == 400 and 'value="much"' in refused.text and 'role="alert"' in refused.text
        await client.aclose()


async def test_usage_adds_up_on_the_page_and_in_the_file(desk: Desk) -> None:
    with desk.browser("finance") as client:
        page = (await client.get("/console/usage?by=customer&by=model")).text
        assert "by=customer&amp;by=model&amp;format=csv" in page
        charged = sum(row.revenue_nanos for row in desk.world.services.reader.profit_and_loss(by=("tenant_id",)))
        assert charged > 0 and f'value="{charged}"' in page.partition("<tfoot>")[2]
        raw = (await client.get("/console/usage/export?by=customer&by=model&format=csv")).text
        assert "Foreign Freight" in raw and len(raw.splitlines()) == 3
        parquet = await client.get("/console/usage/export?by=day&format=parquet")
        assert parquet.content[:4] == b"PAR1" and "attachment" in parquet.headers["content-disposition"]
        for wrong in ("from=2026-13-01", "from=2020-01-01&to=2026-01-01", "customer=nobody", "format=exe"):
            path = "/console/usage/export" if "format" in wrong else "/console/usage"
            assert (await client.get(f"{path}?{wrong}")).status_code in (400, 404), wrong
        await client.aclose()


async def test_requests_are_found_and_taken_apart(desk: Desk) -> None:
    with desk.browser("viewer") as client:
        request_id = desk.values["request_id"]
        found = (await client.get(f"/console/requests?customer={desk.mine.handle}&outcome=ok")).text
        assert f'id="{request_id}"' in found and "Foreign Freight" not in found
        assert "No request fits" in (await client.get("/console/requests?model=nothing")).text
        one = (await client.get(f"/console/requests/{request_id}")).text
        for phrase in ("Where the time went", "Attempts", "own compute", "Balance left", "Given back"):
            assert phrase in one
        assert (await client.get("/console/requests/req_unknown12345")).status_code == 404
        hit = (await client.get(f"/console/search?q={request_id}", headers={"x-palette": "1"})).text
        assert f'href="/console/requests/{request_id}"' in hit and "<html" not in hit
        await client.aclose()


async def test_a_plan_is_checked_before_it_is_sold(desk: Desk) -> None:
    with desk.browser("finance") as client:
        csrf = client.csrf  # type: ignore[attr-defined]
        good = PLAN.format(disconnect="cut").replace('id = "standard"', 'id = "second"')
        checked = await client.post("/console/plans/new", data={"csrf": csrf, "plan": good, "action": "check"})
        assert checked.status_code == 200 and "second" in checked.text
        broken = await client.post("/console/plans/new", data={"csrf": csrf, "plan": "id = ", "action": "apply"})
        assert broken.status_code == 400 and 'role="alert"' in broken.text and ">id =</textarea>" in broken.text
        applied = await client.post(
            "/console/plans/new", data={"csrf": csrf, "plan": good, "action": "apply", "anyway": "yes"}
        )
        assert applied.headers["location"] == "/console/plans/second?done=plan_applied"
        assert (await client.get("/console/plans/second?version=standard@x")).status_code == 404
        await client.aclose()


async def test_views_are_kept_and_lead_nowhere_else(desk: Desk) -> None:
    with desk.browser("viewer") as client:
        csrf = client.csrf  # type: ignore[attr-defined]
        form = {"csrf": csrf, "place": "requests", "name": "Cut ones", "query": "outcome=cut&cursor=5&done=x"}
        kept = await client.post("/console/views", data=form)
        assert kept.headers["location"] == "/console/requests?outcome=cut&done=view_saved"
        page = (await client.get("/console/requests")).text
        assert 'href="/console/requests?outcome=cut"' in page and "Cut ones" in page
        for place in ("//evil.example", "staff_secrets", ""):
            assert (await client.post("/console/views", data=form | {"place": place})).status_code == 404
        view = re.search(r'action="(/console/views/viw_\w+/delete)"', page)
        assert view is not None
        assert (await client.post(view.group(1), data={"csrf": csrf})).status_code == 303
        assert "Cut ones" not in (await client.get("/console/requests")).text
        await client.aclose()


async def test_an_expired_session_leads_back_to_the_page(desk: Desk) -> None:
    async with httpx.AsyncClient(base_url=desk.world.url, headers={"accept": "text/html"}) as client:
        asked = await client.get("/console/customers?search=ada&language=zh")
        assert asked.headers["location"].startswith("/console/sign-in?next=/console/customers%3Fsearch%3Dada")
        sent = await client.post(
            "/console/customers/new", data={"name": "x"}, headers={"referer": f"{desk.world.url}/console/customers/new"}
        )
        assert sent.headers["location"].endswith("next=/console/customers/new")
        foreign = await client.post(
            "/console/customers/new", data={"name": "x"}, headers={"referer": "https://evil.example/console/plans"}
        )
        assert foreign.headers["location"].endswith("next=/console")
