"""Journals that other rooms post: once, balanced, on the accounts of their event; and pages of all journals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.books import Database, Journal, Ledger, Posting
from mintage.books.accounts_chart import EVENTS, TYPES

DAY_NS = 86_400 * 10**9
START_NS = 1_767_225_600_000_000_000


@pytest.fixture
def database(tmp_path):
    database = Database.open(tmp_path / "books.db")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def ledger(database):
    return Ledger(database)


def total(balances):
    sums = {}
    for (_, currency), nanos in balances.items():
        sums[currency] = sums.get(currency, 0) + nanos
    return sums


def invoice(**changes):
    fields = {
        "event": "invoice_finalised",
        "source": "invoice",
        "source_id": "INV-1",
        "occurred_ns": START_NS,
        "tenant_id": "bob",
        "postings": (
            Posting(account="assets:receivable", currency="USD", amount_nanos=120),
            Posting(account="assets:unbilled_receivable", currency="USD", amount_nanos=-100),
            Posting(account="liabilities:tax_payable", currency="USD", amount_nanos=-20),
        ),
    }
    return Journal(**(fields | changes))


def test_a_journal_is_posted_once(ledger):
    first = ledger.post(invoice())
    assert ledger.post(invoice()) == first
    assert ledger.balances("assets")["assets:receivable", "USD"] == 120
    with pytest.raises(MintageError) as refusal:
        ledger.post(invoice(memo="changed"))
    assert refusal.value.code == "conflict"
    assert ledger.post(invoice(source_id="INV-2")) != first
    assert ledger.balances("liabilities", tenant_id="bob") == {("liabilities:tax_payable", "USD"): -40}


def test_a_journal_joins_the_callers_transaction(ledger, database):
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        ledger.post(invoice(), connection)
        raise ZeroDivisionError
    assert ledger.balances() == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"postings": invoice().postings[:2]},  # does not sum to zero
        {"postings": ()},
        {"event": "magic"},
        {"event": "payment_received"},  # does not credit tax
        {"source": ""},
        {"source": "rollup"},
        {"source": "top_up:bank"},
        {"source_id": "x" * 201},
        {"postings": (Posting(account="assets:nowhere", currency="USD", amount_nanos=0),) * 2},
        {"postings": (Posting(account="gold", currency="USD", amount_nanos=0),) * 2},
        {"postings": (Posting(account="assets:receivable", currency="usd", amount_nanos=0),) * 2},
        {"postings": (Posting(account="assets:receivable", currency="USD", amount_nanos=2**63),) * 2},
        {
            "postings": (  # balanced in the sum of all, not per currency
                Posting(account="assets:receivable", currency="USD", amount_nanos=5),
                Posting(account="assets:unbilled_receivable", currency="EUR", amount_nanos=-5),
            )
        },
        {
            "event": "rounding",
            "postings": (
                Posting(account="assets:cash", currency="USD", amount_nanos=5),
                Posting(account="assets:receivable", currency="USD", amount_nanos=-5),
            ),
        },
    ],
)
def test_journals_that_are_refused(ledger, changes):
    with pytest.raises(MintageError) as refusal:
        ledger.post(invoice(**changes))
    assert refusal.value.code == "invalid_request"
    assert refusal.value.hint
    assert ledger.balances() == {}


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_every_event_of_the_chart_can_be_posted(ledger, event):
    """Its debits against its credits, one unit each, balanced by the first of either side."""

    def named(pattern):
        other = "equity:rounding" if event == "rounding" else "expenses:fx"
        return (
            (other if pattern == "*" else pattern)
            .replace("PRODUCT", "api")
            .replace("PROVIDER", "own")
            .replace("CREATOR", "eve")
        )

    debits, creditors = (tuple(map(named, side)) for side in (EVENTS[event].debits, EVENTS[event].credits))
    lines = [Posting(account=a, currency="USD", amount_nanos=len(creditors)) for a in debits]
    lines += [Posting(account=a, currency="USD", amount_nanos=-len(debits)) for a in creditors]
    ledger.post(invoice(event=event, postings=tuple(lines)))
    assert total(ledger.balances()) == {"USD": 0}
    assert all(account.split(":")[0] in TYPES for account, _ in ledger.balances())


@settings(max_examples=20, deadline=None)
@given(limit=st.integers(1, 9), tenant=st.sampled_from([None, "alice", "bob"]))
def test_pages_of_journals_show_each_once_in_order(tmp_path_factory, new_scribe, limit, tenant):
    scribe = new_scribe(step_ns=DAY_NS // 20)
    scribe.business(60)
    database = Database.open(tmp_path_factory.mktemp("books") / "books.db")
    database.migrate()
    ledger = Ledger(database)
    ledger.apply(scribe.entries)
    for number in range(7):
        ledger.post(invoice(source_id=f"INV-{number}", occurred_ns=START_NS + number * DAY_NS // 2))
    everything = ledger.journals(tenant_id=tenant, limit=1000).journals
    pages, cursor = [], None
    while True:
        page = ledger.journals(tenant_id=tenant, limit=limit, cursor=cursor)
        pages += page.journals
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page.journals) == limit
    assert pages == everything
    assert len({(journal.source, journal.source_id, journal.event) for journal in pages}) >= 10
    days = [journal.occurred_ns // DAY_NS for journal in pages]
    assert days == sorted(days, reverse=True)
    sums = {}
    for journal in pages:
        for posting in journal.postings:
            sums[posting.account, posting.currency] = (
                sums.get((posting.account, posting.currency), 0) + posting.amount_nanos
            )
    assert sums == ledger.balances(tenant_id=tenant)
    database.close()


@pytest.mark.parametrize("cursor", ["", "x", "bm90aGluZw==", "WzEsdHJ1ZSxbMV1d"])
def test_a_foreign_cursor_is_refused(ledger, cursor):
    with pytest.raises(MintageError) as refusal:
        ledger.journals(cursor=cursor)
    assert refusal.value.param == "cursor"
