"""Every kind of job that this program knows, and what is done again and again without being asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from mintage.base import MintageError, Settings
from mintage.billing import MailServer
from mintage.factory import Factory
from mintage.jobs import Context
from mintage.server.vendor_doors import register_batches

if TYPE_CHECKING:
    from mintage.app.parts import App

_DAY_NS: Final = 86_400 * 10**9


def register_kinds(app: App) -> None:
    """To add a kind: register it here, by a function's path for a child process or as a callable for this one."""
    kinds = app.jobs.kinds
    register_batches(app.jobs, app.gateway, app.files)

    def prune(context: Context) -> dict[str, Any]:
        before_ns = app.clock.now_ns() - app.settings.job_keep_days * _DAY_NS
        return {"jobs": app.jobs.queue.prune(before_ns)}

    kinds.register("jobs.prune", prune, explanation="Forget jobs that ended long ago.", running_max=1, by_hand=True)

    async def verify(context: Context) -> Any:
        report = await app.verify()
        return {"balanced": report.balanced, "difference_nanos": report.difference_nanos}

    kinds.register(
        "books.verify",
        verify,
        explanation="Derive every balance again from the log and compare.",
        running_max=1,
        by_hand=True,
    )

    async def run_billing(context: Context) -> Any:
        done = await app.billing.lifecycle.tick()
        return {"fees": done.fees, "lapsed": done.lapsed, "bought": done.bought, "problems": done.problems}

    kinds.register(
        "billing.run",
        run_billing,
        explanation="Do what is due: fees ahead, grants, credit that lapses or is bought, revenue earned, alerts.",
        running_max=1,
        by_hand=True,
    )

    async def dun(context: Context) -> Any:
        steps = await app.billing.invoicing.dunning.run()
        return {"steps": len(steps)}

    kinds.register(
        "billing.dunning",
        dun,
        explanation="Try saved methods for overdue invoices again, or remind their customers.",
        running_max=1,
        by_hand=True,
    )

    def sweep(context: Context) -> dict[str, Any]:
        return {"days": app.content.records.sweep()}

    kinds.register(
        "content.sweep", sweep, explanation="Delete prompts and answers kept long enough.", running_max=1, by_hand=True
    )
    kinds.register(
        "lab.compare",
        "mintage.lab.work:run",
        explanation="Put plans side by side over a workload: which earns more, for whom, how surely.",
        running_max=1,
        attempts_max=2,
    )

    async def amortise(context: Context) -> Any:
        await app.shipping.sync()
        factory = Factory(
            app.home.path, app.database, app.ledger, app.clock, app.accounts, app.billing, app.registry,
            app.settings.currency,
        )  # fmt: skip
        return {"nanos": await asyncio.to_thread(factory.amortise)}

    kinds.register(
        "factory.amortise",
        amortise,
        explanation="Move what served tokens have used up of the cost of models made here into the profit and loss.",
        running_max=1,
        by_hand=True,
    )
    kinds.register(
        "factory.run",
        "mintage.factory.job:run",
        explanation="Make a model by a recipe, record what it cost, and promote it.",
        running_max=1,
        timeout_s=7 * 86_400.0,
        by_hand=True,
    )
    kinds.register(
        "backup",
        "mintage.app.backup:run_backup",
        explanation="Back up the home to a folder; keeps the newest seven.",
        running_max=1,
        by_hand=True,
    )


def mail_server(settings: Settings) -> MailServer | None:
    """Where invoices and reminders are handed over; None where nothing is set."""
    if not settings.smtp_host:
        return None
    if not settings.smtp_sender:
        raise MintageError(
            "invalid_settings", "smtp_host is set, smtp_sender is not.", "Set smtp_sender to your billing address."
        )
    return MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        user=settings.smtp_user,
        sender=settings.smtp_sender,
        security=settings.smtp_security,
    )


def ensure_schedules(app: App) -> None:
    """What a Mintage does by itself; the operator may change the times or disable it."""
    app.jobs.schedules.ensure("content.sweep", "content.sweep", "43 3 * * *")
    app.jobs.schedules.ensure("jobs.prune", "jobs.prune", "17 4 * * *")
    app.jobs.schedules.ensure("billing.run", "billing.run", "* * * * *")
    app.jobs.schedules.ensure("billing.dunning", "billing.dunning", "23 * * * *")
    app.jobs.schedules.ensure("factory.amortise", "factory.amortise", "7 * * * *")
