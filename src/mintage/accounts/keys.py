"""API keys: `mk-` and 40 random characters, shown once. The database holds the SHA-256 digest and a short prefix."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import Changes
from mintage.accounts.checks import check_models, check_name, check_per_minute
from mintage.accounts.pages import PAGE_DEFAULT, Page, fetch_page
from mintage.accounts.tables import api_keys, projects, tenants
from mintage.base import MintageError, new_id

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_PREFIX: Final = "mk-"
KEY_RANDOM_CHARS: Final = 40  # 238 bits
SHOWN_CHARS: Final = 8  # of the key, kept to tell keys apart; 208 bits stay secret
KEYS_MAX: Final = 10_000  # per tenant


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """models: names or prefixes such as `smollm2-*`; empty allows every model that the plan prices."""

    name: str = "key"
    project: str = "default"
    models: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    expires_ns: int | None = None


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it may be shown at any time: its prefix, never itself."""

    id: str
    tenant_id: str
    project_id: str
    name: str
    prefix: str
    models: tuple[str, ...]
    requests_per_minute: int | None
    tokens_per_minute: int | None
    expires_ns: int | None
    revoked_ns: int | None
    created_ns: int


class CreatedKey(msgspec.Struct, frozen=True, kw_only=True):
    """The only time that `secret` is shown."""

    secret: str
    key: Key


class KeyGrant(msgspec.Struct, frozen=True, kw_only=True):
    """What accounts knows of one usable key; billing adds the wallet and the plan. digest: 32 bytes of SHA-256."""

    digest: bytes
    key_id: str
    tenant_id: str
    project_id: str
    models: tuple[str, ...]
    requests_per_minute: int | None
    tokens_per_minute: int | None
    expires_ns: int | None
    suspended: bool


def key_digest(secret: str) -> bytes:
    """What a key is looked up by: 32 bytes."""
    return hashlib.sha256(secret.encode()).digest()


def _key(row: dict[str, Any]) -> Key:
    fields = {name: row[name] for name in Key.__struct_fields__}
    return Key(**{**fields, "models": tuple(msgspec.json.decode(row["models"], type=list[str]))})


class Keys:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def create(self, actor: str, tenant_id: str, new: NewKey) -> CreatedKey:
        """A key of one of the tenant's own projects. Raises not_found for another tenant's project."""
        secret = KEY_PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(KEY_RANDOM_CHARS))
        now = self._changes.clock.now_ns()
        if new.expires_ns is not None and new.expires_ns <= now:
            raise MintageError(
                "invalid_request", "The key would expire in the past.", "Give a later time.", param="expires_ns"
            )
        fields: dict[str, Any] = {
            "id": new_id("key"),
            "tenant_id": tenant_id,
            "name": check_name(new.name),
            "prefix": secret[:SHOWN_CHARS],
            "models": msgspec.json.encode(check_models(new.models)).decode(),
            "requests_per_minute": check_per_minute(new.requests_per_minute, "requests_per_minute"),
            "tokens_per_minute": check_per_minute(new.tokens_per_minute, "tokens_per_minute"),
            "expires_ns": new.expires_ns,
            "revoked_ns": None,
            "created_ns": now,
        }
        details = {"name": fields["name"], "prefix": fields["prefix"], "models": new.models}
        with self._changes.change(actor, "key.create", fields["id"], tenant_id=tenant_id, **details) as change:
            fields["project_id"] = self._project_id(change.connection, tenant_id, new.project)
            change.connection.execute(api_keys.insert().values(digest=key_digest(secret).hex(), **fields))
        return CreatedKey(secret=secret, key=_key(fields))

    @staticmethod
    def _project_id(connection: sa.Connection, tenant_id: str, reference: str) -> str:
        column = projects.c.id if reference.startswith("prj_") else projects.c.name
        found = connection.scalar(
            sa.select(projects.c.id).where(projects.c.tenant_id == tenant_id, column == reference)
        )
        if found is None:
            raise MintageError(
                "not_found",
                f"The customer has no project {reference[:80]!r}.",
                "List its projects first.",
                param="project",
            )
        count = sa.select(sa.func.count()).select_from(api_keys).where(api_keys.c.tenant_id == tenant_id)
        if (connection.scalar(count) or 0) >= KEYS_MAX:
            raise MintageError("conflict", f"The customer has {KEYS_MAX} keys.", "Use one of them.")
        return str(found)

    def get(self, tenant_id: str, key_id: str) -> Key:
        """Another tenant's key is not_found."""
        select = sa.select(api_keys).where(api_keys.c.tenant_id == tenant_id, api_keys.c.id == key_id)
        with self._changes.database.read() as connection:
            row = connection.execute(select).mappings().one_or_none()
        if row is None:
            raise MintageError(
                "not_found", f"The customer has no key {key_id[:80]!r}.", "`mintage keys list` shows its keys."
            )
        return _key(dict(row))

    def page(self, tenant_id: str, *, limit: int = PAGE_DEFAULT, cursor: str | None = None) -> Page[Key]:
        select = sa.select(api_keys).where(api_keys.c.tenant_id == tenant_id)
        with self._changes.database.read() as connection:
            rows, following = fetch_page(connection, select, api_keys.c.id, limit=limit, cursor=cursor)
        return Page(items=[_key(row) for row in rows], next_cursor=following)

    def revoke(self, actor: str, tenant_id: str, key_id: str) -> Key:
        """The key stops working with the next snapshot. Revoking again changes nothing."""
        key = self.get(tenant_id, key_id)
        if key.revoked_ns is None:
            with self._changes.change(actor, "key.revoke", key_id, tenant_id=tenant_id, prefix=key.prefix) as change:
                change.connection.execute(
                    api_keys.update()
                    .where(api_keys.c.tenant_id == tenant_id, api_keys.c.id == key_id)
                    .values(revoked_ns=change.now_ns)
                )
        return self.get(tenant_id, key_id)

    def grants(self) -> list[KeyGrant]:
        """Every key that is neither revoked nor expired, for the gateway's snapshot."""
        now = self._changes.clock.now_ns()
        select = (
            sa.select(api_keys, tenants.c.status)
            .join(tenants, tenants.c.id == api_keys.c.tenant_id)
            .where(
                api_keys.c.revoked_ns.is_(None),
                sa.or_(api_keys.c.expires_ns.is_(None), api_keys.c.expires_ns > now),
            )
        )
        with self._changes.database.read() as connection:
            rows = connection.execution_options(yield_per=1000).execute(select).mappings()
            return [
                KeyGrant(
                    digest=bytes.fromhex(row["digest"]),
                    key_id=row["id"],
                    tenant_id=row["tenant_id"],
                    project_id=row["project_id"],
                    models=tuple(msgspec.json.decode(row["models"], type=list[str])),
                    requests_per_minute=row["requests_per_minute"],
                    tokens_per_minute=row["tokens_per_minute"],
                    expires_ns=row["expires_ns"],
                    suspended=row["status"] != "active",
                )
                for row in rows
            ]
