"""What a gateway and the process of an engine say to each other: length-prefixed MessagePack, one struct a frame."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from mintage.base import Event, MintageError, Request, Usage, UsageReported
from mintage.engines.protocol import Capabilities, Health
from mintage.registry import ModelEntry

FRAME_MAX_BYTES: Final = 256 * 1024 * 1024


class HostConfig(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """What the process runs: the model, where its weights are, and how much of the machine it may take."""

    entry: ModelEntry
    path: str = ""
    threads: int = 0
    parallel: int = 1
    context_tokens: int = 2048
    queue_limit: int = 64


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    id: int
    request: Request


class Count(msgspec.Struct, frozen=True, tag="count"):
    id: int
    request: Request


class Measure(msgspec.Struct, frozen=True, tag="measure"):
    id: int
    request: Request


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    id: int


class HealthAsked(msgspec.Struct, frozen=True, tag="health"):
    id: int


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A MintageError on its way between processes."""

    code: str
    message: str
    hint: str = ""
    param: str | None = None
    retry_after_s: float | None = None
    details: dict[str, object] = {}

    @classmethod
    def of(cls, error: MintageError) -> Failure:
        return cls(
            code=error.code,
            message=error.message,
            hint=error.hint,
            param=error.param,
            retry_after_s=error.retry_after_s,
            details=error.details,
        )

    def error(self) -> MintageError:
        return MintageError(
            self.code, self.message, self.hint, param=self.param, retry_after_s=self.retry_after_s, details=self.details
        )


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The engine runs, or failure says why not."""

    capabilities: Capabilities | None = None
    measures: bool = False
    failure: Failure | None = None


class Said(msgspec.Struct, frozen=True, tag="said"):
    id: int
    event: Event


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """consumed: what the answer used, where it was cut or failed."""

    id: int
    failure: Failure | None = None
    consumed: UsageReported | None = None


class Told(msgspec.Struct, frozen=True, kw_only=True, tag="told"):
    """The answer to Count, Measure or HealthAsked."""

    id: int
    tokens: int = 0
    usage: Usage | None = None
    health: Health | None = None
    failure: Failure | None = None


ToEngine = HostConfig | Ask | Count | Measure | Cancel | HealthAsked
FromEngine = Ready | Said | Ended | Told

_encode: Final = msgspec.msgpack.Encoder().encode
to_engine: Final = msgspec.msgpack.Decoder(ToEngine).decode
from_engine: Final = msgspec.msgpack.Decoder(FromEngine).decode


def frame(message: ToEngine | FromEngine) -> bytes:
    body = _encode(message)
    return len(body).to_bytes(4, "big") + body


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next body. Raises IncompleteReadError at the end, ValueError for what is too long to be one."""
    length = int.from_bytes(await reader.readexactly(4), "big")
    if length > FRAME_MAX_BYTES:
        raise ValueError("a frame is too long")
    return await reader.readexactly(length)
