"""What this home recorded of a provider: every settled request that it served, from the commit log."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mintage.base import MintageError

if TYPE_CHECKING:
    from mintage.pricing.reconcile import BillRecord

_PAGE: Final = 10_000


def recorded_requests(home: Path, provider: str) -> list[BillRecord]:
    """One record per request and attempt at the provider. Reads beside a running server, never writes."""
    from mintage.books import FrameReader, Settled
    from mintage.pricing.reconcile import BillRecord

    if not (home / "log.db").exists():
        raise MintageError("not_found", f"{home} has no books.", "Give --usage FILE, or another --home.")
    found: list[BillRecord] = []
    reader, after = FrameReader(home / "log.db"), 0
    try:
        while entries := reader.entries(after, _PAGE):
            after = entries[-1].seq
            for body in (entry.body for entry in entries):
                if not isinstance(body, Settled):
                    continue
                for cost in body.costs:
                    if cost.provider == provider:
                        found.append(
                            BillRecord(
                                row=len(found) + 1,
                                request_id=cost.upstream_id or body.hold_id,
                                start_ns=body.occurred_ns,
                                model=body.model,
                                usage=cost.usage,
                                amount=Decimal(cost.attos).scaleb(-18),
                                currency=cost.currency,
                            )
                        )
    finally:
        reader.close()
    return found
