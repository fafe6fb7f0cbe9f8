"""What happened, written in the transaction in which it happened: neither is ever without the other."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.base import MintageError, new_id
from mintage.billing.tables_invoicing import webhook_messages

#: The catalogue: type -> what it tells. docs/reference/webhooks.md lists it.
TYPES: Final[dict[str, str]] = {
    "invoice.finalised": "An invoice was numbered and issued.",
    "invoice.paid": "An invoice was paid in full.",
    "invoice.voided": "An invoice was voided by a credit note for all of it.",
    "invoice.uncollectible": "An invoice was written off.",
    "invoice.overdue": "An invoice is unpaid after its due day; comes with every reminder.",
    "credit_note.issued": "A credit note was numbered and issued.",
    "payment.received": "Money came in and was credited.",
    "payment.failed": "A payment was tried and refused.",
    "payment.refunded": "A payment was paid back, wholly or in part.",
    "spend_cap.reached": "A customer's spending has reached an alert of its cap, in percent.",
    "auto_top_up.failed": "An automatic top-up was refused: the wallet is low and stays so.",
    "payment.disputed": "A payment was disputed at the bank, and lost.",
}


def announce(connection: sa.Connection, type_: str, tenant_id: str, data: dict[str, Any], now_ns: int) -> str:
    """Put a message into the outbox, within the caller's transaction; its id is the message's for ever."""
    if type_ not in TYPES:
        raise MintageError("internal", f"{type_!r} is not in the catalogue of webhooks.", "Add it to TYPES.")
    message_id = new_id("msg")
    connection.execute(
        webhook_messages.insert().values(
            id=message_id,
            tenant_id=tenant_id,
            type=type_,
            payload=msgspec.json.encode({"type": type_, "at_ns": now_ns, "tenant_id": tenant_id, "data": data}),
            at_ns=now_ns,
            spread=False,
        )
    )
    return message_id
