"""The ledger: every event on its accounts, every entry once, every journal in balance."""

import itertools
import random

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.base import NANOS_MAX, MintageError
from mintage.books import Database, Entry, Ledger, ToppedUp

DAY_NS = 86_400 * 10**9
START_NS = 1_767_225_600_000_000_000
QUARTER_NS = 900 * 10**9


@pytest.fixture
def database(tmp_path):
    database = Database.open(tmp_path / "books.db")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def ledger(database):
    return Ledger(database)


def dump(database):
    """Every row that is derived from the log."""
    with database.read() as connection:
        return {
            table: sorted(map(tuple, connection.execute(sa.text(f"SELECT * FROM {table}"))))
            for table in ("ledger_rollups", "ledger_usage", "ledger_wallets", "ledger_journals", "ledger_postings")
        }


def total(balances):
    sums = {}
    for (_, currency), nanos in balances.items():
        sums[currency] = sums.get(currency, 0) + nanos
    return sums


def test_one_prepaid_request_from_top_up_to_margin(ledger, scribe):
    wallet = scribe.open("alice", cash=10**9)
    settled = scribe.request(wallet, tokens=(1000, 200), model="small")
    assert ledger.apply(scribe.entries) == len(scribe.entries)
    cost = settled.costs[0].nanos
    assert settled.posted_nanos > cost > 0
    assert ledger.balances() == {
        ("assets:cash", "USD"): 10**9,
        ("assets:compute", "USD"): -cost,
        ("expenses:cogs:own", "USD"): cost,
        ("income:usage:api", "USD"): -settled.posted_nanos,
        ("liabilities:customer_prepaid", "USD"): settled.posted_nanos - 10**9,
    }
    (row,) = ledger.profit_and_loss()
    assert (row.revenue_nanos, row.cost_nanos) == (settled.posted_nanos, cost)
    assert row.margin_nanos == row.result_nanos == settled.posted_nanos - cost
    assert row.entries == 1


@pytest.mark.parametrize(
    ("funding", "debit"),
    [
        ("prepaid", "liabilities:customer_prepaid"),
        ("promo", "expenses:promo_credits"),
        ("postpaid", "assets:unbilled_receivable"),
    ],
)
def test_usage_debits_what_funds_the_wallet(ledger, scribe, funding, debit):
    wallet = scribe.open("alice", funding, limit=10**9 if funding == "postpaid" else 0)
    if funding != "postpaid":
        scribe.top_up(wallet, 10**9, "promo" if funding == "promo" else "cash")
    ledger.apply(scribe.entries)
    before = ledger.balances(debit).get((debit, "USD"), 0)
    settled = scribe.request(wallet)
    ledger.apply(scribe.entries)
    assert ledger.balances(debit)[debit, "USD"] - before == settled.posted_nanos
    assert ledger.balances("income")["income:usage:api", "USD"] == -settled.posted_nanos


@pytest.mark.parametrize(
    ("funding", "funds", "source", "expected"),
    [
        ("prepaid", "cash", "bank", {"assets:cash": 5, "liabilities:customer_prepaid": -5}),
        ("prepaid", "promo", "bank", {"expenses:promo_credits": 5, "liabilities:customer_prepaid": -5}),
        ("promo", "promo", "bank", {}),
        ("postpaid", "cash", "bank", {"assets:cash": 5, "assets:receivable": -5}),
        ("postpaid", "cash", "invoice", {}),
        ("prepaid", "cash", "lease", {}),
    ],
)
def test_top_ups(ledger, scribe, funding, funds, source, expected):
    scribe.top_up(scribe.open("alice", funding), 5, funds, source)
    ledger.apply(scribe.entries)
    assert {account: nanos for (account, _), nanos in ledger.balances().items()} == expected


@pytest.mark.parametrize(
    ("funding", "funds", "source", "expected"),
    [
        ("prepaid", "cash", "bank", {"assets:cash": -3, "liabilities:customer_prepaid": 3}),
        ("prepaid", "cash", "expiry", {"income:breakage": -3, "liabilities:customer_prepaid": 3}),
        ("prepaid", "promo", "bank", {"expenses:promo_credits": -3, "liabilities:customer_prepaid": 3}),
        ("promo", "promo", "expiry", {}),
        ("prepaid", "cash", "lease", {}),
    ],
)
def test_withdrawals(ledger, scribe, funding, funds, source, expected):
    wallet = scribe.open("alice", funding)
    scribe.top_up(wallet, 10, funds, "lease")  # which posts nothing
    scribe.write(
        scribe.book.withdraw(scribe.now_ns, wallet, 3, funds=funds, source=source, source_id="w1", memo="taken out")
    )
    ledger.apply(scribe.entries)
    assert {account: nanos for (account, _), nanos in ledger.balances().items()} == expected
    with pytest.raises(MintageError) as refusal:
        scribe.book.withdraw(scribe.now_ns, wallet, 8, funds=funds, source=source, source_id="w2", memo="")
    assert refusal.value.code == "insufficient_funds"


def test_shortfall_is_an_expense_and_the_liability_never_turns_negative(ledger, scribe):
    wallet = scribe.open("dave", cash=50_000)
    settled = scribe.request(wallet, hold_nanos=50_000, tokens=(5000, 5000))
    assert settled.shortfall_nanos > 0
    ledger.apply(scribe.entries)
    assert ledger.balances("liabilities")["liabilities:customer_prepaid", "USD"] == 0
    (row,) = ledger.profit_and_loss()
    assert row.shortfall_nanos == settled.shortfall_nanos
    assert row.revenue_nanos == settled.posted_nanos
    assert row.result_nanos == row.margin_nanos - settled.shortfall_nanos


def test_a_replayed_request_books_only_its_costs(ledger, scribe):
    wallet = scribe.open("alice", cash=10**9)
    first = scribe.request(wallet)
    again = scribe.request(wallet, replay_of=first.hold_id)
    ledger.apply(scribe.entries)
    (row,) = ledger.profit_and_loss()
    assert row.revenue_nanos == first.posted_nanos
    assert row.cost_nanos == first.costs[0].nanos + again.costs[0].nanos
    assert sum(line.quantity for line in ledger.usage_lines("alice", START_NS, START_NS + DAY_NS)) == 1200


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 230), max_size=12))
def test_any_delivery_gives_the_same_books(tmp_path_factory, new_scribe, seed, cuts):
    """Batches cut anywhere, each delivered 0 to 3 times, in any order, until the log is through."""
    scribe = new_scribe(seed).business(60)
    entries = scribe.entries
    folder = tmp_path_factory.mktemp("books")
    once, many = Database.open(folder / "once.db"), Database.open(folder / "many.db")
    for database in (once, many):
        database.migrate()
    Ledger(once).apply(entries)

    ledger, chance = Ledger(many), random.Random(seed)
    edges = sorted({0, len(entries), *(cut for cut in cuts if cut < len(entries))})
    batches = [entries[a:b] for a, b in itertools.pairwise(edges)]
    while ledger.watermark() < len(entries):
        deliveries = [batch for batch in batches for _ in range(chance.randrange(4))]
        chance.shuffle(deliveries)
        for batch in deliveries:
            if chance.random() < 0.2:
                ledger = Ledger(many)  # another process takes over
            ledger.apply(chance.sample(batch, len(batch)))
    assert dump(many) == dump(once)
    assert total(ledger.balances()) == {"USD": 0}
    once.close()
    many.close()


def test_a_planted_bug_that_forgets_the_watermark_is_caught(database, scribe, monkeypatch):
    """The same check as above must fail when a redelivered batch is not skipped."""
    from mintage.books import ledger as module

    scribe.business(30)
    ledger = Ledger(database)
    ledger.apply(scribe.entries)
    honest = dump(database)["ledger_rollups"]
    monkeypatch.setattr(module, "following", lambda entries, mark: [e for e in entries if e.kind == "settle"])
    ledger.apply(scribe.entries)
    assert dump(database)["ledger_rollups"] != honest


def test_a_crash_before_commit_applies_nothing(database, scribe, monkeypatch):
    scribe.business(30)
    ledger = Ledger(database)
    ledger.apply(scribe.entries[:20])
    before = dump(database)
    monkeypatch.setattr(ledger, "_set_mark", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        ledger.apply(scribe.entries)
    monkeypatch.undo()
    assert dump(database) == before
    assert ledger.watermark() == 20
    ledger.apply(scribe.entries)
    assert total(ledger.balances()) == {"USD": 0}
    assert ledger.watermark() == len(scribe.entries)


def test_a_sum_beyond_int64_is_refused_whole(database, scribe):
    wallet = scribe.open("alice", "postpaid", limit=NANOS_MAX)
    ledger = Ledger(database)
    for _ in range(3):
        scribe.book.accounts[wallet].balance = 0  # as if it had been paid in between
        scribe.request(wallet, hold_nanos=0, tokens=(1, 0), rates={"input_tokens": 4 * 10**27, "output_tokens": 0})
    ledger.apply(scribe.entries[:5])
    before = dump(database)
    with pytest.raises(MintageError) as refusal:
        ledger.apply(scribe.entries)
    assert refusal.value.code == "internal"
    assert dump(database) == before


def test_an_entry_of_a_wallet_that_was_never_opened_is_refused_whole(database, scribe):
    scribe.request(scribe.open("alice", cash=10**9))
    orphans = [Entry(seq, entry.body) for seq, entry in enumerate(scribe.entries[1:], 1)]
    with pytest.raises(MintageError) as refusal:
        Ledger(database).apply(orphans)
    assert refusal.value.code == "internal"
    assert not any(dump(database).values())


def test_totals_may_pass_int64(database, new_scribe):
    """No row does, but the sum of many customers' rows may: 5 x 4e9 units."""
    scribe = new_scribe(currency="IDR")
    for name in "abcde":
        wallet = scribe.open(name, "postpaid", limit=NANOS_MAX)
        scribe.request(wallet, tokens=(1, 0), rates={"input_tokens": 4 * 10**27, "output_tokens": 0})
    ledger = Ledger(database)
    ledger.apply(scribe.entries)
    assert ledger.balances("income")["income:usage:api", "IDR"] == -5 * 4 * 10**18
    assert ledger.profit_and_loss()[0].revenue_nanos == 5 * 4 * 10**18


def test_profit_and_loss_adds_up_by_every_dimension(ledger, scribe):
    scribe.business(300)
    ledger.apply(scribe.entries)
    settled = [entry.body for entry in scribe.entries if entry.kind == "settle"]
    (whole,) = ledger.profit_and_loss()
    assert whole.revenue_nanos == sum(body.posted_nanos for body in settled)
    assert whole.cost_nanos == sum(cost.nanos for body in settled for cost in body.costs)
    assert whole.entries == len(settled)
    for by in (("tenant_id",), ("model",), ("provider",), ("tenant_id", "model", "day")):
        rows = ledger.profit_and_loss(by=by)
        for field in ("revenue_nanos", "cost_nanos", "promo_nanos", "shortfall_nanos", "margin_nanos", "result_nanos"):
            assert sum(getattr(row, field) for row in rows) == getattr(whole, field)
    for row in ledger.profit_and_loss(by=("tenant_id", "model")):
        mine = [b for b in settled if (b.tenant_id, b.model) == (row.group["tenant_id"], row.group["model"])]
        assert row.revenue_nanos == sum(body.posted_nanos for body in mine)
        assert row.cost_nanos == sum(cost.nanos for body in mine for cost in body.costs)
    carol = ledger.profit_and_loss(tenant_id="carol")[0]
    assert carol.promo_nanos == carol.revenue_nanos > 0
    assert carol.result_nanos == -carol.cost_nanos


def test_days_are_utc_and_half_open(ledger, new_scribe):
    scribe = new_scribe(step_ns=DAY_NS // 2)
    wallet = scribe.open("alice", cash=10**9)
    charges = [scribe.request(wallet, tokens=(1000, n)).posted_nanos for n in range(4)]  # 12:00, 0:00, 12:00, 0:00
    ledger.apply(scribe.entries)
    days = [ledger.profit_and_loss(START_NS + d * DAY_NS, START_NS + (d + 1) * DAY_NS)[0] for d in range(3)]
    assert [day.revenue_nanos for day in days] == [charges[0], charges[1] + charges[2], charges[3]]
    before = {a.account: a.natural_nanos for a in ledger.trial_balance(START_NS + DAY_NS)}
    assert before["income:usage:api"] == charges[0]
    with pytest.raises(MintageError) as refusal:
        ledger.profit_and_loss(START_NS + 1, None)
    assert refusal.value.param == "start"


def test_trial_balance_balances(ledger, scribe):
    scribe.business(100)
    ledger.apply(scribe.entries)
    accounts = ledger.trial_balance()
    assert sum(a.debit_nanos for a in accounts) == sum(a.credit_nanos for a in accounts) > 0
    assert {(a.account, a.currency): a.balance_nanos for a in accounts} == ledger.balances()


# -- what invoices are made from -----------------------------------------------------------------------------------


def test_usage_lines_are_exact_and_cover_the_period(ledger, new_scribe):
    scribe = new_scribe(step_ns=QUARTER_NS // 3)
    wallet = scribe.open("alice", cash=10**12)
    bodies = [scribe.request(wallet, tokens=(i, 2 * i), price_id=f"p@{i % 2}") for i in range(40)]
    ledger.apply(scribe.entries)
    start, end = START_NS + 2 * QUARTER_NS, START_NS + 9 * QUARTER_NS
    mine = [body for body in bodies if start <= body.occurred_ns < end]
    lines = ledger.usage_lines("alice", start, end)
    assert sum(line.attos for line in lines) == sum(body.attos for body in mine)
    for line in lines:
        rated = [x for body in mine if body.price_id == line.price_id for x in body.lines if x.meter == line.meter]
        assert line.quantity == sum(x.quantity for x in rated)
        assert line.attos == sum(x.attos for x in rated) == line.quantity * line.rate_attos
        assert line.entries == len(rated)
    with pytest.raises(MintageError):
        ledger.usage_lines("alice", start + 1, end)


def test_a_charge_beyond_its_lines_is_kept(ledger, scribe):
    wallet = scribe.open("alice", cash=10**9)
    body = scribe.request(wallet, fixed_attos=123_456_789_012_345)
    ledger.apply(scribe.entries)
    lines = ledger.usage_lines("alice", START_NS, START_NS + DAY_NS)
    assert sum(line.attos for line in lines) == body.attos
    assert [line.attos for line in lines if line.meter == "other"] == [123_456_789_012_345]


def test_what_is_late_for_a_closed_period_counts_in_the_next(ledger, new_scribe):
    scribe = new_scribe(step_ns=60 * 10**9)
    wallet = scribe.open("alice", cash=10**12)
    for _ in range(20):
        scribe.request(wallet)
    ledger.apply(scribe.entries)
    end = START_NS + QUARTER_NS
    assert ledger.close_period("alice", end) == len(scribe.entries) == ledger.close_period("alice", end)
    closed = ledger.usage_lines("alice", START_NS, end)
    after = ledger.usage_lines("alice", end, end + DAY_NS)

    scribe.request(wallet, late_ns=scribe.now_ns - START_NS)  # happened at the very start
    ledger.apply(scribe.entries)
    assert ledger.usage_lines("alice", START_NS, end) == closed
    assert sum(x.quantity for x in ledger.usage_lines("alice", end, end + DAY_NS)) == 1200 + sum(
        x.quantity for x in after
    )


def test_a_top_up_of_absurdly_long_names_does_not_stop_the_ledger(ledger, scribe):
    wallet = scribe.open("alice")
    for number in range(2):
        scribe.write(
            ToppedUp(scribe.now_ns, wallet, "alice", "USD", 5, "cash", "s" * 300, f"{'x' * 300}{number}", "m" * 900, 5)
        )
    assert ledger.apply(scribe.entries) == 3
    assert ledger.balances("assets")["assets:cash", "USD"] == 10
    assert isinstance(scribe.entries[0], Entry)
