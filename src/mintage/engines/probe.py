"""Whether a connection works: ask the provider which models it has. Costs nothing anywhere."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from mintage.base import MintageError
from mintage.engines.http_client import HttpClient
from mintage.engines.upstream_wire import WIRES, headers_of
from mintage.protocols import openai
from mintage.registry import Connection

_MODELS_MAX: Final = 2_000
_BODY_MAX_BYTES: Final = 16 * 1024 * 1024


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """models: the provider's names of them, as it lists them."""

    latency_ms: float
    models: tuple[str, ...]


class _Named(msgspec.Struct):
    id: str = ""
    name: str = ""


class _Models(msgspec.Struct):
    data: list[_Named] = []
    models: list[_Named] = []


_decode: Final = msgspec.json.Decoder(_Models).decode


async def probe(connection: Connection, api_key: str, *, timeout_s: float = 15.0) -> Probed:
    """Raises permission_denied for a key that is not accepted, upstream_failed, upstream_timeout and the like."""
    kind = connection.kind
    wire = WIRES[kind.dialect]
    client = HttpClient(
        connection.base_url,
        name=connection.name,
        connections=1,
        connect_timeout_s=timeout_s,
        silence_timeout_s=timeout_s,
        body_limit_bytes=_BODY_MAX_BYTES,
        allow_private=connection.allow_private,
    )
    began = time.monotonic()
    try:
        response = await client.request("GET", wire.models_path, headers_of(wire, kind.auth, api_key))
    finally:
        await client.close()
    latency_ms = round((time.monotonic() - began) * 1000, 1)
    if response.status in (401, 403):
        raise MintageError(
            "permission_denied", f"{connection.name} does not accept the key.", "Add the connection with another key."
        )
    if response.status != 200:
        raise openai.decode_error(response.status, response.headers, response.body)
    try:
        found = _decode(response.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise MintageError(
            "upstream_failed", f"{connection.name} answers, but not with a list of models.", "Check its base URL."
        ) from None
    names = [model.id or model.name.removeprefix("models/") for model in (*found.data, *found.models)]
    return Probed(latency_ms=latency_ms, models=tuple(sorted(filter(None, names)))[:_MODELS_MAX])
