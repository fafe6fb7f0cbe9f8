"""llama.cpp in this process: one loaded model, its worker threads, and the shut door of its own HTTP server.

Everything here is blocking and knows neither requests nor events; JSON text goes in, chunks of JSON text come out. A
runtime in a child process would have these same four methods.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from mintage.base import MintageError

if TYPE_CHECKING:
    import xllamacpp

#: Prompt tokens read per step. Between steps an answer can be cancelled and the others get their next token. Measured
#: on a CPU: 64 reads as fast as 512 (docs/log.md, "Local engine"), so smaller is only better.
PREFILL_BATCH_TOKENS: Final = 64
_DOOR_CALLS_MAX: Final = 2  # the door's own threads; more calls wait here instead of there
_DOOR_TIMEOUT_S: Final = 30
_DOOR_ANSWER_MAX_BYTES: Final = 64 * 1024 * 1024

CallKind = Literal["chat", "completion"]


class LlamaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """threads 0: the number of cores less one, because spinning workers collapse when every core is taken."""

    weights: Path
    context_tokens: int
    parallel: int
    threads: int = 0
    temperature: float = 0.2  # small models write nonsense at the usual 0.8

    @property
    def thread_count(self) -> int:
        return self.threads or max(1, (os.cpu_count() or 2) - 1)


class LlamaRuntime:
    """load(), then call() from any thread and post() from the event loop, then unload()."""

    def __init__(self, settings: LlamaSettings) -> None:
        self.settings = settings
        self._server: xllamacpp.Server | None = None
        self._folder: Path | None = None
        self._key = secrets.token_hex(32)
        self._door_calls = asyncio.Semaphore(_DOOR_CALLS_MAX)

    @property
    def door(self) -> Path:
        """The Unix socket of llama.cpp's HTTP server, in a folder that only this user can enter."""
        if self._folder is None:
            raise _not_loaded()
        return self._folder / "door.sock"  # llama.cpp knows a socket by this ending

    def load(self) -> None:
        """Read the weights. Raises invalid_request if llama.cpp cannot.

        The library keeps the GIL for most of it (0.3 s for a 98 MB model), so a running server pauses that long.
        """
        import xllamacpp

        self._folder = Path(tempfile.mkdtemp(prefix="mintage-"))
        try:
            self._server = xllamacpp.Server(self._params(xllamacpp))
        except (RuntimeError, ValueError) as error:
            self.unload()
            raise MintageError(
                "invalid_request",
                f"llama.cpp cannot load the weights in {self.settings.weights.name}.",
                "`mintage models list` shows whether they are whole; the model may be newer than this runtime.",
            ) from error

    def _params(self, library: object) -> xllamacpp.CommonParams:
        settings = self.settings
        params = library.CommonParams()  # type: ignore[attr-defined]
        params.model.path = str(settings.weights)
        params.n_parallel = settings.parallel
        params.n_ctx = settings.context_tokens * settings.parallel  # llama.cpp divides it among the slots
        params.kv_unified = False
        params.fit_params = False  # or it would change n_ctx to what it thinks fits
        params.n_batch = params.n_ubatch = PREFILL_BATCH_TOKENS
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.thread_count
        params.sampling.temp = settings.temperature
        params.cache_ram_mib = 0  # prompts of one tenant are not kept for gigabytes beside the slots
        params.verbosity = -1  # its log would show prompts
        params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
        params.n_threads_http = _DOOR_CALLS_MAX
        params.hostnames = [str(self.door)]
        params.api_keys = [self._key]
        return params

    def call(self, kind: CallKind, body: str, on_chunk: Callable[[str], bool]) -> None:
        """Answer one body, streamed; blocks until the last chunk, the GIL released between chunks.

        on_chunk gets each chunk as JSON text, in this thread; once it returns True the answer stops. It must not
        raise. Refusals come as a chunk with `error`, or as ValueError or RuntimeError.
        """
        server = self._server
        if server is None:
            raise _not_loaded()
        handle = server.handle_chat_completions if kind == "chat" else server.handle_completions
        handle(body, on_chunk)

    async def post(self, path: str, body: bytes) -> bytes:
        """Ask the door: /tokenize, /apply-template, /v1/chat/completions/input_tokens exist only there.

        Returns the body of the answer, whatever its status: an error is JSON with `error`.
        """
        async with self._door_calls:
            try:
                async with asyncio.timeout(_DOOR_TIMEOUT_S):
                    return await self._post(path, body)
            except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
                raise MintageError("upstream_failed", "The local engine does not answer.", "Try again.") from error

    async def _post(self, path: str, body: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(self.door))
        try:
            writer.write(
                b"POST %b HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer %b\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\nConnection: close\r\n\r\n%b"
                % (path.encode(), self._key.encode(), len(body), body)
            )
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
            if length > _DOOR_ANSWER_MAX_BYTES:
                raise ValueError("the answer is too long")
            return await reader.readexactly(length)
        finally:
            writer.close()

    def unload(self) -> None:
        """Free everything; no call may be running. Blocks until llama.cpp's threads have ended. Safe to call twice."""
        self._server = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _not_loaded() -> MintageError:
    return MintageError("unavailable", "The model is not loaded.", "Start the engine first.", retry_after_s=2)
