"""The bodies of GET /v1/models and /v1/models/{id}."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


def encode_model(name: str, created_s: int, owner: str) -> bytes:
    return msgspec.json.encode(_model(name, created_s, owner))


def encode_models(models: Iterable[tuple[str, int, str]]) -> bytes:
    """models: (name, created_s, owner) of each."""
    return msgspec.json.encode({"object": "list", "data": [_model(*model) for model in models]})


def _model(name: str, created_s: int, owner: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": created_s, "owned_by": owner}
