"""`mintage jobs`: what runs beside the requests; look, start, cancel, retry, schedule."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from mintage.base import MintageError
from mintage.cli import exits
from mintage.cli.client import session
from mintage.cli.options import Cursor, Home, Json, Limit, OneCustomer
from mintage.cli.output import facts, more, print_json, say, table, when
from mintage.cli.progress import job_progress

app = typer.Typer(help="Jobs: work that runs beside the requests.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="Id of a job.", metavar="JOB")]


def _percent(job: dict[str, Any]) -> str:
    progress = job["progress"]
    if progress["total"]:
        return f"{100 * progress['done'] / progress['total']:.0f} %"
    return f"{progress['done']:,}" if progress["done"] else ""


@app.command("list")
def list_(
    *,
    state: Annotated[str | None, typer.Option(help="queued, running, done, failed or cancelled.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    customer: OneCustomer = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    with session(home, as_json=as_json) as api:
        page = api.get("/jobs", state=state, kind=kind, customer=customer, limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [
        (job["id"], job["kind"], job["state"], _percent(job), job["attempts"], when(job["created_ns"]), _why(job))
        for job in page["items"]
    ]
    table("Jobs", ("id", "kind", "state", "progress", "tries", "since (UTC)", "note"), rows, right=("tries",))
    more(page)


def _why(job: dict[str, Any]) -> str:
    return str(job["error"]["message"]) if job["error"] else str(job["progress"]["message"])


@app.command()
def show(job: JobId, home: Home = None, as_json: Json = False) -> None:
    """Show one job: payload, progress, result, and what each try wrote."""
    with session(home, as_json=as_json) as api:
        view = api.get(f"/jobs/{job}")
    if as_json:
        print_json(view)
    else:
        _tell(view)


def _tell(view: dict[str, Any]) -> None:
    job = view["job"]
    pairs = [(name, job[name]) for name in ("kind", "state", "tenant_id", "priority", "created_by")]
    pairs += [
        (name.removesuffix("_ns") + " (UTC)", when(job[name])) for name in ("created_ns", "started_ns", "ended_ns")
    ]
    pairs += [("progress", _percent(job)), ("message", job["progress"]["message"])]
    if view["eta_s"] is not None:
        pairs.append(("seconds to go", round(view["eta_s"])))
    for name in ("payload", "result"):
        if job[name] is not None:
            pairs.append((name, msgspec.json.encode(job[name]).decode()[:2000]))
    if job["error"]:
        pairs += [("error", job["error"]["message"]), ("hint", job["error"]["hint"])]
    facts(job["id"], pairs)
    for number, attempt in enumerate(view["attempts"], 1):
        say(
            f"Try {number}: {attempt['outcome']}, {when(attempt['started_ns'])} to {when(attempt['ended_ns']) or 'now'}"
        )
        if attempt["output"]:
            say(attempt["output"])


@app.command()
def cancel(job: JobId, home: Home = None, as_json: Json = False) -> None:
    """End a job: a waiting one now, a running one as soon as it listens, or by force after its grace."""
    _do("cancel", job, home, as_json)


@app.command()
def retry(job: JobId, home: Home = None, as_json: Json = False) -> None:
    """Queue a failed or cancelled job again."""
    _do("retry", job, home, as_json)


def _do(action: str, job: str, home: str | None, as_json: bool) -> None:
    with session(home, as_json=as_json) as api:
        view = api.call("POST", f"/jobs/{job}/{action}")
    if as_json:
        print_json(view)
        return
    found = view["job"]
    asked = " and was asked to end" if found["state"] == "running" and found["cancel_ns"] else ""
    say(f"{found['id']} is {found['state']}{asked}.")


@app.command()
def run(
    kind: Annotated[str, typer.Argument(help="Kind of job; `mintage jobs kinds` lists them.")],
    *,
    payload: Annotated[str, typer.Option(help="What the job is given, as JSON.", metavar="JSON")] = "null",
    customer: OneCustomer = None,
    key: Annotated[str | None, typer.Option(help="The same key again gives the same job.")] = None,
    wait: Annotated[bool, typer.Option(help="Follow it until it has ended.")] = True,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Start a job and follow it. Exit code 1 if it fails or is cancelled. Works without a server too."""
    with session(home, as_json=as_json) as api:
        new = {"kind": kind, "payload": _parsed(payload), "customer": customer, "key": key}
        view = api.call("POST", "/jobs", json=new)
        if wait:
            with job_progress() as shown:
                while view["job"]["state"] in ("queued", "running"):
                    view = api.get(f"/jobs/{view['job']['id']}", wait_s=10)
                    shown(view["job"]["progress"])
    if as_json:
        print_json(view)
    else:
        _tell(view)
    if view["job"]["state"] in ("failed", "cancelled"):
        raise typer.Exit(exits.FAILURE)


def _parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise MintageError(
            "invalid_request", f"The payload is not JSON: {error}.", "Quote it for your shell."
        ) from error


@app.command()
def kinds(home: Home = None, as_json: Json = False) -> None:
    """List the kinds of jobs there are."""
    with session(home, as_json=as_json) as api:
        found = api.get("/jobs/kinds")
    if as_json:
        print_json(found)
        return
    rows = [
        (kind["name"], kind["explanation"], "yes" if kind["by_hand"] else "", kind["attempts_max"]) for kind in found
    ]
    table("Kinds of jobs", ("kind", "what it does", "by hand", "tries"), rows, right=("tries",))


@app.command()
def schedules(home: Home = None, as_json: Json = False) -> None:
    """List what runs again and again."""
    with session(home, as_json=as_json) as api:
        found = api.get("/schedules")
    if as_json:
        print_json(found)
        return
    rows = [
        (one["name"], one["kind"], one["cron"], one["time_zone"], when(one["next_ns"]) if one["enabled"] else "paused")
        for one in found
    ]
    table("Schedules", ("name", "kind", "cron", "time zone", "next (UTC)"), rows)


@app.command()
def schedule(
    name: Annotated[str, typer.Argument(help="Name of the schedule.")],
    kind: Annotated[str, typer.Argument(help="Kind of job.")],
    cron: Annotated[str, typer.Argument(help='Minute, hour, day, month, weekday: "0 3 * * *".')],
    *,
    payload: Annotated[str, typer.Option(help="What each job is given, as JSON.", metavar="JSON")] = "null",
    time_zone: Annotated[str, typer.Option(help="IANA time zone.")] = "UTC",
    enabled: Annotated[bool, typer.Option(help="Whether it runs.")] = True,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a schedule, or replace one."""
    with session(home, as_json=as_json) as api:
        new = {"kind": kind, "cron": cron, "payload": _parsed(payload), "time_zone": time_zone, "enabled": enabled}
        made = api.call("PUT", f"/schedules/{name}", json=new)
    if as_json:
        print_json(made)
    else:
        say(f"{made['name']} runs next at {when(made['next_ns'])} UTC." if enabled else f"{made['name']} is paused.")


@app.command()
def unschedule(
    name: Annotated[str, typer.Argument(help="Name of the schedule.")], home: Home = None, as_json: Json = False
) -> None:
    """Forget a schedule."""
    with session(home, as_json=as_json) as api:
        gone = api.call("DELETE", f"/schedules/{name}")
    if as_json:
        print_json(gone)
    else:
        say(f"{name} is forgotten.")
