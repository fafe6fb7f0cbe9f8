"""Coupons: so many percent or so much money off what a customer's invoices come to, for some periods or for good."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.accounts import PAGE_DEFAULT, Changes, Page, Tenant, fetch_page
from mintage.base import ATTOS_PER_NANO, MintageError, check_currency, check_nanos, parse_decimal
from mintage.billing.periods import Period
from mintage.billing.rating import Discount
from mintage.billing.tables_terms import coupons, redemptions
from mintage.pricing import Names

CODE_MAX: Final = 64
PERIODS_MAX: Final = 1200


class Coupon(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """percent of the invoice, or amount_nanos of `currency` each period. periods: how many (None: for good)."""

    code: str
    name: Names
    percent: str = "0"
    amount_nanos: int = 0
    currency: str = ""
    periods: int | None = None
    redemptions_max: int | None = None
    valid_until_ns: int | None = None
    created_ns: int = 0


class Redemption(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    tenant_id: str
    redeemed_ns: int
    ended_ns: int | None = None


def check_coupon(coupon: Coupon) -> None:
    """Raises invalid_request, naming the field."""
    if not 1 <= len(coupon.code) <= CODE_MAX or not coupon.code.replace("-", "").replace("_", "").isalnum():
        raise MintageError(
            "invalid_request", "A code has 1 to 64 letters, digits, - or _.", "Shorten it.", param="code"
        )
    percent = parse_decimal(coupon.percent, places=6, param="percent")
    if not 0 <= percent <= 100:
        raise MintageError("invalid_request", "percent is from 0 to 100.", "Correct it.", param="percent")
    if bool(percent) == bool(check_nanos(coupon.amount_nanos)) or coupon.amount_nanos < 0:
        raise MintageError("invalid_request", "A coupon has a percentage or an amount.", "Give one.", param="percent")
    if coupon.amount_nanos:
        check_currency(coupon.currency)
    for field in ("periods", "redemptions_max"):
        value = getattr(coupon, field)
        if value is not None and not 1 <= value <= 10**9:
            raise MintageError("invalid_request", f"{field} is 1 or more.", "Leave it out for no end.", param=field)


class Coupons:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def add(self, actor: str, coupon: Coupon) -> Coupon:
        """Raises conflict for a code that exists."""
        check_coupon(coupon)
        now = self._changes.clock.now_ns()
        row = {name: getattr(coupon, name) for name in Coupon.__struct_fields__ if name != "name"}
        row |= {"name_en": coupon.name.en, "name_zh": coupon.name.zh, "created_ns": now}
        with self._changes.change(actor, "coupon.add", coupon.code, percent=coupon.percent) as change:
            if change.connection.scalar(sa.select(coupons.c.code).where(coupons.c.code == coupon.code)):
                raise MintageError("conflict", f"The coupon {coupon.code} exists.", "Use another code.", param="code")
            change.connection.execute(coupons.insert().values(**row))
        return self.get(coupon.code)

    def get(self, code: str) -> Coupon:
        with self._changes.database.read() as connection:
            row = connection.execute(sa.select(coupons).where(coupons.c.code == code)).mappings().one_or_none()
        if row is None:
            raise MintageError("not_found", f"There is no coupon {code[:80]!r}.", "`mintage coupons list` shows all.")
        return _coupon(dict(row))

    def page(self, *, limit: int = PAGE_DEFAULT, cursor: str | None = None) -> Page[Coupon]:
        with self._changes.database.read() as connection:
            rows, following = fetch_page(connection, sa.select(coupons), coupons.c.code, limit=limit, cursor=cursor)
        return Page(items=[_coupon(dict(row)) for row in rows], next_cursor=following)

    def redeem(self, actor: str, tenant: Tenant, code: str) -> Redemption:
        """From the running period on; redeeming twice is once. Raises conflict for one that does not apply."""
        coupon, now = self.get(code), self._changes.clock.now_ns()
        if coupon.valid_until_ns is not None and now >= coupon.valid_until_ns:
            raise MintageError("conflict", f"The coupon {code} has expired.", "Use another.", param="code")
        if coupon.amount_nanos and coupon.currency != tenant.currency:
            raise MintageError(
                "conflict",
                f"The coupon is in {coupon.currency}, the customer pays in {tenant.currency}.",
                "Use another.",
            )
        new = Redemption(code=code, tenant_id=tenant.id, redeemed_ns=now)
        known = next((one for one in self.redemptions(tenant.id) if one.code == code), None)
        if known is not None:
            return known
        with self._changes.change(actor, "coupon.redeem", code, tenant_id=tenant.id) as change:
            used = change.connection.scalar(
                sa.select(sa.func.count()).select_from(redemptions).where(redemptions.c.code == code)
            )
            if coupon.redemptions_max is not None and (used or 0) >= coupon.redemptions_max:
                raise MintageError("conflict", f"The coupon {code} is used up.", "Use another.", param="code")
            change.connection.execute(redemptions.insert().values(**msgspec.structs.asdict(new)))
        return new

    def end(self, actor: str, tenant: Tenant, code: str) -> None:
        """No longer from the running period on."""
        now = self._changes.clock.now_ns()
        t = redemptions.c
        with self._changes.change(actor, "coupon.end", code, tenant_id=tenant.id) as change:
            ended = change.connection.execute(
                redemptions.update()
                .where(t.code == code, t.tenant_id == tenant.id, t.ended_ns.is_(None))
                .values(ended_ns=now)
            )
            if not ended.rowcount:
                raise MintageError("not_found", f"The customer has no coupon {code[:80]!r}.", "See its coupons.")

    def redemptions(self, tenant_id: str) -> list[Redemption]:
        t = redemptions.c
        select = sa.select(redemptions).where(t.tenant_id == tenant_id).order_by(t.redeemed_ns, t.code)
        with self._changes.database.read() as connection:
            return [Redemption(**row) for row in connection.execute(select).mappings()]

    def discounts(
        self, tenant_id: str, period: Period, index_at: Callable[[int], int], before_ns: int
    ) -> list[Discount]:
        """What applies to a period: coupons redeemed before an instant, not ended before the period, not used up."""
        found = []
        for one in self.redemptions(tenant_id):
            if one.redeemed_ns >= before_ns or (one.ended_ns is not None and one.ended_ns < period.end_ns):
                continue
            coupon = self.get(one.code)
            if coupon.periods is not None and period.index - index_at(one.redeemed_ns) >= coupon.periods:
                continue
            found.append(
                Discount(
                    code=coupon.code,
                    name=coupon.name,
                    percent=Decimal(coupon.percent),
                    amount_attos=coupon.amount_nanos * ATTOS_PER_NANO,
                )
            )
        return found


def _coupon(row: dict[str, Any]) -> Coupon:
    name = Names(en=row.pop("name_en"), zh=row.pop("name_zh"))
    return Coupon(name=name, **row)
