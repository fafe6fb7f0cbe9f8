"""The other end of child_process.py: one job in a process of its own. Not imported by the server.

It hears from its parent over a socket: first what to do, then perhaps `cancel`. When the socket closes, the parent is
dead: the lease will run out and another worker will have the job, so this process ends at once, with its children.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import os
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from mintage.base import MintageError
from mintage.books import failpoints
from mintage.jobs.context import Context
from mintage.jobs.job import RESULT_MAX_BYTES, Done, Job, JobCancelled, JobError, Progress, encode_json

NICENESS: Final = 10  # heavy work yields to the requests of customers


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The first line that a child hears. path: where to import from, as the parent does."""

    job: Job
    run: str
    home: str
    path: list[str]


class Word(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line that a child says. The last one has a result or an error, or is a cancellation."""

    progress: Progress | None = None
    checkpoint: str | None = None
    result: str | None = None
    error: JobError | None = None
    final: bool = False  # trying again cannot help
    retry_after_s: float | None = None
    cancelled: bool = False

    @property
    def last(self) -> bool:
        return self.result is not None or self.error is not None or self.cancelled


class _ChildContext(Context):
    def __init__(self, job: Job, home: Path, channel: socket.socket) -> None:
        super().__init__(job, home)
        self._channel = channel
        self._turn = threading.Lock()

    def say(self, word: Word) -> None:
        with self._turn:
            self._channel.sendall(msgspec.json.encode(word) + b"\n")

    def _publish(self, *, progress: Progress | None = None, checkpoint: str | None = None) -> None:
        self.say(Word(progress=progress, checkpoint=checkpoint))

    def listen(self, lines: Any) -> NoReturn:
        with contextlib.suppress(OSError):
            for _ in lines:
                self.cancelled = True
        os.killpg(0, signal.SIGKILL)
        os._exit(1)  # not reached: the group is ours


def is_final(error: MintageError) -> bool:
    """What the caller did wrong stays wrong; what was busy or broken may not."""
    return error.status < 500 and error.status not in (408, 409, 429)


def word_of(error: BaseException) -> Word:
    """A failure as the parent hears it."""
    if isinstance(error, JobCancelled):
        return Word(cancelled=True)
    if isinstance(error, MintageError):
        told = JobError(code=error.code, message=error.message, hint=error.hint)
        return Word(error=told, final=is_final(error), retry_after_s=error.retry_after_s)
    message = f"{type(error).__name__}: {error}"[:1000]
    return Word(error=JobError(code="internal", message=message, hint="The attempt's output tells where."))


def _run(order: Order, context: _ChildContext) -> Word:
    module, _, name = order.run.partition(":")
    try:
        result: Any = getattr(importlib.import_module(module), name)(context)
        if inspect.isawaitable(result):
            result = asyncio.run(_await(result))
        if isinstance(result, Done):
            result = result.result
        return Word(result=encode_json(result, RESULT_MAX_BYTES, "result"))
    except BaseException as error:
        if not isinstance(error, JobCancelled):
            traceback.print_exc()
        return word_of(error)


async def _await(awaitable: Any) -> Any:
    return await awaitable


def main() -> None:
    """argv[1] is the number of the socket."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    lines = channel.makefile("rb")
    order = msgspec.json.decode(lines.readline(), type=Order)
    sys.path[:] = order.path
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    context = _ChildContext(order.job, Path(order.home), channel)
    threading.Thread(target=context.listen, args=(lines,), daemon=True).start()
    word = _run(order, context)
    sys.stdout.flush()
    if failpoints.armed is not None:
        failpoints.hit("jobs.child.ending")
    context.say(word)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # what a library left running must not keep the process
