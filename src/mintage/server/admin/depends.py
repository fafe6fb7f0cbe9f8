"""What handlers ask for by name: the desk, who acts, a page's limits."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Request
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, QueryParameter, SkipValidation

from mintage.accounts import PAGE_DEFAULT, PAGE_MAX
from mintage.server.admin.services import Desk

DeskPart = NamedDependency[SkipValidation[Desk]]
Actor = NamedDependency[str]
Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX, description="Most rows of this page.")]
Cursor = Annotated[str | None, QueryParameter(max_length=4096, description="next_cursor of the page before.")]

Path = FromPath[str]
Query = FromQuery[str | None]
Flag = FromQuery[bool | None]
#: The If-Match header of an update: hand it to the room's function, which compares inside its transaction.
Match = NamedDependency[str | None]

LIMIT_DEFAULT: Final = PAGE_DEFAULT


def _actor(request: Request[Any, Any, Any]) -> str:
    return str(request.state.actor)


def _match(request: Request[Any, Any, Any]) -> str | None:
    return request.headers.get("if-match")


def dependencies(desk: Desk) -> dict[str, Provide]:
    return {
        "desk": Provide(lambda: desk, sync_to_thread=False),
        "actor": Provide(_actor, sync_to_thread=False),
        "match": Provide(_match, sync_to_thread=False),
    }
