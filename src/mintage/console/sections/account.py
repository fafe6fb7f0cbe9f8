"""The reader's own account, of staff and of customers' people alike: password, second factor, sessions.

What is shown once (a secret, recovery codes) stands in the answer to the form that made it, and nowhere else.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from mintage.accounts import NewTotp
from mintage.base import MintageError
from mintage.console import figures
from mintage.console.door import AnyRequest, Services, require_session
from mintage.console.render import Reader
from mintage.console.visit import Visit

_SESSIONS: Final = 20
#: A session begun by a link so lately may set a password without the old one: it was forgotten.
_FRESH_LINK_NS: Final = 600 * 10**9


async def _open(request: AnyRequest, services: Services) -> Visit:
    """Whoever is signed in."""
    session = await require_session(request, services.accounts, None)
    return Visit(request, services, session, Reader(request))


@get(["/console/account", "/portal/account"])
async def account_page(request: AnyRequest, services: Services) -> Response[bytes]:
    return await _show(await _open(request, services))


async def _show(
    visit: Visit, *, totp: NewTotp | None = None, codes: list[str] | None = None, problem: MintageError | None = None
) -> Response[bytes]:
    accounts, person = visit.services.accounts, visit.session.person
    rows = (await asyncio.to_thread(accounts.sessions.page, person.id, limit=_SESSIONS)).items
    values = {
        "person": person,
        "here": _place(visit),
        "state": await asyncio.to_thread(accounts.credentials.state, person.id),
        "needs_current": not _fresh(visit),
        "sessions": [
            {"row": row, "since": figures.iso_time(row.created_ns)[:16].replace("T", " "),
             "seen": figures.iso_time(row.seen_ns)[:16].replace("T", " "), "mine": row.id == visit.session.id}
            for row in rows if row.ended_ns is None
        ],
        "totp": totp,
        "codes": codes or [],
    }  # fmt: skip
    return visit.render("account.html", "account", visit.t("account.title"), values, problem=problem)


def _place(visit: Visit) -> str:
    return "/portal/account" if visit.session.tenant_id is not None else "/console/account"


def _fresh(visit: Visit) -> bool:
    age_ns = visit.services.clock.now_ns() - visit.session.created_ns
    return visit.session.method == "link" and age_ns < _FRESH_LINK_NS


@post(["/console/account/{action:str}", "/portal/account/{action:str}"], status_code=200)
async def change_account(request: AnyRequest, services: Services, action: FromPath[str]) -> Response[Any]:
    """password, totp, confirm, remove-totp, end (one session), end-others."""
    visit = await _open(request, services)
    form = await visit.form()
    change = _CHANGES.get(action)
    if change is None:
        raise MintageError("not_found", "There is no such change.", "Go back to the page.")
    try:
        found = await asyncio.to_thread(change, visit, form)
    except MintageError as error:
        return await _show(visit, problem=error)
    if isinstance(found, NewTotp):
        return await _show(visit, totp=found)
    if isinstance(found, list):
        return await _show(visit, codes=found)
    return visit.go(_place(visit), f"account_{action.replace('-', '_')}")


def _password(visit: Visit, form: dict[str, str]) -> None:
    """Every other session ends. Without the current one only where none is set, or just after a link."""
    accounts, session = visit.services.accounts, visit.session
    if form.get("password") != form.get("again"):
        raise MintageError("invalid_request", "The two new passwords differ.", "Type the same twice.", param="again")
    if accounts.credentials.state(session.person.id).password and not _fresh(visit):
        with _Tries(visit):
            accounts.credentials.check_password(session.person, form.get("current", ""))
    accounts.credentials.set_password(session.person, form.get("password", ""))
    accounts.sessions.end_of(session.actor, session.person, keep=session.id)


def _totp(visit: Visit, form: dict[str, str]) -> NewTotp:
    return visit.services.accounts.credentials.begin_totp(visit.session.person, visit.services.settings.operator)


def _confirm(visit: Visit, form: dict[str, str]) -> list[str]:
    with _Tries(visit):
        made = visit.services.accounts.credentials.confirm_totp(visit.session.person, form.get("code", ""))
    return made.codes


def _remove_totp(visit: Visit, form: dict[str, str]) -> None:
    with _Tries(visit):
        visit.services.accounts.credentials.remove_totp(visit.session.person, form.get("code", ""))


def _end(visit: Visit, form: dict[str, str]) -> None:
    session = visit.session
    visit.services.accounts.sessions.end_of(session.actor, session.person, session_id=form.get("session", ""))


def _end_others(visit: Visit, form: dict[str, str]) -> None:
    session = visit.session
    visit.services.accounts.sessions.end_of(session.actor, session.person, keep=session.id)


_CHANGES: Final[dict[str, Any]] = {
    "password": _password, "totp": _totp, "confirm": _confirm, "remove-totp": _remove_totp, "end": _end,
    "end-others": _end_others,
}  # fmt: skip


class _Tries:
    """Six digits are few: wrong ones, and wrong passwords, are counted as at sign-in."""

    def __init__(self, visit: Visit) -> None:
        self._throttle = visit.services.accounts.throttle
        self._names = (visit.session.person.id, visit.session.id)

    def __enter__(self) -> None:
        self._throttle.check(*self._names)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, MintageError) and error.code == "permission_denied":
            self._throttle.failed(*self._names)


HANDLERS: Final[list[Any]] = [account_page, change_account]
