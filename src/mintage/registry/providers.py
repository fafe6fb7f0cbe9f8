"""The providers that Mintage knows: where they are, how they are asked, what is peculiar about them. Data only."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

from mintage.base import MintageError, Operation

Dialect = Literal["openai", "anthropic", "google"]
Auth = Literal["bearer", "api-key", "x-api-key", "x-goog-api-key"]
OutputLimit = Literal["max_completion_tokens", "max_tokens"]


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of providers.toml. private: it usually runs on this machine or network. own_compute: it runs on
    machines that we pay by the hour, so answers are costed by time instead of by a price book."""

    name: str = ""
    title: str
    base_url: str
    price_book: str = ""
    key_env: str = ""
    dialect: Dialect = "openai"
    auth: Auth = "bearer"
    operations: tuple[Operation, ...] = ("chat",)
    output_limit: OutputLimit = "max_completion_tokens"
    private: bool = False
    own_compute: bool = False
    tools: bool = True
    json_schema: bool = True
    logprobs: bool = True
    images: bool = False
    audio: bool = False
    n_max: int = 128
    cached: str = ""
    reasoning: Literal["within", "beside"] = "within"
    note: str = ""


@cache
def providers() -> dict[str, Provider]:
    """By name, in the order in which people read them."""
    tables = tomllib.loads(resources.files("mintage.registry").joinpath("providers.toml").read_text("utf-8"))
    return {name: msgspec.convert({"name": name, **table}, Provider) for name, table in tables.items()}


def find_provider(name: str) -> Provider:
    """Raises not_found."""
    found = providers().get(name)
    if found is None:
        raise MintageError(
            "not_found",
            f"{name[:100]!r} is not a provider that Mintage knows.",
            f"Known are {', '.join(providers())}; use `compatible` with a base URL for any other.",
            param="provider",
        )
    return found
