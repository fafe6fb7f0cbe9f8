"""An engine in a process of its own, as seen from the gateway: the same protocol, over a socket pair.

A crash of the process fails what ran in it and starts it anew with the next request, not more often than every few
seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections import deque
from typing import Final

from mintage.base import Event, MintageError, Request, Usage, UsageReported
from mintage.engines.host_frames import (
    Ask,
    Cancel,
    Count,
    Ended,
    FromEngine,
    HealthAsked,
    HostConfig,
    Measure,
    Ready,
    Said,
    ToEngine,
    Told,
    frame,
    from_engine,
    read_frame,
)
from mintage.engines.protocol import Capabilities, Health, HealthState

_START_S: Final = 180.0
_STOP_S: Final = 10.0
_TELL_S: Final = 60.0
_RESTART_S: Final = 5.0
_READ_LIMIT: Final = 1024 * 1024


class RemoteEngine:
    """One local model in its own process. Use it on one event loop."""

    local = True
    dialect = None

    def __init__(self, config: HostConfig) -> None:
        self.name = config.entry.name
        self.models = (config.entry.name,)
        self.config = config
        self._able: Capabilities | None = None
        self._state: HealthState = "stopped"
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self._streams: dict[int, RemoteStream] = {}
        self._told: dict[int, asyncio.Future[Told]] = {}
        self._number = 0
        self._closing = False
        self._not_before_s = 0.0
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Of the engine's process, while it runs."""
        return self._process.pid if self._process is not None and self._state == "ready" else None

    def capabilities(self, model: str) -> Capabilities:
        if model != self.name or self._able is None:
            raise MintageError("model_not_found", f"This engine has no model {model!r}.", f"It has {self.name}.")
        return self._able

    async def start(self) -> None:
        async with self._lock:
            if self._state == "ready" or self._closing:
                return
            self._state = "starting"
            try:
                async with asyncio.timeout(_START_S):
                    await self._spawn()
            except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError) as error:
                await self._fail()
                raise MintageError(
                    "unavailable", f"The process of the engine {self.name} did not start: {type(error).__name__}.",
                    "There may be too little memory for the model.",
                ) from error  # fmt: skip
            except BaseException:
                await self._fail()
                raise
            self._state = "ready"

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            environment = {name: value for name, value in os.environ.items() if not name.startswith("MINTAGE_")}
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "mintage.engines.host", str(theirs.fileno()), pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL, env=environment,
            )  # fmt: skip
        finally:
            theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=_READ_LIMIT)
        self._send(self.config)
        ready = from_engine(await read_frame(reader))
        if not isinstance(ready, Ready):
            raise ValueError("the process does not begin as it should")
        if ready.failure is not None:
            raise ready.failure.error()
        self._able = ready.capabilities
        self._listener = asyncio.get_running_loop().create_task(self._listen(reader))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
            while True:
                self._take(from_engine(await read_frame(reader)))
        if not self._closing:
            await self._fail()

    def _take(self, message: FromEngine) -> None:
        if isinstance(message, Told):
            if (future := self._told.pop(message.id, None)) is not None and not future.done():
                future.set_result(message)
        elif isinstance(message, Said):
            if (stream := self._streams.get(message.id)) is not None:
                stream.take(message.event)
        elif isinstance(message, Ended) and (stream := self._streams.pop(message.id, None)) is not None:
            stream.end(message.failure.error() if message.failure else None, message.consumed)

    async def _fail(self) -> None:
        """The process is gone or useless: end what ran in it."""
        self._state = "failed"
        self._not_before_s = asyncio.get_running_loop().time() + _RESTART_S
        await self._stop(MintageError("upstream_failed", "The local engine failed.", "Try again in a moment."))

    async def _stop(self, error: MintageError) -> None:
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.end(error, None)
        told, self._told = self._told, {}
        for future in told.values():
            if not future.done():
                future.set_exception(error)
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                try:
                    async with asyncio.timeout(_STOP_S):
                        await process.wait()  # it ends by itself when its socket closes
                except TimeoutError:
                    process.kill()
                    await process.wait()

    async def ensure(self) -> None:
        """Ready to be asked. Raises shutting_down, or unavailable while a crashed process may not start again."""
        if self._closing:
            raise MintageError("shutting_down", "The engine is shutting down.", "Try again in a moment.")
        if self._state == "ready":
            return
        wait_s = self._not_before_s - asyncio.get_running_loop().time()
        if wait_s > 0:
            raise MintageError(
                "unavailable", "The local engine is starting again.", "Try again soon.", retry_after_s=max(1.0, wait_s)
            )
        await self.start()

    def open(self, stream: RemoteStream, request: Request) -> int:
        self._number += 1
        self._streams[self._number] = stream
        self._send(Ask(self._number, request))
        return self._number

    def cancel(self, number: int) -> None:
        if number in self._streams and self._writer is not None:
            self._send(Cancel(number))

    def _send(self, message: ToEngine) -> None:
        if self._writer is None:
            raise MintageError("unavailable", "The local engine is not running.", "Try again soon.", retry_after_s=2)
        self._writer.write(frame(message))

    async def _ask(self, kind: type[Count] | type[Measure] | None, request: Request | None = None) -> Told:
        await self.ensure()
        self._number += 1
        number = self._number
        future = self._told[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(HealthAsked(number) if kind is None or request is None else kind(number, request))
            async with asyncio.timeout(_TELL_S):
                told: Told = await future
        except TimeoutError:
            raise MintageError("upstream_timeout", "The local engine does not answer.", "Try again.") from None
        finally:
            self._told.pop(number, None)
        if told.failure is not None:
            raise told.failure.error()
        return told

    async def count_tokens(self, request: Request) -> int:
        return (await self._ask(Count, request)).tokens

    async def measure(self, request: Request) -> Usage:
        return (await self._ask(Measure, request)).usage or Usage()

    def stream(self, request: Request) -> RemoteStream:
        return RemoteStream(self, request)

    async def health(self) -> Health:
        if self._state != "ready":
            return Health(state=self._state)
        try:
            return (await self._ask(None)).health or Health(state="ready")
        except MintageError as error:
            return Health(state="failed", detail=error.code)

    async def close(self) -> None:
        self._closing = True
        async with self._lock:
            await self._stop(MintageError("shutting_down", "The engine is shutting down.", "Try again in a moment."))
            if self._listener is not None:
                await asyncio.wait([self._listener], timeout=_STOP_S)
            self._state = "stopped"


class RemoteStream:
    """One answer of the other process."""

    def __init__(self, engine: RemoteEngine, request: Request) -> None:
        self._engine = engine
        self._request = request
        self._number = 0
        self._events: deque[Event] = deque()
        self._ended: asyncio.Future[None] | None = None
        self._error: MintageError | None = None
        self._consumed: UsageReported | None = None
        self._reported: UsageReported | None = None
        self._arrival: asyncio.Future[None] | None = None

    def __aiter__(self) -> RemoteStream:
        return self

    async def __anext__(self) -> Event:
        if not self._number:
            await self._engine.ensure()
            self._ended = asyncio.get_running_loop().create_future()
            self._number = self._engine.open(self, self._request)
        while not self._events:
            if self._error is not None:
                raise self._error
            if self._ended is not None and self._ended.done():
                raise StopAsyncIteration
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        return self._events.popleft()

    def take(self, event: Event) -> None:
        if isinstance(event, UsageReported):
            self._reported = event
        self._events.append(event)
        self._wake()

    def end(self, error: MintageError | None, consumed: UsageReported | None) -> None:
        self._error, self._consumed = error, consumed
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def consumed(self) -> UsageReported | None:
        """Final once aclose() has returned."""
        return self._reported or self._consumed

    async def aclose(self) -> None:
        if self._ended is None or self._ended.done():
            return
        self._engine.cancel(self._number)
        await asyncio.wait([self._ended], timeout=_STOP_S)
