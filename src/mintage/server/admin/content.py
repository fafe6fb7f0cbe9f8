"""What is kept of a customer's prompts and answers: choose, look, erase."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import delete, get, put
from litestar.params import RawBody

from mintage.content import ContentPolicy
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import Actor, DeskPart, Path


class KeptContent(msgspec.Struct, frozen=True, kw_only=True):
    """content: what was kept, by the customer's choice at that time."""

    request_id: str
    content: Any


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """The customer's key is destroyed: files, prompts and answers cannot be read any more. The books are whole."""

    customer: str
    erased: bool = True


@get("/customers/{customer:str}/content-policy", sync_to_thread=True)
def show_policy(desk: DeskPart, customer: Path) -> ContentPolicy:
    """What is kept: nothing, metadata or full, and for how many days."""
    return desk.content.policies.get(desk.accounts.tenants.get(customer).id)


@put(
    "/customers/{customer:str}/content-policy",
    takes=ContentPolicy,
    example={"keep": "full", "days": 30},
    sync_to_thread=True,
)
def set_policy(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> ContentPolicy:
    """Choose what is kept from the next request on. Less also removes what was kept, with the next nightly sweep."""
    tenant, policy = desk.accounts.tenants.get(customer), decode(body, ContentPolicy)
    made = desk.content.policies.set(tenant.id, policy)
    _record(desk, actor, "content.policy", tenant.id, keep=policy.keep, days=policy.days)
    return made


@get("/customers/{customer:str}/content/{request_id:str}", sync_to_thread=True)
def show_content(desk: DeskPart, actor: Actor, customer: Path, request_id: Path) -> KeptContent:
    """What was kept of one request. Looking is in the audit log."""
    tenant = desk.accounts.tenants.get(customer)
    content = desk.content.records.read(tenant.id, request_id)
    _record(desk, actor, "content.show", tenant.id, request_id=request_id)
    return KeptContent(request_id=request_id, content=content)


@delete("/customers/{customer:str}/content", status_code=200, sync_to_thread=True)
def erase_content(desk: DeskPart, actor: Actor, customer: Path) -> Erased:
    """Destroy the customer's key, and with it every file, prompt and answer. There is no way back."""
    tenant = desk.accounts.tenants.get(customer)
    desk.content.erase(tenant.id)
    _record(desk, actor, "content.erase", tenant.id)
    return Erased(customer=tenant.id)


def _record(desk: DeskPart, actor: str, action: str, tenant_id: str, **details: Any) -> None:
    with desk.accounts.changes.change(actor, action, tenant_id, tenant_id=tenant_id, **details):
        pass


HANDLERS: Final[list[Any]] = [show_policy, set_policy, show_content, erase_content]
