"""Sealed secrets by name, and the master key's rotation. No answer ever holds a secret."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import delete, get, post
from litestar.params import RawBody

from mintage.accounts import KeyState, Page, Rotation, SecretRow
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Limit, Path


class NewSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """name: such as upstream/openai. value: 1 byte to 64 KiB."""

    name: str
    value: str


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    deleted: bool = True


@get("/secrets", sync_to_thread=True)
def list_secrets(desk: DeskPart, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None) -> Page[SecretRow]:
    """Which secrets there are, by name."""
    return desk.accounts.vault.page(limit=limit, cursor=cursor)


@post("/secrets", takes=NewSecret, example={"name": "upstream/openai", "value": "sk-..."}, sync_to_thread=True)
def put_secret(desk: DeskPart, actor: Actor, body: RawBody) -> SecretRow:
    """Store or replace a secret. It is sealed, and never shown again."""
    new = decode(body, NewSecret)
    return desk.accounts.vault.put(actor, new.name, new.value)


@delete("/secrets/{name:path}", status_code=200, sync_to_thread=True)
def delete_secret(desk: DeskPart, actor: Actor, name: Path) -> Deleted:
    """Delete a secret for good."""
    name = name.lstrip("/")
    desk.accounts.vault.delete(actor, name)
    return Deleted(name=name)


@get("/secrets/keys", sync_to_thread=True)
def show_keys(desk: DeskPart) -> KeyState:
    """Where the master key comes from, and the ids of the keys."""
    return desk.accounts.vault.state()


@post("/secrets/rotate", sync_to_thread=True)
def rotate_secrets(desk: DeskPart, actor: Actor) -> Rotation:
    """Seal everything under a new data key, and all data keys under the newest master key."""
    return desk.accounts.vault.rotate(actor)


HANDLERS: Final[list[Any]] = [list_secrets, put_secret, delete_secret, show_keys, rotate_secrets]
