"""A journal: what happened, and postings that sum to zero in every currency."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from mintage.base import MintageError, check_currency, check_nanos
from mintage.books.accounts_chart import check_anchor, check_line

LINES_LIMIT: Final = 1000
_LIMITS: Final = {"source": 200, "source_id": 200, "tenant_id": 64, "memo": 500}


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """One line. Debits are positive. product, model and provider say what it was for, where that is known."""

    account: str
    currency: str
    amount_nanos: int
    product: str = ""
    model: str = ""
    provider: str = ""


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """One event (a key of EVENTS) and its postings; (source, source_id) is unique for ever.

    tenant_id is empty for the operator's own affairs. A rolled-up journal (source "rollup") sums many entries of one
    day; `entries` says how many.
    """

    event: str
    source: str
    source_id: str
    occurred_ns: int
    postings: tuple[Posting, ...]
    tenant_id: str = ""
    memo: str = ""
    entries: int = 1

    @property
    def id(self) -> str:
        return journal_id(self.source, self.source_id)

    def payload_hash(self) -> str:
        """Of everything but the identity, so that the same source with other contents is noticed."""
        body = [self.event, self.occurred_ns, self.tenant_id, self.memo, self.postings]
        return hashlib.sha256(msgspec.json.encode(body)).hexdigest()


def journal_id(source: str, source_id: str) -> str:
    return "jrn_" + hashlib.sha256(f"{source}\0{source_id}".encode()).hexdigest()[:28]


def imbalance(postings: tuple[Posting, ...] | list[Posting]) -> dict[str, int]:
    """Currencies whose postings do not sum to zero, with the sum in nanos."""
    sums: dict[str, int] = {}
    for posting in postings:
        sums[posting.currency] = sums.get(posting.currency, 0) + posting.amount_nanos
    return {currency: total for currency, total in sums.items() if total}


def check_journal(journal: Journal) -> None:
    """Raises MintageError("invalid_request") for what may not enter the books."""
    for field, limit in _LIMITS.items():
        if len(getattr(journal, field)) > limit:
            raise MintageError("invalid_request", f"{field} is longer than {limit} characters.", "Shorten it.")
    if not journal.source or not journal.source_id:
        raise MintageError(
            "invalid_request", "A journal needs a source and a source_id.", "They make a repeated posting harmless."
        )
    if not 2 <= len(journal.postings) <= LINES_LIMIT:
        raise MintageError("invalid_request", f"A journal has 2 to {LINES_LIMIT} lines.", "Split or complete it.")
    for posting in journal.postings:
        check_currency(posting.currency)
        check_nanos(posting.amount_nanos)
        check_line(journal.event, posting.account, posting.amount_nanos)
    check_anchor(journal.event, [posting.account for posting in journal.postings])
    if wrong := imbalance(journal.postings):
        currency, total = next(iter(wrong.items()))
        raise MintageError(
            "invalid_request",
            f"The journal's {currency} lines sum to {total} nanos, not to zero.",
            "Every debit needs its credit, in the same currency.",
        )
