"""The legal entity: who issues invoices. One for now; every row that needs one names it, so that more can come."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import SYSTEM, Changes
from mintage.accounts.checks import check_country, check_name, check_text, check_time_zone
from mintage.accounts.tables import legal_entities
from mintage.accounts.versions import check_match
from mintage.base import MintageError, check_currency, new_id


class LegalEntity(msgspec.Struct, frozen=True, kw_only=True):
    """currency is that of the operator's books; invoice numbers are `invoice_prefix-000001` and on, without gaps."""

    id: str
    name: str
    currency: str
    time_zone: str
    country: str
    address: str
    tax_id: str
    invoice_prefix: str
    created_ns: int


class EntityUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is."""

    name: str | None = None
    time_zone: str | None = None
    country: str | None = None
    address: str | None = None
    tax_id: str | None = None


class LegalEntities:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def ensure(self, name: str, currency: str) -> LegalEntity:
        """The operator's first legal entity, made when there is none."""
        if (found := self._first()) is not None:
            return found
        entity = LegalEntity(
            id=new_id("ent"),
            name=check_name(name, "operator"),
            currency=check_currency(currency),
            time_zone="UTC",
            country="",
            address="",
            tax_id="",
            invoice_prefix="INV",
            created_ns=self._changes.clock.now_ns(),
        )
        with self._changes.change(SYSTEM, "entity.create", entity.id, name=entity.name, currency=currency) as change:
            change.connection.execute(legal_entities.insert().values(**msgspec.structs.asdict(entity)))
        return entity

    def get(self) -> LegalEntity:
        if (found := self._first()) is None:
            raise MintageError("not_found", "There is no legal entity yet.", "Start Mintage once: it makes one.")
        return found

    def update(self, actor: str, update: EntityUpdate, *, match: str | None = None) -> LegalEntity:
        """Invoices that are finalised keep what they show."""
        entity = self.get()
        given = {name: value for name, value in msgspec.structs.asdict(update).items() if value is not None}
        values: dict[str, Any] = {name: _clean(name, value) for name, value in given.items()}
        if not values:
            return entity
        with self._changes.change(actor, "entity.update", entity.id, **values) as change:
            row = change.connection.execute(
                sa.select(legal_entities).where(legal_entities.c.id == entity.id)
            ).mappings()
            check_match(match, LegalEntity(**row.one()))
            change.connection.execute(legal_entities.update().where(legal_entities.c.id == entity.id).values(**values))
        return self.get()

    def _first(self) -> LegalEntity | None:
        select = sa.select(legal_entities).order_by(legal_entities.c.id).limit(1)
        with self._changes.database.read() as connection:
            row = connection.execute(select).mappings().one_or_none()
        return None if row is None else LegalEntity(**row)


def _clean(name: str, value: str) -> str:
    match name:
        case "name":
            return check_name(value)
        case "time_zone":
            return check_time_zone(value)
        case "country":
            return check_country(value)
        case _:
            return check_text(value, name)
