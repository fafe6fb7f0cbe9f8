"""The command line is a client of the admin API: over HTTP while a server runs, else in this process, as the home's
one writer.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

from mintage.base import MintageError, Settings, load_settings
from mintage.cli import exits
from mintage.cli.output import print_error
from mintage.client import AdminClient

if TYPE_CHECKING:  # imported where they are used: --help must not wait for them
    import httpx

    from mintage.books import Home, ServerAddress

#: What commands call.
Api = AdminClient

TIMEOUT_S: Final = 3600.0  # verifying large books; connecting has a limit of its own
LOCK_WAIT_S = 3.0  # for another command to end, or a server to come up


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


def _connect(stack: ExitStack, home_option: str | None) -> Api:
    settings = load_settings(home=home_option)
    from mintage.books import Home

    address = _server(Home(settings.home_path))
    if address is not None:
        return stack.enter_context(
            Api(address.url, address.admin_token, timeout_s=TIMEOUT_S, retries=0, unreachable=_unreachable(address))
        )
    runner, token = stack.enter_context(asyncio.Runner()), secrets.token_urlsafe(32)
    inside = AsyncExitStack()
    stack.callback(lambda: runner.run(inside.aclose()))
    transport = runner.run(_open_here(inside, settings, token, runner))
    return stack.enter_context(Api("http://in-process", token, timeout_s=TIMEOUT_S, retries=0, transport=transport))


async def _open_here(
    stack: AsyncExitStack, settings: Settings, token: str, runner: asyncio.Runner
) -> httpx.BaseTransport:
    from mintage.app import App
    from mintage.app.pages import make_desk
    from mintage.cli.asgi import RunHere
    from mintage.server.admin import create_admin_app

    app = await App.open(settings)
    stack.push_async_callback(app.close)
    return RunHere(create_admin_app(make_desk(app, token, served=False)), runner)


@contextmanager
def session(home: str | None, *, as_json: bool) -> Iterator[Api]:
    """The API for one command. Errors are told and become exit codes; Ctrl-C ends it cleanly."""
    with reporting(as_json=as_json), ExitStack() as stack:
        yield _connect(stack, home)


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
