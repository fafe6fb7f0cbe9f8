"""`mintage lab`: workloads, plans side by side, the best price, one report. Writes files; touches no books."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintage.base import MintageError, load_settings, parse_decimal
from mintage.cli.client import reporting
from mintage.cli.options import Home, Json
from mintage.cli.output import print_json, say, table
from mintage.cli.price import moment_ns, read_file, read_plan

if TYPE_CHECKING:
    from mintage.lab.answers import Assumptions, Comparison

app = typer.Typer(help="Pricing lab: which profit model earns most, for whom, how surely.", no_args_is_help=True)

Out = Annotated[Path, typer.Option("--out", help="Where it goes.", metavar="PATH")]
WorkloadFile = Annotated[
    Path, typer.Option("--workload", help="A workload made by import or generate.", metavar="FILE")
]
PlanFiles = Annotated[list[Path], typer.Option("--plan", help="A plan; the first is the baseline.", metavar="FILE")]
Costs = Annotated[
    list[str] | None,
    typer.Option(
        "--cost",
        help="What a model costs: MODEL=PROVIDER/NAME of the price book, or MODEL=own:gpus=8,usd_gpu_hour=2,"
        "prefill_tok_s=50000,decode_tok_s=14800,utilisation=0.5.",
        metavar="COST",
    ),
]
Assumed = Annotated[
    Path | None,
    typer.Option("--assume", help="TOML: elasticity, churn_response, cost_factor, runs, seed.", metavar="FILE"),
]
Fixed = Annotated[str, typer.Option("--fixed-cost", help="Of each period, in currency units.")]
Language = Annotated[str, typer.Option("--language", help="Of the report: en or zh.")]


def _lab() -> None:
    """Raises MintageError if the extra is missing."""
    try:
        import numba  # noqa: F401
        import numpy as np  # noqa: F401
        import scipy  # noqa: F401
    except ImportError as error:
        raise MintageError("unsupported", "The lab is not installed.", "pip install 'mintage[lab]'.") from error


@app.command("import")
def import_(
    source: Annotated[
        Path | None, typer.Argument(help="CSV, JSON lines or Parquet; this home's log when left out.", metavar="FILE")
    ] = None,
    *,
    out: Out,
    preset: Annotated[
        str, typer.Option(help="Known shape: generic, azure-llm, mooncake, servegen, litellm, openai-usage, mintage.")
    ] = "generic",
    column: Annotated[
        list[str] | None, typer.Option("--column", help="Where a field is: FIELD=NAME.", metavar="MAP")
    ] = None,
    zone: Annotated[str, typer.Option(help="Time zone of times that name none.")] = "UTC",
    trace_start: Annotated[str, typer.Option(help="Start of a trace with relative times.")] = "2026-01-01T00:00:00Z",
    allow_rejects: Annotated[
        bool, typer.Option("--allow-rejects", help="Take the good rows; bad ones are written beside the workload.")
    ] = False,
    start: Annotated[str | None, typer.Option("--start", help="Own log: first instant.", metavar="DATE")] = None,
    end: Annotated[str | None, typer.Option("--end", help="Own log: instant after the last.", metavar="DATE")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a workload from a file or from this home's own requests. Every row is accounted for."""
    with reporting(as_json=as_json):
        _lab()
        from mintage.lab.workload import Workload, import_log, import_workload

        if source is None:
            log = load_settings(home=home).home_path / "log.db"
            low, high = moment_ns(start) if start else 0, moment_ns(end) if end else 2**63 - 1
            _show_workload(import_log(log, out, start_ns=low, end_ns=high), as_json=as_json)
            return
        mapping = dict(_pair(text) for text in column or [])
        report = import_workload(
            source, out, preset=preset, columns=mapping, zone=zone, start=trace_start, allow_rejects=allow_rejects
        )
        if as_json:
            print_json({"report": report, "summary": Workload(out).summary()})
            return
        for problem in report.problems:
            rows = ", ".join(f"row {row}: {text}" if text else f"row {row}" for row, text in problem.examples)
            say(f"{problem.severity}: {problem.message} {problem.rows} rows{f' ({rows})' if rows else ''}")
        say(f"{report.read:,} rows read, {report.taken:,} taken, {report.rejected:,} rejected.")
        _show_workload(Workload(out), as_json=False)


def _pair(text: str) -> tuple[str, str]:
    field, found, name = text.partition("=")
    if not found:
        raise MintageError("invalid_request", f"{text!r} maps nothing.", "Write FIELD=NAME.", param="column")
    return field, name


def _show_workload(workload: Any, *, as_json: bool) -> None:
    found = workload.summary()
    if as_json:
        print_json({"workload": str(workload.path), "summary": found})
        return
    say(
        f"{workload.path}: {found.rows:,} rows of {found.customers:,} customers; the busiest has {found.top_share:.0%} "
        f"of them, the ten busiest {found.top10_share:.0%}; {found.cached_share:.0%} of prompt tokens are cached."
    )


@app.command()
def generate(
    *,
    out: Out,
    like: Annotated[
        Path | None, typer.Option("--like", help="Fit the generator to this workload first.", metavar="FILE")
    ] = None,
    parameters: Annotated[
        Path | None, typer.Option("--parameters", help="Parameters in TOML or JSON.", metavar="FILE")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed makes the same rows.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a concentrated, bursty workload up, from parameters or like another one."""
    with reporting(as_json=as_json):
        _lab()
        import msgspec

        from mintage.lab.workload import Generated, Workload, fit
        from mintage.lab.workload import generate as make

        given = Generated() if parameters is None else _read(parameters, Generated)
        if like is not None:
            fitted = fit(Workload(like))
            given = fitted.parameters
            if not as_json:
                gaps = f"input {fitted.input_distance:.3f}, output {fitted.output_distance:.3f}"
                say(f"Fitted; distances of the distributions, 0 is perfect: {gaps}.")
        if seed is not None:
            given = msgspec.structs.replace(given, seed=seed)
        _show_workload(make(given, out), as_json=as_json)


def _read(file: Path, kind: Any) -> Any:
    """A TOML or JSON file as a type. Raises MintageError that names the field."""
    import tomllib

    import msgspec

    try:
        raw = read_file(file)
        data = msgspec.json.decode(raw) if file.suffix == ".json" else tomllib.loads(raw.decode())
        return msgspec.convert(data, kind)
    except (msgspec.ValidationError, msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MintageError("invalid_request", f"{file}: {error}.", "Compare with the reference.") from error


def _assumptions(file: Path | None) -> Assumptions:
    from mintage.lab.answers import Assumptions

    found: Assumptions = Assumptions() if file is None else _read(file, Assumptions)
    return found


def _compare(  # noqa: PLR0917 - the options of run and compare, in their order
    workload: Path, plans: list[Path], costs: list[str] | None, fixed: str, assume: Path | None, home: str | None
) -> Comparison:
    from mintage.cli.price_book import shelf_of
    from mintage.lab.answers import compare as answer
    from mintage.lab.costs import parse_cost
    from mintage.lab.workload import Workload

    return answer(
        Workload(workload),
        [read_plan(file) for file in plans],
        costs=dict(parse_cost(text) for text in costs or []),
        fixed_cost=parse_decimal(fixed, param="fixed-cost"),
        assumptions=_assumptions(assume),
        book=shelf_of(home).open(),
    )


@app.command()
def run(
    *,
    workload: WorkloadFile,
    plan: Annotated[Path, typer.Option("--plan", help="A plan in TOML or JSON.", metavar="FILE")],
    cost: Costs = None,
    fixed_cost: Fixed = "0",
    assume: Assumed = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What one plan earns over a workload, per period, with intervals."""
    with reporting(as_json=as_json):
        _lab()
        made = _compare(workload, [plan], cost, fixed_cost, assume, home)
        if as_json:
            print_json(made)
            return
        (answer,) = made.answers
        rows = [(day, *(f"{v:,.2f}" for v in amounts)) for day, *amounts in answer.by_period]
        money = ("revenue", "cost", "margin")
        table(f"{answer.plan} ({made.currency})", ("period", *money), rows, right=money)
        _say_result(made)


@app.command()
def compare(
    *,
    workload: WorkloadFile,
    plan: PlanFiles,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of JSON, Parquet, report.", metavar="DIR")] = None,
    cost: Costs = None,
    fixed_cost: Fixed = "0",
    assume: Assumed = None,
    language: Language = "en",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put plans side by side: revenue, cost, margin, whose bill rises, and which is best how surely."""
    with reporting(as_json=as_json):
        _lab()
        made = _compare(workload, plan, cost, fixed_cost, assume, home)
        files = _write(made, out, language)
        if as_json:
            print_json({"comparison": made, "files": files})
            return
        _show(made)
        for path in files.values():
            say(path)


def _write(made: Comparison, out: Path | None, language: str) -> dict[str, str]:
    from mintage.lab.answers import write_answers

    return {} if out is None else write_answers(made, out, language)


def _show(made: Comparison) -> None:
    rows = [
        (
            a.plan,
            f"{a.revenue:,.2f}",
            f"{a.cost + a.fixed_cost:,.2f}",
            f"{a.margin:,.2f}",
            f"{a.margin_interval.mean:,.2f}",
            f"{a.margin_interval.low:,.2f} to {a.margin_interval.high:,.2f}",
            f"{a.best_chance:.0%}",
            f"{a.rising}/{a.falling}",
        )
        for a in made.answers
    ]
    names = ("revenue", "cost", "margin", "expected margin", "interval", "best in", "bills up/down")
    table(f"Plans ({made.currency})", ("plan", *names), rows, right=names)
    _say_result(made)


def _say_result(made: Comparison) -> None:
    if made.uncosted:
        say(f"No cost was given for {', '.join(made.uncosted)}: taken as free.")
    say(made.recommendation.en)


@app.command()
def optimise(
    *,
    workload: WorkloadFile,
    plan: Annotated[Path, typer.Option("--plan", help="The plan whose prices may change.", metavar="FILE")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the found plan as JSON.", metavar="FILE")] = None,
    cost: Costs = None,
    max_increase: Annotated[float, typer.Option(help="No customer's bill rises by more than this share.")] = 0.2,
    margin_floor: Annotated[float | None, typer.Option(help="Least margin over revenue.")] = None,
    low: Annotated[float, typer.Option(help="Least factor on today's prices.")] = 0.5,
    high: Annotated[float, typer.Option(help="Greatest factor on today's prices.")] = 3.0,
    assume: Assumed = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Find the prices that leave the most expected margin under constraints."""
    with reporting(as_json=as_json):
        _lab()
        from mintage.cli.price_book import shelf_of
        from mintage.lab.answers import Constraints
        from mintage.lab.answers import optimise as search
        from mintage.lab.costs import parse_cost
        from mintage.lab.workload import Workload
        from mintage.pricing import canonical_form

        made = search(
            Workload(workload),
            read_plan(plan),
            costs=dict(parse_cost(text) for text in cost or []),
            constraints=Constraints(max_bill_increase=max_increase, margin_floor=margin_floor, low=low, high=high),
            assumptions=_assumptions(assume),
            book=shelf_of(home).open(),
        )
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(canonical_form(made.plan) + b"\n")
        if as_json:
            print_json(made)
            return
        for name, factor in made.factors.items():
            say(f"{name}: x {factor:.4g}")
        bound = f"; held by {', '.join(made.binding)}" if made.binding else ""
        say(
            f"Expected margin {made.margin_before:,.2f} -> {made.margin_after:,.2f}; no bill rises by more than "
            f"{made.largest_increase:.1%}{bound}. {made.evaluated:,} candidates."
        )


@app.command()
def report(
    comparison: Annotated[Path, typer.Argument(help="Folder or JSON of a comparison.", metavar="PATH")],
    out: Out,
    language: Language = "en",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML report of a comparison, in English or 中文."""
    with reporting(as_json=as_json):
        _lab()
        from mintage.lab.answers import read_answers, render_html

        text = render_html(read_answers(comparison), language)
        out.write_text(text, "utf-8")
        if as_json:
            print_json({"report": str(out), "bytes": len(text.encode())})
        else:
            say(str(out))


@app.command()
def backtest(
    customer: Annotated[str | None, typer.Option("--customer", help="Only this one: handle or id.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="Most invoices, newest first.")] = 100,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Rate closed periods again from the log, and compare with the invoices issued, to the nano. Exit code 1 if not."""
    import tempfile

    from mintage.cli import exits
    from mintage.cli.client import session

    with session(home, as_json=as_json) as api:
        _lab()
        invoices = api.get("/invoices", customer=customer, limit=limit)["items"]
        contents = {row["number"]: api.get(f"/invoices/{row['number']}/content") for row in invoices}
        named = {version for content in contents.values() for version in content["price_versions"]}
        plans = {version: api.get(f"/plans/{version.partition('@')[0]}", version=version) for version in sorted(named)}
        log = load_settings(home=home).home_path / "log.db"
        with tempfile.TemporaryDirectory(prefix="mintage-lab-") as folder:
            rows = _backtest(contents, plans, log, Path(folder) / "own.parquet")
    if as_json:
        print_json(rows)
    else:
        cells = [(r.number, r.requests, r.issued, r.rated, r.difference_nanos, r.note) for r in rows]
        table("Backtest", ("invoice", "requests", "issued", "rated", "difference (nanos)", "note"), cells)
    if not all(row.equal for row in rows):
        raise typer.Exit(exits.FAILURE)


def _backtest(contents: dict[str, Any], plans: dict[str, Any], log: Path, folder: Path) -> list[Any]:
    from mintage.lab.answers import Issued
    from mintage.lab.answers import backtest as rate_again
    from mintage.lab.workload import Workload, import_log
    from mintage.pricing import plan_from_data

    first: dict[str, int] = {}
    for content in sorted(contents.values(), key=lambda c: c["start_ns"]):
        first.setdefault(content["customer"]["id"], content["start_ns"])
    issued = [
        Issued(
            number=number,
            tenant=content["customer"]["id"],
            start_ns=content["start_ns"],
            end_ns=content["end_ns"],
            zone=content["time_zone"],
            exact=content["exact"],
            price_versions=tuple(content["price_versions"]),
            first=first[content["customer"]["id"]] == content["start_ns"],
        )
        for number, content in contents.items()
    ]
    workload: Workload | None = None
    try:
        workload = import_log(log, folder)
    except MintageError as error:
        if error.code != "not_found":
            raise
    return rate_again(workload, issued, lambda version: plan_from_data(plans[version]["plan"]))
