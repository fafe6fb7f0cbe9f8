"""The factory: runs with their lineage and cost, putting a made model behind the gateway, its stages."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import get, post, put
from litestar.params import RawBody

from mintage.factory import Artifact, Deployment, Factory, MakingCost, Promote, Promoted, RunView, Stage
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import Actor, DeskPart, Path
from mintage.server.admin.services import Desk


class SetStage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """retired takes the model from behind the gateway."""

    stage: Stage


class Amortised(msgspec.Struct, frozen=True, kw_only=True):
    nanos: int


def factory_of(desk: Desk) -> Factory:
    return Factory(
        desk.home, desk.database, desk.ledger, desk.clock, desk.accounts, desk.billing, desk.registry,
        desk.settings.currency,
    )  # fmt: skip


@get("/factory/runs", sync_to_thread=True)
def list_runs(desk: DeskPart) -> list[RunView]:
    """Every run of this home, newest first."""
    return factory_of(desk).runs()


@get("/factory/runs/{run:str}", sync_to_thread=True)
def show_run(desk: DeskPart, run: Path) -> RunView:
    """One run: its steps, what went in and out, what it cost."""
    return factory_of(desk).run(run)


@get("/factory/runs/{run:str}/lineage", sync_to_thread=True)
def show_lineage(desk: DeskPart, run: Path) -> list[Artifact]:
    """What was made from what, each with its hash."""
    return factory_of(desk).lineage(run)


@get("/factory/runs/{run:str}/costs")
async def show_costs(desk: DeskPart, run: Path) -> MakingCost:
    """What making it cost, and how much of that the tokens served have paid back."""
    await desk.catch_up()
    return await asyncio.to_thread(factory_of(desk).costs, run)


@post("/factory/runs/{run:str}/record", status_code=200, sync_to_thread=True)
def record_run(desk: DeskPart, actor: Actor, run: Path) -> MakingCost:
    """Take a run's lineage and cost into the books, each attempt once."""
    return factory_of(desk).record(actor, run)


@post("/factory/amortise", status_code=200)
async def amortise(desk: DeskPart) -> Amortised:
    """Move what served tokens have used up of the models' cost into the profit and loss; also done every hour."""
    await desk.catch_up()
    return Amortised(nanos=await asyncio.to_thread(factory_of(desk).amortise))


@post("/models/promote", takes=Promote, example={"run": "tiny", "plan": "factory"}, status_code=200)
async def promote(desk: DeskPart, actor: Actor, body: RawBody) -> Promoted:
    """Put a finished run's model behind the gateway, signed, with a plan that sells it."""
    promoted = await asyncio.to_thread(factory_of(desk).promote, actor, decode(body, Promote))
    await desk.reload()
    return promoted


@put("/models/{name:str}/stage", takes=SetStage, example={"stage": "retired"})
async def set_stage(desk: DeskPart, actor: Actor, name: Path, body: RawBody) -> Deployment:
    """Move a made model to candidate, staging, production or retired."""
    moved = await asyncio.to_thread(factory_of(desk).stage, actor, name, decode(body, SetStage).stage)
    await desk.reload()
    return moved


HANDLERS: Final[list[Any]] = [
    list_runs,
    show_run,
    show_lineage,
    show_costs,
    record_run,
    amortise,
    promote,
    set_stage,
]
