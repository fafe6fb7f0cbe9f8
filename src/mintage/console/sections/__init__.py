"""The desk's and the portal's pages, one module for each section of the navigation."""

from __future__ import annotations

from typing import Any, Final

from mintage.console.sections import (
    account,
    bench,
    books,
    customers,
    factory,
    house,
    invoices,
    keys,
    lab,
    models,
    payments,
    plan_editor,
    plans,
    portal,
    portal_money,
    requests,
    revenue,
    search,
    subscriptions,
    taxes,
    usage,
    wallets,
)

_MODULES: Final = (
    account, bench, books, customers, factory, house, invoices, keys, lab, models, payments, plan_editor, plans, portal,
    portal_money, requests, revenue, search, subscriptions, taxes, usage, wallets,
)  # fmt: skip
#: Every page's handlers, for the router.
PAGES: Final[list[Any]] = [handler for module in _MODULES for handler in module.HANDLERS]
