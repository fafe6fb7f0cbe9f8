"""`mintage factory`: make a model by a recipe, look at runs, their lineage and what they cost."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintage.base import MintageError, Settings, load_settings
from mintage.cli.client import reporting, session
from mintage.cli.options import Home, Json
from mintage.cli.output import amount, facts, print_json, say, table, units, when

if TYPE_CHECKING:
    from mintage.factory.make import FirstAnswer, Plan
    from mintage.factory.run import Run, RunProgress

app = typer.Typer(help="The factory: make a model by a recipe, and see what it cost.", no_args_is_help=True)

RunName = Annotated[str, typer.Argument(help="Id of a run, or the name of its recipe.", metavar="RUN")]


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as recipes/tiny.toml.", metavar="RECIPE")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what it would take and cost.")] = False,
    promote: Annotated[bool, typer.Option(help="Sell the model as [serve] says, once it is made.")] = True,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a model. A run that stopped goes on where it was; Ctrl-C stops it."""
    with reporting(as_json=as_json):
        from mintage.factory.costs import compute_price
        from mintage.factory.make import begin, make, plan_of
        from mintage.factory.recipe import load_recipe

        settings = load_settings(home=home)
        loaded = load_recipe(recipe)
        plan = plan_of(loaded.recipe, compute_price(settings))
        if dry_run:
            _tell_plan(plan, as_json)
            return
        made = begin(settings.home_path, loaded)
        if not as_json:
            say(f"{made.state.id}: about {plan.seconds / 60:,.0f} min and {amount(plan.cost_nanos, plan.currency)}.")
        try:
            with _progress(plan.currency, quiet=as_json) as tell, _stopping() as stop:
                state = make(made, settings, progress=tell, cancelled=stop)
        except BaseException:
            _record(home, made, settings)
            raise
        if state.state == "cancelled":
            _record(home, made, settings)
            raise MintageError("client_closed", f"The run {state.id} was stopped.", "The same command goes on with it.")
        promoted, answers = _serving(settings, lambda url: _sell(home, url, made, promote))
        _tell_made(made, promoted, answers, as_json)


def _record(home: str | None, made: Run, settings: Settings) -> None:
    """What a stopped run has cost so far is booked, unless the books are closed to us now: then the next run does."""
    from contextlib import ExitStack, suppress

    from mintage.cli.client import _connect

    with suppress(MintageError), ExitStack() as stack:
        _connect(stack, home).call("POST", f"/factory/runs/{made.state.id}/record")


def _sell(home: str | None, url: str, made: Run, promote: bool) -> tuple[dict[str, Any], list[FirstAnswer]]:
    from mintage.client import AdminClient
    from mintage.factory.make import sell

    with AdminClient.of_home(load_settings(home=home).home_path, timeout_s=600.0) as api:
        if not promote:
            return api.call("POST", f"/factory/runs/{made.state.id}/record"), []
        return sell(api, url, made)


def _serving(settings: Settings, work: Callable[[str], Any]) -> Any:
    """work(url of the server): of the one that runs, or of one that serves for as long as the work takes."""
    from mintage.books import Home as HomeFolder

    there = HomeFolder(settings.home_path)
    address = there.server() if there.in_use() else None
    return work(address.url) if address is not None else asyncio.run(_serve_for(settings, work))


async def _serve_for(settings: Settings, work: Callable[[str], Any]) -> Any:
    import msgspec

    from mintage.app import App, Service
    from mintage.app.pages import make_pages

    app = await App.open(msgspec.structs.replace(settings, port=0))
    try:
        service = await Service.start(app, make_pages=make_pages)
        try:
            return await asyncio.to_thread(work, service.url)
        finally:
            await service.stop()
    finally:
        await app.close()


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask the run to stop at its next step of work; a second Ctrl-C ends it at once."""
    from mintage.factory.run import StopFlag

    flag = StopFlag()

    def ask(number: int, frame: object) -> None:
        if flag():
            raise KeyboardInterrupt
        flag.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(currency: str, *, quiet: bool) -> Iterator[RunProgress]:
    """A bar a step, on standard error: rate, time to go, cost so far. Into a pipe, one line a step."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True, quiet=quiet)
    bar = Progress(
        TextColumn("{task.fields[step]:<10}"), BarColumn(20), TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        TextColumn("{task.fields[cost]} " + currency), console=console, disable=not sys.stderr.isatty(),
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}

    def tell(step: str, done: int, total: int | None, note: str, spent_nanos: int) -> None:
        cost = f"{spent_nanos / 10**9:.6f}"
        if step not in tasks:
            if not sys.stderr.isatty() and not quiet:
                console.print(f"{step} ({cost} {currency} so far)", highlight=False)
            tasks[step] = bar.add_task("", total=total, step=step, note=note, cost=cost)
        bar.update(tasks[step], completed=done, total=total, note=note[:40], cost=cost)

    with bar:
        yield tell


def _tell_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    first = plan.pretrain
    facts(
        plan.name,
        [
            ("steps", ", ".join(plan.steps)),
            ("parameters", f"{first.parameters:,}"),
            ("tokens", f"{first.tokens:,} ({plan.tokens_per_parameter:g} a parameter)"),
            ("operations", f"{first.flops:.2e}"),
            ("memory", f"{first.memory_bytes / 10**9:,.2f} GB a device" + ("" if first.fits else ": does NOT fit")),
            ("devices", f"{first.devices} x {first.device}"),
            ("time", f"{plan.seconds / 3600:,.2f} hours"),
            ("energy", f"{first.energy_wh / 1000:,.3f} kWh (estimate)"),
            ("cost", amount(plan.cost_nanos, plan.currency)),
        ],
    )


def _tell_made(made: Run, promoted: dict[str, Any], answers: list[FirstAnswer], as_json: bool) -> None:
    if as_json:
        state = made.state
        print_json({"run": state.id, "state": state.state, "folder": str(made.folder), "result": promoted,
                    "answers": answers, "cost_nanos": sum(line.nanos for line in made.costs())})  # fmt: skip
        return
    for answer in answers:
        facts(
            answer.ask,
            [
                ("answer", answer.answer),
                ("charge", amount(answer.charge_nanos, answer.currency)),
                ("our cost", amount(answer.cost_nanos, answer.currency)),
                ("margin", amount(answer.margin_nanos, answer.currency)),
            ],
        )
    if "model" in promoted and "plan" in promoted:
        say(f"{promoted['model']} is sold by the plan {promoted['plan']}.")
    say(f"Making it cost {units(sum(line.nanos for line in made.costs()))}. Report: {made.folder / 'report.html'}")


@app.command()
def runs(home: Home = None, as_json: Json = False) -> None:
    """List runs, newest first."""
    with session(home, as_json=as_json) as api:
        found = api.get("/factory/runs")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            view["run"]["id"], view["run"]["name"], view["run"]["state"], when(view["run"]["created_ns"]),
            units(view["cost_nanos"]), ", ".join(view["models"]), view["run"]["error"],
        )
        for view in found
    ]  # fmt: skip
    table("Runs", ("id", "recipe", "state", "since (UTC)", "cost", "served as", "problem"), rows, right=("cost",))


@app.command()
def show(run: RunName, home: Home = None, as_json: Json = False) -> None:
    """Show one run: its steps, what they made, how long they took."""
    with session(home, as_json=as_json) as api:
        view = api.get(f"/factory/runs/{run}")
    if as_json:
        print_json(view)
        return
    found = view["run"]
    cost = amount(view["cost_nanos"], view["currency"])
    facts(found["id"], [("recipe", found["name"]), ("state", found["state"]), ("cost", cost),
                        ("served as", ", ".join(view["models"])), ("problem", found["error"])])  # fmt: skip
    rows = [
        (step["name"], step["state"], step["attempts"], _seconds(step), _result(step["result"]) or step["error"])
        for step in found["steps"]
    ]
    table("Steps", ("step", "state", "tries", "seconds", "result"), rows, right=("tries", "seconds"))


def _seconds(step: dict[str, Any]) -> str:
    if not step["started_ns"] or not step["ended_ns"]:
        return ""
    return f"{(step['ended_ns'] - step['started_ns']) / 10**9:,.1f}"


def _result(result: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in result.items() if isinstance(value, int | float | str))[:160]


@app.command()
def lineage(run: RunName, home: Home = None, as_json: Json = False) -> None:
    """Show what a model was made from, back to its data, each with its hash."""
    with session(home, as_json=as_json) as api:
        found = api.get(f"/factory/runs/{run}/lineage")
    if as_json:
        print_json(found)
        return
    rows = [
        (one["kind"], one["id"], one["sha256"][:16], ", ".join(one["parents"]), when(one["created_ns"]))
        for one in found
    ]
    table("Lineage", ("kind", "id", "sha256", "made from", "when (UTC)"), rows)


@app.command()
def costs(run: RunName, home: Home = None, as_json: Json = False) -> None:
    """What making a model cost, step by step, and how much its tokens have paid back."""
    with session(home, as_json=as_json) as api:
        found = api.get(f"/factory/runs/{run}/costs")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            line["step"], line["outcome"], f"{line['cpu_s']:,.1f}", f"{line['gpu_s']:,.1f}",
            f"{line['energy_wh']:.3f}", f"{line['tokens']:,}", units(line["nanos"]),
        )
        for line in found["lines"]
    ]  # fmt: skip
    columns = ("CPU s", "GPU s", "Wh", "tokens", found["currency"])
    table(f"What {found['model']} cost to make", ("step", "outcome", *columns), rows, right=columns)
    currency = found["currency"]
    facts(
        "In the books",
        [
            ("capitalised", amount(found["capitalised_nanos"], currency)),
            ("amortised", amount(found["amortised_nanos"], currency)),
            ("tokens served", f"{found['tokens_served']:,} of {found['lifetime_tokens']:,}"),
            ("of a million served tokens", amount(found["per_million_nanos"], currency)),
        ],
    )


@app.command()
def export(
    run: RunName,
    out: Annotated[Path, typer.Argument(help="File to write: .gguf, .onnx, or .xml for OpenVINO.", metavar="FILE")],
    *,
    quantise: Annotated[str, typer.Option(help="Of a GGUF: f32, f16, bf16, q8_0, q5_1 or q4_0.")] = "f16",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write a run's model as a file for a local engine. Opens no books."""
    with reporting(as_json=as_json):
        from mintage.factory.export import export_gguf, export_onnx, export_openvino
        from mintage.factory.run import find_run

        folder = find_run(load_settings(home=home).home_path, run).folder / "model"
        writers = {
            ".gguf": lambda: export_gguf(folder, out, quantise=quantise),
            ".onnx": lambda: export_onnx(folder, out),
            ".xml": lambda: export_openvino(folder, out),
        }
        if (write := writers.get(out.suffix)) is None:
            raise MintageError("invalid_request", f"{out.name} says no format.", f"End it in {', '.join(writers)}.")
        report = write()
        if as_json:
            print_json(report)
        else:
            say(f"{out}: {report.size_bytes:,} bytes, sha256 {report.sha256}.")


@app.command()
def amortise(home: Home = None, as_json: Json = False) -> None:
    """Move what served tokens have used up of the models' cost into the profit and loss; a server does it hourly."""
    with session(home, as_json=as_json) as api:
        done = api.call("POST", "/factory/amortise")
    if as_json:
        print_json(done)
    else:
        say(f"Moved {units(done['nanos'])}.")


@app.command()
def cancel(run: RunName, home: Home = None, as_json: Json = False) -> None:
    """Ask the job of a run to end; one that a terminal runs ends with Ctrl-C there."""
    with session(home, as_json=as_json) as api:
        wanted = api.get(f"/factory/runs/{run}")["run"]["id"]
        page = api.get("/jobs", kind="factory.run", state="running")
        mine = [
            job
            for job in page["items"]
            if (api.get(f"/jobs/{job['id']}")["job"]["checkpoint"] or {}).get("run") == wanted
        ]
        if not mine:
            raise MintageError("not_found", f"No job works at {wanted}.", "`mintage jobs list` shows those there are.")
        view = api.call("POST", f"/jobs/{mine[0]['id']}/cancel")
    if as_json:
        print_json(view)
    else:
        say(f"{wanted} was asked to end.")
