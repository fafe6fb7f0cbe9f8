"""The command line is a client of the admin API: over HTTP while a server runs, else in this process, as the home's
one writer.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec
import typer

from mintage.base import MintageError, Settings, load_settings
from mintage.cli import exits
from mintage.cli.output import print_error

if TYPE_CHECKING:  # imported where they are used: --help must not wait for them
    import httpx

    from mintage.books import Home, ServerAddress

TIMEOUT_S: Final = 3600.0  # verifying large books; connecting has a limit of its own
CONNECT_S: Final = 5.0
LOCK_WAIT_S = 3.0  # for another command to end, or a server to come up
_PREFIX: Final = "/admin/v1"


class Api:
    """Calls, one after another, on an event loop of this command's own."""

    def __init__(self, client: httpx.AsyncClient, runner: asyncio.Runner, unreachable: MintageError) -> None:
        self._client = client
        self._runner = runner
        self._unreachable = unreachable

    def get(self, path: str, **query: Any) -> Any:
        params = {name: value for name, value in query.items() if value is not None}
        return self.call("GET", path, params=params)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The answer's JSON. Raises MintageError as the API told it."""
        return msgspec.json.decode(self.raw(method, path, **options))

    def raw(self, method: str, path: str, **options: Any) -> bytes:
        """The answer's bytes."""
        answer = self._runner.run(self._send(method, path, options))
        return answer.content

    async def _send(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        import httpx

        try:
            answer = await self._client.request(method, _PREFIX + path, **options)
        except httpx.TransportError as error:
            raise self._unreachable from error
        if answer.status_code >= 400:
            raise _error_of(answer.status_code, answer.content)
        return answer

    def lines(self, method: str, path: str, body: object) -> Iterator[Any]:
        """Each line of an answer in JSON lines, as it comes."""
        source = self._lines(method, path, body)
        try:
            while True:
                try:
                    yield self._runner.run(_next(source))
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(source.aclose())

    async def _lines(self, method: str, path: str, body: object) -> AsyncGenerator[Any, None]:
        import httpx

        try:
            async with self._client.stream(method, _PREFIX + path, json=body) as answer:
                if answer.status_code >= 400:
                    raise _error_of(answer.status_code, await answer.aread())
                async for line in answer.aiter_lines():
                    yield msgspec.json.decode(line)
        except httpx.TransportError as error:
            raise self._unreachable from error


async def _next(source: AsyncGenerator[Any, None]) -> Any:
    return await anext(source)


def _error_of(status: int, raw: bytes) -> MintageError:
    """The problem that the API told, as the error that it was made from."""
    try:
        problem = msgspec.json.decode(raw, type=dict[str, Any])
        return MintageError(
            str(problem["code"]),
            str(problem["detail"]),
            str(problem.get("hint", "")),
            status=status,
            param=problem.get("param"),
            details=problem.get("details"),
        )
    except (msgspec.DecodeError, KeyError):
        return MintageError(
            "internal", f"The server answered {status} in a shape of its own.", "Is it Mintage, of this version?"
        )


def _unreachable(address: ServerAddress) -> MintageError:
    return MintageError(
        "home_locked",
        f"The home is in use by process {address.pid}, which does not answer at {address.url}.",
        "Wait until it has started, or stop it.",
    )


def _server(home: Home) -> ServerAddress | None:
    """The server to talk to; None when this process may become the writer. Raises home_locked."""
    until = time.monotonic() + LOCK_WAIT_S
    while home.in_use():
        if (address := home.server()) is not None:
            return address
        if time.monotonic() >= until:
            raise MintageError(
                "home_locked",
                f"Another process is using the home {home.path} and is no server.",
                "Wait until it has ended, or give another home with --home.",
            )
        time.sleep(0.05)
    return None


async def _connect(stack: AsyncExitStack, home_option: str | None) -> tuple[httpx.AsyncClient, MintageError]:
    import httpx

    from mintage.books import Home, ServerAddress

    settings = load_settings(home=home_option)
    address = await asyncio.to_thread(_server, Home(settings.home_path))
    transport: httpx.AsyncBaseTransport | None = None
    if address is None:
        address = ServerAddress(url="http://in-process", pid=0, admin_token=secrets.token_urlsafe(32))
        transport = await _open_here(stack, settings, address.admin_token)
    client = httpx.AsyncClient(
        base_url=address.url,
        headers={"authorization": f"Bearer {address.admin_token}"},
        timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
        transport=transport,
        trust_env=False,  # no proxy stands between a command and its own machine's server
    )
    return await stack.enter_async_context(client), _unreachable(address)


async def _open_here(stack: AsyncExitStack, settings: Settings, token: str) -> httpx.AsyncBaseTransport:
    from mintage.app import App
    from mintage.app.pages import make_desk
    from mintage.cli.asgi import InProcess
    from mintage.server.admin import create_admin_app

    app = await App.open(settings)
    stack.push_async_callback(app.close)
    return InProcess(create_admin_app(make_desk(app, token, served=False)))


@contextmanager
def session(home: str | None, *, as_json: bool) -> Iterator[Api]:
    """The API for one command. Errors are told and become exit codes; Ctrl-C ends it cleanly."""
    with reporting(as_json=as_json), asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            client, unreachable = runner.run(_connect(stack, home))
            yield Api(client, runner, unreachable)
        finally:
            runner.run(stack.aclose())


@contextmanager
def reporting(*, as_json: bool) -> Iterator[None]:
    """Turn what goes wrong into a message and an exit code."""
    try:
        yield
    except MintageError as error:
        problem: dict[str, Any] = {"code": error.code, "detail": error.message, "hint": error.hint}
        if error.param:
            problem["param"] = error.param
        if error.details:
            problem["details"] = error.details
        print_error(problem, as_json=as_json)
        raise typer.Exit(exits.exit_code(error.status)) from None
    except BrokenPipeError:  # `mintage ... | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(exits.OK) from None
    except KeyboardInterrupt:
        raise typer.Exit(exits.INTERRUPTED) from None
