"""A comparison as a job: what a page or a script asks for as plain data, computed in a child process, kept in the home.

The payload is a `Wanted`; what comes of it lies in HOME/lab/JOB: comparison.json, customers.parquet, report.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from mintage.base import MintageError, parse_decimal
from mintage.jobs import Context
from mintage.lab.answers.uncertainty import Assumptions
from mintage.lab.workload.generate import Generated
from mintage.pricing import BookShelf, Plan, load_plan

KIND: Final = "lab.compare"
PLANS_MAX: Final = 40
_STEPS: Final = 3


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """source: this home's own requests in [start_ns, end_ns), or a made-up workload. plans: as JSON, the first is the
    baseline. costs: as `mintage lab compare --cost` takes them.
    """

    name: Annotated[str, Meta(max_length=120)] = ""
    source: Literal["log", "generated"] = "log"
    start_ns: int = 0
    end_ns: int = 2**63 - 1
    generated: Generated = Generated()
    plans: Annotated[tuple[str, ...], Meta(min_length=1, max_length=PLANS_MAX)]
    costs: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    fixed_cost: str = "0"
    assumptions: Assumptions = Assumptions()
    language: Literal["en", "zh"] = "en"


def folder_of(home: Path, job_id: str) -> Path:
    """Where what a job found lies."""
    return home / "lab" / job_id


def check_wanted(payload: Any) -> tuple[Wanted, list[Plan]]:
    """Raises invalid_request for a payload that is none, and whatever a plan or a cost is refused for."""
    from mintage.lab.costs import parse_cost

    try:
        wanted = msgspec.convert(payload, Wanted)
    except msgspec.ValidationError as error:
        raise MintageError("invalid_request", f"{error}.", "See docs/how-to/explore-prices.md.") from error
    for text in wanted.costs:
        parse_cost(text)
    parse_decimal(wanted.fixed_cost, param="fixed_cost")
    plans = [load_plan(text.encode(), "json") for text in wanted.plans]
    for field in ("currency", "period"):
        if len(found := sorted({str(getattr(plan, field)) for plan in plans})) > 1:
            raise MintageError(
                "invalid_request", f"The plans differ in {field}: {', '.join(found)}.", "Compare like with like.",
                param=field,
            )  # fmt: skip
    return wanted, plans


def run(context: Context) -> dict[str, Any]:
    """The job. Safe to do again: the same payload gives the same files."""
    from mintage.lab.answers import compare, write_answers
    from mintage.lab.costs import parse_cost
    from mintage.lab.workload import generate, import_log

    wanted, plans = check_wanted(context.payload)
    folder = folder_of(context.home, context.job.id)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "workload.parquet"
    target.unlink(missing_ok=True)
    context.progress(0, _STEPS, "workload")
    if wanted.source == "log":
        workload = import_log(context.home / "log.db", target, start_ns=wanted.start_ns, end_ns=wanted.end_ns)
    else:
        workload = generate(wanted.generated, target)
    context.progress(1, _STEPS, "compare")
    made = compare(
        workload,
        plans,
        costs=dict(parse_cost(text) for text in wanted.costs),
        fixed_cost=parse_decimal(wanted.fixed_cost, param="fixed_cost"),
        assumptions=wanted.assumptions,
        book=BookShelf(context.home / "prices").open(),
    )
    context.progress(2, _STEPS, "report")
    write_answers(made, folder, wanted.language)
    context.progress(_STEPS, _STEPS, "")
    best = next(one for one in made.answers if one.plan == made.recommended)
    base = made.answers[0]
    return {
        "name": wanted.name,
        "rows": made.workload.rows,
        "customers": made.workload.customers,
        "plans": len(made.answers),
        "currency": made.currency,
        "baseline": made.baseline,
        "recommended": made.recommended,
        "gain": round(best.margin_interval.mean - base.margin_interval.mean, 6),
        "best_chance": best.best_chance,
    }
