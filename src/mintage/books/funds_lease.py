"""A worker's share of the common funds: leased before it is needed, held and spent through the worker's own log.

The shared balance is debited first, then the lease arrives in the local log as a top-up (source "lease"), so a kill in
between strands money until the restart, and never makes any. What a worker does not need goes back the other
way: withdrawn from the log first, counted as available when the log is shipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from mintage.base import Clock, Hold, MintageError, new_id
from mintage.books import failpoints
from mintage.books.funds_pg import LEASE, Funds, Lease, LeaseRequest, log_hash
from mintage.books.log import CommitLog

ATTEMPTS: Final = 4  # of one hold: others may take a lease before it
TICK_S: Final = 0.25
RECALL_S: Final = 0.8  # how long a refused request may wait for others to hand back, once per wallet in this time
IDLE_S: Final = 10.0
FIRST_TARGET: Final = 32  # times the first request that needs a lease
TARGET_LIMIT_NANOS: Final = 10**12

_log = logging.getLogger("mintage.books")


class _Share:
    """What this worker knows of one wallet."""

    __slots__ = ("asked_ns", "low_nanos", "recalled_ns", "target_nanos", "used_ns", "waiting")

    def __init__(self) -> None:
        self.target_nanos = 0
        self.low_nanos = 0  # below it, the next lease is asked for ahead of need
        self.asked_ns = 0
        self.used_ns = 0
        self.recalled_ns = -(10**18)
        self.waiting: list[tuple[int, asyncio.Future[bool]]] = []  # (needed_nanos, resolved when it is worth a retry)


class LeasedFunds:
    """Holds for one worker. Belongs to the event loop of its log.

    ship: makes the shared funds learn everything that is durable in the log now (Shipper.sync, or Funds.ship).
    """

    def __init__(
        self, log: CommitLog, funds: Funds, worker: str, *, clock: Clock, ship: Callable[[], Awaitable[object]]
    ) -> None:
        self._log = log
        self._funds = funds
        self._worker = worker
        self._clock = clock
        self._ship = ship
        self._shares: dict[str, _Share] = {}
        self._asked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._registered = False
        self._uncertain = True  # whether leases may have been granted that never came

    async def start(self) -> None:
        """Take in leases that a former life of this worker was granted and did not receive.

        Raises MintageError("conflict") when the worker's name belongs to another log.
        """
        await self._join()
        for work in (self._refill, self._hand_back):
            self._tasks.append(asyncio.create_task(self._forever(work), name=f"mintage-funds{work.__name__}"))

    async def _join(self) -> None:
        """Register once the log has a first entry; look for lost leases at first and after every failure."""
        if not self._registered:
            name = log_hash(self._log.entries(0, 1))
            if not name:
                return
            await asyncio.to_thread(self._funds.register, self._worker, name)
            self._registered = True
        if self._uncertain:
            await self._receive(await asyncio.to_thread(self._funds.unconfirmed, self._worker))
            self._uncertain = False

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except MintageError as error:  # the database is away: say so, keep serving from what is leased
                _log.warning("Shared funds: %s", error.message)
                self._uncertain = True
                await asyncio.sleep(TICK_S)

    # -- holds -------------------------------------------------------------------------------------------------------

    async def open_wallet(self, wallet_id: str, tenant_id: str, currency: str) -> None:
        """The local side of a shared wallet. Whatever funds it, here it is prepaid: by leases."""
        await self._log.open_wallet(tenant_id, wallet_id, currency, "prepaid")

    async def hold(self, hold: Hold) -> None:
        """As CommitLog.hold, leasing what is missing. Durable when it returns.

        Raises MintageError("insufficient_funds") when neither this worker nor the shared wallet has the amount free.
        """
        share = self._share(hold.wallet_id)
        share.used_ns = self._clock.monotonic_ns()
        for _ in range(ATTEMPTS):
            try:
                durable = self._log.hold(hold)
            except MintageError as error:
                if error.code != "insufficient_funds":
                    raise
                refusal = error
            else:
                if share.low_nanos and self._free(hold.wallet_id) < share.low_nanos:
                    self._asked.set()
                await durable
                return
            if not await self._wait(share, hold):
                break
        raise refusal

    def _share(self, wallet_id: str) -> _Share:
        share = self._shares.get(wallet_id)
        if share is None:
            share = self._shares[wallet_id] = _Share()
        return share

    def _free(self, wallet_id: str) -> int:
        return self._log.wallet(wallet_id).available_nanos

    async def _wait(self, share: _Share, hold: Hold) -> bool:
        """Wait for a lease; after a refusal wait once for others to hand back. False: refused."""
        if await self._ask(share, hold.amount_nanos):
            return True
        now_ns = self._clock.monotonic_ns()
        if now_ns - share.recalled_ns < RECALL_S * 1e9:
            return False  # someone waited just now, in vain
        share.recalled_ns = now_ns
        await asyncio.sleep(RECALL_S)
        return await self._ask(share, hold.amount_nanos)

    async def _ask(self, share: _Share, needed_nanos: int) -> bool:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        share.waiting.append((needed_nanos, future))
        self._asked.set()
        return await future

    # -- leases ------------------------------------------------------------------------------------------------------

    async def _refill(self) -> None:
        """One round trip for every wallet that needs a lease; meanwhile the next round gathers."""
        await self._asked.wait()
        self._asked.clear()
        now_ns = self._clock.monotonic_ns()
        waiting = {name: share.waiting for name, share in self._shares.items() if share.waiting}
        for name in waiting:
            self._shares[name].waiting = []
        try:
            await self._join()
            requests = [self._request(name, waiting.get(name, []), now_ns) for name in self._needing(waiting)]
            leases = await asyncio.to_thread(self._funds.lease, self._worker, requests) if requests else []
            if failpoints.armed is not None:
                failpoints.hit("lease.granted")
            await self._receive(leases)
        except MintageError as error:
            for future in (future for askers in waiting.values() for _, future in askers):
                if not future.done():
                    future.set_exception(error)
            raise
        granted = {lease.wallet_id for lease in leases}
        for lease in leases:
            self._shares[lease.wallet_id].low_nanos = lease.amount_nanos // 4
        for name, askers in waiting.items():
            if name not in granted:
                self._shares[name].low_nanos = 0  # nothing left to ask for ahead of need
            for _, future in askers:
                if not future.done():
                    future.set_result(name in granted)

    def _needing(self, waiting: dict[str, list[tuple[int, asyncio.Future[bool]]]]) -> list[str]:
        low = [
            name
            for name, share in self._shares.items()
            if name not in waiting and share.low_nanos and self._free(name) < share.low_nanos
        ]
        return [*waiting, *low]

    def _request(self, wallet_id: str, askers: list[tuple[int, asyncio.Future[bool]]], now_ns: int) -> LeaseRequest:
        """Twice the target if the last lease lasted less than a second, half of it if more than ten."""
        share = self._shares[wallet_id]
        needs = [needed for needed, _ in askers]
        free = self._free(wallet_id)
        lasted_ns = now_ns - share.asked_ns
        share.asked_ns = now_ns
        if not share.target_nanos:
            share.target_nanos = FIRST_TARGET * max(needs, default=1)
        elif lasted_ns < 10**9:
            share.target_nanos = min(2 * share.target_nanos, TARGET_LIMIT_NANOS)
        elif lasted_ns > 10**10:
            share.target_nanos = max(share.target_nanos // 2, 1)
        return LeaseRequest(
            lease_id=new_id("lease"),
            wallet_id=wallet_id,
            smallest_nanos=max(1, min(needs, default=1) - free),
            waiting_nanos=max(1, sum(needs) - free),
            target_nanos=share.target_nanos,
        )

    async def _receive(self, leases: list[Lease]) -> None:
        """Idempotent by the lease's id."""
        arrivals = [
            self._log.top_up(lease.wallet_id, lease.amount_nanos, source=LEASE, source_id=lease.lease_id, kind="cash")
            for lease in leases
        ]
        if arrivals:
            await asyncio.gather(*arrivals)
        if failpoints.armed is not None:
            failpoints.hit("lease.received")

    # -- handing back ------------------------------------------------------------------------------------------------

    async def _hand_back(self) -> None:
        """Free funds of wallets that others want, or that nobody used here for a while."""
        await asyncio.sleep(TICK_S)
        if not self._shares:
            return
        wanted = await asyncio.to_thread(self._funds.wanted, list(self._shares), RECALL_S)
        idle_ns = self._clock.monotonic_ns() - int(IDLE_S * 1e9)
        idle = {name for name, share in self._shares.items() if share.used_ns < idle_ns}
        await self.give_back(wanted | idle)

    async def give_back(self, wallet_ids: set[str]) -> int:
        """Hand back the free funds of these wallets; returns the nanos."""
        total = 0
        withdrawals = []
        for wallet_id in sorted(wallet_ids):
            free = self._free(wallet_id)
            if free > 0 and not self._shares[wallet_id].waiting:
                self._shares[wallet_id].low_nanos = 0
                source_id = new_id("return")
                withdrawals.append(self._log.withdraw(wallet_id, free, source=LEASE, source_id=source_id, kind="cash"))
                total += free
        if withdrawals:
            await asyncio.gather(*withdrawals)
            if failpoints.armed is not None:
                failpoints.hit("lease.withdrawn")
            await self._ship()
        return total

    async def close(self) -> None:
        """Hand everything back that no open hold needs. Close the log afterwards."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        for share in self._shares.values():
            for _, future in share.waiting:
                if not future.done():
                    future.set_exception(MintageError("shutting_down", "The server is stopping.", "Retry elsewhere."))
            share.waiting = []
        await self.give_back(set(self._shares))
