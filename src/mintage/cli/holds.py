"""Rules of holding and settling, worked out by the commit log that does it, on a log of its own that is thrown away."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mintage.base import NANOS_PER_UNIT, Charge, Hold, ManualClock, MintageError, Settlement, Usage, parse_decimal

if TYPE_CHECKING:
    from mintage.books import CommitLog

_FUNDS: Final = "1000000"


def _nanos(value: Any) -> int:
    return int(parse_decimal(value if isinstance(value, int) else str(value), places=9) * NANOS_PER_UNIT)


def _text(nanos: int) -> str:
    return format((Decimal(nanos) / NANOS_PER_UNIT).normalize(), "f") if nanos else "0"


class _Desk:
    """One prepaid wallet."""

    def __init__(self, log: CommitLog, clock: ManualClock) -> None:
        self.log, self.clock = log, clock

    async def fund(self, units: Any) -> None:
        await self.log.open_wallet("t", "w", "USD", "prepaid")
        await self.log.top_up("w", _nanos(units), source="bank", source_id="1", kind="cash")

    async def hold(self, hold_id: str, units: Any) -> None:
        now = self.clock.now_ns()
        amount = _nanos(units)
        lease = now + 900 * NANOS_PER_UNIT
        await self.log.hold(
            Hold(id=hold_id, tenant_id="t", wallet_id="w", currency="USD", amount_nanos=amount, created_ns=now,
                 lease_until_ns=lease)
        )  # fmt: skip

    async def settle(self, hold_id: str, units: Any) -> bool:
        """Whether it was settled before."""
        charge = Charge(price_id="rule@1", currency="USD", attos=_nanos(units) * NANOS_PER_UNIT)
        receipt = await self.log.settle(
            Settlement(hold_id=hold_id, tenant_id="t", project_id="p", wallet_id="w", key_id="k", model="m",
                       product="api", occurred_ns=self.clock.now_ns(), usage=Usage(requests=1), charge=charge)
        )  # fmt: skip
        return receipt.replayed


async def _hold_then_settle(desk: _Desk, inputs: Mapping[str, Any]) -> Any:
    await desk.fund(inputs["balance"])
    await desk.hold("h", inputs["hold"])
    await desk.settle("h", inputs["settle"])
    return _text(desk.log.wallet("w").balance_nanos)


async def _two_phase(desk: _Desk, inputs: Mapping[str, Any]) -> Any:
    await desk.fund(_FUNDS)
    results = []
    for op in inputs["ops"]:
        repeated = False
        if op["op"] == "pending":
            await desk.hold(str(op["id"]), op["amount"])
        elif op["op"] == "post":
            repeated = await desk.settle(str(op["id"]), op["amount"])
        else:
            await desk.log.release(str(op["id"]), "void")
        results.append("already_posted" if repeated else "ok")
    wallet = desk.log.wallet("w")
    posted = _nanos(_FUNDS) - wallet.balance_nanos
    return {"pending": _text(wallet.held_nanos), "posted": _text(posted), "results": results}


def _run(rule: Callable[[_Desk, Mapping[str, Any]], Any], inputs: Mapping[str, Any]) -> Any:
    from mintage.books import CommitLog

    async def work(folder: str) -> Any:
        clock = ManualClock()
        log = CommitLog.open(Path(folder) / "log.db", clock=clock)
        try:
            return await rule(_Desk(log, clock), inputs)
        finally:
            await log.close()

    with tempfile.TemporaryDirectory(prefix="mintage-rule-") as folder:
        try:
            return asyncio.run(work(folder))
        except KeyError as error:
            name = str(error.args[0])
            raise MintageError("invalid_request", f"It needs {name!r}.", "Add it to the inputs.", param=name) from error


HOLD_RULES: Final[dict[str, Callable[[Mapping[str, Any]], Any]]] = {
    "hold_then_settle": lambda inputs: _run(_hold_then_settle, inputs),
    "two_phase": lambda inputs: _run(_two_phase, inputs),
}
