"""The engines that run: one per local model, one per upstream, started and stopped as the registry changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from mintage.base import MintageError, Settings
from mintage.engines.host_frames import HostConfig
from mintage.engines.protocol import Engine
from mintage.engines.remote import RemoteEngine
from mintage.engines.speech import SpeechEngine
from mintage.engines.upstream import UpstreamEngine
from mintage.registry import ModelEntry, Registry

Make = Callable[[ModelEntry], Engine]
_START_LIMIT: Final = 2  # engines that load at once: each reads gigabytes


class EngineRoom:
    """Call sync() after the registry has changed. An engine that fails to start is left out, with the reason kept."""

    def __init__(self, registry: Registry, settings: Settings, make: Make | None = None) -> None:
        self._registry = registry
        self._settings = settings
        self._make = make or self._default
        self._engines: dict[str, tuple[ModelEntry, Engine]] = {}
        self._starting = asyncio.Semaphore(_START_LIMIT)
        self._lock = asyncio.Lock()
        self._routes: list[ModelEntry] = []
        self.problems: dict[str, MintageError] = {}

    def engines(self) -> dict[str, tuple[ModelEntry, Engine]]:
        """By model name: what can answer now."""
        return dict(self._engines)

    def routes(self) -> list[ModelEntry]:
        """The entries that have no engine of their own, because others answer for them."""
        return [entry for entry in self._routes if not entry.problem]

    async def sync(self) -> None:
        """Start what is new, stop what is gone or changed. Returns when every engine runs or has failed."""
        async with self._lock:
            entries = {entry.name: entry for entry in await asyncio.to_thread(self._registry.list)}
            self._routes = [entry for entry in entries.values() if entry.route is not None]
            for name, (entry, engine) in list(self._engines.items()):
                if entries.get(name) != entry:
                    del self._engines[name]
                    await engine.close()
            self.problems = {
                name: MintageError("unavailable", entry.problem, "Pull the model again.")
                for name, entry in entries.items()
                if entry.problem
            }
            fresh = [
                entry
                for entry in entries.values()
                if entry.name not in self._engines and not entry.problem and entry.route is None
            ]
            await asyncio.gather(*(self._start(entry) for entry in fresh))

    async def _start(self, entry: ModelEntry) -> None:
        async with self._starting:
            engine = None
            try:
                engine = await asyncio.to_thread(self._make, entry) if entry.local else self._make(entry)
                await engine.start()
            except MintageError as error:
                self.problems[entry.name] = error
                if engine is not None:
                    await engine.close()
            else:
                self._engines[entry.name] = (entry, engine)

    def _default(self, entry: ModelEntry) -> Engine:
        if entry.engine in ("piper", "flite"):
            return SpeechEngine(entry.name, entry.engine, self._settings.queue_limit)
        if entry.upstream is None:
            return RemoteEngine(self._host_config(entry))
        return UpstreamEngine.from_settings(entry, self._registry.api_key(entry.name), self._settings)

    def _host_config(self, entry: ModelEntry) -> HostConfig:
        settings = self._settings
        return HostConfig(
            entry=entry,
            path=str(self._registry.weights(entry.name)) if entry.has_weights else "",
            threads=settings.engine_threads,
            parallel=settings.engine_parallel,
            context_tokens=settings.context_tokens,
            queue_limit=settings.queue_limit,
        )

    async def close(self) -> None:
        async with self._lock:
            engines, self._engines = self._engines, {}
            await asyncio.gather(*(engine.close() for _, engine in engines.values()))
