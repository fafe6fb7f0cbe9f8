"""The backtest: closed periods rated once more from the log by the lab's engine, against the invoices that were issued.

Equal to the nano, or the lab is not to be trusted with next month. Rounding to the currency comes after and is left
out: an invoice states its exact amount beside the rounded one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from mintage.base import ATTOS_PER_NANO, ATTOS_PER_UNIT
from mintage.lab.engine.reference import period_events
from mintage.lab.workload import Workload
from mintage.pricing import Event, PeriodUsage, Plan, Span, quote

_OWN: Final = frozenset(("price_id", "charged_attos", "project", "product", "end_user"))


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice as far as the backtest asks: exact is its amount before rounding and tax, in currency units."""

    number: str
    tenant: str
    start_ns: int
    end_ns: int
    zone: str
    exact: str
    price_versions: tuple[str, ...]
    first: bool = False  # the tenant's first invoice: fees that are due once are in it


class BacktestRow(msgspec.Struct, frozen=True, kw_only=True):
    """Currency units, exact. equal: to the nano. note: why a difference is to be expected, if it is."""

    number: str
    tenant: str
    requests: int
    issued: Decimal
    rated: Decimal
    difference_nanos: int
    equal: bool
    note: str = ""


def _moment(at_ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)


def backtest(workload: Workload | None, issued: Sequence[Issued], plan_of: Callable[[str], Plan]) -> list[BacktestRow]:
    """One row an invoice. workload: our own log (import_log); None if it has no requests. plan_of: of a price version.

    Every version that an invoice names is quoted over its own requests; fees and charges of the period go with the
    version that the period ended with, which is the last that its requests name.
    """
    return [_row(workload, invoice, plan_of) for invoice in issued]


def _row(workload: Workload | None, invoice: Issued, plan_of: Callable[[str], Plan]) -> BacktestRow:
    span = Span(invoice.start_ns, invoice.end_ns)
    events = [] if workload is None else workload.events(invoice.tenant)
    mine = period_events(events, span, history=False)
    versions: dict[str, list[Event]] = {version: [] for version in invoice.price_versions}
    for event in mine:
        versions.setdefault(event.dimensions.get("price_id", ""), []).append(_plain(event))
    last = next((e.dimensions.get("price_id", "") for e in reversed(mine)), "") or (list(versions) or [""])[-1]
    rated = 0
    for version, group in versions.items():
        if version:
            rated += _rate(plan_of(version), group, invoice, whole=version == last)
    attos = int(Fraction(invoice.exact) * ATTOS_PER_UNIT)
    difference = abs(rated - attos)
    several = len([v for v in versions if v]) > 1
    return BacktestRow(
        number=invoice.number,
        tenant=invoice.tenant,
        requests=len(mine),
        issued=_units(attos),
        rated=_units(rated),
        difference_nanos=difference // ATTOS_PER_NANO,
        equal=difference < ATTOS_PER_NANO,
        note="several price versions: fees are shared between them" if several and difference else "",
    )


def _plain(event: Event) -> Event:
    """Without what the log knows and rating did not see."""
    kept = {name: value for name, value in event.dimensions.items() if name not in _OWN}
    return msgspec.structs.replace(event, dimensions=kept)


def _rate(plan: Plan, events: Sequence[Event], invoice: Issued, *, whole: bool) -> int:
    usage = msgspec.convert(
        {
            "start": _moment(invoice.start_ns),
            "end": _moment(invoice.end_ns),
            "zone": invoice.zone,
            "first_period": invoice.first,
        },
        PeriodUsage,
    )
    if not whole:
        plan = msgspec.structs.replace(plan, fees=(), minimum=None, maximum=None, commitment=None)
    plan = msgspec.structs.replace(plan, effective=None)
    return quote(plan, usage, invoice.start_ns, events).total_attos


def _units(attos: int) -> Decimal:
    return Decimal(format(Decimal(attos).scaleb(-18).normalize(), "f")) if attos else Decimal(0)
