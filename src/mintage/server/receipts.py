"""What a request cost, as headers and as JSON, for its own customer. Our cost and margin are not theirs to see."""

from __future__ import annotations

from mintage.base import MintageError
from mintage.books import CommitLog
from mintage.gateway import Caller, Conversation


def amount_text(nanos: int, currency: str) -> bytes:
    """Exact: 1_500_000 nanos of USD is b"0.0015 USD"."""
    whole, fraction = divmod(abs(nanos), 1_000_000_000)
    digits = b"%09d" % fraction
    return b"%b%d.%b %b" % (b"-" if nanos < 0 else b"", whole, digits.rstrip(b"0") or b"0", currency.encode())


def receipt_headers(conversation: Conversation) -> list[tuple[bytes, bytes]]:
    """The request's id always; before it is settled what is held, afterwards charge and balance."""
    headers = [(b"x-request-id", conversation.id.encode())]
    if (receipt := conversation.receipt) is not None:
        headers.append((b"x-mintage-charge", amount_text(receipt.posted_nanos, receipt.currency)))
        headers.append((b"x-mintage-balance", amount_text(receipt.balance_nanos, receipt.currency)))
    elif (hold := conversation.hold) is not None:
        headers.append((b"x-mintage-hold", amount_text(hold.amount_nanos, hold.currency)))
    return headers


def answer_lines(conversation: Conversation) -> bytes:
    """The header lines of a settled whole answer, ready made: receipt_headers() and its content type."""
    receipt = conversation.receipt
    if receipt is None:
        return b"content-type: application/json\r\nx-request-id: %b\r\n" % conversation.id.encode()
    return (
        b"content-type: application/json\r\nx-request-id: %b\r\nx-mintage-charge: %b\r\nx-mintage-balance: %b\r\n"
    ) % (
        conversation.id.encode(),
        amount_text(receipt.posted_nanos, receipt.currency),
        amount_text(receipt.balance_nanos, receipt.currency),
    )


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
