"""The lab: plans side by side over a workload, asked for in a form, computed as a job, shown with its uncertainty."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from mintage.base import MintageError
from mintage.console import figures
from mintage.console.door import AnyRequest, Services, find_session
from mintage.console.lab_view import comparison_values
from mintage.console.render import PAGE_HEADERS, SECURITY_HEADERS
from mintage.console.services import ConsoleServices
from mintage.console.table import Cell, Column, Empty, Table, link, moment, state, whole, words
from mintage.console.visit import DAY_NS, Visit, open_visit
from mintage.jobs import Job
from mintage.lab.work import KIND, check_wanted, folder_of
from mintage.pricing import PROFIT_MODELS, ProfitModel, canonical_form, example_plan, load_plan

ROWS: Final = 30
_ID: Final = re.compile(r"[A-Za-z0-9_-]{4,64}\Z")
_TONES: Final[dict[str, Any]] = {"queued": "wait", "running": "wait", "done": "ok", "failed": "bad", "cancelled": "cut"}
_FILES: Final = {"comparison.json": "application/json", "customers.parquet": "application/vnd.apache.parquet"}
#: A report stands alone: it may draw itself, and nothing else.
_REPORT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'"
)
GIVEN: Final = {
    "source": "log", "days": "90", "requests": "20000", "customers": "150", "fixed_cost": "0", "elasticity": "-0.5",
    "elasticity_sd": "0.2", "churn": "0.1", "churn_sd": "0.05", "cost_sd": "0.05", "runs": "1000",
}  # fmt: skip


@get("/console/lab")
async def lab_page(request: AnyRequest, services: Services) -> Response[bytes]:
    """What was compared, newest first."""
    visit = await open_visit(request, services, "money.read")
    t, cursor = visit.t, visit.query("cursor") or None
    jobs = await asyncio.to_thread(services.jobs.queue.page, kind=KIND, limit=ROWS + 1, before=cursor)
    whole_jobs = await asyncio.to_thread(lambda: [services.jobs.queue.get(one.id) for one in jobs[:ROWS]])
    table = Table(
        caption=t("lab.runs"),
        columns=[
            Column(t("customer.name"), wide=True), Column(t("customer.status")),
            Column(t("lab.plans"), numeric=True, keep=1),
            Column(t("lab.requests"), numeric=True, keep=1), Column(t("lab.best"), keep=2),
            Column(t("lab.chance"), numeric=True, keep=2), Column(t("lab.gain"), numeric=True),
            Column(t("job.made"), keep=1),
        ],
        rows=[_row(visit, job) for job in whole_jobs],
        empty=Empty(t("lab.none"), t("lab.none_text"), href="/console/lab/new", action=t("lab.new")),
        next_href=visit.link(cursor=jobs[ROWS - 1].id) if len(jobs) > ROWS else "",
        first_href=visit.link() if cursor else "",
    )  # fmt: skip
    return visit.render("lab.html", "lab", t("nav.lab"), {"table": table})


def _row(visit: Visit, job: Job) -> list[Cell]:
    found = job.result if isinstance(job.result, dict) else {}
    name = str((job.payload or {}).get("name") or job.id)
    gain = found.get("gain")
    return [
        link(name, f"/console/lab/runs/{job.id}", small=job.error.message if job.error else ""),
        state(visit.t(f"job.{job.state}"), _TONES[job.state]),
        whole(str(found.get("plans", ""))),
        whole(figures.count(found["rows"]) if "rows" in found else ""),
        words(str(found.get("recommended", ""))),
        whole(f"{found['best_chance']:.0%}" if "best_chance" in found else ""),
        whole("" if gain is None else f"{gain:+,.2f} {found['currency']}".replace("-", figures.MINUS)),
        moment(job.created_ns, day_only=True),
    ]


@get("/console/lab/new")
async def new_run(request: AnyRequest, services: Services) -> Response[bytes]:
    return await _form(await open_visit(request, services, "plans.write"), {})


async def _form(visit: Visit, form: dict[str, str], problem: MintageError | None = None) -> Response[bytes]:
    services = visit.services
    plans = (await asyncio.to_thread(services.billing.plans.page, limit=200)).items
    entries = await asyncio.to_thread(services.registry.list)
    costs = [f"{one.name}={one.upstream.provider}/{one.upstream.model}" for one in entries if one.upstream]
    chosen = {name for name in form if name.startswith(("plan:", "model:"))}
    values = {
        "given": GIVEN | {"costs": "\n".join(costs)} | form,
        "plans": plans,
        "plan_names": [(one.plan_id, one.name) for one in plans],
        "models": await asyncio.to_thread(_comparable, services.settings.currency),
        "chosen": chosen or ({f"plan:{plans[0].plan_id}"} if plans else set()),
    }
    return visit.render("lab_new.html", "lab", visit.t("lab.new"), values, problem=problem)


def _comparable(currency: str) -> list[ProfitModel]:
    """Profit models whose plan is in the operator's currency: bills of two currencies cannot be compared."""
    plans = {model: load_plan(example_plan(model).encode(), "toml") for model in PROFIT_MODELS}
    return [model for model, plan in plans.items() if plan.currency == currency and plan.period == "month"]


@post("/console/lab/new", status_code=303)
async def start_run(request: AnyRequest, services: Services) -> Response[Any]:
    visit = await open_visit(request, services, "plans.write")
    form = await visit.form()
    try:
        payload = await asyncio.to_thread(_payload, visit, form)
        check_wanted(payload)
        job = await asyncio.to_thread(services.jobs.enqueue, KIND, payload, actor=visit.actor)
    except MintageError as error:
        return await _form(visit, form, error)
    return visit.go(f"/console/lab/runs/{job.id}")


def _payload(visit: Visit, form: dict[str, str]) -> dict[str, Any]:
    """The form as a job's payload. Blocking. Raises invalid_request that names the field."""
    services, now_ns = visit.services, visit.services.clock.now_ns()
    baseline = f"plan:{form.get('baseline', '')}"
    sold = sorted((name for name in form if name.startswith("plan:")), key=lambda name: name != baseline)
    chosen = [services.billing.plans.current(name[5:], now_ns).plan for name in sold]
    wanted = [model for model in PROFIT_MODELS if form.get(f"model:{model.slug}")]
    chosen += [load_plan(example_plan(model).encode(), "toml") for model in wanted]
    texts = [canonical_form(plan).decode() for plan in chosen]
    if not texts:
        raise MintageError("invalid_request", "No plan is chosen.", "Choose at least one.", param="plan")

    def number(name: str, kind: Any = float) -> Any:
        try:
            return kind(form.get(name) or GIVEN[name])
        except ValueError as error:
            raise MintageError(
                "invalid_request", f"{name}: {form[name][:40]!r} is no number.", "Write a number.", param=name
            ) from error

    return {
        "name": form.get("name", "")[:120],
        "source": form.get("source") or "log",
        "start_ns": (now_ns // DAY_NS + 1 - max(1, number("days", int))) * DAY_NS,
        "end_ns": now_ns,
        "generated": {
            "requests": min(number("requests", int), 2_000_000),
            "customers": number("customers", int),
            "models": dict.fromkeys(sorted(services.gateway.snapshot.routes) or ["small"], 1.0),
        },
        "plans": texts,
        "costs": [line.strip() for line in form.get("costs", "").splitlines() if line.strip()],
        "fixed_cost": form.get("fixed_cost") or "0",
        "assumptions": {
            "elasticity": {"mean": number("elasticity"), "sd": number("elasticity_sd"), "source": "console"},
            "churn_response": {"mean": number("churn"), "sd": number("churn_sd"), "source": "console"},
            "cost_factor": {"mean": 1.0, "sd": number("cost_sd"), "source": "console"},
            "runs": min(number("runs", int), 20_000),
        },
        "language": visit.t.language,
    }


def _job(services: ConsoleServices, job_id: str) -> Job:
    """Raises not_found for what is no comparison. Blocking."""
    job = services.jobs.queue.get(job_id) if _ID.match(job_id) else None
    if job is None or job.kind != KIND:
        raise MintageError("not_found", "There is no such comparison.", "Look into /console/lab.")
    return job


@get("/console/lab/runs/{job_id:str}")
async def run_page(request: AnyRequest, services: Services, job_id: FromPath[str]) -> Response[bytes]:
    """The comparison; how far it is while it runs; why it failed."""
    visit = await open_visit(request, services, "money.read")
    job = await asyncio.to_thread(_job, services, job_id)
    name = str(job.payload.get("name") or job.id)
    values: dict[str, Any] = {
        "job": job,
        "name": name,
        "status": state(visit.t(f"job.{job.state}"), _TONES[job.state]),
        "step": visit.t.phrases.get(f"lab.step_{job.progress.message}", ""),
        "share": job.progress.done * 1000 // job.progress.total if job.progress.total else 0,
        "made": None,
    }
    if job.state == "done":
        values |= await asyncio.to_thread(_read, visit, job)
    return visit.render("lab_run.html", "lab", name, values)


def _read(visit: Visit, job: Job) -> dict[str, Any]:
    from mintage.lab.answers import read_answers

    made = read_answers(folder_of(visit.services.settings.home_path, job.id))
    tops = [row[0] for answer in made.answers for row in answer.by_customer[:20]]
    tops += [shock.customer for answer in made.answers for shock in answer.worst]
    names = visit.services.accounts.tenants.names(sorted(set(tops))[:1_000])
    return comparison_values(visit, made, names, visit.query("plan"))


@get("/console/lab/runs/{job_id:str}/state")
async def run_state(request: AnyRequest, services: Services, job_id: FromPath[str]) -> Response[dict[str, object]]:
    """For a page that waits: it keeps no session awake."""
    session = await find_session(request, services.accounts, touch=False)
    if session is None:
        return Response({"state": "signed_out"}, status_code=401, headers=PAGE_HEADERS)
    visit = Visit(request, services, session, None)  # type: ignore[arg-type]
    if not visit.may("money.read"):
        raise MintageError("permission_denied", "Your role does not allow this.", "Ask an owner.")
    job = await asyncio.to_thread(_job, services, job_id)
    told: dict[str, object] = {"state": job.state, "done": job.progress.done, "message": job.progress.message}
    return Response(told, headers=PAGE_HEADERS)


@get("/console/lab/runs/{job_id:str}/{name:str}")
async def run_file(
    request: AnyRequest, services: Services, job_id: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    """The report as a page of its own, in the reader's language; the data as files."""
    visit = await open_visit(request, services, "money.read")
    job = await asyncio.to_thread(_job, services, job_id)
    folder = folder_of(services.settings.home_path, job.id)
    if name == "report":
        from mintage.lab.answers import read_answers, render_html

        html = await asyncio.to_thread(lambda: render_html(read_answers(folder), visit.t.language))
        headers = PAGE_HEADERS | {"content-security-policy": _REPORT_POLICY}
        return Response(html.encode(), media_type="text/html", headers=headers)
    if name not in _FILES or not (folder / name).is_file():
        raise MintageError("not_found", "There is no such file.", "Go back to the comparison.")
    headers = SECURITY_HEADERS | {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(await asyncio.to_thread((folder / name).read_bytes), media_type=_FILES[name], headers=headers)


HANDLERS: Final[list[Any]] = [lab_page, new_run, start_run, run_page, run_state, run_file]
