"""The plan store: immutable price versions, and a schedule that says from when each one applies."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa

from mintage.accounts import PAGE_DEFAULT, Changes, Page, fetch_page
from mintage.base import MintageError
from mintage.billing.tables import price_schedule, price_versions
from mintage.pricing import Finding, Plan, PriceVersion, freeze_plan, lint_plan, load_plan, thaw_version

VERSIONS_MAX: Final = 10_000
Format = Literal["toml", "json"]


class PlanRow(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the schedule: from effective_ns on, the plan means this version."""

    plan_id: str
    version_id: str
    effective_ns: int
    applied_ns: int
    name: str
    currency: str
    funding: str
    period: str


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """changed is False when the plan says this already. findings: what the linter warns of."""

    version: PlanRow
    changed: bool
    findings: tuple[Finding, ...] = ()


def check_billable(plan: Plan) -> None:
    """Raises unsupported for what could not be billed: better no plan than silent under-billing."""
    problem = ""
    if plan.policies.expired_hold == "charge":
        problem = 'Charging an expired hold is not supported; use expired_hold = "release".'
    elif plan.funding == "postpaid" and (plan.packs or plan.auto_top_up):
        problem = "A postpaid wallet buys no credit: leave packs and auto_top_up out, or use funding = prepaid."
    elif any(pack.credit < pack.price for pack in plan.packs):
        problem = "A pack gives less credit than it costs; raise its credit to its price."
    elif plan.progressive is not None and plan.funding != "postpaid":
        problem = "Only a postpaid plan is invoiced before its period ends; leave progressive out."
    if problem:
        raise MintageError("unsupported", f"Plan {plan.id} cannot be billed.", problem)


def check_findings(plan: Plan) -> tuple[Finding, ...]:
    """The linter's warnings. Raises invalid_request for an error: the plan would refuse or misprice usage."""
    models = [price.model for price in plan.prices if "*" not in price.model]
    found = lint_plan(plan, models=list(dict.fromkeys(models)))
    if (first := next((finding for finding in found if finding.severity == "error"), None)) is not None:
        raise MintageError(
            "invalid_request",
            f"{first.path}: {first.en}",
            "`mintage price lint` shows every finding.",
            param=first.path,
            details={"findings": [msgspec.to_builtins(finding, builtin_types=(Decimal,)) for finding in found]},
        )
    return tuple(found)


class Plans:
    """Reads are from the database; what must be fast reads the gateway's snapshot instead."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._thawed: dict[str, PriceVersion] = {}

    def apply(self, actor: str, raw: bytes, form: Format) -> Applied:
        """Store the plan and schedule it. Applying what is scheduled already changes nothing.

        Raises invalid_request (naming the field), unsupported, or conflict: a plan keeps its currency, period and
        funding, and its prices never change for the past.
        """
        plan = load_plan(raw, form)
        check_billable(plan)
        findings = check_findings(plan)
        now = self._changes.clock.now_ns()
        version = freeze_plan(plan, applied_ns=now)
        schedule = self._schedule(plan.id)
        if schedule:
            self._check_successor(plan, self.version(schedule[-1].version_id).plan)
            latest = schedule[-1]
            if latest.version_id == version.id and (
                plan.effective is None or latest.effective_ns == version.effective_ns
            ):
                return Applied(version=latest, changed=False, findings=findings)
            if version.effective_ns < now:
                raise MintageError(
                    "conflict",
                    f"Plan {plan.id} would change its prices for the past.",
                    "Leave `effective` out, or set a time to come.",
                    param="effective",
                )
            if version.effective_ns <= latest.effective_ns:
                raise MintageError(
                    "conflict",
                    f"Plan {plan.id} has a later version scheduled already.",
                    "Set `effective` after it.",
                    param="effective",
                )
        self._store(actor, version, now)
        return Applied(version=self._schedule(plan.id)[-1], changed=True, findings=findings)

    @staticmethod
    def _check_successor(plan: Plan, before: Plan) -> None:
        for field in ("currency", "period", "funding"):
            if getattr(plan, field) != getattr(before, field):
                raise MintageError(
                    "conflict",
                    f"Plan {plan.id} has {field} {getattr(before, field)}; a plan keeps it for ever.",
                    "Give the plan another id.",
                    param=field,
                )

    def _store(self, actor: str, version: PriceVersion, now_ns: int) -> None:
        with self._changes.change(
            actor, "plan.apply", version.plan_id, version=version.id, effective_ns=version.effective_ns
        ) as change:
            connection = change.connection
            if (connection.scalar(sa.select(sa.func.count()).select_from(price_schedule)) or 0) >= VERSIONS_MAX:
                raise MintageError("conflict", f"There are {VERSIONS_MAX} price versions.", "Reuse one of them.")
            if connection.scalar(sa.select(price_versions.c.id).where(price_versions.c.id == version.id)) is None:
                connection.execute(
                    price_versions.insert().values(
                        id=version.id, plan=version.plan_id, canonical=version.canonical, applied_ns=now_ns
                    )
                )
            connection.execute(
                price_schedule.insert().values(
                    plan=version.plan_id, effective_ns=version.effective_ns, version_id=version.id
                )
            )

    def version(self, version_id: str) -> PriceVersion:
        """Any version that was ever applied; its hash is checked. effective_ns is that of its first time."""
        found = self._thawed.get(version_id)
        if found is None:
            select = (
                sa.select(price_versions.c.canonical, price_schedule.c.effective_ns)
                .join(price_schedule, price_schedule.c.version_id == price_versions.c.id)
                .where(price_versions.c.id == version_id)
                .order_by(price_schedule.c.effective_ns)
                .limit(1)
            )
            with self._changes.database.read() as connection:
                row = connection.execute(select).one_or_none()
            if row is None:
                raise MintageError(
                    "not_found", f"There is no price version {version_id[:100]!r}.", "See `mintage plan list`."
                )
            found = thaw_version(version_id, bytes(row.canonical), effective_ns=row.effective_ns)
            if len(self._thawed) >= 1024:
                self._thawed.clear()
            self._thawed[version_id] = found
        return found

    def current(self, plan_id: str, at_ns: int) -> PriceVersion:
        """What the plan means at an instant. Raises not_found if there is no such plan, or none effective yet."""
        rows = [row for row in self._schedule(plan_id) if row.effective_ns <= at_ns]
        if not rows:
            raise MintageError(
                "not_found", f"There is no plan {plan_id[:80]!r} in effect.", "`mintage plan list` shows all plans."
            )
        return self.version(rows[-1].version_id)

    def next_effective_ns(self, after_ns: int) -> int | None:
        """When the next scheduled version of any plan takes effect."""
        select = sa.select(sa.func.min(price_schedule.c.effective_ns)).where(price_schedule.c.effective_ns > after_ns)
        with self._changes.database.read() as connection:
            found = connection.scalar(select)
        return None if found is None else int(found)

    def page(self, *, limit: int = PAGE_DEFAULT, cursor: str | None = None) -> Page[PlanRow]:
        """The latest scheduled version of every plan, by plan id."""
        latest = (
            sa.select(price_schedule.c.plan, sa.func.max(price_schedule.c.effective_ns).label("effective_ns"))
            .group_by(price_schedule.c.plan)
            .subquery()
        )
        select = self._rows().join(
            latest,
            sa.and_(latest.c.plan == price_schedule.c.plan, latest.c.effective_ns == price_schedule.c.effective_ns),
        )
        with self._changes.database.read() as connection:
            rows, following = fetch_page(connection, select, price_schedule.c.plan, limit=limit, cursor=cursor)
        return Page(items=[self._row(row) for row in rows], next_cursor=following)

    def history(self, plan_id: str) -> list[PlanRow]:
        """Every scheduled version of a plan, oldest first. Raises not_found."""
        rows = self._schedule(plan_id)
        if not rows:
            raise MintageError("not_found", f"There is no plan {plan_id[:80]!r}.", "See `mintage plan list`.")
        return rows

    @staticmethod
    def _rows() -> sa.Select[tuple[str, str, int, int]]:
        return sa.select(
            price_schedule.c.plan,
            price_schedule.c.version_id,
            price_schedule.c.effective_ns,
            price_versions.c.applied_ns,
        ).join(price_versions, price_versions.c.id == price_schedule.c.version_id)

    def _schedule(self, plan_id: str) -> list[PlanRow]:
        select = self._rows().where(price_schedule.c.plan == plan_id).order_by(price_schedule.c.effective_ns)
        with self._changes.database.read() as connection:
            rows = [dict(row) for row in connection.execute(select).mappings()]
        return [self._row(row) for row in rows]

    def _row(self, row: dict[str, Any]) -> PlanRow:
        plan = self.version(row["version_id"]).plan
        return PlanRow(
            plan_id=plan.id,
            version_id=row["version_id"],
            effective_ns=row["effective_ns"],
            applied_ns=row["applied_ns"],
            name=plan.name.en,
            currency=plan.currency,
            funding=plan.funding,
            period=plan.period,
        )
