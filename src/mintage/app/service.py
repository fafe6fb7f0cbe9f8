"""The doors of an App: one HTTP server for the dialects, the admin API and the console."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Self

from mintage.app.memory import hold_memory_flat
from mintage.app.parts import App
from mintage.app.telemetry import Telemetry, open_telemetry
from mintage.app.upkeep import Upkeep
from mintage.base import MintageError
from mintage.books import ServerAddress
from mintage.server import AsgiBridge, Exchange, HttpLimits, HttpRequest, HttpServer
from mintage.server.dialects import encode_error
from mintage.server.events_door import EventsDoor
from mintage.server.metrics import HealthDoor
from mintage.server.payments_door import PaymentsDoor
from mintage.server.vendor_doors import VendorDoors

MakePages = Callable[[App, str, str], Any]


class _Pages:
    """The control plane behind the hot doors. It needs the port's number, so it is filled in once that is known."""

    def __init__(self) -> None:
        self.bridge: AsgiBridge | None = None

    def __call__(self, request: HttpRequest, exchange: Exchange) -> Coroutine[Any, Any, None]:
        if self.bridge is None:
            raise MintageError("unavailable", "The server is starting.", "Try again in a moment.", retry_after_s=1)
        return self.bridge(request, exchange)


class Service:
    """A served App. `async with await Service.start(app)` stops it in order, whatever happens inside."""

    def __init__(  # noqa: PLR0917 - called once, just below
        self,
        app: App,
        server: HttpServer,
        upkeep: Upkeep,
        address: ServerAddress,
        pages: _Pages,
        telemetry: Telemetry | None,
    ) -> None:
        self.app = app
        self.server = server
        self.address = address
        self._upkeep = upkeep
        self._pages = pages
        self._telemetry = telemetry

    @property
    def url(self) -> str:
        return self.address.url

    @classmethod
    async def start(cls, app: App, *, make_pages: MakePages | None = None) -> Self:
        """Start the engines, open the port, announce the address in the home.

        make_pages(app, admin_token, base_url) builds the control plane: the admin API and the console. Raises
        MintageError unavailable if the port is taken.
        """
        hold_memory_flat()
        telemetry = app.gateway.spans = open_telemetry(app.settings)
        await asyncio.gather(app.refresh(models=True), app.shipping.start())
        doors = VendorDoors(app.gateway, reports=app.reports, files=app.files, jobs=app.jobs)
        events = EventsDoor(app.gateway, app.billing.events)
        payments = PaymentsDoor(app.billing.invoicing.payments)
        health = HealthDoor(app.gateway, app.log, app.engines)
        pages = _Pages()
        server = HttpServer(
            routes={**doors.routes(), **events.routes(), **payments.routes(), **health.routes()},
            prefixes=doors.prefixes(),
            fallback=pages if make_pages is not None else None,
            error_renderer=encode_error,
            limits=HttpLimits.from_settings(app.settings),
        )
        health.watch(server)
        address = ServerAddress(
            url=await _listen(server, app.settings.host, app.settings.port),
            pid=os.getpid(),
            admin_token=secrets.token_urlsafe(32),
        )
        if make_pages is not None:
            pages.bridge = AsgiBridge(make_pages(app, address.admin_token, address.url))
            await pages.bridge.startup()
        app.home.announce(address)
        await app.start_jobs()
        upkeep = Upkeep(app)
        upkeep.start()
        return cls(app, server, upkeep, address, pages, telemetry)

    async def stop(self) -> None:
        """Accept nothing more, let answers end within the grace, settle the rest, ship the log."""
        self.app.home.withdraw()
        await self._upkeep.stop()
        await self.app.runner.stop()
        self.app.gateway.closing = True
        await asyncio.gather(
            self.server.close(self.app.settings.shutdown_grace_s + 5),
            self.app.gateway.close(self.app.settings.shutdown_grace_s),
        )
        if self._pages.bridge is not None:
            await self._pages.bridge.shutdown()
        if self._telemetry is not None:
            await asyncio.to_thread(self._telemetry.close)

    async def until_signal(self) -> None:
        """Serve until SIGINT or SIGTERM. A second one cuts what still runs; it is settled all the same."""
        _spare_the_collector()
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()

        def on_signal() -> None:
            if asked.is_set():
                for conversation in list(self.app.gateway.open.values()):
                    conversation.cut()
            asked.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        await asked.wait()


async def _listen(server: HttpServer, host: str, port: int) -> str:
    try:
        port = await server.start(host, port)
    except OSError as error:
        raise MintageError(
            "unavailable",
            f"Port {port} of {host} cannot be used: {error.strerror}.",
            "Stop what uses it, or choose another with MINTAGE_PORT.",
        ) from error
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _spare_the_collector() -> None:
    """What start-up made stays: keep the cycle collector from walking it again and again while requests are answered.

    What requests make has hardly a cycle; it is still collected, in larger portions.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
