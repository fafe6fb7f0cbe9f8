"""Running a batch: each line is a request like any other, held, answered and settled, with its key's rights and limits.

After a crash it goes on where its output was last kept. A line that was charged in between is not asked again: its
answer is lost, and its line says so.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from mintage.base import MintageError, Usage
from mintage.content import FileEntry, FileStore
from mintage.gateway import Caller, Gateway
from mintage.jobs import Context
from mintage.protocols.openai.batches import BatchLine, answered_line, decode_lines
from mintage.server.answering import Voice
from mintage.server.exchange import HttpRequest

AT_ONCE: Final = 8
_TRIES: Final = 5
_WAIT_MAX_S: Final = 30.0
_LATER: Final = frozenset(("rate_limited", "engine_busy", "unavailable", "upstream_failed", "upstream_timeout"))
_USAGE: Final = ("input_tokens", "cached_read_tokens", "output_tokens", "reasoning_tokens")


class BatchState(msgspec.Struct, kw_only=True):
    """How far a batch is: what its job saves and returns. usage: in the order of input, cached, output, reasoning."""

    total: int = 0
    completed: int = 0
    failed: int = 0
    usage: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0, 0])
    output_id: str | None = None
    error_id: str | None = None


class Answered(NamedTuple):
    """One line's answer as it would have gone over the wire."""

    status: int
    body: bytes
    request_id: str
    usage: Usage


def state_of(saved: Any) -> BatchState:
    return msgspec.convert(saved, BatchState) if isinstance(saved, dict) else BatchState()


class BatchRunner:
    """The work of the kinds `batch` and `batch.messages`. voices: the operation behind each endpoint."""

    def __init__(self, gateway: Gateway, files: FileStore, voices: Mapping[str, Callable[[], Voice]]) -> None:
        self._gateway = gateway
        self._files = files
        self._voices = voices

    async def run(self, context: Context) -> Any:
        payload, tenant = context.payload, context.job.tenant_id or ""
        place = (tenant, payload["project_id"])
        data = await asyncio.to_thread(self._files.read, *place, payload["input_file_id"])
        lines = decode_lines(data, payload["endpoint"])
        state = state_of(context.checkpoint)
        state.total = len(lines)
        kept = _Kept(self._files, place, payload, state)
        await asyncio.to_thread(kept.open)
        while (done := state.completed + state.failed) < len(lines):
            group = lines[done : done + AT_ONCE]
            for line, answered in zip(
                group, await asyncio.gather(*(self._line(context, line) for line in group)), strict=True
            ):
                kept.add(line, answered, f"batch_req_{context.job.id[4:]}_{state.completed + state.failed}")
            await asyncio.to_thread(kept.write)
            context.save(msgspec.to_builtins(state))
            context.progress(state.completed + state.failed, state.total)
        return msgspec.to_builtins(state)

    async def _line(self, context: Context, line: BatchLine) -> Answered:
        endpoint, body = context.payload["endpoint"], bytes(line.body)
        voice = self._voices[endpoint]()
        http = HttpRequest("POST", endpoint, b"", b"", b"", body, ("", 0), "http", False)
        digest = hashlib.sha256(line.custom_id.encode()).hexdigest()
        for attempt in range(1, _TRIES + 1):
            try:
                return await self._ask(context, voice, http, f"{context.job.id}/{digest[:40]}")
            except MintageError as error:
                if error.code not in _LATER or attempt == _TRIES:
                    status, headers, told = voice.error(error, None)
                    return Answered(status, told, _request_id(headers), Usage())
                await asyncio.sleep(min(error.retry_after_s or 2.0**attempt, _WAIT_MAX_S))
        raise AssertionError  # the last try returned

    async def _ask(self, context: Context, voice: Voice, http: HttpRequest, key: str) -> Answered:
        caller = self._caller(context.payload["key_id"])
        if (known := self._gateway.log.idempotent(caller.tenant_id, key)) is not None:
            raise MintageError(
                "conflict", "This line was answered and charged before a restart; its answer is not kept.",
                f"GET /v1/receipts/{known[1].hold_id} shows the charge.",
            )  # fmt: skip
        request = voice.decode(http)
        if request.stream:
            raise MintageError("invalid_request", "A line of a batch is not streamed.", "Leave `stream` out.")
        conversation = await self._gateway.admit(caller, request, size_bytes=len(http.body))
        conversation.idempotency_key = key
        conversation.payload_hash = hashlib.sha256(http.body).hexdigest()
        _, body = await voice.respond(conversation)
        return Answered(200, body, conversation.id, conversation.usage or Usage())

    def _caller(self, key_id: str) -> Caller:
        """The key that began the batch, as it is now: revoked keys buy nothing more."""
        for caller in self._gateway.snapshot.callers.values():
            if caller.key_id == key_id:
                return caller
        raise MintageError("unauthenticated", "The key that began this batch is not valid any more.", "Begin again.")


class _Kept:
    """The output of a batch as files of its project: what was answered, and what failed."""

    def __init__(self, files: FileStore, place: tuple[str, str], payload: Mapping[str, Any], state: BatchState) -> None:
        self._files = files
        self._place = place
        self._messages = payload["endpoint"] == "/v1/messages"
        self._expires_ns = payload.get("expires_ns")
        self._name = payload["input_file_id"]
        self._state = state
        self._parts: dict[str, bytes] = {}
        self._fresh: dict[str, list[bytes]] = {}

    def open(self) -> None:
        """What an earlier try has kept."""
        for kind, file_id in (("output", self._state.output_id), ("error", self._state.error_id)):
            if file_id is not None:
                self._parts[kind] = self._files.read(*self._place, file_id)

    def add(self, line: BatchLine, answered: Answered, line_id: str) -> None:
        state, good = self._state, answered.status == 200
        state.completed += good
        state.failed += not good
        for index, meter in enumerate(_USAGE):
            state.usage[index] += getattr(answered.usage, meter)
        if self._messages:
            result: dict[str, object] = {"type": "succeeded", "message": msgspec.Raw(answered.body)}
            if not good:
                result = {"type": "errored", "error": msgspec.Raw(answered.body)}
            text = msgspec.json.encode({"custom_id": line.custom_id, "result": result}) + b"\n"
        else:
            text = answered_line(line.custom_id, line_id, answered.status, answered.body, answered.request_id)
        self._fresh.setdefault("output" if good or self._messages else "error", []).append(text)

    def write(self) -> None:
        for kind, texts in self._fresh.items():
            data = self._parts[kind] = self._parts.get(kind, b"") + b"".join(texts)
            known = self._state.output_id if kind == "output" else self._state.error_id
            entry = self._entry(kind, known, data)
            if kind == "output":
                self._state.output_id = entry.id
            else:
                self._state.error_id = entry.id
        self._fresh.clear()

    def _entry(self, kind: str, known: str | None, data: bytes) -> FileEntry:
        if known is not None:
            return self._files.replace(*self._place, self._files.get(*self._place, known), data)
        name = f"{self._name}_{kind}.jsonl"
        return self._files.add(*self._place, name, "batch_output", data, expires_ns=self._expires_ns)


def _request_id(headers: list[tuple[bytes, bytes]]) -> str:
    return next((value.decode() for name, value in headers if name in (b"x-request-id", b"request-id")), "")
