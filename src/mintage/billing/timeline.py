"""A tenant's timeline cut into stretches: which plan when, on trial, paused or paid, within a period."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from mintage.billing.fees import Stretch
from mintage.billing.periods import Period
from mintage.billing.subscriptions import Pause, Subscription
from mintage.books import BUCKET_NS
from mintage.pricing import PriceVersion

_FAR_NS: Final = 2**62


def chain_of(history: Sequence[Subscription], place: int) -> tuple[int, int]:
    """(first, last) places of the subscriptions that follow each other without a gap, around one of them."""
    first = last = place
    while first and history[first - 1].ended_ns == history[first].started_ns:
        first -= 1
    while last + 1 < len(history) and history[last].ended_ns == history[last + 1].started_ns:
        last += 1
    return first, last


def chain_end_ns(history: Sequence[Subscription], place: int) -> int | None:
    """When the plans around a place end, on a quarter of an hour; None while they go on."""
    _, last = chain_of(history, place)
    ended_ns = history[last].ended_ns
    return None if ended_ns is None else -(-ended_ns // BUCKET_NS) * BUCKET_NS


def holding(history: Sequence[Subscription], at_ns: int) -> int | None:
    """The place of the first subscription that holds at an instant or begins after it."""
    for place, row in enumerate(history):
        if row.ended_ns is None or -(-row.ended_ns // BUCKET_NS) * BUCKET_NS > at_ns:
            return place
    return None


def pieces(
    row: Subscription, pauses: Sequence[Pause], start_ns: int, end_ns: int, *, to_the_end: bool = False
) -> Iterator[tuple[int, int]]:
    """Parts of [start, end) for which a subscription owes its fees: not on trial, not paused, oldest first.

    to_the_end: as if it had not ended early.
    """
    since = max(row.started_ns, start_ns, row.trial_until_ns or 0)
    until = end_ns if to_the_end or row.ended_ns is None else min(row.ended_ns, end_ns)
    for pause in sorted(pauses, key=lambda pause: pause.from_ns):
        if pause.from_ns >= until:
            break
        if since < pause.from_ns:
            yield since, min(pause.from_ns, until)
        since = max(since, pause.until_ns or _FAR_NS)
    if since < until:
        yield since, until


def stretches(
    history: Sequence[Subscription],
    pauses: Sequence[Pause],
    period: Period,
    version_at: Callable[[str, int], PriceVersion],
) -> list[Stretch]:
    """Which plan the tenant had when, within the period. The first of a chain counts from the period's start.

    A stretch on trial or paused is `waived`: its usage is rated, its fees are not due.
    """
    found: list[Stretch] = []
    for place, row in enumerate(history):
        first, _ = chain_of(history, place)
        start_ns = (
            period.start_ns
            if place == first and row.period_at(row.started_ns).start_ns >= period.start_ns
            else (max(row.started_ns, period.start_ns))
        )
        end_ns = min(row.ended_ns or period.end_ns, period.end_ns)
        if start_ns >= end_ns or row.started_ns >= period.end_ns:
            continue
        version = version_at(row.plan, end_ns - 1)
        new = all(earlier.plan != row.plan for earlier in history[:place])
        owed = list(pieces(row, pauses, start_ns, end_ns))
        if owed and owed[0][0] == row.started_ns and start_ns < row.started_ns:
            owed[0] = (start_ns, owed[0][1])  # the day on which it began counts whole
        begins_ns = max(row.started_ns, row.trial_until_ns or 0)
        first_ns = next((since for since, until in owed if since <= begins_ns < until), None)
        cuts = sorted({start_ns, end_ns, *(edge for piece in owed for edge in piece)})
        for since, until in pairwise(cuts):
            found.append(
                Stretch(
                    version=version,
                    start_ns=since,
                    end_ns=until,
                    first=new and since == first_ns,
                    waived=(since, until) not in owed,
                )
            )
    return found
