"""Keys: made, rotated and revoked, for the desk and for a customer's own people. A secret is shown once, ever.

A form carries a number that works once, so that sending the page again makes no second key and shows no secret again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from mintage.accounts import CreatedKey, Key, NewKey, Project, Tenant
from mintage.base import MintageError, Money, new_id
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.table import Cell, moment, state, words
from mintage.console.visit import DAY_NS, Visit, day_ns, open_visit

_KEYS: Final = 100
_ONCE_LIMIT: Final = 4_096
_HOUR_S: Final = 3_600
#: Choices of how long a rotated key goes on working, in hours.
OVERLAPS_H: Final = (0, 1, 24, 24 * 7)


class _Once:
    """Numbers of forms that were sent already. The oldest are forgotten; their pages are long gone."""

    def __init__(self) -> None:
        self._used: dict[str, None] = {}

    def use(self, number: str) -> bool:
        """True the first time."""
        if number in self._used:
            return False
        self._used[number] = None
        while len(self._used) > _ONCE_LIMIT:
            del self._used[next(iter(self._used))]
        return True


_ONCE: Final = _Once()


def remember_once(visit: Visit) -> str:
    """A number for a form that must not work twice. Bound to the session, so that nobody else can use it up."""
    return f"{visit.session.id}:{new_id('one')}"


def check_once(visit: Visit, number: str) -> None:
    """Raises conflict when the form was sent before."""
    if not number.startswith(f"{visit.session.id}:") or not _ONCE.use(number):
        raise MintageError(
            "conflict", "This form was sent already; its key was shown once.", "Make or rotate a key to get another."
        )


async def keys_table(visit: Visit, tenant: Tenant, projects: Sequence[Project], path: str) -> list[dict[str, Any]]:
    """The newest keys of a customer as rows for _keys.html, working ones first."""
    page = await asyncio.to_thread(visit.services.accounts.keys.page, tenant.id, limit=_KEYS)
    names = {project.id: project.name for project in projects}
    now_ns = visit.services.clock.now_ns()
    rows = [
        {
            "key": key,
            "project": names.get(key.project_id, key.project_id),
            "state": _state(visit, key, now_ns),
            "live": _works(key, now_ns),
            "made": moment(key.created_ns, day_only=True),
            "ends": moment(key.revoked_ns or key.expires_ns, day_only=True),
            "scope": _scope(visit, tenant, key),
            "path": f"{path}/{key.id}",
        }
        for key in reversed(page.items)
    ]
    return sorted(rows, key=lambda row: not row["live"])


def _works(key: Key, now_ns: int) -> bool:
    return key.revoked_ns is None and (key.expires_ns is None or key.expires_ns > now_ns)


def _state(visit: Visit, key: Key, now_ns: int) -> Cell:
    if key.revoked_ns is not None:
        return state(visit.t("key.revoked"), "off")
    if not _works(key, now_ns):
        return state(visit.t("key.expired"), "off")
    return state(
        visit.t("key.ending") if key.expires_ns else visit.t("key.working"), "wait" if key.expires_ns else "ok"
    )


def _scope(visit: Visit, tenant: Tenant, key: Key) -> Cell:
    """What the key is narrowed to, in a few words."""
    t, parts = visit.t, []
    if key.models:
        parts.append(", ".join(key.models[:3]) + ("…" if len(key.models) > 3 else ""))
    if key.endpoints:
        parts.append(", ".join(key.endpoints[:2]))
    if key.ip_ranges:
        parts.append(", ".join(key.ip_ranges[:2]))
    if key.requests_per_minute:
        parts.append(t("key.per_minute", count=figures.count(key.requests_per_minute)))
    if key.budget_nanos is not None:
        shown = figures.money(key.budget_nanos, tenant.currency).text
        parts.append(t(f"key.budget_{key.budget_period}", amount=shown))
    return words(" · ".join(parts) or t("key.everything"))


def new_key(form: dict[str, str], tenant: Tenant) -> NewKey:
    """A key as a form says it. Raises invalid_request."""
    budget = form.get("budget", "")
    period: Any = form.get("budget_period") or "month"
    ends_ns = day_ns(form.get("expires", ""), "expires")
    return NewKey(
        name=form.get("name") or "key",
        project=form.get("project") or "default",
        models=_list(form.get("models", "")),
        endpoints=_list(form.get("endpoints", "")),
        ip_ranges=_list(form.get("ip_ranges", "")),
        requests_per_minute=_whole(form.get("requests_per_minute", ""), "requests_per_minute"),
        budget_nanos=Money.parse(budget, tenant.currency, param="budget").nanos if budget else None,
        budget_period=period,
        expires_ns=None if ends_ns is None else ends_ns + DAY_NS,  # to the end of that day
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.replace(",", " ").split() if part)


def _whole(text: str, param: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or len(text) > 12:
        raise MintageError("invalid_request", f"{text[:40]!r} is not a whole number.", "Use digits.", param=param)
    return int(text)


async def create(visit: Visit, tenant: Tenant, form: dict[str, str]) -> CreatedKey:
    """Raises conflict for a form that was sent already."""
    new = new_key(form, tenant)
    check_once(visit, form.get("once", ""))
    return await asyncio.to_thread(visit.services.accounts.keys.create, visit.actor, tenant.id, new)


async def rotate(visit: Visit, tenant: Tenant, key_id: str, form: dict[str, str]) -> CreatedKey:
    hours = form.get("overlap", "24")
    if hours not in {str(choice) for choice in OVERLAPS_H}:
        raise MintageError("invalid_request", "There is no such overlap.", "Choose one of the list.", param="overlap")
    check_once(visit, form.get("once", ""))
    keys = visit.services.accounts.keys
    return await asyncio.to_thread(keys.rotate, visit.actor, tenant.id, key_id, overlap_s=int(hours) * _HOUR_S)


def secret_page(visit: Visit, place: str, made: CreatedKey, back: str) -> Response[bytes]:
    """The one page that ever holds the secret: the answer to the form itself, kept by no cache."""
    base = str(visit.request.base_url).rstrip("/")
    values = {"made": made, "back": back, "base_url": base}
    return visit.render("key_made.html", place, visit.t("key.made_title"), values)


@get("/console/customers/{customer:str}/keys/{key_id:str}/rotate")
async def ask_rotate(
    request: AnyRequest, services: Services, customer: FromPath[str], key_id: FromPath[str]
) -> Response[bytes]:
    visit = await open_visit(request, services, "keys.write")
    tenant = await asyncio.to_thread(services.accounts.tenants.get, customer)
    return await rotate_page(visit, tenant, key_id, place="customers", back=f"/console/customers/{tenant.handle}")


async def rotate_page(
    visit: Visit, tenant: Tenant, key_id: str, *, place: str, back: str, problem: MintageError | None = None
) -> Response[bytes]:
    """Asks for how long the old key goes on working."""
    key = await asyncio.to_thread(visit.services.accounts.keys.get, tenant.id, key_id)
    values = {"key": key, "tenant": tenant, "back": back, "overlaps": OVERLAPS_H, "once": remember_once(visit)}
    return visit.render("key_rotate.html", place, visit.t("key.rotate_title"), values, problem=problem)


@post("/console/customers/{customer:str}/keys/{key_id:str}/rotate", status_code=200)
async def rotate_key(
    request: AnyRequest, services: Services, customer: FromPath[str], key_id: FromPath[str]
) -> Response[Any]:
    visit = await open_visit(request, services, "keys.write")
    form = await visit.form()
    tenant = await asyncio.to_thread(services.accounts.tenants.get, customer)
    back = f"/console/customers/{tenant.handle}"
    try:
        made = await rotate(visit, tenant, key_id, form)
    except MintageError as error:
        return await rotate_page(visit, tenant, key_id, place="customers", back=back, problem=error)
    return secret_page(visit, "customers", made, back)


@post("/console/customers/{customer:str}/keys/{key_id:str}/revoke", status_code=303)
async def revoke_key(
    request: AnyRequest, services: Services, customer: FromPath[str], key_id: FromPath[str]
) -> Response[Any]:
    visit = await open_visit(request, services, "keys.write")
    await visit.form()
    tenant = await asyncio.to_thread(services.accounts.tenants.get, customer)
    await asyncio.to_thread(services.accounts.keys.revoke, visit.actor, tenant.id, key_id)
    return visit.go(f"/console/customers/{tenant.handle}", "key_revoked")


@get("/console/customers/{customer:str}/keys")
async def back_to_keys(customer: FromPath[str], request: AnyRequest, services: Services) -> Response[Any]:
    """Who opens the address of the form again finds the list, and no secret."""
    visit = await open_visit(request, services, "customers.read")
    tenant = await asyncio.to_thread(services.accounts.tenants.get, customer)
    return visit.go(f"/console/customers/{tenant.handle}#keys")


HANDLERS: Final[list[Any]] = [ask_rotate, rotate_key, revoke_key, back_to_keys]
