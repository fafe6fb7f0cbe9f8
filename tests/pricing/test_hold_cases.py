"""Published examples of holding and settling, against the commit log that does it: 1 unit = 1 currency unit."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mintage.base import Charge, Hold, ManualClock, Settlement, Usage
from mintage.books import CommitLog

CASES = json.loads((Path(__file__).parent / "cases" / "rating.json").read_text("utf-8"))
NANOS = 10**9


class Desk:
    """One wallet on a log of its own."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock()
        self.log = CommitLog.open(path, clock=self.clock)

    async def fund(self, units: str) -> None:
        await self.log.open_wallet("t", "w", "USD", "prepaid")
        await self.log.top_up("w", int(Decimal(units) * NANOS), source="bank", source_id="1", kind="cash")

    async def hold(self, hold_id: str, units: str) -> None:
        now = self.clock.now_ns()
        await self.log.hold(
            Hold(
                id=hold_id,
                tenant_id="t",
                wallet_id="w",
                currency="USD",
                amount_nanos=int(Decimal(units) * NANOS),
                created_ns=now,
                lease_until_ns=now + 900 * NANOS,
            )
        )

    async def settle(self, hold_id: str, units: str) -> bool:
        """Whether it was settled before."""
        receipt = await self.log.settle(
            Settlement(
                hold_id=hold_id,
                tenant_id="t",
                project_id="p",
                wallet_id="w",
                key_id="k",
                model="m",
                product="api",
                occurred_ns=self.clock.now_ns(),
                usage=Usage(requests=1),
                charge=Charge(price_id="x@1", currency="USD", attos=int(Decimal(units) * NANOS) * NANOS),
            )
        )
        return receipt.replayed


def text(nanos: int) -> str:
    return format((Decimal(nanos) / NANOS).normalize(), "f") if nanos else "0"


@pytest.mark.parametrize("case", [c for c in CASES if c["model"] == "hold_then_settle"], ids=lambda case: case["id"])
async def test_a_hold_is_settled(case: dict[str, Any], tmp_path: Path) -> None:
    desk, inputs = Desk(tmp_path / "log.db"), case["inputs"]
    await desk.fund(inputs["balance"])
    await desk.hold("h", inputs["hold"])
    await desk.settle("h", inputs["settle"])
    wallet = desk.log.wallet("w")
    await desk.log.close()
    assert (text(wallet.balance_nanos), wallet.held_nanos) == (case["expected"], 0)


@pytest.mark.parametrize("case", [c for c in CASES if c["model"] == "two_phase"], ids=lambda case: case["id"])
async def test_a_transfer_in_two_phases(case: dict[str, Any], tmp_path: Path) -> None:
    desk, results = Desk(tmp_path / "log.db"), []
    await desk.fund("1000")
    for op in case["inputs"]["ops"]:
        repeated = False
        if op["op"] == "pending":
            await desk.hold(op["id"], op["amount"])
        elif op["op"] == "post":
            repeated = await desk.settle(op["id"], op["amount"])
        else:
            await desk.log.release(op["id"], "void")
        results.append("already_posted" if repeated else "ok")
    wallet = desk.log.wallet("w")
    await desk.log.close()
    posted = 1000 * NANOS - wallet.balance_nanos
    assert {"pending": text(wallet.held_nanos), "posted": text(posted), "results": results} == case["expected"]
