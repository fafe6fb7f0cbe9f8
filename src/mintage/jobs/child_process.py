"""One job in a child process: started fresh, heard over a socket, its output kept bounded, killed with its group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

import msgspec

from mintage.base import MintageError
from mintage.jobs.child import Order, Word
from mintage.jobs.context import Context
from mintage.jobs.job import OUTPUT_MAX_BYTES, RESULT_MAX_BYTES, Job, JobError

_PROGRAM: Final = "from mintage.jobs.child import main; main()"
_LINE_MAX_BYTES: Final = 2 * RESULT_MAX_BYTES + 64 * 1024
_EXIT_WAIT_S: Final = 5.0  # from its last word until it has ended


class Tail:
    """The end of what a process wrote."""

    def __init__(self, limit_bytes: int = OUTPUT_MAX_BYTES) -> None:
        self._limit = limit_bytes
        self._kept = bytearray()
        self.seen_bytes = 0

    def add(self, data: bytes) -> None:
        self.seen_bytes += len(data)
        self._kept += data
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]

    def text(self) -> str:
        kept = bytes(self._kept[-self._limit :])
        cut = self.seen_bytes - len(kept)
        head = f"[{cut} bytes before this are not kept]\n" if cut else ""
        return head + kept.decode("utf-8", "replace")


class ChildProcess:
    """run() once. The context is the parent's picture of what the child told."""

    def __init__(self, job: Job, run: str, home: Path, context: Context, grace_s: float) -> None:
        self._job = job
        self._run = run
        self._home = home
        self._context = context
        self._grace_s = grace_s
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._killer: asyncio.TimerHandle | None = None
        self.tail = Tail()

    async def run(self) -> Word:
        """The child's last word; an error of ours if it died without one."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-c", _PROGRAM, str(theirs.fileno())),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=_LINE_MAX_BYTES)
        except BaseException as error:
            ours.close()
            await self._finish()
            if isinstance(error, OSError):
                raise MintageError("unavailable", f"A child process cannot start: {error}.", "Try later.") from error
            raise
        copying = asyncio.ensure_future(self._copy_output())
        try:
            order = Order(job=self._job, run=self._run, home=str(self._home), path=sys.path)
            self._writer.write(msgspec.json.encode(order) + b"\n")
            word = await self._listen(reader)
        finally:
            await self._finish()
            await asyncio.wait([copying], timeout=_EXIT_WAIT_S)
            copying.cancel()
        return word or self._died()

    async def _listen(self, reader: asyncio.StreamReader) -> Word | None:
        with contextlib.suppress(ValueError, OSError, msgspec.DecodeError):  # it broke the protocol, or broke off
            async for line in reader:
                word = msgspec.json.decode(line, type=Word)
                if word.last:
                    return word
                self._context.hear(word.progress, word.checkpoint)
        return None

    async def _copy_output(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        while data := await self._process.stdout.read(64 * 1024):
            self.tail.add(data)

    def cancel(self) -> None:
        """Ask it to end; kill it when it has not within its grace. Safe to call twice."""
        if self._killer is None and self._writer is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.write(b"cancel\n")
            self._killer = asyncio.get_running_loop().call_later(self._grace_s, self.kill)

    def kill(self) -> None:
        """Kill it and everything that it started."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    async def _finish(self) -> None:
        """It has said its last word, or we are leaving: see that nothing of it is left."""
        process = self._process
        try:
            if process is not None and sys.exception() is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_EXIT_WAIT_S):
                        await process.wait()
        finally:
            self.kill()
            if self._killer is not None:
                self._killer.cancel()
            if self._writer is not None:
                self._writer.close()
            if process is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)  # what it started and left behind
                await process.wait()

    def _died(self) -> Word:
        code = self._process.returncode if self._process is not None else None
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        if self._context.cancelled:
            return Word(cancelled=True)
        return Word(
            error=JobError(code="internal", message=f"Its process {how}.", hint="The attempt's output may tell why.")
        )
