"""At-least-once in, exactly-once out: which entries of a delivery come next."""

from __future__ import annotations

from collections.abc import Sequence

from mintage.books.entries import Entry


def _seq(entry: Entry) -> int:
    return entry.seq


def following(entries: Sequence[Entry], watermark: int) -> list[Entry]:
    """The entries that follow the watermark without a gap, in order.

    A delivery may hold known entries, be out of order, or begin too late: what is known is skipped, and what
    comes after a gap is left for its redelivery.
    """
    if [entry.seq for entry in entries] == list(range(watermark + 1, watermark + 1 + len(entries))):
        return list(entries)  # as nearly always
    fresh: list[Entry] = []
    for entry in sorted(entries, key=_seq):
        if entry.seq == watermark + 1:
            fresh.append(entry)
            watermark += 1
        elif entry.seq > watermark:
            break
    return fresh
