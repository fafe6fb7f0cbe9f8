"""Taxes and terms: dated tax rates, dated currency rates, and what the seller's invoices say."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from mintage.base import MintageError
from mintage.billing import BillingSettings, CurrencyRate, RateRow
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.table import Column, Empty, Table, words
from mintage.console.visit import Visit, open_visit

ROWS: Final = 400
_LINES: Final = ("street", "postal_code", "city", "region", "email", "bank_name", "iban", "bic", "footer")
_NUMBERS: Final = ("payment_days", "grace_hours", "uncollectible_days")


@get("/console/taxes")
async def taxes_page(request: AnyRequest, services: Services) -> Response[bytes]:
    return await _show(await open_visit(request, services, "money.read"))


async def _show(
    visit: Visit, *, given: dict[str, str] | None = None, problem: MintageError | None = None
) -> Response[bytes]:
    t, services = visit.t, visit.services
    invoicing, country = services.billing.invoicing, visit.query("country").upper()
    rates = await asyncio.to_thread(invoicing.taxes.all, country or None)
    currencies = await asyncio.to_thread(invoicing.currencies.all)
    entity = await asyncio.to_thread(services.entity)
    settings: BillingSettings = await asyncio.to_thread(invoicing.profiles.settings, entity.id)
    shown = {name: str(getattr(settings, name)) for name in (*_LINES, *_NUMBERS)}
    shown["reminder_days"] = ", ".join(map(str, settings.reminder_days))
    values = {
        "entity": entity,
        "country": country,
        "today": figures.iso_time(services.clock.now_ns())[:10],
        "rates": Table(
            caption=t("tax.rates"),
            columns=[
                Column(t("customer.country")), Column(t("tax.region"), keep=1), Column(t("tax.name"), wide=True),
                Column(t("tax.percent"), numeric=True), Column(t("table.from")), Column(t("tax.source"), keep=1),
            ],
            rows=[
                [words(row.country), words(row.region), words(row.name), words(f"{row.percent} %"), words(row.from_day),
                 words(row.source)]
                for row in rates[:ROWS]
            ],
            empty=Empty(t("tax.none"), t("tax.none_text")),
        ),
        "currencies": Table(
            caption=t("tax.currencies"),
            columns=[
                Column(t("tax.base")), Column(t("tax.quote")), Column(t("tax.rate"), numeric=True),
                Column(t("table.from"), keep=2), Column(t("tax.source"), keep=1),
            ],
            rows=[
                [words(row.base), words(row.quote), words(row.rate), words(row.day), words(row.source)]
                for row in currencies[:ROWS]
            ],
            empty=Empty(t("tax.no_currencies"), t("tax.no_currencies_text")),
        ),
        "settings": shown,
        "lines": _LINES[:-1],
        "numbers": _NUMBERS,
        "given": given or {},
    }  # fmt: skip
    return visit.render("taxes.html", "taxes", t("nav.taxes"), values, problem=problem)


@post("/console/taxes/{action:str}", status_code=303)
async def change_taxes(request: AnyRequest, services: Services, action: FromPath[str]) -> Response[Any]:
    """rate, eu, currency, settings."""
    visit = await open_visit(request, services, "money.write")
    form = await visit.form()
    change = {"rate": _rate, "eu": _eu, "currency": _currency, "settings": _settings}.get(action)
    if change is None:
        raise MintageError("not_found", "There is no such change.", "Go back to the page.")
    try:
        await asyncio.to_thread(change, visit, form)
    except MintageError as error:
        return await _show(visit, given=form, problem=error)
    return visit.go("/console/taxes", "taxes_changed")


def _rate(visit: Visit, form: dict[str, str]) -> None:
    row = RateRow(
        country=form.get("country", "").upper(), region=form.get("region", ""), name=form.get("name") or "VAT",
        percent=form.get("percent", ""), from_day=form.get("from_day", ""), source=form.get("source", ""),
    )  # fmt: skip
    visit.services.billing.invoicing.taxes.put(visit.actor, [row])


def _eu(visit: Visit, form: dict[str, str]) -> None:
    from mintage.billing.tax import eu_rates

    visit.services.billing.invoicing.taxes.put(visit.actor, eu_rates(form.get("from_day", "")))


def _currency(visit: Visit, form: dict[str, str]) -> None:
    row = CurrencyRate(
        base=form.get("base", "").upper(), quote=form.get("quote", "").upper(), day=form.get("day", ""),
        rate=form.get("rate", ""), source=form.get("source", ""),
    )  # fmt: skip
    visit.services.billing.invoicing.currencies.put(visit.actor, [row])


def _settings(visit: Visit, form: dict[str, str]) -> None:
    services = visit.services
    profiles, entity = services.billing.invoicing.profiles, services.entity()
    known = msgspec.to_builtins(profiles.settings(entity.id))
    changes: dict[str, Any] = {name: form.get(name, "") for name in _LINES}
    try:
        changes |= {name: int(form.get(name) or known[name]) for name in _NUMBERS}
        days = form.get("reminder_days", "").replace(",", " ").split()
        changes["reminder_days"] = [int(day) for day in days]
        settings = msgspec.convert(known | changes, BillingSettings)
    except (ValueError, msgspec.ValidationError) as error:
        raise MintageError("invalid_request", f"{error}.", "Days and hours are whole numbers.") from error
    profiles.put_settings(visit.actor, entity.id, settings)


HANDLERS: Final[list[Any]] = [taxes_page, change_taxes]
