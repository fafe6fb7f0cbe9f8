"""Files and batches: OpenAI's /v1/files and /v1/batches, Anthropic's /v1/messages/batches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.content import FileStore
from mintage.gateway import Caller, Gateway
from mintage.jobs import Job, Jobs
from mintage.protocols import anthropic
from mintage.protocols.openai import batches
from mintage.server.answering import JSON
from mintage.server.batch_run import state_of
from mintage.server.dialects import api_key, query_of
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.listener import Handler

KIND: Final = "batch"
MESSAGES_KIND: Final = "batch.messages"
_WINDOW_NS: Final = 86_400 * 10**9
_PAGE_DEFAULT, _PAGE_MAX = 20, 100
_LINES: Final = (b"content-type", b"application/x-jsonl")


class BatchesDoor:
    """A file and a batch belong to the project whose key made them."""

    def __init__(self, gateway: Gateway, files: FileStore, jobs: Jobs) -> None:
        self._gateway = gateway
        self._files = files
        self._jobs = jobs

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("POST", "/v1/files"): self.upload,
            ("GET", "/v1/files"): self.files,
            ("POST", "/v1/batches"): self.begin,
            ("GET", "/v1/batches"): self.batches,
            ("POST", "/v1/messages/batches"): self.begin_messages,
            ("GET", "/v1/messages/batches"): self.message_batches,
        }

    def prefixes(self) -> list[tuple[str, Handler]]:
        return [
            ("/v1/files/", self.file),
            ("/v1/batches/", self.batch),
            ("/v1/messages/batches/", self.message_batch),
        ]

    def _caller(self, http: HttpRequest) -> Caller:
        return self._gateway.identify(api_key(http), http)

    # Files

    async def upload(self, http: HttpRequest, exchange: Exchange) -> None:
        caller = self._caller(http)
        sent = batches.decode_upload(http.header(b"content-type") or b"", http.body)
        now_ns = self._gateway.clock.now_ns()
        expires_ns = None if sent.expires_s is None else now_ns + sent.expires_s * 10**9
        entry = await asyncio.to_thread(
            self._files.add, *_place(caller), sent.name, sent.purpose, sent.data, expires_ns=expires_ns
        )
        exchange.send(200, [JSON], msgspec.json.encode(batches.encode_file(entry)))

    async def files(self, http: HttpRequest, exchange: Exchange) -> None:
        caller, query = self._caller(http), query_of(http)
        entries = await asyncio.to_thread(self._files.list, *_place(caller))
        if (purpose := query.get("purpose")) is not None:
            entries = [entry for entry in entries if entry.purpose == purpose]
        if query.get("order") == "asc":
            entries.reverse()
        after = query.get("after")
        ids = [entry.id for entry in entries]
        rest = entries[ids.index(after) + 1 :] if after in ids else entries if after is None else []
        limit = _limit(query, default=10_000, most=10_000)
        page = batches.encode_page(map(batches.encode_file, rest[:limit]), has_more=len(rest) > limit)
        exchange.send(200, [JSON], page)

    async def file(self, http: HttpRequest, exchange: Exchange) -> None:
        caller = self._caller(http)
        file_id, _, rest = http.path.removeprefix("/v1/files/").partition("/")
        place = _place(caller)
        if (http.method, rest) == ("GET", ""):
            entry = await asyncio.to_thread(self._files.get, *place, file_id)
            exchange.send(200, [JSON], msgspec.json.encode(batches.encode_file(entry)))
        elif (http.method, rest) == ("GET", "content"):
            data = await asyncio.to_thread(self._files.read, *place, file_id)
            exchange.send(200, [(b"content-type", b"application/octet-stream")], data)
        elif (http.method, rest) == ("DELETE", ""):
            await asyncio.to_thread(self._files.delete, *place, file_id)
            exchange.send(200, [JSON], msgspec.json.encode({"id": file_id, "object": "file", "deleted": True}))
        else:
            raise _nothing()

    # OpenAI's batches

    async def begin(self, http: HttpRequest, exchange: Exchange) -> None:
        caller = self._caller(http)
        body = batches.decode_batch_body(http.body)
        data = await asyncio.to_thread(self._files.read, *_place(caller), body.input_file_id)
        total = len(batches.decode_lines(data, body.endpoint))
        expires = body.output_expires_after
        job = await self._enqueue(
            KIND,
            caller,
            {
                "endpoint": body.endpoint,
                "input_file_id": body.input_file_id,
                "metadata": body.metadata,
                "total": total,
                "expires_ns": None if expires is None else self._gateway.clock.now_ns() + expires.seconds * 10**9,
            },
        )
        exchange.send(200, [JSON], msgspec.json.encode(openai_batch(job)))

    async def batches(self, http: HttpRequest, exchange: Exchange) -> None:
        jobs, more = await self._page(http, KIND, "batch_", "after")
        exchange.send(200, [JSON], batches.encode_page(map(openai_batch, jobs), has_more=more))

    async def batch(self, http: HttpRequest, exchange: Exchange) -> None:
        caller = self._caller(http)
        batch_id, _, rest = http.path.removeprefix("/v1/batches/").partition("/")
        job = await self._job(caller, KIND, batch_id.removeprefix("batch_"))
        if (http.method, rest) == ("POST", "cancel"):
            job = await self._cancel(job)
        elif (http.method, rest) != ("GET", ""):
            raise _nothing()
        exchange.send(200, [JSON], msgspec.json.encode(openai_batch(job)))

    # Anthropic's batches

    async def begin_messages(self, http: HttpRequest, exchange: Exchange) -> None:
        caller = self._caller(http)
        lines = anthropic.decode_batch_body(http.body)
        entry = await asyncio.to_thread(self._files.add, *_place(caller), "requests.jsonl", "batch", lines.data)
        payload = {"endpoint": "/v1/messages", "input_file_id": entry.id, "total": lines.total}
        job = await self._enqueue(MESSAGES_KIND, caller, payload)
        exchange.send(200, [JSON], msgspec.json.encode(anthropic_batch(job)))

    async def message_batches(self, http: HttpRequest, exchange: Exchange) -> None:
        jobs, more = await self._page(http, MESSAGES_KIND, "msgbatch_", "after_id")
        data = [anthropic_batch(job) for job in jobs]
        ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
        page = {"data": data, "has_more": more, "first_id": ends[0], "last_id": ends[1]}
        exchange.send(200, [JSON], msgspec.json.encode(page))

    async def message_batch(self, http: HttpRequest, exchange: Exchange) -> None:
        caller = self._caller(http)
        batch_id, _, rest = http.path.removeprefix("/v1/messages/batches/").partition("/")
        job = await self._job(caller, MESSAGES_KIND, batch_id.removeprefix("msgbatch_"))
        if (http.method, rest) == ("GET", "results"):
            output_id = _state(job).output_id
            if not job.ended or output_id is None:
                raise MintageError("not_found", "There are no results yet.", "Ask when the batch has ended.")
            data = await asyncio.to_thread(self._files.read, *_place(caller), output_id)
            exchange.send(200, [_LINES], data)
            return
        if (http.method, rest) == ("POST", "cancel"):
            job = await self._cancel(job)
        elif (http.method, rest) != ("GET", ""):
            raise _nothing()
        exchange.send(200, [JSON], msgspec.json.encode(anthropic_batch(job)))

    # Jobs

    async def _enqueue(self, kind: str, caller: Caller, payload: dict[str, Any]) -> Job:
        payload |= {"project_id": caller.project_id, "key_id": caller.key_id}
        return await asyncio.to_thread(self._jobs.enqueue, kind, payload, tenant_id=caller.tenant_id)

    async def _job(self, caller: Caller, kind: str, number: str) -> Job:
        job = await asyncio.to_thread(self._jobs.queue.get, f"job_{number}", tenant_id=caller.tenant_id)
        if job.kind != kind or job.payload["project_id"] != caller.project_id:
            raise MintageError("not_found", "There is no such batch.", "List the batches there are.")
        return job

    async def _cancel(self, job: Job) -> Job:
        return await asyncio.to_thread(self._jobs.queue.cancel, job.id, tenant_id=job.tenant_id)

    async def _page(self, http: HttpRequest, kind: str, prefix: str, after: str) -> tuple[list[Job], bool]:
        caller, query = self._caller(http), query_of(http)
        limit = _limit(query, default=_PAGE_DEFAULT, most=_PAGE_MAX)
        last = query.get(after)
        before = None if last is None else f"job_{last.removeprefix(prefix)}"

        def read() -> list[Job]:
            queue = self._jobs.queue
            found = queue.page(tenant_id=caller.tenant_id, kind=kind, limit=500, before=before)
            whole = (queue.get(job.id) for job in found)
            return [job for job in whole if job.payload["project_id"] == caller.project_id]

        jobs = await asyncio.to_thread(read)
        return jobs[:limit], len(jobs) > limit


def openai_batch(job: Job) -> dict[str, object]:
    """A job as OpenAI tells a batch. Times are seconds since 1970."""
    payload, state = job.payload, _state(job)
    cancelling = job.cancel_ns is not None
    status = {
        "queued": "validating", "running": "cancelling" if cancelling else "in_progress", "done": "completed",
        "failed": "failed", "cancelled": "cancelled",
    }[job.state]  # fmt: skip
    tokens_in, cached, tokens_out, reasoning = state.usage
    errors = None
    if job.error is not None:
        error = {"code": job.error.code, "message": job.error.message, "param": None, "line": None}
        errors = {"object": "list", "data": [error]}
    return {
        "id": f"batch_{job.id[4:]}",
        "object": "batch",
        "endpoint": payload["endpoint"],
        "errors": errors,
        "input_file_id": payload["input_file_id"],
        "completion_window": "24h",
        "status": status,
        "output_file_id": state.output_id,
        "error_file_id": state.error_id,
        "created_at": job.created_ns // 10**9,
        "in_progress_at": _seconds(job.started_ns),
        "expires_at": (job.created_ns + _WINDOW_NS) // 10**9,
        "finalizing_at": None,
        "completed_at": _seconds(job.ended_ns) if job.state == "done" else None,
        "failed_at": _seconds(job.ended_ns) if job.state == "failed" else None,
        "expired_at": None,
        "cancelling_at": _seconds(job.cancel_ns),
        "cancelled_at": _seconds(job.ended_ns) if job.state == "cancelled" else None,
        "request_counts": {"total": payload["total"], "completed": state.completed, "failed": state.failed},
        "usage": {
            "input_tokens": tokens_in + cached,
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": tokens_out + reasoning,
            "output_tokens_details": {"reasoning_tokens": reasoning},
            "total_tokens": sum(state.usage),
        },
        "metadata": payload.get("metadata"),
    }


def anthropic_batch(job: Job) -> dict[str, object]:
    """A job as Anthropic tells a batch. What a cancelled batch had not begun is canceled."""
    state, total = _state(job), job.payload["total"]
    rest = total - state.completed - state.failed
    batch_id = f"msgbatch_{job.id[4:]}"
    ended = job.ended and state.output_id is not None
    return {
        "id": batch_id,
        "type": "message_batch",
        "processing_status": "ended" if job.ended else "canceling" if job.cancel_ns is not None else "in_progress",
        "request_counts": {
            "processing": 0 if job.ended else rest,
            "succeeded": state.completed,
            "errored": state.failed + (rest if job.state == "failed" else 0),
            "canceled": rest if job.state == "cancelled" else 0,
            "expired": 0,
        },
        "created_at": _rfc3339(job.created_ns),
        "expires_at": _rfc3339(job.created_ns + _WINDOW_NS),
        "ended_at": _rfc3339(job.ended_ns),
        "cancel_initiated_at": _rfc3339(job.cancel_ns),
        "archived_at": None,
        "results_url": f"/v1/messages/batches/{batch_id}/results" if ended else None,
    }


def _state(job: Job) -> Any:
    return state_of(job.result if job.state == "done" else job.checkpoint)


def _place(caller: Caller) -> tuple[str, str]:
    return caller.tenant_id, caller.project_id


def _seconds(at_ns: int | None) -> int | None:
    return None if at_ns is None else at_ns // 10**9


def _rfc3339(at_ns: int | None) -> str | None:
    return None if at_ns is None else datetime.fromtimestamp(at_ns // 10**9, UTC).isoformat().replace("+00:00", "Z")


def _limit(query: dict[str, str], *, default: int, most: int) -> int:
    text = query.get("limit")
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= most:
        raise MintageError("invalid_request", f"'limit' is 1 to {most}.", "Ask for less.", param="limit")
    return int(text)


def _nothing() -> MintageError:
    return MintageError("not_found", "There is nothing at this path.", "Look at the path.")
