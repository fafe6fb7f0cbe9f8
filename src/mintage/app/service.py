"""The doors of an App: one HTTP server for the dialects, the admin API and the console."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Callable
from typing import Any, Self

from mintage.app.parts import App
from mintage.app.upkeep import Upkeep
from mintage.base import MintageError
from mintage.books import ServerAddress
from mintage.protocols import openai
from mintage.server import AsgiBridge, HttpLimits, HttpRequest, HttpServer
from mintage.server.metrics import HealthDoor
from mintage.server.openai_door import OpenAIDoor

Asgi = Callable[..., Any]


class Service:
    """A served App. `async with await Service.start(app)` stops it in order, whatever happens inside."""

    def __init__(self, app: App, server: HttpServer, upkeep: Upkeep, address: ServerAddress) -> None:
        self.app = app
        self.server = server
        self.address = address
        self._upkeep = upkeep
        self._bridge: AsgiBridge | None = None

    @property
    def url(self) -> str:
        return self.address.url

    @classmethod
    async def start(cls, app: App, *, make_asgi: Callable[[App, str], Asgi] | None = None) -> Self:
        """Start engines, open the port, announce the address in the home.

        make_asgi builds the admin API and console from the app and the admin token. Raises MintageError if the port
        is taken.
        """
        settings = app.settings
        admin_token = secrets.token_urlsafe(32)
        await app.refresh(models=True)
        bridge = None
        if make_asgi is not None:
            bridge = AsgiBridge(make_asgi(app, admin_token))
            await bridge.startup()
        door = OpenAIDoor(app.gateway)
        health = HealthDoor(app.gateway, app.log, app.engines)
        server = HttpServer(
            routes={**door.routes(), **health.routes()},
            prefixes=door.prefixes(),
            fallback=bridge,
            error_renderer=_render,
            limits=HttpLimits.from_settings(settings),
        )
        health.watch(server)
        try:
            port = await server.start(settings.host, settings.port)
        except OSError as error:
            raise MintageError(
                "unavailable",
                f"Port {settings.port} of {settings.host} cannot be used: {error.strerror}.",
                "Stop what uses it, or choose another with MINTAGE_PORT.",
            ) from error
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = ServerAddress(url=f"http://{host}:{port}", pid=os.getpid(), admin_token=admin_token)
        app.home.announce(address)
        upkeep = Upkeep(app)
        upkeep.start()
        service = cls(app, server, upkeep, address)
        service._bridge = bridge
        return service

    async def stop(self) -> None:
        """Accept nothing more, let answers end within the grace, settle the rest, ship the log."""
        self.app.home.withdraw()
        await self._upkeep.stop()
        self.app.gateway.closing = True
        await asyncio.gather(
            self.server.close(self.app.settings.shutdown_grace_s + 5),
            self.app.gateway.close(self.app.settings.shutdown_grace_s),
        )
        if self._bridge is not None:
            await self._bridge.shutdown()

    async def until_signal(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        try:
            await stop.wait()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def _render(error: MintageError, request: HttpRequest | None) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Errors before any handler: in OpenAI's shape on its paths, and for what never became a request."""
    return openai.encode_error(error)
