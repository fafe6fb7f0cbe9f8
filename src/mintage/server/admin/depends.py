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

LIMIT_DEFAULT: Final = PAGE_DEFAULT


def _actor(request: Request[Any, Any, Any]) -> str:
    return str(request.state.actor)


def dependencies(desk: Desk) -> dict[str, Provide]:
    return {
        "desk": Provide(lambda: desk, sync_to_thread=False),
        "actor": Provide(_actor, sync_to_thread=False),
    }
