"""What every call of the admin API gets without asking: entity tags, 304 for what is known, one answer to repeats.

A middleware sees each answer whole; before_request sees each call after the guard let it in. Answers that stream pass
through as they are.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, Final

from litestar import Request, Response
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from mintage.accounts import Replay, tag_of
from mintage.server.admin.services import Desk

_CHANGES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_CLAIM: Final = "idempotency_claim"
_KEPT: Final = frozenset({"content-type", "etag", "location"})

AnyRequest = Request[Any, Any, Any]


async def answer_before(desk: Desk, request: AnyRequest) -> Response[bytes] | None:
    """The first answer again, for a call whose Idempotency-Key was used. Runs after the guard, before the handler."""
    key, actor = request.headers.get("idempotency-key"), request.state.get("actor")
    if key is None or actor is None or request.method not in _CHANGES:
        return None
    said = [request.method, request.url.path, request.url.query, request.headers.get("if-match", "")]
    digest = hashlib.sha256("\n".join(said).encode() + b"\n" + await request.body()).hexdigest()
    replay = await asyncio.to_thread(desk.replays.begin, actor, key, digest)
    if replay is None:
        request.state[_CLAIM] = (actor, key)
        return None
    headers = {name: value for name, value in replay.headers if name != "content-type"}
    media = dict(replay.headers).get("content-type", "application/json")
    return Response(
        replay.body,
        status_code=replay.status,
        media_type=media,
        headers={**headers, "idempotent-replayed": "true"},
    )


class WholeAnswers:
    """Adds entity tags to JSON answers, and keeps what was answered to a call with an Idempotency-Key."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(scope, send)
        try:
            await self._app(scope, receive, answer.take)
        finally:
            claim = scope.get("state", {}).get(_CLAIM)
            if claim is not None:
                await asyncio.shield(asyncio.to_thread(self._close, claim, answer))

    def _close(self, claim: tuple[str, str], answer: _Answer) -> None:
        if answer.status == 0 or answer.status >= 400:
            self._desk.replays.abandon(*claim)
            return
        headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in answer.headers]
        kept = [(name, value) for name, value in headers if name in _KEPT]
        self._desk.replays.finish(*claim, Replay(status=answer.status, headers=kept, body=answer.body))


class _Answer:
    """One answer on its way out: held back until it is whole, unless it streams."""

    def __init__(self, scope: Any, send: Send) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self._method = scope["method"]
        self._asked = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1")
        self._send = send
        self._start: Message | None = None

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(bytes(n).lower(), bytes(v)) for n, v in message.get("headers", ())]
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            start, self._start = self._start, None
            if not message.get("more_body", False):
                self.body = bytes(message.get("body", b""))
                await self._send_whole(start, message)
                return
            await self._send(start)
            await self._send(message)
        else:
            await self._send(message)

    async def _send_whole(self, start: Message, message: Message) -> None:
        names = {name for name, _ in self.headers}
        media = next((value for name, value in self.headers if name == b"content-type"), b"")
        if self.status in (200, 201) and media.startswith(b"application/json"):
            if b"cache-control" not in names:
                rule = b"private, no-cache" if self._method == "GET" else b"no-store"
                self.headers.append((b"cache-control", rule))
            if b"etag" not in names:
                self.headers.append((b"etag", f'"{tag_of(self.body)}"'.encode()))
            if self._method == "GET" and self._unchanged():
                head = [(n, v) for n, v in self.headers if n in (b"etag", b"cache-control")]
                await self._send({"type": "http.response.start", "status": 304, "headers": head})
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                return
        await self._send({**start, "headers": self.headers})  # type: ignore[arg-type]
        await self._send(message)

    def _unchanged(self) -> bool:
        tag = next(value for name, value in self.headers if name == b"etag").decode("latin-1")
        known = {part.strip().removeprefix("W/") for part in self._asked.split(",")}
        return tag in known or "*" in known
