"""A whole server of a prepared home, for tests that kill it: prints its address, serves until it dies.

`python server_child.py HOME [PLANTED BUG]`; failpoints come from the environment.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop

from mintage.app import App, Service
from mintage.base import Settlement, load_settings
from mintage.books import CommitLog


def plant_ack_before_commit() -> None:
    """The bug: a settlement is answered first and written a moment later."""
    real = CommitLog.settle

    def settle(self: CommitLog, s: Settlement) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        early: asyncio.Future[Any] = loop.create_future()
        early.set_result(_receipt(self, s))
        loop.call_later(0.02, real, self, s)
        return early

    CommitLog.settle = settle  # type: ignore[method-assign]


def _receipt(log: CommitLog, s: Settlement) -> Any:
    from mintage.base import Receipt

    wallet = log.wallet(s.wallet_id)
    return Receipt(
        hold_id=s.hold_id, posted_nanos=s.charge.attos // 10**9, cost_nanos=0, currency="USD",
        balance_nanos=wallet.balance_nanos, held_nanos=wallet.held_nanos,
    )  # fmt: skip


async def main(home: str, planted: str) -> None:
    if planted == "ack_before_commit":
        plant_ack_before_commit()
    app = await App.open(load_settings({"MINTAGE_PORT": "0", "MINTAGE_SHUTDOWN_GRACE_S": "2"}, home=home))
    service = await Service.start(app)
    print(service.url, flush=True)
    await service.until_signal()
    await service.stop()
    await app.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))
