"""The operator's own affairs: the legal entity, settings, health."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import get, patch
from litestar.params import RawBody

from mintage import __version__
from mintage.accounts import EntityUpdate, LegalEntity
from mintage.base import Origin, explain_settings
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import Actor, DeskPart, Match


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """log_seq: the last durable entry; ledger_seq: the last one in the ledger."""

    version: str
    log_seq: int
    ledger_seq: int
    open_holds: int
    models: int


@get("/entity", sync_to_thread=True)
def show_entity(desk: DeskPart) -> LegalEntity:
    """Who issues invoices."""
    return desk.entity()


@patch("/entity", takes=EntityUpdate, example={"country": "DE", "time_zone": "Europe/Berlin"}, sync_to_thread=True)
def update_entity(desk: DeskPart, actor: Actor, body: RawBody, match: Match) -> LegalEntity:
    """Change what is given. Finalised invoices stay as they are."""
    desk.entity()
    return desk.accounts.entities.update(actor, decode(body, EntityUpdate), match=match)


@get("/config", sync_to_thread=True)
def show_config(desk: DeskPart) -> list[Origin]:
    """Every setting with its value, where it came from, and what it means."""
    return explain_settings(home=str(desk.home))


@get("/health")
async def health(desk: DeskPart) -> Health:
    """How the books stand."""
    return Health(
        version=__version__,
        log_seq=desk.log.last_seq(),
        ledger_seq=desk.ledger.watermark(),
        open_holds=len(desk.log.open_holds()),
        models=len(desk.registry.list()),
    )


HANDLERS: Final[list[Any]] = [
    show_entity,
    update_entity,
    show_config,
    health,
]
