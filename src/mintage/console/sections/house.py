"""The operator's own: staff and their roles, the audit log, jobs, settings."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from mintage import __version__
from mintage.accounts import ROLES, STAFF_ROLES, TABLE, StaffUpdate
from mintage.base import MintageError, explain_settings
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.sections.keys import check_once, remember_once
from mintage.console.table import Column, Empty, Table, code, link, moment, number, state, words
from mintage.console.visit import DAY_NS, Visit, day_ns, open_visit
from mintage.jobs import STATES

ROWS: Final = 50
_DETAIL_CHARS: Final = 160
_JSON_CHARS: Final = 20_000
_JOB_TONES: Final[dict[str, Any]] = {
    "queued": "off", "running": "wait", "done": "ok", "failed": "bad", "cancelled": "cut",
}  # fmt: skip


@get("/console/staff")
async def staff_page(request: AnyRequest, services: Services) -> Response[bytes]:
    return await _staff(await open_visit(request, services, "staff.read"))


async def _staff(
    visit: Visit, *, given: dict[str, str] | None = None, problem: MintageError | None = None, invited: str = ""
) -> Response[bytes]:
    t, cursor = visit.t, visit.query("cursor") or None
    page = await asyncio.to_thread(visit.services.accounts.staff.page, limit=ROWS, cursor=cursor)
    values = {
        "people": [{"one": one, "since": figures.iso_time(one.created_ns)[:10]} for one in page.items],
        "roles": [(role, t(f"role.{role}")) for role in STAFF_ROLES],
        "permissions": [(name, TABLE[name], [name in ROLES[role] for role in STAFF_ROLES]) for name in TABLE
                        if not name.startswith("portal.")],
        "next_href": visit.link(cursor=page.next_cursor) if page.next_cursor else "",
        "given": given or {},
        "once": remember_once(visit),
        "invited": invited,
        "me": visit.session.person.id,
    }  # fmt: skip
    return visit.render("staff.html", "staff", t("nav.staff"), values, problem=problem)


@post("/console/staff", status_code=200)
async def invite(request: AnyRequest, services: Services) -> Response[bytes]:
    """A person, and the link for their first sign-in, shown once."""
    visit = await open_visit(request, services, "staff.write")
    form = await visit.form()
    try:
        check_once(visit, form.get("once", ""))
        _, sign_in = await asyncio.to_thread(
            services.accounts.staff.invite, visit.actor, name=form.get("name", ""), email=form.get("email", ""),
            role=form.get("role", ""),
        )  # fmt: skip
    except MintageError as error:
        return await _staff(visit, given=form, problem=error)
    return await _staff(visit, invited=f"{str(request.base_url).rstrip('/')}/console/sign-in/{sign_in.token}")


@post("/console/staff/{person:str}", status_code=303)
async def change_staff(request: AnyRequest, services: Services, person: FromPath[str]) -> Response[Any]:
    """A role, or whether the person may come in at all."""
    visit = await open_visit(request, services, "staff.write")
    form = await visit.form()
    fields: dict[str, Any] = {}
    if role := form.get("role"):
        fields["role"] = role
    if "disabled" in form:
        fields["disabled"] = form["disabled"] == "yes"
    try:
        await asyncio.to_thread(services.accounts.staff.update, visit.actor, person, StaffUpdate(**fields))
    except MintageError as error:
        return await _staff(visit, problem=error)
    return visit.go("/console/staff", "staff_changed")


@get("/console/audit")
async def audit_page(request: AnyRequest, services: Services) -> Response[bytes]:
    """Who changed what, newest first; the chain is walked when one asks."""
    visit = await open_visit(request, services, "audit.read")
    t, cursor = visit.t, visit.query("cursor") or None
    wanted = {name: visit.query(name) for name in ("customer", "actor", "action", "from", "to")}
    tenant = await asyncio.to_thread(services.accounts.tenants.get, wanted["customer"]) if wanted["customer"] else None
    end_ns = day_ns(wanted["to"], "to")
    page = await asyncio.to_thread(
        services.accounts.changes.log, tenant_id=tenant.id if tenant else None, actor=wanted["actor"] or None,
        action=wanted["action"] or None, start_ns=day_ns(wanted["from"], "from"),
        end_ns=None if end_ns is None else end_ns + DAY_NS, limit=ROWS, cursor=cursor,
    )  # fmt: skip
    report = await asyncio.to_thread(services.accounts.changes.verify) if visit.query("verify") else None
    table = Table(
        caption=t("nav.audit"),
        columns=[
            Column(t("audit.when")),
            Column(t("audit.actor"), keep=2),
            Column(t("audit.action")),
            Column(t("audit.subject"), keep=1),
            Column(t("audit.details"), wide=True, keep=2),
        ],
        rows=[
            [
                moment(entry.at_ns),
                link(entry.actor, visit.link(actor=entry.actor), title=entry.actor),
                link(_said(visit, entry.action), visit.link(action=entry.action), small=entry.action),
                words(entry.subject, title=entry.subject),
                words(_details(entry.details), title=f"{entry.seq} {entry.hash}"),
            ]
            for entry in page.items
        ],
        empty=Empty(t("audit.none"), t("usage.none_text")),
        next_href=visit.link(cursor=page.next_cursor) if page.next_cursor else "",
        first_href=visit.link() if cursor else "",
    )
    values = {"table": table, "wanted": wanted, "report": report}
    return visit.render("audit.html", "audit", t("nav.audit"), values)


def _said(visit: Visit, action: str) -> str:
    """An action in words; its own name where we have none."""
    return visit.t.phrases.get(f"action.{action.replace('.', '_')}", action)


def _details(details: dict[str, Any]) -> str:
    text = json.dumps(details, ensure_ascii=False, separators=(", ", ": "))
    return "" if text == "{}" else text[1:-1].replace('"', "")[:_DETAIL_CHARS]


@get("/console/jobs")
async def jobs_page(request: AnyRequest, services: Services) -> Response[bytes]:
    """What works in the background, newest first."""
    visit = await open_visit(request, services, "jobs.read")
    t, cursor = visit.t, visit.query("cursor") or None
    wanted = {"state": visit.query("state"), "kind": visit.query("kind")}
    jobs = await asyncio.to_thread(
        services.jobs.queue.page,
        state=wanted["state"] or None,
        kind=wanted["kind"] or None,
        limit=ROWS + 1,
        before=cursor,
    )
    table = Table(
        caption=t("nav.jobs"),
        columns=[
            Column(t("job.kind"), wide=True),
            Column(t("job.state")),
            Column(t("job.progress"), keep=2),
            Column(t("job.attempts"), numeric=True, keep=1),
            Column(t("job.made"), keep=1),
            Column(t("job.ended"), keep=2),
        ],
        rows=[
            [
                link(job.kind, f"/console/jobs/{job.id}", small=job.error.message if job.error else "", title=job.id),
                state(t(f"job.{job.state}"), _JOB_TONES[job.state]),
                words(_progress(job.progress)),
                number(job.attempts, title=str(job.attempts_max)),
                moment(job.created_ns),
                moment(job.ended_ns),
            ]
            for job in jobs[:ROWS]
        ],
        empty=Empty(t("job.none"), t("job.none_text")),
        next_href=visit.link(cursor=jobs[ROWS - 1].id) if len(jobs) > ROWS else "",
        first_href=visit.link() if cursor else "",
    )
    states = [("", t("table.any")), *((one, t(f"job.{one}")) for one in STATES)]
    counts = await asyncio.to_thread(services.jobs.queue.counts)
    sums = {one: figures.count(sum(n for (_, of), n in counts.items() if of == one)) for one in STATES}
    values = {"table": table, "wanted": wanted, "states": states, "sums": sums}
    return visit.render("jobs.html", "jobs", t("nav.jobs"), values)


@get("/console/jobs/{job_id:str}")
async def job_page(request: AnyRequest, services: Services, job_id: FromPath[str]) -> Response[bytes]:
    """One job: what it was given, every try of it, what it wrote and what came of it."""
    visit = await open_visit(request, services, "jobs.read")
    return await _job(visit, job_id)


async def _job(visit: Visit, job_id: str, problem: MintageError | None = None) -> Response[bytes]:
    queue, t = visit.services.jobs.queue, visit.t
    job = await asyncio.to_thread(queue.get, job_id)
    tries = await asyncio.to_thread(queue.attempts, job_id)
    values = {
        "job": job,
        "status": state(t(f"job.{job.state}"), _JOB_TONES[job.state]),
        "progress": _progress(job.progress),
        "share": min(1000, job.progress.done * 1000 // job.progress.total) if job.progress.total else 0,
        "payload": _json_text(job.payload),
        "result": _json_text(job.result),
        "tries": [
            {"one": one, "began": moment(one.started_ns), "ended": moment(one.ended_ns),
             "says": t.phrases.get(f"job.outcome_{one.outcome}", one.outcome)}
            for one in tries
        ],
        "made": moment(job.created_ns),
    }  # fmt: skip
    return visit.render("job.html", "jobs", job.kind, values, problem=problem)


def _json_text(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, indent=2)[:_JSON_CHARS]


@post("/console/jobs/{job_id:str}/{action:str}", status_code=303)
async def change_job(
    request: AnyRequest, services: Services, job_id: FromPath[str], action: FromPath[str]
) -> Response[Any]:
    """cancel or retry."""
    visit = await open_visit(request, services, "jobs.write")
    await visit.form()
    change = {"cancel": services.jobs.queue.cancel, "retry": services.jobs.queue.retry}.get(action)
    if change is None:
        raise MintageError("not_found", "There is no such change.", "Go back to the page.")
    try:
        await asyncio.to_thread(change, job_id)
    except MintageError as error:
        if error.code == "not_found":
            raise
        return await _job(visit, job_id, error)
    return visit.go(f"/console/jobs/{job_id}", f"job_{action}")


def _progress(progress: Any) -> str:
    total = getattr(progress, "total", 0) or 0
    done = getattr(progress, "done", 0) or 0
    message = getattr(progress, "message", "") or ""
    counted = f"{figures.count(int(done))} / {figures.count(int(total))}" if total else ""
    return " · ".join(part for part in (counted, message) if part)


@get("/console/settings")
async def settings_page(request: AnyRequest, services: Services) -> Response[bytes]:
    """The legal entity, and every setting with its meaning and where its value comes from."""
    visit = await open_visit(request, services, "operator.read")
    t = visit.t
    entity = await asyncio.to_thread(services.entity)
    origins = await asyncio.to_thread(explain_settings, home=services.settings.home)
    table = Table(
        caption=t("nav.settings"),
        columns=[
            Column(t("setting.name")),
            Column(t("setting.value")),
            Column(t("setting.source"), keep=2),
            Column(t("setting.meaning"), wide=True, keep=2),
        ],
        rows=[
            [code(one.name), words(str(one.value)), words(t.phrases.get(f"setting.from_{one.source}", one.source)),
             words(one.explanation, title=one.explanation)]
            for one in origins
        ],
        empty=Empty("", ""),
    )  # fmt: skip
    values = {"table": table, "entity": entity, "version": __version__}
    return visit.render("settings.html", "settings", t("nav.settings"), values)


HANDLERS: Final[list[Any]] = [
    staff_page,
    invite,
    change_staff,
    audit_page,
    jobs_page,
    job_page,
    change_job,
    settings_page,
]
