"""Whole gateway processes that share funds on a real PostgreSQL: raced, killed, cut off from it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from mintage.base import Charge, Hold, MintageError, Settlement, SystemClock, Usage, new_id
from mintage.books import CommitLog, Database, LedgerReader, Shipper
from mintage.books.entries import Settled
from mintage.books.funds_lease import LeasedFunds
from mintage.books.funds_pg import Funds
from mintage.books.log_reader import FrameReader

pytestmark = pytest.mark.postgres
PROGRAM = Path(__file__).parent / "programs" / "lease_worker.py"


@pytest.fixture
def funds(postgres):
    database = Database.open(postgres)
    yield Funds(database)
    database.close()


def open_wallets(funds, count, nanos):
    for number in range(count):
        funds.open_wallet(f"w_{number}", str(number), "USD", "prepaid")
        funds.fund(f"w_{number}", nanos, source="bank", source_id=str(number))


def state(funds, wallet_id="w_0"):
    wallet = funds.wallet(wallet_id)
    return (wallet.avail_nanos, wallet.leased_nanos, wallet.spent_nanos)


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
