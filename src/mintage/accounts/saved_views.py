"""Saved views: the filters of a page that a person keeps under a name. Theirs alone, and no change of the desk."""

from __future__ import annotations

from typing import Final

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import Changes
from mintage.accounts.checks import check_name
from mintage.base import MintageError, new_id
from mintage.books import metadata

VIEWS_MAX: Final = 50  # per person
QUERY_LIMIT: Final = 1_000

saved_views: Final = sa.Table(
    "saved_views",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("person_id", sa.String(64), nullable=False),
    sa.Column("place", sa.String(64), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("query", sa.String(QUERY_LIMIT), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("person_id", "place", "name"),
)


class SavedView(msgspec.Struct, frozen=True, kw_only=True):
    """place: the page's name; query: what follows the `?` of its address."""

    id: str
    person_id: str
    place: str
    name: str
    query: str
    created_ns: int


class SavedViews:
    """Every row is read and deleted by its person's id together with its own."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def list(self, person_id: str, place: str) -> list[SavedView]:
        """By name."""
        mine = saved_views.c.person_id == person_id
        select = sa.select(saved_views).where(mine, saved_views.c.place == place).order_by(saved_views.c.name)
        with self._changes.database.read() as connection:
            return [SavedView(**row) for row in connection.execute(select).mappings()]

    def save(self, person_id: str, place: str, name: str, query: str) -> SavedView:
        """Keep it; the same name again takes the new filters. Raises invalid_request, conflict when there are many."""
        view = SavedView(
            id=new_id("viw"), person_id=person_id, place=place[:64], name=check_name(name), query=query,
            created_ns=self._changes.clock.now_ns(),
        )  # fmt: skip
        if len(query) > QUERY_LIMIT:
            raise MintageError("invalid_request", "These filters are too long to keep.", "Use fewer.", param="query")
        mine = saved_views.c.person_id == person_id
        with self._changes.database.write() as connection:
            connection.execute(
                saved_views.delete().where(mine, saved_views.c.place == view.place, saved_views.c.name == view.name)
            )
            count = connection.scalar(sa.select(sa.func.count()).select_from(saved_views).where(mine)) or 0
            if count >= VIEWS_MAX:
                raise MintageError("conflict", f"There are {VIEWS_MAX} saved views.", "Delete one first.")
            connection.execute(saved_views.insert().values(**msgspec.structs.asdict(view)))
        return view

    def delete(self, person_id: str, view_id: str) -> SavedView:
        """Raises not_found, for another person's too."""
        mine = (saved_views.c.person_id == person_id) & (saved_views.c.id == view_id)
        with self._changes.database.write() as connection:
            row = connection.execute(sa.select(saved_views).where(mine)).mappings().one_or_none()
            if row is None:
                raise MintageError("not_found", "There is no such saved view.", "It may be deleted already.")
            connection.execute(saved_views.delete().where(mine))
        return SavedView(**row)
