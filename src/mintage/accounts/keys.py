"""API keys: `mk-` and 40 random characters, shown once. The database holds the SHA-256 digest and a short prefix."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import Changes
from mintage.accounts.checks import check_models, check_name, check_per_minute
from mintage.accounts.pages import PAGE_DEFAULT, Page, fetch_page
from mintage.accounts.scopes import BudgetPeriod, check_budget, check_endpoints, check_ip_ranges, check_period
from mintage.accounts.tables import api_keys, projects, tenants
from mintage.accounts.versions import check_match
from mintage.base import MintageError, new_id

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_PREFIX: Final = "mk-"
KEY_RANDOM_CHARS: Final = 40  # 238 bits
SHOWN_CHARS: Final = 8  # of the key, kept to tell keys apart; 208 bits stay secret
KEYS_MAX: Final = 10_000  # per tenant


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """models: names or prefixes such as `smollm2-*`; empty allows every model that the plan prices. endpoints: paths of
    the API or prefixes such as `/v1/chat/*`; ip_ranges: networks it may be used from; empty allows all. budget_nanos:
    what it may spend in a day, week, month (UTC) or ever, in nanos of the customer's currency."""

    name: str = "key"
    project: str = "default"
    models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    budget_nanos: int | None = None
    budget_period: BudgetPeriod = "month"
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    expires_ns: int | None = None


class KeyUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is; null takes a limit away. The change counts with the next snapshot."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    models: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    endpoints: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    ip_ranges: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    budget_nanos: int | msgspec.UnsetType | None = msgspec.UNSET
    budget_period: BudgetPeriod | msgspec.UnsetType = msgspec.UNSET
    requests_per_minute: int | msgspec.UnsetType | None = msgspec.UNSET
    tokens_per_minute: int | msgspec.UnsetType | None = msgspec.UNSET
    expires_ns: int | msgspec.UnsetType | None = msgspec.UNSET


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it may be shown at any time: its prefix, never itself. rotated_from: the key that it replaces."""

    id: str
    tenant_id: str
    project_id: str
    name: str
    prefix: str
    models: tuple[str, ...]
    endpoints: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    budget_nanos: int | None = None
    budget_period: BudgetPeriod = "month"
    requests_per_minute: int | None
    tokens_per_minute: int | None
    expires_ns: int | None
    revoked_ns: int | None
    rotated_from: str | None = None
    created_ns: int
    updated_ns: int = 0


class CreatedKey(msgspec.Struct, frozen=True, kw_only=True):
    """The only time that `secret` is shown."""

    secret: str
    key: Key


class KeyGrant(msgspec.Struct, frozen=True, kw_only=True):
    """What accounts knows of one usable key; billing adds the wallet and the plan. digest: 32 bytes of SHA-256.

    budgets: the key's own and its project's, each (id, nanos, period); empty where there is none.
    """

    digest: bytes
    key_id: str
    tenant_id: str
    project_id: str
    models: tuple[str, ...]
    requests_per_minute: int | None
    tokens_per_minute: int | None
    expires_ns: int | None
    suspended: bool
    endpoints: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    budgets: tuple[tuple[str, int, BudgetPeriod], ...] = ()


def key_digest(secret: str) -> bytes:
    """What a key is looked up by: 32 bytes."""
    return hashlib.sha256(secret.encode()).digest()


_LISTS: Final = ("models", "endpoints", "ip_ranges")
ROTATION_OVERLAP_S: Final = 24 * 3600
ROTATION_OVERLAP_MAX_S: Final = 90 * 86_400


def _names(text: str) -> tuple[str, ...]:
    return tuple(msgspec.json.decode(text, type=list[str]))


def _key(row: dict[str, Any]) -> Key:
    return Key(**{name: row[name] for name in Key.__struct_fields__} | {name: _names(row[name]) for name in _LISTS})


def _stored(key: Key) -> dict[str, Any]:
    """The key's row, each field checked."""
    return msgspec.structs.asdict(key) | {
        "name": check_name(key.name),
        "models": msgspec.json.encode(check_models(key.models)).decode(),
        "endpoints": msgspec.json.encode(check_endpoints(key.endpoints)).decode(),
        "ip_ranges": msgspec.json.encode(check_ip_ranges(key.ip_ranges)).decode(),
        "budget_nanos": check_budget(key.budget_nanos),
        "budget_period": check_period(key.budget_period),
        "requests_per_minute": check_per_minute(key.requests_per_minute, "requests_per_minute"),
        "tokens_per_minute": check_per_minute(key.tokens_per_minute, "tokens_per_minute"),
    }


def _check_expiry(expires_ns: int | None, now_ns: int) -> None:
    if expires_ns is not None and not now_ns < expires_ns < 2**63:
        raise MintageError(
            "invalid_request", "The key would expire in the past.", "Give a later time.", param="expires_ns"
        )


def _new_secret() -> str:
    return KEY_PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(KEY_RANDOM_CHARS))


class Keys:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def create(self, actor: str, tenant_id: str, new: NewKey) -> CreatedKey:
        """A key of one of the tenant's own projects. Raises not_found for another tenant's project."""
        secret, now = _new_secret(), self._changes.clock.now_ns()
        _check_expiry(new.expires_ns, now)
        fields = msgspec.structs.asdict(new)
        del fields["project"]
        key = Key(
            id=new_id("key"), tenant_id=tenant_id, project_id="", prefix=secret[:SHOWN_CHARS], revoked_ns=None,
            created_ns=now, updated_ns=now, **fields,
        )  # fmt: skip
        row = _stored(key)
        details = {name: value for name, value in fields.items() if value} | {"prefix": key.prefix}
        with self._changes.change(actor, "key.create", key.id, tenant_id=tenant_id, **details) as change:
            row["project_id"] = self._project_id(change.connection, tenant_id, new.project)
            change.connection.execute(api_keys.insert().values(digest=key_digest(secret).hex(), **row))
        return CreatedKey(secret=secret, key=_key(row))

    def update(self, actor: str, tenant_id: str, key_id: str, update: KeyUpdate, *, match: str | None = None) -> Key:
        """Change what is given of a key that is not revoked. Raises not_found, conflict, precondition_failed."""
        given = {name: value for name, value in msgspec.structs.asdict(update).items() if value is not msgspec.UNSET}
        self.get(tenant_id, key_id)
        with self._changes.change(actor, "key.update", key_id, tenant_id=tenant_id, **given) as change:
            key = self._live(change.connection, tenant_id, key_id)
            check_match(match, key)
            if "expires_ns" in given:
                _check_expiry(given["expires_ns"], change.now_ns)
            row = _stored(msgspec.structs.replace(key, **given, updated_ns=change.now_ns))
            change.connection.execute(api_keys.update().where(_is(tenant_id, key_id)).values(**row))
        return _key(row)

    def rotate(
        self, actor: str, tenant_id: str, key_id: str, *, overlap_s: int = ROTATION_OVERLAP_S, match: str | None = None
    ) -> CreatedKey:
        """A new key with the same scopes; the old one works for overlap_s more seconds. The new secret is shown once.

        Both spend from the old one's budget until it ends, and after. Raises not_found, conflict for a revoked key.
        """
        if not 0 <= overlap_s <= ROTATION_OVERLAP_MAX_S:
            raise MintageError(
                "invalid_request", f"An overlap of {overlap_s} s cannot be.", "Give 0 to 90 days.", param="overlap_s"
            )
        secret = _new_secret()
        self.get(tenant_id, key_id)
        with self._changes.change(actor, "key.rotate", key_id, tenant_id=tenant_id, overlap_s=overlap_s) as change:
            connection, now = change.connection, change.now_ns
            old = self._live(connection, tenant_id, key_id)
            check_match(match, old)
            self._check_room(connection, tenant_id)
            new = msgspec.structs.replace(
                old, id=new_id("key"), prefix=secret[:SHOWN_CHARS], rotated_from=old.id, created_ns=now, updated_ns=now
            )
            change.note(new_id=new.id, prefix=new.prefix)
            row = _stored(new)
            connection.execute(api_keys.insert().values(digest=key_digest(secret).hex(), **row))
            ends = min(old.expires_ns or 2**63 - 1, now + overlap_s * 10**9)
            values: dict[str, Any] = {"expires_ns": ends, "updated_ns": now}
            if not overlap_s:
                values["revoked_ns"] = now
            connection.execute(api_keys.update().where(_is(tenant_id, key_id)).values(**values))
        return CreatedKey(secret=secret, key=_key(row))

    @staticmethod
    def _live(connection: sa.Connection, tenant_id: str, key_id: str) -> Key:
        row = connection.execute(sa.select(api_keys).where(_is(tenant_id, key_id))).mappings().one_or_none()
        if row is None:
            raise _no_key(key_id)
        if row["revoked_ns"] is not None:
            raise MintageError("conflict", "The key is revoked.", "Make a new one.")
        return _key(dict(row))

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
        Keys._check_room(connection, tenant_id)
        return str(found)

    @staticmethod
    def _check_room(connection: sa.Connection, tenant_id: str) -> None:
        count = sa.select(sa.func.count()).select_from(api_keys).where(api_keys.c.tenant_id == tenant_id)
        if (connection.scalar(count) or 0) >= KEYS_MAX:
            raise MintageError("conflict", f"The customer has {KEYS_MAX} keys.", "Use one of them.")

    def get(self, tenant_id: str, key_id: str) -> Key:
        """Another tenant's key is not_found."""
        with self._changes.database.read() as connection:
            row = connection.execute(sa.select(api_keys).where(_is(tenant_id, key_id))).mappings().one_or_none()
        if row is None:
            raise _no_key(key_id)
        return _key(dict(row))

    def page(
        self,
        tenant_id: str,
        *,
        project_id: str | None = None,
        live: bool | None = None,
        limit: int = PAGE_DEFAULT,
        cursor: str | None = None,
    ) -> Page[Key]:
        """This tenant's keys, oldest first. live: only those that work, or only those that do not."""
        select = sa.select(api_keys).where(api_keys.c.tenant_id == tenant_id)
        if project_id is not None:
            select = select.where(api_keys.c.project_id == project_id)
        if live is not None:
            works = _works(self._changes.clock.now_ns())
            select = select.where(works if live else sa.not_(works))
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
                    .where(_is(tenant_id, key_id))
                    .values(revoked_ns=change.now_ns, updated_ns=change.now_ns)
                )
        return self.get(tenant_id, key_id)

    def families(self) -> dict[str, str]:
        """Every key that came of a rotation -> the first of its line, with which it shares its budget."""
        rotated = sa.select(api_keys.c.id, api_keys.c.rotated_from).where(api_keys.c.rotated_from.isnot(None))
        with self._changes.database.read() as connection:
            before = {row.id: row.rotated_from for row in connection.execute(rotated)}
        return {key_id: _first_of(key_id, before) for key_id in before}

    def grants(self) -> list[KeyGrant]:
        """Every key that is neither revoked nor expired, for the gateway's snapshot."""
        now = self._changes.clock.now_ns()
        select = (
            sa.select(
                api_keys,
                tenants.c.status,
                projects.c.budget_nanos.label("project_nanos"),
                projects.c.budget_period.label("project_period"),
            )
            .join(tenants, tenants.c.id == api_keys.c.tenant_id)
            .join(projects, projects.c.id == api_keys.c.project_id)
            .where(_works(now))
        )
        with self._changes.database.read() as connection:
            rotated = sa.select(api_keys.c.id, api_keys.c.rotated_from).where(api_keys.c.rotated_from.isnot(None))
            families = {row.id: row.rotated_from for row in connection.execute(rotated)}
            rows = connection.execution_options(yield_per=1000).execute(select).mappings()
            return [_grant(row, families) for row in rows]


def _is(tenant_id: str, key_id: str) -> sa.ColumnElement[bool]:
    return (api_keys.c.tenant_id == tenant_id) & (api_keys.c.id == key_id)


def _works(now_ns: int) -> sa.ColumnElement[bool]:
    return api_keys.c.revoked_ns.is_(None) & sa.or_(api_keys.c.expires_ns.is_(None), api_keys.c.expires_ns > now_ns)


def _no_key(key_id: str) -> MintageError:
    return MintageError("not_found", f"The customer has no key {key_id[:80]!r}.", "`mintage keys list` shows its keys.")


def _grant(row: Any, families: Mapping[str, str | None]) -> KeyGrant:
    budgets: list[tuple[str, int, BudgetPeriod]] = []
    if row["budget_nanos"] is not None:
        budgets.append((_first_of(row["id"], families), row["budget_nanos"], row["budget_period"]))
    if row["project_nanos"] is not None:
        budgets.append((row["project_id"], row["project_nanos"], row["project_period"]))
    return KeyGrant(
        digest=bytes.fromhex(row["digest"]),
        key_id=row["id"],
        tenant_id=row["tenant_id"],
        project_id=row["project_id"],
        models=_names(row["models"]),
        endpoints=_names(row["endpoints"]),
        ip_ranges=_names(row["ip_ranges"]),
        budgets=tuple(budgets),
        requests_per_minute=row["requests_per_minute"],
        tokens_per_minute=row["tokens_per_minute"],
        expires_ns=row["expires_ns"],
        suspended=row["status"] != "active",
    )


def _first_of(key_id: str, families: Mapping[str, str | None]) -> str:
    """The key that this one was rotated from in the end: they share one budget."""
    for _ in range(KEYS_MAX):
        before = families.get(key_id)
        if before is None:
            break
        key_id = before
    return key_id
