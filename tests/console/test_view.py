"""What templates show is what the books recorded: lines add up, rows follow the log, customers sum to totals."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mintage.base import RatedLine, Usage
from mintage.books import CostPosted, Expired, Held, Released, Settled, Wallet
from mintage.console import view
from mintage.console.chart import series
from mintage.console.follower import RequestRecord, Sums
from mintage.console.i18n import translator
from mintage.console.overview import DAY_NS, Figures, month_of
from mintage.console.receipt import receipt

NOW_NS = 1_795_459_923_000_000_000  # 2026-11-23T18:52:03Z
LINES = st.lists(
    st.builds(
        RatedLine,
        st.sampled_from(["input_tokens", "output_tokens", "requests", "hold_cap"]),
        st.integers(0, 10**6),
        st.integers(0, 10**15),
        st.integers(-(10**15), 10**20),
    ),
    max_size=5,
)


def settled(**fields: object) -> Settled:
    values = dict(  # noqa: C408 - names without quotes read as the fields they are
        at_ns=NOW_NS, hold_id="req_1", tenant_id="cus_1", project_id="prj_1", wallet_id="wal_1", key_id="key_1",
        model="m", product="api", occurred_ns=NOW_NS, usage=Usage(input_tokens=38, output_tokens=112),
        price_id="p@1", currency="USD", attos=0, lines=(), costs=(), hold_nanos=10**6, posted_nanos=0,
        shortfall_nanos=0, balance_nanos=10**9, held_nanos=0, outcome="ok", estimated=False, end_user=None,
        operation="chat", latency_ms=1840.0, first_token_ms=84.0, idempotency_key=None, payload_hash="",
    )  # fmt: skip
    return Settled(**(values | fields))  # type: ignore[arg-type]


def cost(nanos: int, currency: str = "USD", provider: str = "own") -> CostPosted:
    return CostPosted(provider, "c@1", currency, nanos * 10**9, nanos, Usage(), 1840.0)


@given(LINES, st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_receipt_adds_up_to_the_charge(lines: list[RatedLine], posted: int, cost_nanos: int) -> None:
    shown = receipt(settled(lines=tuple(lines), posted_nanos=posted, costs=(cost(cost_nanos),)))
    carry = posted * 10**9 - sum(line.attos for line in lines)
    assert (shown.carry is None) == (carry == 0)
    assert shown.charge.nanos == posted
    assert shown.margin.nanos == posted - cost_nanos
    assert len(shown.lines) == len(lines)


def test_a_receipt_names_who_was_paid() -> None:
    own = receipt(settled(costs=(cost(5),)))
    assert (own.provider, own.engine_seconds) == ("", "1.84")
    other = receipt(settled(costs=(cost(5, provider="openai"), cost(3, "EUR", "mistral"))))
    assert (other.provider, other.engine_seconds) == ("openai, mistral", "")
    assert other.cost.nanos == 5


def test_token_rates_are_quoted_per_million_and_others_each() -> None:
    lines = (RatedLine("input_tokens", 38, 80 * 10**9, 38 * 80 * 10**9), RatedLine("requests", 1, 10**15, 10**15))
    first, second = receipt(settled(lines=lines)).lines
    assert (first.per_million, first.rate.text, first.quantity) == (True, "$0.08", "38")
    assert (second.per_million, second.rate.text) == (False, "$0.001")


def test_a_row_follows_the_log() -> None:
    held = Held(NOW_NS, "req_1", "cus_1", "wal_1", "USD", 163_840, NOW_NS, NOW_NS, "key_1", "m")
    record = RequestRecord("req_1", NOW_NS, "cus_1", "m", held=held)
    running = view.row(record, {"cus_1": "Ada"})
    assert (running.state, running.customer, running.time) == ("held", "Ada", "18:52:03")
    assert running.held is not None and running.held.nanos == 163_840 and running.charge is None
    record.end = settled(posted_nanos=29_920, costs=(cost(51_111),), outcome="cut", estimated=True)
    done = view.row(record, {})
    assert (done.state, done.customer, done.estimated, done.held) == ("cut", "cus_1", True, None)
    assert (done.read, done.written, done.duration, done.first) == ("38", "112", "1.84 s", "84 ms")
    assert done.margin is not None and done.margin.nanos == -21_191
    for end, state in (
        (Released(NOW_NS, "req_1", "cus_1", "wal_1", 163_840, "left"), "released"),
        (Expired(NOW_NS, "req_1", "cus_1", "wal_1", 163_840), "expired"),
    ):
        record.end = end
        assert view.row(record, {}).state == state


def figures(**fields: object) -> Figures:
    values = {"period": "today", "step": "hour", "seq": 7, "at_ns": NOW_NS, "by_tenant": {}, "by_bucket": {}}
    return Figures(**(values | fields))  # type: ignore[arg-type]


def wallet(tenant: str, balance: int, *, funding: str = "prepaid", limit: int = 0, currency: str = "USD") -> Wallet:
    return Wallet(
        id=f"wal_{tenant}_{funding}", tenant_id=tenant, currency=currency, funding=funding,  # type: ignore[arg-type]
        balance_nanos=balance, credit_limit_nanos=limit, held_nanos=5,
    )  # fmt: skip


def test_customers_sum_to_the_totals_even_beyond_the_rows_shown() -> None:
    wallets = [wallet(f"cus_{index:03d}", index) for index in range(80)]
    wallets.append(wallet("cus_000", 7, funding="promo"))
    sums = {(f"cus_{index:03d}", "USD"): Sums(index, 1, 2) for index in range(80)}
    rows, totals = view.customers(figures(by_tenant=sums), wallets, {})
    assert len(rows) == view.CUSTOMER_LIMIT
    assert rows[0].tenant_id == "cus_079"  # most revenue first
    (total,) = totals
    assert total.balance.nanos == sum(range(80)) + 7
    assert total.held.nanos == 81 * 5
    assert total.revenue.nanos == sum(range(80))
    assert total.margin.nanos == sum(range(80)) - 80
    assert total.requests == "160"


def test_a_customer_without_money_is_marked() -> None:
    rows, _ = view.customers(
        figures(), [wallet("a", 0), wallet("b", -5, funding="postpaid", limit=10), wallet("c", 1)], {}
    )
    assert {row.tenant_id: row.empty for row in rows} == {"a": True, "b": False, "c": False}
    assert {row.tenant_id: row.limit and row.limit.nanos for row in rows} == {"a": None, "b": 10, "c": None}


def test_each_currency_has_its_own_line_and_the_operators_own_comes_first() -> None:
    sums = {("a", "CNY"): Sums(9, 4, 1), ("b", "EUR"): Sums(3, 5, 1)}
    shown = view.statement(figures(by_tenant=sums), [], 0, "EUR", {"CNY": 2, "EUR": 0})
    assert [(line.currency, line.margin.nanos) for line in shown.lines] == [("EUR", -2), ("CNY", 5)]
    assert [amount.nanos for amount in shown.differences] == [2]
    assert [line.currency for line in view.statement(figures(), [], 0, "USD", {}).lines] == ["USD"]


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**6))
def test_a_mean_is_within_half_a_nano(revenue: int, requests: int) -> None:
    shown = view.profit("USD", Sums(revenue, 0, requests))
    assert shown.revenue_each is not None
    assert abs(shown.revenue_each.nanos * requests - revenue) * 2 <= requests


def test_the_chart_covers_its_period_without_gaps() -> None:
    t = translator("en")
    hour = series(
        figures(period="hour", step="minute", by_bucket={NOW_NS // (60 * 10**9): {"USD": Sums(5, 2, 1)}}), "USD", t
    )
    assert len(hour.times) == 60 and hour.revenue[-1] == 5 and sum(hour.revenue) == 5
    assert hour.times[-1] - hour.times[0] == 59 * 60
    assert hour.peak == "$0.000000005" and "18:52" in hour.summary
    today = series(figures(), "USD", t)
    assert len(today.times) == 24 and today.peak == "" and today.times[0] % 86_400 == 0
    assert today.summary == t("chart.summary_empty")
    week = series(figures(period="week", step="day"), "USD", t)
    assert len(week.times) == 7 and week.times[-1] == NOW_NS // DAY_NS * 86_400
    month = series(figures(period="month", step="day"), "USD", t)
    assert len(month.times) == 30
    ever = series(figures(period="all", step="month", by_bucket={month_of(20_000): {"USD": Sums(1, 0, 1)}}), "USD", t)
    assert ever.captions[0].startswith("2024-10") and ever.captions[-1].startswith("2026-11")
    assert sum(ever.revenue) == 1


def test_a_chart_of_many_years_has_a_limit() -> None:
    ever = series(
        figures(period="all", step="month", by_bucket={month_of(0): {"USD": Sums(1, 0, 1)}}), "USD", translator("zh")
    )
    assert len(ever.times) == 60
