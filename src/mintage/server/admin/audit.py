"""The audit log: who changed what, when; searched, and its hash chain verified."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import get
from litestar.params import QueryParameter

from mintage.accounts import AuditEntry, AuditReport, Page
from mintage.server.admin.bodies import day_ns
from mintage.server.admin.depends import LIMIT_DEFAULT, Cursor, DeskPart, Limit, Query


@get("/audit", sync_to_thread=True)
def list_audit(
    desk: DeskPart,
    *,
    customer: Query = None,
    subject: Query = None,
    who: Annotated[str | None, QueryParameter(name="actor", description="As entries name them.")] = None,
    action: Query = None,
    start: Query = None,
    end: Query = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[AuditEntry]:
    """Every change, newest first. action: a whole one (key.create) or a group (key.). UTC days; end not included."""
    return desk.accounts.changes.log(
        tenant_id=desk.accounts.tenants.get(customer).id if customer else None,
        subject=subject,
        actor=who,
        action=action,
        start_ns=day_ns(start, "start"),
        end_ns=day_ns(end, "end"),
        limit=limit,
        cursor=cursor,
    )


@get("/audit/verify", sync_to_thread=True)
def verify_audit(desk: DeskPart) -> AuditReport:
    """Walk the audit log's hash chain."""
    return desk.accounts.changes.verify()


HANDLERS: Final[list[Any]] = [list_audit, verify_audit]
