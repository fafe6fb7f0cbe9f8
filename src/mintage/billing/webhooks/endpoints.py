"""Where events are to be sent: a URL, the types wanted, and a secret of its own, sealed. Blocking, for a thread."""

from __future__ import annotations

import base64
import secrets
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa

from mintage.accounts import Changes, Vault
from mintage.base import MintageError, new_id
from mintage.billing.tables_invoicing import webhook_deliveries, webhook_endpoints
from mintage.billing.webhooks.outbox import TYPES
from mintage.registry import check_url

ENDPOINTS_MAX: Final = 20  # of one customer, and of the operator
_SEALED_AS: Final = "billing/webhooks"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """tenant_id is empty for the operator's own, which hears of every customer. types: empty for all."""

    id: str
    tenant_id: str
    url: str
    types: tuple[str, ...]
    enabled: bool
    created_ns: int


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """secret is shown this once: it verifies the signatures (Standard Webhooks, whsec_...)."""

    endpoint: Endpoint
    secret: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """state: waiting, delivered or dead. next_ns: when a waiting one is tried. status: the last answer's, or 0."""

    message_id: str
    endpoint_id: str
    state: str
    attempts: int
    next_ns: int
    status: int
    problem: str


class Endpoints:
    """allow_private: also plain http and addresses of this machine, for tests."""

    def __init__(self, changes: Changes, vault: Vault, *, allow_private: bool = False) -> None:
        self._changes = changes
        self._vault = vault
        self.allow_private = allow_private

    def add(self, actor: str, tenant_id: str, url: str, types: tuple[str, ...] = ()) -> NewEndpoint:
        """Raises invalid_request for a URL that may not be called or a type that is none."""
        if unknown := sorted(set(types) - TYPES.keys()):
            raise MintageError(
                "invalid_request", f"{unknown[0][:64]!r} is no event.", f"One of {', '.join(TYPES)}.", param="types"
            )
        url = check_url(url, allow_private=self.allow_private, param="url") + ("/" if urlsplit(url).path == "/" else "")
        if len(self.all(tenant_id)) >= ENDPOINTS_MAX:
            raise MintageError("conflict", f"There are {ENDPOINTS_MAX} endpoints.", "Remove one first.")
        key = secrets.token_bytes(32)
        new = Endpoint(
            id=new_id("ep"),
            tenant_id=tenant_id,
            url=url,
            types=tuple(sorted(set(types))),
            enabled=True,
            created_ns=self._changes.clock.now_ns(),
        )
        row = msgspec.structs.asdict(new) | {
            "types": msgspec.json.encode(new.types).decode(),
            "secret": self._vault.seal(_SEALED_AS, key),
        }
        with self._changes.change(actor, "webhook.add", new.id, tenant_id=tenant_id or None, url=url) as change:
            change.connection.execute(webhook_endpoints.insert().values(**row))
        return NewEndpoint(endpoint=new, secret="whsec_" + base64.b64encode(key).decode())

    def all(self, tenant_id: str | None) -> list[Endpoint]:
        """None: everyone's."""
        select = sa.select(webhook_endpoints).order_by(webhook_endpoints.c.id).limit(10_000)
        if tenant_id is not None:
            select = select.where(webhook_endpoints.c.tenant_id == tenant_id)
        with self._changes.database.read() as connection:
            return [_endpoint(dict(row)) for row in connection.execute(select).mappings()]

    def remove(self, actor: str, tenant_id: str | None, endpoint_id: str) -> None:
        """What waits for it is dropped. Raises not_found."""
        if endpoint_id not in {one.id for one in self.all(tenant_id)}:
            raise MintageError("not_found", f"There is no endpoint {endpoint_id[:80]!r}.", "List them first.")
        with self._changes.change(actor, "webhook.remove", endpoint_id, tenant_id=tenant_id) as change:
            of_it = webhook_deliveries.c.endpoint_id == endpoint_id
            change.connection.execute(webhook_deliveries.delete().where(of_it))
            change.connection.execute(webhook_endpoints.delete().where(webhook_endpoints.c.id == endpoint_id))

    def key(self, endpoint_id: str) -> bytes:
        select = sa.select(webhook_endpoints.c.secret).where(webhook_endpoints.c.id == endpoint_id)
        with self._changes.database.read() as connection:
            sealed = connection.scalar(select)
        return self._vault.unseal(_SEALED_AS, bytes(sealed or b""))

    def deliveries(self, state: str | None = None, limit: int = 200) -> list[Delivery]:
        """Newest message first."""
        select = sa.select(webhook_deliveries).order_by(webhook_deliveries.c.message_id.desc()).limit(limit)
        if state is not None:
            select = select.where(webhook_deliveries.c.state == state)
        with self._changes.database.read() as connection:
            return [Delivery(**row) for row in connection.execute(select).mappings()]

    def replay(self, actor: str, message_id: str) -> int:
        """Send a message again, dead or delivered; returns to how many endpoints."""
        with self._changes.change(actor, "webhook.replay", message_id) as change:
            done = change.connection.execute(
                webhook_deliveries.update()
                .where(webhook_deliveries.c.message_id == message_id)
                .values(state="waiting", attempts=0, next_ns=change.now_ns)
            )
        if not done.rowcount:
            raise MintageError("not_found", f"Nothing was sent of {message_id[:80]!r}.", "List deliveries first.")
        return int(done.rowcount)


def _endpoint(row: dict[str, Any]) -> Endpoint:
    types = tuple(msgspec.json.decode(row["types"], type=list[str]))
    return Endpoint(types=types, **{n: row[n] for n in Endpoint.__struct_fields__ if n != "types"})
