"""`mintage price book` and `mintage price reconcile`: what providers charge us, and whether their bill is right."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintage.base import MintageError, load_settings
from mintage.cli import exits
from mintage.cli.client import reporting
from mintage.cli.options import Home, Json
from mintage.cli.output import print_json, say, table
from mintage.cli.price import moment_ns, read_file

if TYPE_CHECKING:
    from mintage.pricing.costs import BookShelf

app = typer.Typer(help="Provider price books: dated, immutable, with your overrides.", no_args_is_help=True)


def shelf_of(home: str | None) -> BookShelf:
    from mintage.pricing.costs import BookShelf

    return BookShelf(load_settings(home=home).home_path / "prices")


@app.command("list")
def list_(home: Home = None, as_json: Json = False) -> None:
    """The price books that are kept, oldest first; the last one is in use."""
    with reporting(as_json=as_json):
        entries = shelf_of(home).entries()
        if as_json:
            print_json(entries)
        else:
            rows = [(e.id, e.date, e.source, "in the package" if e.builtin else "") for e in entries]
            table("Price books", ("id", "date", "compiled from", ""), rows)


@app.command()
def show(
    provider: Annotated[str, typer.Argument(help="Provider, such as openai.", metavar="PROVIDER")],
    model: Annotated[str | None, typer.Argument(help="Its model; all of them when left out.", metavar="MODEL")] = None,
    at: Annotated[str | None, typer.Option("--at", help="Prices of that day.", metavar="DATE")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What a provider charges for a million units of each meter, and above which prompt length it changes."""
    with reporting(as_json=as_json):
        book, at_ns = shelf_of(home).open(), moment_ns(at)
        names = (model,) if model else book.models(provider)
        if not names:
            raise MintageError("not_found", f"The book has no provider {provider[:60]!r}.", "See the README's list.")
        found: list[dict[str, Any]] = []
        for name in names:
            rates = book.rates(provider, name, at_ns)
            per_million = {meter: _plain(each * 10**6) for meter, each in rates.items()}
            found.append({"model": name, "per_million": per_million, "cliffs": book.cliffs(provider, name, at_ns)})
        if as_json:
            print_json({"book": book.id, "provider": provider, "models": found})
            return
        rows = [
            (row["model"], ", ".join(f"{m} {r}" for m, r in row["per_million"].items()), row["cliffs"] or "")
            for row in found
        ]
        table(f"{provider}, {book.id}", ("model", "per million", "changes above"), rows)


def _plain(value: Fraction) -> str:
    return format((Decimal(value.numerator) / Decimal(value.denominator)).normalize(), "f")


@app.command()
def update(
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A book compiled elsewhere; else the installed genai-prices.", metavar="FILE"),
    ] = None,
    day: Annotated[str | None, typer.Option("--date", help="Day of the book; else today.", metavar="DAY")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take it without asking.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Compile a new price book, show what changed, and keep it once you confirm. Old books stay as they are."""
    with reporting(as_json=as_json):
        shelf = shelf_of(home)
        raw = read_file(source) if source is not None else _compile(day)
        changes = shelf.compare(raw)
        if not as_json:
            for line in changes:
                say(line)
            say(f"{len(changes)} prices changed." if changes else "No price changed.")
        kept = bool(changes) and (yes or (not as_json and typer.confirm("Keep this book?", default=False)))
        entry = shelf.add(raw) if kept else None
        if as_json:
            print_json({"changes": changes, "kept": kept, "book": entry})
        elif entry is not None:
            say(f"Kept {entry.id}; it is in use from the next start of the server on.")


def _compile(day: str | None) -> bytes:
    from mintage.pricing.compile_prices import compile_book

    try:
        return compile_book(datetime.now(UTC).date() if day is None else date.fromisoformat(day))
    except ImportError as error:
        raise MintageError(
            "unsupported", "genai-prices is not installed.", "Install the extra `pricebook`, or use --from FILE."
        ) from error
    except ValueError as error:
        raise MintageError("invalid_request", f"{day!r} is no day.", "Write 2026-11-30.", param="date") from error


@app.command()
def override(
    provider: Annotated[str, typer.Argument(help="Provider, such as openai.", metavar="PROVIDER")],
    file: Annotated[Path, typer.Argument(help="A plan in TOML whose prices are what you pay.", metavar="FILE")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Set your own prices with a provider: a negotiated discount, a private endpoint. They replace the book's."""
    with reporting(as_json=as_json):
        card = shelf_of(home).override(provider, read_file(file))
        if as_json:
            print_json({"provider": provider, "price_id": card.id})
        else:
            say(f"{provider} is costed by {card.id} where that has a price.")


def reconcile(
    *,
    provider: Annotated[str, typer.Option("--provider", help="Provider, such as openai.")],
    bill: Annotated[Path, typer.Option("--bill", help="Its usage or bill export, CSV or JSON.", metavar="FILE")],
    usage: Annotated[
        Path | None,
        typer.Option("--usage", help="Our requests as CSV or JSON; else the log of this home.", metavar="FILE"),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", help="Where a field is: FIELD=NAME, e.g. request_id=RequestID.", metavar="MAP"),
    ] = None,
    tolerance: Annotated[str, typer.Option(help="Differences of at most so many currency units are equal.")] = "0",
    differences_only: Annotated[bool, typer.Option("--differences", help="Leave out what agrees.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Compare a provider's own bill with what we recorded, request by request. Exit code 1 if they differ."""
    from mintage.base import parse_decimal
    from mintage.pricing.reconcile import read_records, reconcile_records

    with reporting(as_json=as_json):
        mapping = dict(_pair(text) for text in column or [])
        theirs = read_records(read_file(bill), bill.suffix, mapping)
        if usage is not None:
            ours = read_records(read_file(usage), usage.suffix, {})
        else:
            from mintage.cli.recorded import recorded_requests

            ours = recorded_requests(load_settings(home=home).home_path, provider)
        report = reconcile_records(
            provider, theirs, ours, shelf_of(home).open(), tolerance=parse_decimal(tolerance, param="tolerance")
        )
        rows = [row for row in report.rows if row.verdict != "equal" or not differences_only]
        if as_json:
            print_json({**{n: getattr(report, n) for n in report.__struct_fields__}, "rows": rows})
        else:
            cells = [
                (r.key, r.model, r.verdict, r.billed_amount, r.recorded_amount, r.difference, "; ".join(r.notes))
                for r in rows
            ]
            names = ("request or bucket", "model", "verdict", "billed", "recorded", "difference", "what differs")
            table(f"{provider}: billed against recorded", names, cells, right=("billed", "recorded", "difference"))
            say(
                f"{report.equal} equal, {report.different} different. Billed {report.billed}, recorded "
                f"{report.recorded}, difference {report.difference} {report.currency}."
            )
            for problem in report.problems:
                say(problem)
    if report.different or report.problems:
        raise typer.Exit(exits.FAILURE)


def _pair(text: str) -> tuple[str, str]:
    field, found, name = text.partition("=")
    if not found or not name:
        raise MintageError("invalid_request", f"{text!r} maps nothing.", "Write FIELD=NAME.", param="column")
    return field, name
