"""What a request cost, as headers and as JSON, for its own customer. Our cost and margin are not theirs to see."""

from __future__ import annotations

from mintage.base import MintageError
from mintage.books import CommitLog
from mintage.gateway import Caller, Conversation


def amount_text(nanos: int, currency: str) -> bytes:
    """Exact: 1_500_000 nanos of USD is b"0.0015 USD"."""
    sign = "-" if nanos < 0 else ""
    whole, fraction = divmod(abs(nanos), 1_000_000_000)
    digits = f"{fraction:09d}".rstrip("0")
    return f"{sign}{whole}.{digits or '0'} {currency}".encode()


def receipt_headers(conversation: Conversation) -> list[tuple[bytes, bytes]]:
    """The request's id always; before it is settled what is held, afterwards charge and balance."""
    headers = [(b"x-request-id", conversation.id.encode())]
    if (receipt := conversation.receipt) is not None:
        headers.append((b"x-mintage-charge", amount_text(receipt.posted_nanos, receipt.currency)))
        headers.append((b"x-mintage-balance", amount_text(receipt.balance_nanos, receipt.currency)))
    elif (hold := conversation.hold) is not None:
        headers.append((b"x-mintage-hold", amount_text(hold.amount_nanos, hold.currency)))
    return headers


def receipt_json(log: CommitLog, caller: Caller, request_id: str) -> dict[str, object]:
    """One settled request. Raises not_found for another project's as for one that never was."""
    settled = log.settled(request_id)
    if settled is None or settled.project_id != caller.project_id:
        raise MintageError(
            "not_found",
            "There is no receipt with this id.",
            "Use the x-request-id header of the answer, once it has ended.",
        )
    return {
        "object": "receipt",
        "id": request_id,
        "model": settled.model,
        "outcome": settled.outcome,
        "estimated": settled.estimated,
        "usage": settled.usage,
        "charge": amount_text(settled.posted_nanos, settled.currency).decode(),
        "charge_nanos": settled.posted_nanos,
        "currency": settled.currency,
        "price_id": settled.price_id,
        "lines": settled.lines,
        "balance_nanos": settled.balance_nanos,
        "occurred_ns": settled.occurred_ns,
    }
