"""Money under races and under anything hypothesis can think of, against a model that shares no code with the books."""

import asyncio
import tempfile
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mintage.base import ManualClock, MintageError
from mintage.books import CommitLog, Settled, ToppedUp, WalletBook

from ..faults.business import LEASE_NS, NOW_NS, TENANT, WALLET, hold, prepaid, settlement


async def storm(log, count, nanos):
    """`count` requests at once, each held, then settled for exactly its hold: (admitted, refused)."""

    async def request(i):
        try:
            held = log.hold(hold(f"req_{i}", nanos))
        except MintageError as error:
            assert error.code == "insufficient_funds"
            return False
        await held
        await asyncio.sleep(0)
        receipt = await log.settle(settlement(f"req_{i}", nanos * 10**9))
        assert receipt.balance_nanos >= 0
        return True

    admitted = await asyncio.gather(*(request(i) for i in range(count)))
    return sum(admitted), count - sum(admitted)


@pytest.fixture
async def log(tmp_path):
    log = CommitLog.open(tmp_path / "log.db", clock=ManualClock(NOW_NS))
    yield log
    await log.close()


async def test_with_funds_for_ten_64_at_once_admit_exactly_ten(log):
    await prepaid(log, 10 * 1234)
    assert await storm(log, 64, 1234) == (10, 54)
    assert (log.wallet(WALLET).balance_nanos, log.wallet(WALLET).held_nanos) == (0, 0)


async def test_a_check_that_overlooks_other_holds_fails_the_race(log, monkeypatch):
    """The planted bug of the race above."""
    await prepaid(log, 10 * 1234)
    hold_of = WalletBook.hold

    def careless(self, at_ns, wanted):
        account = self.accounts[wanted.wallet_id]
        others, account.held = account.held, 0
        try:
            return hold_of(self, at_ns, wanted)
        finally:
            account.held += others

    monkeypatch.setattr(WalletBook, "hold", careless)
    with pytest.raises(AssertionError):
        assert await storm(log, 64, 1234) == (10, 54)


PRICES = st.sampled_from(["a", "b"])
PARTS = st.integers(0, 300) | st.sampled_from([999, 1001, 1300])


class Funds(RuleBasedStateMachine):
    """One prepaid and one postpaid wallet, random holds, charges, releases, expiries, top-ups and restarts."""

    LIMIT = 5000

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock(NOW_NS)
        self.path = Path(self.folder.name) / "log.db"
        self.count = 0
        self.balance = {WALLET: 0, "wal_post": 0}
        self.open = {}  # hold id -> (wallet, nanos, lease end)
        self.exact = {}  # (wallet, price) -> attos charged so far
        self.posted = {}
        self.log = None

    def run(self, call):
        """Call on the event loop and wait for the future it gives."""

        async def go():
            return await call()

        return self.runner.run(go())

    @initialize()
    def start(self):
        self.reopen()
        self.run(lambda: self.log.open_wallet(TENANT, WALLET, "USD", "prepaid"))
        self.run(lambda: self.log.open_wallet(TENANT, "wal_post", "USD", "postpaid", self.LIMIT))
        self.top_up(WALLET, 6000)

    def reopen(self):
        if self.log is not None:
            self.run(self.log.close)
        self.log = CommitLog.open(self.path, clock=self.clock)

    def held(self, wallet):
        return sum(nanos for owner, nanos, _ in self.open.values() if owner == wallet)

    def available(self, wallet):
        return self.balance[wallet] - self.held(wallet) + (self.LIMIT if wallet == "wal_post" else 0)

    @rule(wallet=st.sampled_from([WALLET, "wal_post"]), nanos=st.integers(1, 3000))
    def top_up(self, wallet, nanos):
        self.count += 1
        source_id = f"t{self.count}"
        for _ in range(2):
            self.run(lambda: self.log.top_up(wallet, nanos, source="bank", source_id=source_id, kind="cash"))
        self.balance[wallet] += nanos

    @rule(wallet=st.sampled_from([WALLET, "wal_post"]), nanos=st.integers(0, 2500))
    def place(self, wallet, nanos):
        self.count += 1
        hold_id = f"req_{self.count}"
        covered = nanos <= self.available(wallet)
        now_ns = self.clock.now_ns()
        try:
            self.run(lambda: self.log.hold(hold(hold_id, nanos, wallet=wallet, created_ns=now_ns)))
        except MintageError as error:
            assert not covered, "refused although the wallet covers it"
            assert error.details["needed_nanos"] == nanos
            assert error.details["held_nanos"] == self.held(wallet)
            assert error.details["balance_nanos"] == self.balance[wallet]
            return
        assert covered, "admitted although the wallet does not cover it"
        self.open[hold_id] = (wallet, nanos, now_ns + LEASE_NS)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), price=PRICES, part=PARTS, repeats=st.integers(0, 3))
    def settle(self, data, price, part, repeats):
        self.end(data.draw(st.sampled_from(sorted(self.open))), price, part, repeats)

    @rule(wallet=st.sampled_from([WALLET, "wal_post"]), nanos=st.integers(1, 500), price=PRICES, part=PARTS)
    def serve(self, wallet, nanos, price, part):
        """A whole request."""
        self.place(wallet, nanos)
        if f"req_{self.count}" in self.open:
            self.end(f"req_{self.count}", price, part, 0)

    def end(self, hold_id, price, part, repeats):
        """Charge `part` thousandths of what the wallet can pay for it."""
        wallet, nanos, _ = self.open[hold_id]
        payable = nanos + max(0, self.available(wallet))
        attos = payable * part * 10**6 + part
        key = (wallet, price)
        self.exact[key] = self.exact.get(key, 0) + attos
        posted = int(Fraction(self.exact[key], 10**9)) - self.posted.get(key, 0)
        shortfall = 0 if wallet == "wal_post" else max(0, posted - payable)
        receipts = [
            self.run(lambda: self.log.settle(settlement(hold_id, attos, wallet=wallet, price_id=price)))
            for _ in range(repeats + 1)
        ]
        del self.open[hold_id]
        self.posted[key] = self.posted.get(key, 0) + posted
        self.balance[wallet] -= posted - shortfall
        assert (receipts[0].posted_nanos, receipts[0].shortfall_nanos) == (posted, shortfall)
        assert receipts[0].balance_nanos == self.balance[wallet]
        assert {receipt.posted_nanos for receipt in receipts} == {posted}
        assert [receipt.replayed for receipt in receipts] == [False] + [True] * repeats

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def release(self, data):
        hold_id = data.draw(st.sampled_from(sorted(self.open)))
        self.run(lambda: self.log.release(hold_id, "test"))
        del self.open[hold_id]

    @rule(seconds=st.integers(1, 1000))
    def expire(self, seconds):
        self.clock.advance(seconds)
        now_ns = self.clock.now_ns()
        over = {hold_id for hold_id, (_, _, end) in self.open.items() if end <= now_ns}
        assert set(self.run(lambda: self.log.expire(now_ns))) == over
        for hold_id in over:
            del self.open[hold_id]

    @rule(forget=st.booleans())
    def restart(self, forget):
        self.run(self.log.close)
        self.log = None
        if forget:
            self.path.with_name("log-state.db").unlink()
        self.reopen()

    @invariant()
    def books_agree(self):
        if self.log is None:
            return
        for wallet, balance in self.balance.items():
            view = self.log.wallet(wallet)
            assert (view.balance_nanos, view.held_nanos) == (balance, self.held(wallet))
        assert self.balance[WALLET] >= self.held(WALLET) >= 0
        assert {held.id for held in self.log.open_holds()} == set(self.open)

    def teardown(self):
        if self.log is not None:
            moved = dict.fromkeys(self.balance, 0)
            for entry in self.log.entries(0, 100_000):
                if isinstance(entry.body, ToppedUp):
                    moved[entry.body.wallet_id] += entry.body.amount_nanos
                elif isinstance(entry.body, Settled):
                    moved[entry.body.wallet_id] -= entry.body.drawn_nanos
            assert moved == self.balance, "the sum of the entries is not the movement of the balance"
            self.run(self.log.close)
        self.runner.close()
        self.folder.cleanup()


MACHINE = settings(max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_any_sequence_of_requests_keeps_the_books():
    run_state_machine_as_test(Funds, settings=MACHINE)


def plant_keeps_the_hold(monkeypatch):
    close = WalletBook._close

    def leaky(self, held, account):
        close(self, held, account)
        if held.amount_nanos % 2:
            account.held += 1

    monkeypatch.setattr(WalletBook, "_close", leaky)


def plant_drops_the_carry(monkeypatch):
    settle = WalletBook.settle

    def forgetful(self, at_ns, s, replay_of=""):
        body = settle(self, at_ns, s, replay_of)
        self.accounts[s.wallet_id].carries.clear()
        return body

    monkeypatch.setattr(WalletBook, "settle", forgetful)


def plant_overdraws(monkeypatch):
    monkeypatch.setattr(WalletBook, "_shortfall", staticmethod(lambda account, hold_nanos, posted: 0))


def plant_unconditional_top_up(monkeypatch):
    top_up = CommitLog.top_up

    def generous(self, wallet_id, amount_nanos, **source):
        known = self._recent.get(f"top_up\x1f{source['source']}\x1f{source['source_id']}")
        if known is not None:
            self._book.accounts[wallet_id].balance += amount_nanos
        return top_up(self, wallet_id, amount_nanos, **source)

    monkeypatch.setattr(CommitLog, "top_up", generous)


def plant_forgets_a_changed_wallet(monkeypatch):
    snapshot = WalletBook.snapshot

    def partial(self):
        taken = snapshot(self)
        del taken.wallets[1:]
        return taken

    monkeypatch.setattr(WalletBook, "snapshot", partial)


@pytest.mark.parametrize(
    "plant",
    [
        plant_keeps_the_hold,
        plant_drops_the_carry,
        plant_overdraws,
        plant_unconditional_top_up,
        plant_forgets_a_changed_wallet,
    ],
)
def test_the_machine_catches_the_planted_bug(plant, monkeypatch):
    plant(monkeypatch)
    quick = settings(MACHINE, max_examples=200, phases=[Phase.generate], database=None)  # no shrinking: found is enough
    with pytest.raises((AssertionError, MintageError, KeyError)):
        run_state_machine_as_test(Funds, settings=quick)
