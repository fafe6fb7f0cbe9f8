"""Secrets that must be read again, such as an upstream's API key: sealed under data keys, which the master key seals.

So a new master key means to seal a handful of data keys anew, and everything that any room has sealed opens as before.
A sealed value is bound to its name, so one cannot be put in another's place.
"""

from __future__ import annotations

import base64
import re
import secrets as random
import threading
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import Changes
from mintage.accounts.master import KEY_BYTES, MasterKeys, SealingKey, key_id, new_key_text, unopened
from mintage.accounts.pages import PAGE_DEFAULT, Page, fetch_page
from mintage.accounts.tables import data_keys, secrets
from mintage.base import MintageError

VALUE_MAX_BYTES: Final = 64 * 1024
SECRETS_MAX: Final = 10_000
DATA_KEYS_MAX: Final = 1000

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._/-]{0,199}")


class SecretRow(msgspec.Struct, frozen=True, kw_only=True):
    """A secret's name, never itself."""

    name: str
    updated_ns: int


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """What a rotation did. master_changed: False where the environment or command still gives the same key first."""

    master_key: str
    master_changed: bool
    data_keys: int
    resealed: int


class KeyState(msgspec.Struct, frozen=True, kw_only=True):
    """source: as the setting master_key says. ids tell keys apart and say nothing of them."""

    source: str
    master_key: str
    data_keys: list[str]


class Vault:
    """Named secrets, and sealing for rooms that keep a sealed value themselves. Names look like `upstream/openai`."""

    def __init__(self, changes: Changes, home: Path, master_key: str = "file") -> None:
        self._changes = changes
        self._masters = MasterKeys(master_key, home)
        self._lock = threading.RLock()
        self._ring: dict[bytes, SealingKey] = {}
        self._newest: SealingKey | None = None

    def open(self) -> None:
        """Read the master key and the data keys now, and make a new home's: at start, where a wrong key is seen best.
        Else the first use does it, which must not be inside a transaction."""
        self._sealing()

    def seal(self, name: str, value: bytes) -> bytes:
        return self._sealing().seal(name, value)

    def unseal(self, name: str, sealed: bytes) -> bytes:
        """Raises unavailable when the key is another one, or the value was altered or moved."""
        self._sealing()
        if (key := self._ring.get(key_id(sealed))) is None:
            raise unopened(name)
        return key.unseal(name, sealed)

    def _sealing(self) -> SealingKey:
        with self._lock:
            if self._newest is None:
                self._newest = self._open_ring()
            return self._newest

    def _open_ring(self) -> SealingKey:
        """Open every data key; make the first one in a new home. Raises unavailable for another master key."""
        with self._changes.database.read() as connection:
            rows = connection.execute(sa.select(data_keys).order_by(data_keys.c.created_ns, data_keys.c.id)).all()
        masters = self._masters.keys(make=not rows)
        if not rows:
            return self._first_keys(masters)
        for row in rows:
            raw = _unwrap(row.id, row.wrapped, [key for key, _ in masters])
            newest = SealingKey(raw)
            self._ring[newest.id] = newest
        return newest

    def _first_keys(self, masters: list[tuple[SealingKey, bytes]]) -> SealingKey:
        """Values of an older home were sealed with the master key itself: it stays able to open them."""
        raws = [random.token_bytes(KEY_BYTES)] if self._masters.made else [masters[0][1], random.token_bytes(KEY_BYTES)]
        now = self._changes.clock.now_ns()
        with self._changes.database.write() as connection:
            for index, raw in enumerate(raws):
                key = SealingKey(raw)
                connection.execute(data_keys.insert().values(_wrapped(key, raw, masters[0][0], now + index)))
                self._ring[key.id] = key
        return key

    def rotate(self, actor: str) -> Rotation:
        """A new data key, and every data key under the newest master key; every secret here sealed anew.

        The home's own key file gets a new key; one of the environment or of a command is changed there first, with the
        new key in front of the old. A crash at any point leaves a home that opens. Raises unavailable, conflict.
        """
        with self._lock:
            self._sealing()
            masters = self._masters.keys()
            fresh = new_key_text() if self._masters.ours else None
            raw_master = masters[0][1] if fresh is None else base64.b64decode(fresh)
            if fresh is not None:
                self._masters.write([fresh, *(base64.b64encode(raw).decode() for _, raw in masters[:2])])
            rotation = self._rewrap(actor, SealingKey(raw_master), [key for key, _ in masters])
            if fresh is not None:
                self._masters.write([fresh])
            return rotation

    def _rewrap(self, actor: str, master: SealingKey, openers: list[SealingKey]) -> Rotation:
        raw = random.token_bytes(KEY_BYTES)
        new = SealingKey(raw)
        with self._changes.change(actor, "secret.rotate", master.id.hex(), moves=False) as change:
            connection = change.connection
            rows = connection.execute(sa.select(data_keys)).all()
            if len(rows) >= DATA_KEYS_MAX:
                raise MintageError("conflict", f"There are {DATA_KEYS_MAX} data keys.", "Rotate less often.")
            changed = any(key_id(row.wrapped) != master.id for row in rows)
            for row in rows:
                inner = _unwrap(row.id, row.wrapped, [master, *openers])
                wrapped = master.seal(_wrap_name(row.id), inner)
                connection.execute(data_keys.update().where(data_keys.c.id == row.id).values(wrapped=wrapped))
            connection.execute(data_keys.insert().values(_wrapped(new, raw, master, change.now_ns)))
            resealed = self._reseal(connection, new)
            change.note(data_keys=len(rows) + 1, resealed=resealed)
        self._ring[new.id] = self._newest = new
        return Rotation(master_key=master.id.hex(), master_changed=changed, data_keys=len(rows) + 1, resealed=resealed)

    def _reseal(self, connection: sa.Connection, new: SealingKey) -> int:
        rows = connection.execute(sa.select(secrets.c.name, secrets.c.sealed)).all()
        for row in rows:
            sealed = new.seal(row.name, self.unseal(row.name, row.sealed))
            connection.execute(secrets.update().where(secrets.c.name == row.name).values(sealed=sealed))
        return len(rows)

    def state(self) -> KeyState:
        """Which keys there are. Raises like unseal."""
        self._sealing()
        masters = self._masters.keys()
        ids = [key.hex() for key in self._ring]
        return KeyState(source=self._masters.source.partition(":")[0], master_key=masters[0][0].id.hex(), data_keys=ids)

    # Named secrets

    def put(self, actor: str, name: str, value: str) -> SecretRow:
        """Store or replace. The audit log says that it happened, not the value."""
        if not _NAME.fullmatch(name):
            raise MintageError(
                "invalid_request", f"{name[:80]!r} cannot name a secret.", "Use a-z, 0-9, . _ / -", param="name"
            )
        raw = value.encode()
        if not 1 <= len(raw) <= VALUE_MAX_BYTES:
            raise MintageError(
                "invalid_request", "A secret has 1 byte to 64 KiB.", "Check what was given.", param="value"
            )
        sealed = self.seal(name, raw)
        with self._changes.change(actor, "secret.put", name, moves=False) as change:
            connection, now = change.connection, change.now_ns
            same = secrets.c.name == name
            if not connection.execute(secrets.update().where(same).values(sealed=sealed, updated_ns=now)).rowcount:
                if (connection.scalar(sa.select(sa.func.count()).select_from(secrets)) or 0) >= SECRETS_MAX:
                    raise MintageError("conflict", f"There are {SECRETS_MAX} secrets.", "Delete some first.")
                connection.execute(secrets.insert().values(name=name, sealed=sealed, updated_ns=now))
        return SecretRow(name=name, updated_ns=now)

    def get(self, name: str) -> str:
        """Raises not_found, or unavailable when it cannot be opened."""
        with self._changes.database.read() as connection:
            sealed = connection.scalar(sa.select(secrets.c.sealed).where(secrets.c.name == name))
        if sealed is None:
            raise MintageError("not_found", f"There is no secret {name[:80]!r}.", "Store it first.")
        return self.unseal(name, sealed).decode()

    def names(self) -> list[str]:
        with self._changes.database.read() as connection:
            return list(connection.scalars(sa.select(secrets.c.name).order_by(secrets.c.name)))

    def page(self, *, limit: int = PAGE_DEFAULT, cursor: str | None = None) -> Page[SecretRow]:
        """Names by alphabet."""
        select = sa.select(secrets.c.name, secrets.c.updated_ns)
        with self._changes.database.read() as connection:
            rows, following = fetch_page(connection, select, secrets.c.name, limit=limit, cursor=cursor)
        return Page(items=[SecretRow(**row) for row in rows], next_cursor=following)

    def delete(self, actor: str, name: str) -> None:
        with self._changes.change(actor, "secret.delete", name, moves=False) as change:
            if not change.connection.execute(secrets.delete().where(secrets.c.name == name)).rowcount:
                raise MintageError("not_found", f"There is no secret {name[:80]!r}.", "Nothing was deleted.")


def _wrap_name(key: str) -> str:
    return f"data-key/{key}"


def _wrapped(key: SealingKey, raw: bytes, master: SealingKey, created_ns: int) -> dict[str, object]:
    name = key.id.hex()
    return {"id": name, "wrapped": master.seal(_wrap_name(name), raw), "created_ns": created_ns}


def _unwrap(key: str, wrapped: bytes, masters: list[SealingKey]) -> bytes:
    for master in masters:
        if master.id == key_id(wrapped):
            return master.unseal(_wrap_name(key), wrapped)
    raise unopened(_wrap_name(key))
