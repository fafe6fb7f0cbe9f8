"""Shared funds on a real PostgreSQL: nothing is spent twice, whatever races, dies, or is delivered again."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mintage.base import Charge, Hold, MintageError, Settlement, SystemClock, Usage, new_id
from mintage.books import CommitLog, Database, Ledger, LedgerReader, Shipper
from mintage.books import funds_pg as funds_module
from mintage.books.entries import Entry, Settled, ToppedUp
from mintage.books.funds_lease import LeasedFunds
from mintage.books.funds_pg import Funds, LeaseRequest, Outbox, log_hash
from mintage.books.log_reader import FrameReader

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


def run(postgres, folder, worker, *, tasks=64, wallets=1, mode="fixed", failpoints=""):
    arguments = [postgres, worker, folder, str(hash(worker) % 1000), str(tasks), str(wallets), mode]
    environment = os.environ | {"MINTAGE_FAILPOINTS": failpoints}
    return subprocess.Popen([sys.executable, PROGRAM, *arguments], env=environment, stdout=subprocess.PIPE)


def finish(process):
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0
    return json.loads(output)


def drawn(folder):
    """Per wallet, what the workers' logs say was spent; the truth that the database must agree with."""
    sums = {}
    for file in Path(folder).glob("*.db"):
        if file.stem.endswith("-state"):
            continue
        reader = FrameReader(file)
        for entry in reader.entries(0, 10**7):
            if type(entry.body) is Settled:
                sums[entry.body.wallet_id] = sums.get(entry.body.wallet_id, 0) + entry.body.drawn_nanos
        reader.close()
    return sums


def check(funds, folder, funded):
    """Conserved, spent as logged, nothing left on the way."""
    spent = drawn(folder)
    for wallet in funds.wallets():
        assert wallet.funded_nanos == funded == wallet.avail_nanos + wallet.leased_nanos + wallet.spent_nanos
        assert wallet.spent_nanos == spent.get(wallet.wallet_id, 0) <= funded
        assert wallet.leased_nanos == 0
        assert wallet.avail_nanos >= 0


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


# -- whole workers -------------------------------------------------------------------------------------------------


def test_four_processes_of_64_requests_share_one_wallet_to_the_last_request(postgres, funds, tmp_path):
    open_wallets(funds, 1, 3_000_000)  # three thousand requests
    workers = [run(postgres, tmp_path, f"gw{n}") for n in range(4)]
    counts = [finish(worker) for worker in workers]
    check(funds, tmp_path, 3_000_000)
    admitted = sum(count["admitted"] for count in counts)
    assert admitted <= 3000
    assert 3000 - admitted <= 3  # at most 0.1 % stranded
    assert sum(count["refused"] for count in counts) >= 4 * 64 * 3


def test_random_requests_over_several_wallets_are_conserved(postgres, funds, tmp_path):
    open_wallets(funds, 5, 400_000)
    counts = [
        finish(process) for process in [run(postgres, tmp_path, f"gw{n}", wallets=5, mode="random") for n in range(4)]
    ]
    check(funds, tmp_path, 400_000)
    assert sum(count["spent"] for count in counts) == sum(wallet.spent_nanos for wallet in funds.wallets())


@pytest.mark.parametrize(
    "point", ["lease.granted:kill:3", "lease.received:kill:3", "lease.withdrawn:kill", "log.commit:kill:9"]
)
def test_a_killed_worker_loses_and_makes_nothing(postgres, funds, tmp_path, point):
    """Killed with money on the way, while others go on; its lease stays debited until it is back."""
    open_wallets(funds, 2, 600_000)
    victim = run(postgres, tmp_path, "victim", wallets=2, mode="random", failpoints=point)
    others = [run(postgres, tmp_path, f"gw{n}", wallets=2, mode="random") for n in range(2)]
    for other in others:
        finish(other)
    victim.communicate(timeout=180)
    assert victim.returncode == -signal.SIGKILL
    for wallet in funds.wallets():
        assert wallet.avail_nanos >= 0
        assert wallet.avail_nanos + wallet.leased_nanos + wallet.spent_nanos == 600_000
    finish(run(postgres, tmp_path, "victim", wallets=2, mode="random"))
    check(funds, tmp_path, 600_000)
    assert funds.unconfirmed("victim") == []


# -- one worker, with its shipper ----------------------------------------------------------------------------------


def hold_of(nanos):
    return Hold(
        id=new_id("req"),
        tenant_id="0",
        wallet_id="w_0",
        currency="USD",
        amount_nanos=nanos,
        created_ns=1,
        lease_until_ns=10**18,
    )


async def test_the_shipper_tells_the_shared_funds_and_ledger(postgres, funds, tmp_path):
    open_wallets(funds, 1, 10**6)
    log = CommitLog.open(tmp_path / "log.db", clock=SystemClock())
    shipper = Shipper(tmp_path / "log.db", postgres, tmp_path / "lake", "gw0")
    leased = LeasedFunds(log, funds, "gw0", clock=SystemClock(), ship=shipper.sync)
    await leased.open_wallet("w_0", "0", "USD")
    await leased.start()
    await shipper.start()
    hold = hold_of(5000)
    await leased.hold(hold)
    assert funds.wallet("w_0").leased_nanos >= 5000
    charge = Charge(price_id="p", currency="USD", attos=3000 * 10**9)
    await log.settle(
        Settlement(
            hold_id=hold.id,
            tenant_id="0",
            project_id="",
            wallet_id="w_0",
            key_id="",
            model="m",
            product="api",
            occurred_ns=1,
            usage=Usage(),
            charge=charge,
        )
    )
    await leased.close()
    assert state(funds) == (10**6 - 3000, 0, 3000)
    assert (await shipper.progress()).funds_seq == log.last_seq()
    await log.close()
    await shipper.close()
    database = Database.open(postgres)
    reader = LedgerReader(database)
    assert reader.balances("income")["income:usage:api", "USD"] == -3000
    assert reader.balances("liabilities")["liabilities:customer_prepaid", "USD"] == 3000  # its top-up is billing's
    database.close()


async def test_while_the_database_is_away_what_is_leased_still_serves(postgres, postgres_server, funds, tmp_path):
    import psycopg

    open_wallets(funds, 2, 10**6)
    log = CommitLog.open(tmp_path / "log.db", clock=SystemClock())

    async def ship():
        """Nothing comes back in this test: the last request takes all that is free."""

    leased = LeasedFunds(log, funds, "gw0", clock=SystemClock(), ship=ship)
    await leased.open_wallet("w_0", "0", "USD")
    await leased.start()
    await leased.hold(hold_of(1000))
    name = postgres.split("?")[0].rpartition("/")[2]

    def admin(statement):
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(statement)

    admin(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    await leased.hold(hold_of(1000))  # of the lease
    with pytest.raises(MintageError) as refusal:
        await leased.hold(hold_of(900_000))
    assert refusal.value.code == "books_unavailable"
    admin(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await leased.hold(hold_of(900_000))
    await leased.close()
    await log.close()
    wallet = funds.wallet("w_0")
    assert wallet.avail_nanos + wallet.leased_nanos == 10**6
