"""Sending: each message to each endpoint that wants it, signed, until accepted or its tries are used up.

Signatures are Standard Webhooks' (standardwebhooks.com, v1): base64 of HMAC-SHA256 over `id.timestamp.body`. The host
is resolved once and that address is called, so that a name cannot change between check and call.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import sqlalchemy as sa

from mintage.accounts import Changes
from mintage.base import MintageError
from mintage.billing.tables_invoicing import webhook_deliveries, webhook_endpoints, webhook_messages
from mintage.billing.webhooks.endpoints import Endpoints
from mintage.registry import resolve_public

#: Seconds before each further try: a day and a half in all.
BACKOFF_S: Final = (5, 60, 300, 1800, 7200, 18_000, 36_000, 64_800)
TIMEOUT_S: Final = 15.0
BATCH: Final = 200
AT_ONCE: Final = 16


def sign(key: bytes, message_id: str, at_s: int, body: bytes) -> str:
    digest = hmac.new(key, f"{message_id}.{at_s}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


class Sender:
    """One run at a time. What a crash leaves is waiting still: a message may come twice, never not at all."""

    def __init__(self, changes: Changes, endpoints: Endpoints) -> None:
        self._changes = changes
        self._endpoints = endpoints
        self._turn = asyncio.Lock()

    async def run(self) -> int:
        """Send what is due; returns how many were accepted."""
        async with self._turn:
            await asyncio.to_thread(self._spread)
            due = await asyncio.to_thread(self._due)
            gate = asyncio.Semaphore(AT_ONCE)

            async def one(row: dict[str, Any]) -> bool:
                async with gate:
                    return await self._send(row)

            return sum(await asyncio.gather(*(one(row) for row in due)))

    def _spread(self) -> None:
        """From messages to deliveries, in one transaction with the mark that it was done."""
        with self._changes.database.write() as connection:
            waiting = sa.select(webhook_messages).where(~webhook_messages.c.spread).order_by(webhook_messages.c.id)
            messages = connection.execute(waiting.limit(BATCH)).mappings().all()
            if not messages:
                return
            endpoints = connection.execute(sa.select(webhook_endpoints)).mappings().all()
            rows = [
                {
                    "message_id": message["id"],
                    "endpoint_id": endpoint["id"],
                    "state": "waiting",
                    "attempts": 0,
                    "next_ns": message["at_ns"],
                    "status": 0,
                    "problem": "",
                }
                for message in messages
                for endpoint in endpoints
                if endpoint["enabled"]
                and endpoint["tenant_id"] in ("", message["tenant_id"])
                and (endpoint["types"] == "[]" or f'"{message["type"]}"' in endpoint["types"])
            ]
            if rows:
                connection.execute(webhook_deliveries.insert(), rows)
            ids = [message["id"] for message in messages]
            connection.execute(webhook_messages.update().where(webhook_messages.c.id.in_(ids)).values(spread=True))

    def _due(self) -> list[dict[str, Any]]:
        d, now = webhook_deliveries.c, self._changes.clock.now_ns()
        select = sa.select(webhook_deliveries, webhook_messages.c.payload, webhook_endpoints.c.url)
        select = select.join(webhook_messages, webhook_messages.c.id == d.message_id)
        select = select.join(webhook_endpoints, webhook_endpoints.c.id == d.endpoint_id)
        select = select.where(d.state == "waiting", d.next_ns <= now).order_by(d.next_ns, d.message_id).limit(BATCH)
        with self._changes.database.read() as connection:
            return [dict(row) for row in connection.execute(select).mappings()]

    async def _send(self, row: dict[str, Any]) -> bool:
        status, problem = 0, ""
        try:
            status = await self._post(row)
            problem = "" if 200 <= status < 300 else f"answered {status}"
        except MintageError as error:
            problem = error.message
        await asyncio.to_thread(self._note, row, status, problem)
        return not problem

    async def _post(self, row: dict[str, Any]) -> int:
        """The answer's status; redirects are not followed. Raises upstream_failed, permission_denied."""
        import httpx

        url = urlsplit(row["url"])
        host = url.hostname or ""
        port = url.port or (443 if url.scheme == "https" else 80)
        private = self._endpoints.allow_private
        addresses = await asyncio.to_thread(lambda: resolve_public(host, port, allow_private=private))
        address = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
        target = urlunsplit((url.scheme, f"{address}:{port}", url.path or "/", url.query, ""))
        key = await asyncio.to_thread(self._endpoints.key, row["endpoint_id"])
        at_s = self._changes.clock.now_ns() // 10**9
        headers = {
            "host": url.netloc,
            "content-type": "application/json",
            "user-agent": "mintage-webhooks",
            "webhook-id": row["message_id"],
            "webhook-timestamp": str(at_s),
            "webhook-signature": sign(key, row["message_id"], at_s, bytes(row["payload"])),
        }
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
                request = client.build_request(
                    "POST", target, content=bytes(row["payload"]), headers=headers, extensions={"sni_hostname": host}
                )
                answer = await client.send(request, stream=True)
                await answer.aclose()  # what it says is of no interest, however long
                return answer.status_code
        except httpx.HTTPError as error:
            raise MintageError("upstream_failed", f"{type(error).__name__}: {str(error)[:150]}", "") from error

    def _note(self, row: dict[str, Any], status: int, problem: str) -> None:
        attempts, now = row["attempts"] + 1, self._changes.clock.now_ns()
        state = "delivered" if not problem else "dead" if attempts > len(BACKOFF_S) else "waiting"
        wait_s = BACKOFF_S[min(attempts, len(BACKOFF_S)) - 1]
        d = webhook_deliveries.c
        with self._changes.database.write() as connection:
            connection.execute(
                webhook_deliveries.update()
                .where(d.message_id == row["message_id"], d.endpoint_id == row["endpoint_id"])
                .values(
                    state=state, attempts=attempts, status=status, problem=problem[:200], next_ns=now + wait_s * 10**9
                )
            )
