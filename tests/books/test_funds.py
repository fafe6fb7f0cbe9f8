"""Shared funds on a real PostgreSQL: nothing is spent twice, whatever races, dies, or is delivered again."""

import random
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mintage.base import MintageError, new_id
from mintage.books import Database, Ledger
from mintage.books import funds_pg as funds_module
from mintage.books.entries import Entry, Settled, ToppedUp
from mintage.books.funds_pg import Funds, LeaseRequest, Outbox, log_hash

pytestmark = pytest.mark.postgres
PROGRAM = Path(__file__).parent / "programs" / "lease_worker.py"

TWO_CTES = """
WITH locked AS (SELECT wallet_id FROM funds_wallets WHERE wallet_id = ANY(CAST(:wallets AS text[])) FOR UPDATE),
enough AS (
  SELECT w.wallet_id, r.smallest FROM funds_wallets AS w JOIN locked USING (wallet_id)
  JOIN unnest(CAST(:wallets AS text[]), CAST(:smallest AS bigint[])) AS r(wallet_id, smallest) USING (wallet_id)
  WHERE w.avail_nanos >= r.smallest AND :waiting IS NOT NULL AND :target IS NOT NULL AND :share > 0
)
UPDATE funds_wallets AS w SET grant_nanos = e.smallest, avail_nanos = w.avail_nanos - e.smallest,
  leased_nanos = w.leased_nanos + e.smallest
FROM enough AS e WHERE w.wallet_id = e.wallet_id RETURNING w.wallet_id, w.grant_nanos
"""

UNCONDITIONAL = """
WITH delivered AS (
  SELECT * FROM unnest(CAST(:seqs AS bigint[]), CAST(:wallets AS text[]), CAST(:spent AS bigint[]),
    CAST(:returned AS bigint[])) AS d(seq, wallet_id, spent, returned)
), noted AS (
  INSERT INTO funds_shipped(worker, seq, wallet_id, spent_nanos, returned_nanos)
  SELECT :worker, * FROM delivered ON CONFLICT DO NOTHING
), sums AS (
  SELECT wallet_id, CAST(sum(spent) AS bigint) AS spent, CAST(sum(returned) AS bigint) AS returned
  FROM delivered GROUP BY wallet_id
)
UPDATE funds_wallets AS w SET leased_nanos = w.leased_nanos - sums.spent - sums.returned,
  spent_nanos = w.spent_nanos + sums.spent, avail_nanos = w.avail_nanos + sums.returned
FROM sums WHERE w.wallet_id = sums.wallet_id
"""


@pytest.fixture
def database(postgres):
    database = Database.open(postgres)
    yield database
    database.close()


@pytest.fixture
def funds(database):
    return Funds(database)


def open_wallets(funds, count, nanos):
    for number in range(count):
        funds.open_wallet(f"w_{number}", str(number), "USD", "prepaid")
        funds.fund(f"w_{number}", nanos, source="bank", source_id=str(number))


def ask(wallet_id="w_0", smallest=10, waiting=10, target=10):
    return LeaseRequest(
        lease_id=new_id("lease"),
        wallet_id=wallet_id,
        smallest_nanos=smallest,
        waiting_nanos=waiting,
        target_nanos=target,
    )


# -- wallets and leases --------------------------------------------------------------------------------------------


def test_funding_is_once_per_source(funds):
    open_wallets(funds, 1, 100)
    open_wallets(funds, 1, 100)
    assert funds.wallet("w_0").funded_nanos == 100
    with pytest.raises(MintageError) as refusal:
        funds.fund("w_0", 101, source="bank", source_id="0")
    assert refusal.value.code == "conflict"
    with pytest.raises(MintageError) as refusal:
        funds.fund("w_9", 100, source="bank", source_id="9")
    assert refusal.value.code == "not_found"
    with pytest.raises(MintageError) as refusal:
        funds.open_wallet("w_0", "0", "EUR", "prepaid")
    assert refusal.value.code == "conflict"


def test_sqlite_cannot_share(tmp_path):
    with pytest.raises(MintageError) as refusal:
        Funds(Database.open(tmp_path / "books.db"))
    assert refusal.value.code == "invalid_settings"


def test_leases_shrink_as_the_wallet_empties(funds):
    open_wallets(funds, 1, 16_000)
    sizes = []
    while leases := funds.lease("a", [ask(smallest=10, waiting=10, target=5000)]):
        sizes.append(leases[0].amount_nanos)
    assert sizes[0] == 1000  # a sixteenth
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 10
    assert funds.wallet("w_0").avail_nanos < 10
    assert sum(sizes) + funds.wallet("w_0").avail_nanos == 16_000
    assert {lease.amount_nanos for lease in funds.unconfirmed("a")} == set(sizes)
    assert funds.wanted(["w_0"], 60) == {"w_0"}


def test_what_waits_is_served_before_what_would_be_good(funds):
    open_wallets(funds, 2, 1000)
    (lease,) = funds.lease("a", [ask(smallest=100, waiting=700, target=5000)])
    assert lease.amount_nanos == 700
    leases = funds.lease("a", [ask(smallest=301, waiting=301), ask("w_1", waiting=2000)])
    assert [(lease.wallet_id, lease.amount_nanos) for lease in leases] == [("w_1", 1000)]
    with pytest.raises(MintageError):
        funds.lease("a", [ask(), ask()])


def test_a_workers_name_belongs_to_one_log(funds):
    assert funds.register("a", "1" * 64) == 0
    assert funds.register("a", "1" * 64) == 0
    with pytest.raises(MintageError) as refusal:
        funds.register("a", "2" * 64)
    assert refusal.value.code == "conflict"


def race(funds, threads=16, rounds=40):
    """Threads lease 7 at a time until there is nothing; returns what was granted and the errors."""
    granted, errors = [], []

    def work():
        for _ in range(rounds):
            try:
                granted.extend(lease.amount_nanos for lease in funds.lease("a", [ask(smallest=7, waiting=7, target=7)]))
            except MintageError as error:
                errors.append(error.code)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(granted), errors


def test_racing_leases_never_exceed_the_wallet(funds):
    open_wallets(funds, 1, 3000)
    total, errors = race(funds)
    assert total == 3000 // 7 * 7
    assert errors == []
    assert funds.wallet("w_0").avail_nanos == 3000 % 7


def test_planted_bug_a_check_beside_the_lock_overdraws_and_the_tables_refuse_it(funds, database, monkeypatch):
    """A CTE locks the row, another checks it as the statement's snapshot saw it, before the lock was waited for."""
    monkeypatch.setattr(funds_module, "_GRANT", sa.text(TWO_CTES))
    open_wallets(funds, 1, 3000)
    total, errors = race(funds)
    assert total <= 3000
    assert set(errors) == {"internal"}  # the CHECK, at work

    with database.write() as connection:
        for name in ("avail", "conserved"):
            connection.execute(sa.text(f"ALTER TABLE funds_wallets DROP CONSTRAINT ck_funds_wallets_{name}"))
        connection.execute(sa.text("UPDATE funds_wallets SET avail_nanos = 3000, leased_nanos = 0"))
    total, _ = race(funds)
    assert total > 3000  # so the race can find it
    assert funds.wallet("w_0").avail_nanos < 0


# -- shipping ------------------------------------------------------------------------------------------------------


def entries_of(scribe, wallet="w_0", number=40):
    """A worker's log: leases arrive, requests spend, some money goes back."""
    scribe.open("0", wallet=wallet)
    for index in range(number):
        if index % 10 == 0:
            body = scribe.book.top_up(
                scribe.now_ns, wallet, 10**6, funds="cash", source="lease", source_id=f"lease_{index}", memo=""
            )
            scribe.write(body)
        scribe.request(wallet, hold_nanos=100_000, tokens=(scribe.random.randrange(900), 7))
        if index % 15 == 14:
            body = scribe.book.withdraw(
                scribe.now_ns, wallet, 1000, funds="cash", source="lease", source_id=f"r_{index}", memo=""
            )
            scribe.write(body)
    return scribe.entries


def state(funds, wallet_id="w_0"):
    wallet = funds.wallet(wallet_id)
    return (wallet.avail_nanos, wallet.leased_nanos, wallet.spent_nanos)


def expected(entries, funded, leased):
    spent = sum(entry.body.drawn_nanos for entry in entries if type(entry.body) is Settled)
    back = -sum(e.body.amount_nanos for e in entries if type(e.body) is ToppedUp and e.body.amount_nanos < 0)
    return (funded - leased + back, leased - spent - back, spent)


def lease_all(funds, nanos):
    (lease,) = funds.lease("a", [ask(smallest=nanos, waiting=nanos, target=nanos)])
    assert lease.amount_nanos == nanos


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_any_delivery_moves_the_balances_once(funds, new_scribe, seed):
    """Batches cut anywhere, each delivered one to three times, in any order."""
    chance = random.Random(seed)
    wallet_id = worker = new_id("w")
    entries = entries_of(new_scribe(seed), wallet_id)
    funds.open_wallet(wallet_id, "0", "USD", "prepaid")
    funds.fund(wallet_id, 10**8, source="bank", source_id=wallet_id)
    funds.lease(worker, [ask(wallet_id, 10**7, 10**7, 10**7)])
    funds.register(worker, "0" * 64)
    cuts = sorted(chance.sample(range(1, len(entries)), 6))
    batches = [entries[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    deliveries = [batch for batch in batches for _ in range(1 + chance.randrange(3))]
    chance.shuffle(deliveries)
    for batch in deliveries:
        funds.ship(worker, chance.sample(batch, len(batch)))
    assert state(funds, wallet_id) == expected(entries, 10**8, 10**7)
    funds.prune(worker, entries[-1].seq)
    funds.ship(worker, entries)  # once more, after the single entries are forgotten
    assert state(funds, wallet_id) == expected(entries, 10**8, 10**7)


def test_planted_bug_balances_moved_by_known_entries_are_caught(funds, scribe, monkeypatch):
    """INSERT OR IGNORE, and then the balance from everything that was delivered."""
    monkeypatch.setattr(funds_module, "_SHIP", sa.text(UNCONDITIONAL))
    entries = entries_of(scribe)
    open_wallets(funds, 1, 10**8)
    lease_all(funds, 10**7)
    funds.register("a", "0" * 64)
    funds.ship("a", entries)
    funds.ship("a", entries)
    assert state(funds) != expected(entries, 10**8, 10**7)


def test_an_outbox_resumes_where_it_was(funds, scribe, monkeypatch):
    monkeypatch.setattr(funds_module, "PRUNE_ENTRIES", 20)
    entries = entries_of(scribe)
    open_wallets(funds, 1, 10**8)
    lease_all(funds, 10**7)
    first = Outbox(funds, "a", log_hash(entries))
    assert first.ship(entries[:30]) == 30
    again = Outbox(funds, "a", log_hash(entries))
    assert again.seq == 30
    assert again.ship(entries[40:]) == 30  # beyond a gap: not yet
    assert again.ship(entries) == len(entries)
    assert state(funds) == expected(entries, 10**8, 10**7)


def test_the_ledger_of_several_logs_in_postgres_equals_one_in_sqlite(database, funds, new_scribe, tmp_path):
    """Rolled-up postings of two workers' logs, redelivered, in PostgreSQL; the same entries as two logs in SQLite."""
    local = Database.open(tmp_path / "books.db")
    local.migrate()
    scribes = [new_scribe(seed).business(60) for seed in (1, 2)]
    for target in (database, local):
        for number, scribe in enumerate(scribes):
            ledger = Ledger(target, log=f"gw-{number}")
            if number:  # the second log's top-ups carry the first one's ids: they are other money
                scribe_entries = [entry for entry in scribe.entries if entry.kind != "top_up"]
                renumbered = [Entry(seq, entry.body) for seq, entry in enumerate(scribe_entries, 1)]
            else:
                renumbered = scribe.entries
            for batch in (renumbered[:50], renumbered, renumbered[20:]):
                ledger.apply(batch)
    reader, other = Ledger(database, log="gw-0"), Ledger(local, log="gw-0")
    assert reader.balances() == other.balances()
    assert reader.trial_balance() == other.trial_balance()
    assert reader.profit_and_loss(by=("tenant_id", "model", "day")) == other.profit_and_loss(
        by=("tenant_id", "model", "day")
    )
    start = 1_767_225_600_000_000_000
    assert reader.usage_lines("alice", start, start + 86_400 * 10**9) == other.usage_lines(
        "alice", start, start + 86_400 * 10**9
    )
    seen, cursor = [], None
    while True:
        page = reader.journals(limit=7, cursor=cursor)
        seen += page.journals
        cursor = page.cursor
        if cursor is None:
            break
    assert len(seen) == len(other.journals(limit=1000).journals)
    local.close()


def test_totals_in_postgres_may_pass_int64(database, new_scribe):
    """No row does, but the sums of many customers' rows may, of either sign."""
    scribe = new_scribe(currency="IDR")
    for number in range(5):
        scribe.open(f"tenant{number}", cash=4 * 10**18)
    ledger = Ledger(database)
    ledger.apply(scribe.entries)
    balances = {row.account: row.balance_nanos for row in ledger.trial_balance()}
    assert balances["assets:cash"] == 20 * 10**18 > 2**63
    assert sum(balances.values()) == 0
    assert ledger.balances("liabilities") == {("liabilities:customer_prepaid", "IDR"): -20 * 10**18}
