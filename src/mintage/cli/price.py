"""`mintage price`: what a plan costs and why, what is wrong with it, which profit models there are. Opens no books."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mintage.base import MintageError
from mintage.cli import exits
from mintage.cli.client import reporting
from mintage.cli.options import Home, Json
from mintage.cli.output import console, print_json, say, table, when

if TYPE_CHECKING:
    from mintage.pricing import Finding, Plan, Quote

app = typer.Typer(help="Prices: quotes, plan checks, price books, provider bills.", no_args_is_help=True)

_FORMS: Final = {".toml": "toml", ".json": "json"}
PlanFile = Annotated[Path, typer.Option("--plan", help="A plan in TOML or JSON.", metavar="FILE")]
Language = Annotated[str, typer.Option("--language", help="en or zh.")]


def read_file(file: Path, limit_bytes: int = 256 << 20) -> bytes:
    """Raises MintageError that names the file."""
    try:
        if file.stat().st_size > limit_bytes:
            raise MintageError("payload_too_large", f"{file} is larger than {limit_bytes:,} bytes.", "Split it.")
        return file.read_bytes()
    except OSError as error:
        code = "not_found" if isinstance(error, FileNotFoundError) else "invalid_request"
        raise MintageError(code, f"{file} cannot be read: {error.strerror}.", "Check the path.") from error


def _form(file: Path) -> Any:
    form = _FORMS.get(file.suffix.lower())
    if form is None:
        raise MintageError("invalid_request", f"{file} is neither TOML nor JSON.", "Name it .toml or .json.")
    return form


def read_plan(file: Path) -> Plan:
    from mintage.pricing import load_plan

    return load_plan(read_file(file), _form(file))


def moment_ns(text: str | None) -> int:
    """A day (its first instant, UTC) or a time with a zone; now for None."""
    if text is None:
        return int(datetime.now(UTC).timestamp()) * 10**9
    try:
        if len(text) == 10:
            return (date.fromisoformat(text) - date(1970, 1, 1)).days * 86_400 * 10**9
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(aware.timestamp()) * 10**9
    except ValueError as error:
        raise MintageError(
            "invalid_request", f"{text[:40]!r} is no date.", "Write 2026-11-30 or 2026-11-30T18:00:00Z.", param="at"
        ) from error


@app.command()
def quote(
    *,
    plan: PlanFile,
    usage: Annotated[Path, typer.Option("--usage", help="A period's usage in TOML or JSON.", metavar="FILE")],
    at: Annotated[
        str | None, typer.Option("--at", help="When it is asked; picks the period too. Else now.", metavar="DATE")
    ] = None,
    language: Language = "en",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What a period's usage costs under a plan, line by line and tier by tier."""
    from mintage.pricing import load_usage
    from mintage.pricing import quote as make_quote

    with reporting(as_json=as_json):
        found = make_quote(read_plan(plan), load_usage(read_file(usage), _form(usage)), moment_ns(at))
        if as_json:
            print_json(found)
        else:
            _show_quote(found, language)


def _plain(value: Any) -> str:
    return f"{value:,f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:,f}"


def _show_quote(found: Quote, language: str) -> None:
    from rich.table import Table
    from rich.text import Text

    zh = language.startswith("zh")
    shown = Table(
        title=Text(f"{found.plan}: {when(found.start_ns)} - {when(found.end_ns)} UTC"),
        title_justify="left",
        header_style="bold",
    )
    for name in ("项目", "数量", "单价", "金额") if zh else ("line", "quantity", "rate", "amount"):
        shown.add_column(name, justify="left" if name in ("line", "项目") else "right", overflow="fold")
    for line in found.lines:
        group = ", ".join(f"{name} {value}" for name, value in line.group.items())
        title = line.name.in_language(language) + (f" ({group})" if group and line.kind != "usage" else "")
        shown.add_row(Text(title, "bold"), Text(_plain(line.quantity)), "", Text(f"{line.amount:,f}", "bold"))
        for step in line.steps:
            cells = (_plain(step.quantity), _plain(step.rate), _plain(step.amount))
            shown.add_row(Text(f"  {step.zh if zh else step.en}"), *(Text(cell, "dim") for cell in cells))
    shown.add_section()
    total = Text(f"{found.total:,f} {found.currency}", "bold")
    shown.add_row(Text("合计（未税）" if zh else "Total before tax", "bold"), "", "", total)
    console().print(shown)


@app.command()
def lint(
    *,
    plan: PlanFile,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="A model on sale; else those that the plan names.")
    ] = None,
    cost: Annotated[
        list[str] | None,
        typer.Option(help="Compare with the price book: PROVIDER/MODEL, or OURS=PROVIDER/MODEL.", metavar="NAME"),
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help="Prices and costs of that day.", metavar="DATE")] = None,
    language: Language = "en",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What a plan does that its author may not mean, with the usage at which it bites. Exit code 1 on errors."""
    from mintage.pricing import lint_plan

    with reporting(as_json=as_json):
        loaded, at_ns = read_plan(plan), moment_ns(at)
        models = model or [price.model for price in loaded.prices if "*" not in price.model]
        costs = _costs(cost or [], home, at_ns)
        found = lint_plan(loaded, models=list(dict.fromkeys(models)), costs=costs, at_ns=at_ns)
        if as_json:
            print_json({"plan": loaded.id, "findings": found})
        else:
            show_findings(found, language)
    if any(finding.severity == "error" for finding in found):
        raise typer.Exit(exits.FAILURE)


def _costs(names: list[str], home: str | None, at_ns: int) -> dict[str, Any]:
    """model -> meter -> currency units of one."""
    if not names:
        return {}
    from mintage.cli.price_book import shelf_of

    book, found = shelf_of(home).open(), {}
    for text in names:
        ours, _, theirs = text.rpartition("=")
        provider, _, name = theirs.partition("/")
        if not name:
            raise MintageError("invalid_request", f"{text!r} names no model.", "Write openai/gpt-4o.", param="cost")
        found[ours or name] = book.rates(provider, name, at_ns)
    return found


def show_findings(found: list[Finding], language: str) -> None:
    if not found:
        say("没有发现问题。" if language.startswith("zh") else "No findings.")
        return
    rows = [
        (f.severity, f.code, f.path, "" if f.at is None else f"{f.at:,f} {f.unit}", f.zh if language == "zh" else f.en)
        for f in found
    ]
    table("Findings", ("severity", "code", "where", "from", "what happens"), rows)


@app.command()
def models(home: Home = None, as_json: Json = False) -> None:
    """The 24 profit models, in English and 中文, with who pays and what a bill depends on."""
    from mintage.pricing import PROFIT_MODELS

    if as_json:
        listed = [{**_fields(model), "example": _example(model)} for model in PROFIT_MODELS]
        print_json(listed)
        return
    rows = [(m.number, m.name.en, m.name.zh, m.payer.en, ", ".join(sorted(m.states)), m.slug) for m in PROFIT_MODELS]
    table("Profit models", ("#", "model", "模式", "payer", "state", "slug"), rows, right=("#",))


def _fields(model: Any) -> dict[str, Any]:
    names = {"en": model.name.en, "zh": model.name.zh}
    payer = {"en": model.payer.en, "zh": model.payer.zh}
    return {
        "number": model.number,
        "slug": model.slug,
        "name": names,
        "payer": payer,
        "states": sorted(model.states),
    }


def _example(model: Any) -> str:
    return f"examples/plans/models/{model.number:02d}-{model.slug}.toml"


@app.command()
def calculate(
    rule: Annotated[str, typer.Argument(help="Name of a rule, such as graduated; `list` names them.", metavar="RULE")],
    inputs: Annotated[
        str | None, typer.Option(help='The inputs as JSON, or @FILE: \'{"tiers": [...], "quantity": "12"}\'.')
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Work out one rule of billing arithmetic: tiers, packages, proration, rounding, credits, the order of a bill."""
    from mintage.pricing.calculator import RULES
    from mintage.pricing.calculator import calculate as work_out

    with reporting(as_json=as_json):
        if rule == "list":
            from mintage.cli.holds import HOLD_RULES

            known = {**RULES, **HOLD_RULES}
            rows = [(name, (found.__doc__ or "").split("\n")[0]) for name, found in sorted(known.items())]
            if as_json:
                print_json([name for name, _ in rows])
            else:
                table("Rules", ("rule", "note"), rows)
            return
        from mintage.cli.holds import HOLD_RULES

        given = _inputs(inputs)
        result = HOLD_RULES[rule](given) if rule in HOLD_RULES else work_out(rule, given)
        if as_json:
            print_json({"rule": rule, "result": result})
        else:
            say(result if isinstance(result, str) else _json(result))


def _json(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()


def _inputs(text: str | None) -> dict[str, Any]:
    import msgspec

    raw = read_file(Path(text[1:])) if text and text.startswith("@") else (text or "{}").encode()
    try:
        found = msgspec.json.Decoder(dict[str, Any], float_hook=str).decode(raw)
    except msgspec.DecodeError as error:
        raise MintageError("invalid_json", f"The inputs are not JSON: {error}.", "Write an object.") from error
    return found
