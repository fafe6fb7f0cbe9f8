"""Providers: which ones Mintage knows, the connections of this home, whether they work, and routes over several."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import msgspec
from litestar import delete, get, post
from litestar.params import RawBody
from msgspec import Meta

from mintage.engines import probe
from mintage.registry import Connection, RouteSpec, providers
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import Actor, DeskPart, Path
from mintage.server.admin.models import ModelView, model_view
from mintage.server.admin.services import Desk


class ProviderView(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that Mintage knows. priced: the price book has prices of it."""

    name: str
    title: str
    dialect: str
    base_url: str
    key_env: str
    operations: tuple[str, ...]
    price_book: str
    own_compute: bool
    note: str


class ConnectionView(msgspec.Struct, frozen=True, kw_only=True):
    """A connection of this home, without its key. models: the names of ours that use it."""

    name: str
    provider: str
    known_as: str
    base_url: str
    allow_private: bool
    has_key: bool
    created_ns: int
    models: tuple[str, ...] = ()


class ProvidersView(msgspec.Struct, frozen=True, kw_only=True):
    connections: list[ConnectionView]
    known: list[ProviderView]


class AddConnection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """provider: a known one. name: what we call the connection; the provider's if left out. replace: a new key or
    address for a name that is taken. known_as: its name in costs and in the price book, where that differs."""

    provider: str
    name: str = ""
    base_url: str = ""
    api_key: str = ""
    known_as: Annotated[str, Meta(max_length=100)] = ""
    allow_private: bool = False
    replace: bool = False


class ProviderModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that the provider lists; priced: what it costs is known, so it can be sold."""

    model: str
    priced: bool


class TestedConnection(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    latency_ms: float
    models: list[ProviderModel]


class RemovedConnection(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    removed: bool = True


class AddRoute(RouteSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name for which several models answer: in order, or by weight; the next one where one fails."""

    name: str


def _view(connection: Connection, users: tuple[str, ...] = ()) -> ConnectionView:
    return ConnectionView(
        name=connection.name,
        provider=connection.provider,
        known_as=connection.known_as,
        base_url=connection.base_url,
        allow_private=connection.allow_private,
        has_key=bool(connection.api_key_sealed),
        created_ns=connection.created_ns,
        models=users,
    )


def _record(desk: Desk, actor: str, action: str, name: str, **details: Any) -> None:
    with desk.accounts.changes.change(actor, action, name, **details):
        pass


@get("/providers", sync_to_thread=True)
def list_providers(desk: DeskPart) -> ProvidersView:
    """The connections of this home, and the providers that Mintage knows."""
    users: dict[str, list[str]] = {}
    for entry in desk.registry.list():
        if entry.upstream is not None and entry.upstream.connection:
            users.setdefault(entry.upstream.connection, []).append(entry.name)
    known = [
        ProviderView(
            name=kind.name,
            title=kind.title,
            dialect=kind.dialect,
            base_url=kind.base_url,
            key_env=kind.key_env,
            operations=kind.operations,
            price_book=kind.price_book,
            own_compute=kind.own_compute,
            note=kind.note,
        )
        for kind in providers().values()
    ]
    found = [_view(one, tuple(users.get(one.name, ()))) for one in desk.registry.connections.list()]
    return ProvidersView(connections=found, known=known)


@post("/providers", takes=AddConnection, example={"provider": "openai", "api_key": "sk-..."})
async def add_provider(desk: DeskPart, actor: Actor, body: RawBody) -> ConnectionView:
    """Connect a provider. Its key is sealed and never shown again."""
    fields = msgspec.structs.asdict(decode(body, AddConnection))
    added = await asyncio.to_thread(desk.registry.connections.add, fields.pop("provider"), **fields)
    await asyncio.to_thread(_record, desk, actor, "provider.add", added.name, base_url=added.base_url)
    await desk.reload()
    return _view(added)


@post("/providers/{name:str}/test", status_code=200)
async def test_provider(desk: DeskPart, name: Path) -> TestedConnection:
    """Ask the provider which models it has: shows that address and key are right, and which models can be sold."""
    connection = await asyncio.to_thread(desk.registry.connections.get, name)
    api_key = await asyncio.to_thread(desk.registry.connections.api_key, name)
    probed = await probe(connection, api_key)
    own = connection.kind.own_compute
    models = [
        ProviderModel(model=model, priced=own or desk.priced(connection.known_as, model)) for model in probed.models
    ]
    return TestedConnection(name=name, latency_ms=probed.latency_ms, models=models)


@delete("/providers/{name:str}", status_code=200)
async def remove_provider(desk: DeskPart, actor: Actor, name: Path) -> RemovedConnection:
    """Forget a connection and its key. Refused while a model uses it."""
    await asyncio.to_thread(desk.registry.disconnect, name)
    await asyncio.to_thread(_record, desk, actor, "provider.remove", name)
    return RemovedConnection(name=name)


@post("/models/routes", takes=AddRoute, example={"name": "chat", "targets": [{"model": "a"}, {"model": "b"}]})
async def add_route(desk: DeskPart, actor: Actor, body: RawBody) -> ModelView:
    """Let several models answer for one name."""
    asked = decode(body, AddRoute)
    fields = {name: getattr(asked, name) for name in RouteSpec.__struct_fields__}
    entry = await asyncio.to_thread(desk.registry.add_route, asked.name, RouteSpec(**fields))
    models = [target.model for target in asked.targets]
    await asyncio.to_thread(_record, desk, actor, "model.route", entry.name, models=models)
    await desk.reload()
    return model_view(entry)


HANDLERS: Final[list[Any]] = [list_providers, add_provider, test_provider, remove_provider, add_route]
