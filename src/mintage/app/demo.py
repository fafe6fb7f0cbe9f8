"""The whole loop without a person: paid chats over HTTP, a cut one, a refused one, a closed period, verified books."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

import httpx
import msgspec

from mintage.accounts import SYSTEM, NewKey, NewTenant
from mintage.app.first_run import DemoCustomer, set_up
from mintage.app.parts import App
from mintage.app.service import Service
from mintage.base import METERS, MintageError, Usage
from mintage.billing import Invoice
from mintage.books import Settled

REQUESTS_MIN: Final = 3
REQUESTS_MAX: Final = 1_000
_TIMEOUT_S: Final = 120.0
_CUT_AFTER_CHUNKS: Final = 5
_INVOICES_SHOWN: Final = 10  # per customer, the newest
_QUESTIONS: Final = (
    "Name three colours.",
    "What is the capital of France?",
    "Write one line about the sea.",
    "Why do cats purr?",
    "Give me a word that rhymes with moon.",
    "What is 2 plus 3?",
)


class DemoInvoiceLine(msgspec.Struct, frozen=True, kw_only=True):
    description: str
    quantity: int | Decimal
    amount: str


class DemoInvoice(msgspec.Struct, frozen=True, kw_only=True):
    number: str
    customer: str
    total: str
    currency: str
    due_nanos: int
    lines: list[DemoInvoiceLine]


class DemoBooks(msgspec.Struct, frozen=True, kw_only=True):
    balanced: bool
    difference_nanos: int
    holds_open: int


class DemoResult(msgspec.Struct, frozen=True, kw_only=True):
    """What `mintage demo --json` prints. Amounts are integers of 1e-9 currency units, of this run's requests."""

    requests: int
    usage: dict[str, int]
    currency: str
    revenue_nanos: int
    cost_nanos: int
    margin_nanos: int
    refused: int
    cut: int
    invoices: list[DemoInvoice]
    books: DemoBooks


class _Chats:
    """Real requests through the public door, and what became of them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._client = httpx.AsyncClient(base_url=service.url, timeout=_TIMEOUT_S)
        self.ids: list[str] = []
        self.refused = 0
        self.cut = 0

    def _body(self, number: int, **more: object) -> dict[str, object]:
        return {
            "model": self._service.app.settings.default_model,
            "messages": [{"role": "user", "content": _QUESTIONS[number % len(_QUESTIONS)]}],
            "max_tokens": 40,
            "temperature": 0,
            **more,
        }

    async def whole(self, customer: DemoCustomer, number: int) -> None:
        answer = await self._client.post("/v1/chat/completions", json=self._body(number), headers=_bearer(customer))
        self._check(answer)
        self.ids.append(answer.headers["x-request-id"])

    async def streamed(self, customer: DemoCustomer, number: int, *, leave_after: int | None = None) -> None:
        body = self._body(number, stream=True, stream_options={"include_usage": True})
        if leave_after is not None:
            body = self._body(number, stream=True, max_tokens=200)
            body["messages"] = [{"role": "user", "content": "Tell me a long story about a river and a mill."}]
        async with self._client.stream("POST", "/v1/chat/completions", json=body, headers=_bearer(customer)) as answer:
            if answer.status_code != 200:
                await answer.aread()
                self._check(answer)
            self.ids.append(answer.headers["x-request-id"])
            chunks = 0
            async for line in answer.aiter_lines():
                chunks += line.startswith("data: ")
                if leave_after is not None and chunks > leave_after:
                    self.cut += 1
                    break
        if leave_after is not None and (conversation := self._service.app.gateway.open.get(self.ids[-1])):
            await conversation.ended

    async def refuse(self, customer: DemoCustomer) -> None:
        """The wallet is empty: the answer must be a refusal, and nothing may be held."""
        answer = await self._client.post("/v1/chat/completions", json=self._body(0), headers=_bearer(customer))
        if answer.status_code != 429 or answer.json()["error"]["code"] != "insufficient_quota":
            raise MintageError("internal", f"An empty wallet was answered with {answer.status_code}.", "Report this.")
        self.refused += 1

    @staticmethod
    def _check(answer: httpx.Response) -> None:
        if answer.status_code != 200:
            message = answer.json()["error"]["message"]
            raise MintageError("upstream_failed", f"A demo request failed: {message}", "See `mintage models list`.")

    async def close(self) -> None:
        await self._client.aclose()


def _bearer(customer: DemoCustomer) -> dict[str, str]:
    return {"authorization": f"Bearer {customer.key}"}


def check_size(requests: int) -> None:
    """Raises MintageError("invalid_request") for a demo of another size than run_demo can make."""
    if not REQUESTS_MIN <= requests <= REQUESTS_MAX:
        raise MintageError(
            "invalid_request",
            f"A demo makes {REQUESTS_MIN} to {REQUESTS_MAX} requests.",
            "Choose another --requests.",
        )


async def run_demo(service: Service, requests: int, step: Callable[[str], None] = lambda _: None) -> DemoResult:
    """Make `requests` paid requests, one of them cut midway, and one that is refused; then close and verify."""
    check_size(requests)
    app = service.app
    customers = await set_up(app)
    empty = await _empty_customer(app)
    await app.refresh()
    chats = _Chats(service)
    try:
        for number in range(requests - 1):
            customer = customers[number % len(customers)]
            step(f"{customer.name} asks ({number + 1} of {requests})")
            if number % 2:
                await chats.streamed(customer, number)
            else:
                await chats.whole(customer, number)
        step(f"{customers[1].name} leaves in the middle of an answer")
        await chats.streamed(customers[1], 0, leave_after=_CUT_AFTER_CHUNKS)
        step(f"{empty.name} has no funds")
        await chats.refuse(empty)
    finally:
        await chats.close()
    step("Closing the period")
    invoices = await _close_period(app, customers)
    step("Verifying the books")
    books = await app.verify()
    return _result(
        [settled for request_id in chats.ids if (settled := app.log.settled(request_id)) is not None],
        chats,
        invoices,
        DemoBooks(balanced=books.balanced, difference_nanos=books.difference_nanos, holds_open=books.holds_open),
        app.settings.currency,
    )


async def _empty_customer(app: App) -> DemoCustomer:
    """A prepaid customer who never paid. Its key is made anew for each demo and needs no keeping."""
    try:
        tenant = await asyncio.to_thread(app.accounts.tenants.get, "dara")
    except MintageError:
        new = NewTenant(name="Dara (never topped up)", handle="dara")
        tenant = await asyncio.to_thread(app.accounts.tenants.add, SYSTEM, new, currency=app.settings.currency)
        await app.billing.assign(SYSTEM, tenant, "payg")
    created = await asyncio.to_thread(app.accounts.keys.create, SYSTEM, tenant.id, NewKey(name="demo"))
    return DemoCustomer(handle="dara", name=tenant.name, plan="payg", key=created.secret)


async def _close_period(app: App, customers: Sequence[DemoCustomer]) -> list[tuple[str, Invoice]]:
    """Close what has passed of the period, and return every invoice of these customers, earlier demos' included."""
    found: list[tuple[str, Invoice]] = []
    for customer in customers:
        tenant = await asyncio.to_thread(app.accounts.tenants.get, customer.handle)
        await app.billing.closing.close(SYSTEM, tenant, early=True)
        rows = await asyncio.to_thread(app.billing.invoices.page, tenant_id=tenant.id, limit=_INVOICES_SHOWN)
        found += [
            (customer.name, await asyncio.to_thread(app.billing.invoices.get, tenant.id, row.number))
            for row in rows.items
        ]
    return found


def _result(
    settled: Sequence[Settled],
    chats: _Chats,
    invoices: Sequence[tuple[str, Invoice]],
    books: DemoBooks,
    currency: str,
) -> DemoResult:
    usage = sum((one.usage for one in settled), Usage())
    revenue = sum(one.posted_nanos for one in settled)
    cost = sum(cost.nanos for one in settled for cost in one.costs)
    return DemoResult(
        requests=len(settled),
        usage={meter: getattr(usage, meter) for meter in METERS if getattr(usage, meter)},
        currency=currency,
        revenue_nanos=revenue,
        cost_nanos=cost,
        margin_nanos=revenue - cost,
        refused=chats.refused,
        cut=chats.cut,
        invoices=[_invoice(name, invoice) for name, invoice in invoices],
        books=books,
    )


def _invoice(customer: str, invoice: Invoice) -> DemoInvoice:
    content = invoice.content
    return DemoInvoice(
        number=invoice.number,
        customer=customer,
        total=content.total,
        currency=content.currency,
        due_nanos=content.due_nanos,
        lines=[
            DemoInvoiceLine(description=line.description, quantity=line.quantity, amount=line.amount)
            for line in content.lines
        ],
    )
