"""Jobs and schedules: what runs beside the requests; start, follow, cancel and retry by hand."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import msgspec
from litestar import delete, get, post, put
from litestar.params import QueryParameter, RawBody

from mintage.accounts import Page, decode_cursor, encode_cursor
from mintage.base import MintageError
from mintage.jobs import Attempt, Job, Schedule
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Limit, Path, Query
from mintage.server.admin.services import Desk

_LOOK_EVERY_S: Final = 0.2
WAIT_MAX_S: Final = 30
Wait = Annotated[int, QueryParameter(ge=0, le=WAIT_MAX_S, description="Wait so many seconds for news.")]


class KindView(msgspec.Struct, frozen=True, kw_only=True):
    """by_hand: people may start it. running_max: at once, in all processes."""

    name: str
    explanation: str
    in_child: bool
    by_hand: bool
    attempts_max: int
    running_max: int
    timeout_s: float


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job with its tries. eta_s: seconds still to go, where the job tells how far it is."""

    job: Job
    eta_s: float | None
    attempts: list[Attempt]


class NewJob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """key: the same key again gives the same job. Without a customer, the job is the operator's own."""

    kind: str
    payload: Any = None
    customer: str | None = None
    key: str | None = None
    priority: int = 0


class NewSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """cron: minute, hour, day, month, weekday, in time_zone."""

    kind: str
    cron: str
    payload: Any = None
    time_zone: str = "UTC"
    enabled: bool = True


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    deleted: bool = True


def _view(desk: Desk, job_id: str) -> JobView:
    job = desk.jobs.queue.get(job_id)
    eta_s = job.progress.eta_s if job.state == "running" else None
    return JobView(job=job, eta_s=eta_s, attempts=desk.jobs.queue.attempts(job_id))


def _record(desk: Desk, actor: str, action: str, subject: str, tenant_id: str | None = None, **details: Any) -> None:
    with desk.accounts.changes.change(actor, action, subject, tenant_id=tenant_id, **details):
        pass


def _check_by_hand(desk: Desk, kind: str) -> None:
    if not desk.jobs.kinds.get(kind).by_hand:
        names = ", ".join(known.name for known in desk.jobs.kinds.all() if known.by_hand)
        raise MintageError(
            "permission_denied", f"Jobs of the kind {kind} are started by Mintage itself.", f"By hand: {names}."
        )


@get("/jobs", sync_to_thread=True)
def list_jobs(
    desk: DeskPart,
    *,
    wanted: Annotated[str | None, QueryParameter(name="state")] = None,
    kind: Query = None,
    customer: Query = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[Job]:
    """Jobs, newest first. state: queued, running, done, failed or cancelled. Payloads and results: see one job."""
    tenant_id = desk.accounts.tenants.get(customer).id if customer else None
    before = decode_cursor(cursor) if cursor else None
    found = desk.jobs.queue.page(tenant_id=tenant_id, kind=kind, state=wanted, limit=limit, before=before)
    return Page(items=found, next_cursor=encode_cursor(found[-1].id) if len(found) == limit else None)


@get("/jobs/kinds")
async def list_kinds(desk: DeskPart) -> list[KindView]:
    """Which kinds of jobs this program knows."""
    return [
        KindView(
            name=kind.name,
            explanation=kind.explanation,
            in_child=kind.in_child,
            by_hand=kind.by_hand,
            attempts_max=kind.attempts_max,
            running_max=kind.running_max,
            timeout_s=kind.timeout_s,
        )
        for kind in desk.jobs.kinds.all()
    ]


@post("/jobs", takes=NewJob, example={"kind": "jobs.prune"}, sync_to_thread=True)
def start_job(desk: DeskPart, actor: Actor, body: RawBody) -> JobView:
    """Start a job by hand."""
    new = decode(body, NewJob)
    _check_by_hand(desk, new.kind)
    tenant_id = desk.accounts.tenants.get(new.customer).id if new.customer else None
    job = desk.jobs.enqueue(new.kind, new.payload, tenant_id=tenant_id, key=new.key, priority=new.priority, actor=actor)
    _record(desk, actor, "job.start", job.id, tenant_id, kind=new.kind)
    return _view(desk, job.id)


@get("/jobs/{job:str}")
async def show_job(desk: DeskPart, job: Path, wait_s: Wait = 0) -> JobView:
    """One job with its payload, result and tries, and the end of what each try wrote. wait_s: answer when something
    has changed or it has ended, at the latest after so many seconds."""
    before = view = await asyncio.to_thread(_view, desk, job)
    if wait_s:
        await desk.start_jobs()
    until_s = asyncio.get_running_loop().time() + wait_s
    while view == before and not view.job.ended and asyncio.get_running_loop().time() < until_s:
        await asyncio.sleep(_LOOK_EVERY_S)
        view = await asyncio.to_thread(_view, desk, job)
    return view


@post("/jobs/{job:str}/cancel", status_code=200, sync_to_thread=True)
def cancel_job(desk: DeskPart, actor: Actor, job: Path) -> JobView:
    """End a job: a waiting one now, a running one as soon as it listens, or by force after its grace."""
    found = desk.jobs.queue.cancel(job)
    _record(desk, actor, "job.cancel", found.id, found.tenant_id, kind=found.kind)
    return _view(desk, found.id)


@post("/jobs/{job:str}/retry", status_code=200, sync_to_thread=True)
def retry_job(desk: DeskPart, actor: Actor, job: Path) -> JobView:
    """Queue a failed or cancelled job again."""
    found = desk.jobs.queue.retry(job)
    _record(desk, actor, "job.retry", found.id, found.tenant_id, kind=found.kind)
    return _view(desk, found.id)


@get("/schedules", sync_to_thread=True)
def list_schedules(desk: DeskPart) -> list[Schedule]:
    """What runs again and again, and when next."""
    return desk.jobs.schedules.all()


@put("/schedules/{name:str}", takes=NewSchedule, example={"kind": "backup", "cron": "0 3 * * *"}, sync_to_thread=True)
def set_schedule(desk: DeskPart, actor: Actor, name: Path, body: RawBody) -> Schedule:
    """Make a schedule, or replace one."""
    new = decode(body, NewSchedule)
    if name not in {known.name for known in desk.jobs.schedules.all() if known.kind == new.kind}:
        _check_by_hand(desk, new.kind)
    made = desk.jobs.schedules.set(name, new.kind, new.cron, new.payload, time_zone=new.time_zone, enabled=new.enabled)
    _record(desk, actor, "schedule.set", name, kind=new.kind, cron=new.cron, enabled=new.enabled)
    return made


@delete("/schedules/{name:str}", status_code=200, sync_to_thread=True)
def delete_schedule(desk: DeskPart, actor: Actor, name: Path) -> Gone:
    """Forget a schedule. One that Mintage needs comes back at the next start: disable it instead."""
    desk.jobs.schedules.delete(name)
    _record(desk, actor, "schedule.delete", name)
    return Gone(name=name)


HANDLERS: Final[list[Any]] = [
    list_jobs,
    list_kinds,
    start_job,
    show_job,
    cancel_job,
    retry_job,
    list_schedules,
    set_schedule,
    delete_schedule,
]
