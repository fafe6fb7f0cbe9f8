"""Plans: apply a plan file, see its versions, give a customer one."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import Request, get, post, put
from litestar.params import RawBody

from mintage.accounts import Page
from mintage.base import MintageError
from mintage.billing import Applied, Assignment, PlanRow
from mintage.server.admin.bodies import decode, money_nanos
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Limit, Path, Query

_FORMS: Final = {"application/toml": "toml", "text/toml": "toml", "application/json": "json"}


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """versions: oldest first. plan: the asked version, else the latest, as applied, with every default written out."""

    id: str
    versions: list[PlanRow]
    plan: msgspec.Raw


class AssignPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """credit_limit: currency units as text, for a postpaid wallet; the plan's own when left out."""

    plan: str
    credit_limit: str | None = None


@get("/plans", sync_to_thread=True)
def list_plans(desk: DeskPart, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None) -> Page[PlanRow]:
    """The latest version of every plan."""
    return desk.billing.plans.page(limit=limit, cursor=cursor)


@post("/plans", sync_to_thread=True)
def apply_plan(desk: DeskPart, actor: Actor, request: Request[Any, Any, Any], body: RawBody) -> Applied:
    """Apply a plan file: application/toml or application/json. The same plan again changes nothing."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = _FORMS.get(media)
    if form is None:
        raise MintageError(
            "unsupported_media_type", f"A plan is not {media[:60] or 'without a type'}.", f"Send {', '.join(_FORMS)}."
        )
    return desk.billing.plans.apply(actor, body, "toml" if form == "toml" else "json")


@get("/plans/{plan:str}", sync_to_thread=True)
def show_plan(desk: DeskPart, plan: Path, version: Query = None) -> PlanView:
    """One plan with all its versions; the latest in full, or the one that `version` names."""
    versions = desk.billing.plans.history(plan)
    wanted = versions[-1].version_id if version is None else version
    if wanted.partition("@")[0] != plan:
        raise MintageError("not_found", f"{wanted[:100]!r} is no version of {plan[:80]}.", "See its versions.")
    return PlanView(id=plan, versions=versions, plan=msgspec.Raw(desk.billing.plans.version(wanted).canonical))


@put("/customers/{customer:str}/plan", takes=AssignPlan, example={"plan": "payg"})
async def assign_plan(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> Assignment:
    """Give a customer a plan from now on; opens the wallet and credits the plan's grants once."""
    asked = decode(body, AssignPlan)
    tenant = await asyncio.to_thread(desk.accounts.tenants.get, customer)
    limit = None if asked.credit_limit is None else money_nanos(asked.credit_limit, tenant.currency, "credit_limit")
    return await desk.billing.assign(actor, tenant, asked.plan, credit_limit_nanos=limit)


HANDLERS: Final[list[Any]] = [list_plans, apply_plan, show_plan, assign_plan]
