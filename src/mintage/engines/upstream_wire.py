"""How each dialect is spoken to an upstream: paths, headers, the codecs that the engine feeds. A table, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from mintage import __version__
from mintage.base import Event, Operation, Request
from mintage.protocols import anthropic, google, openai
from mintage.registry import Upstream


class Decoder(Protocol):
    """From a stream's bytes to events; close() where the body has ended."""

    def feed(self, data: bytes) -> list[Event]: ...
    def close(self) -> list[Event]: ...


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """paths: by operation, {model} to be filled in. encode: the body of a streamed request under its model's name."""

    dialect: str
    paths: Mapping[Operation, str]
    headers: tuple[tuple[bytes, bytes], ...]
    encode: Callable[[Request, Upstream], bytes]
    decoder: Callable[[], Decoder]
    models_path: str = "/models"


def _encode_openai(request: Request, upstream: Upstream) -> bytes:
    return openai.encode_request(request, upstream.model, stream=True, output_limit_field=upstream.output_limit)


def _encode_anthropic(request: Request, upstream: Upstream) -> bytes:
    return anthropic.encode_request(request, upstream.model, stream=True)


def _encode_google(request: Request, upstream: Upstream) -> bytes:
    return google.encode_request(request)


WIRES: Final[dict[str, Wire]] = {
    wire.dialect: wire
    for wire in (
        Wire(
            dialect=openai.DIALECT,
            paths={
                "chat": "/chat/completions",
                "completion": "/completions",
                "embedding": "/embeddings",
                "moderation": "/moderations",
                "speech": "/audio/speech",
                "transcription": "/audio/transcriptions",
            },
            headers=(),
            encode=_encode_openai,
            decoder=openai.StreamDecoder,
        ),
        Wire(
            dialect=anthropic.DIALECT,
            paths={"chat": "/messages"},
            headers=((b"anthropic-version", anthropic.VERSION.encode()),),
            encode=_encode_anthropic,
            decoder=anthropic.StreamDecoder,
            models_path="/models?limit=1000",
        ),
        Wire(
            dialect=google.DIALECT,
            paths={
                "chat": "/models/{model}:streamGenerateContent?alt=sse",
                "embedding": "/models/{model}:batchEmbedContents",
            },
            headers=(),
            encode=_encode_google,
            decoder=google.StreamDecoder,
            models_path="/models?pageSize=1000",
        ),
    )
}

_COMMON: Final = (
    (b"accept", b"application/json, text/event-stream"),
    (b"accept-encoding", b"identity"),  # a compressed stream is a late stream
    (b"user-agent", f"mintage/{__version__}".encode()),
)


def headers_of(
    wire: Wire, auth: str, api_key: str, content_type: bytes = b"application/json"
) -> list[tuple[bytes, bytes]]:
    """What goes with every request: the key in the header that the provider wants it in."""
    headers = [(b"content-type", content_type), *_COMMON, *wire.headers]
    if api_key:
        bearer = auth == "bearer"
        name = b"authorization" if bearer else auth.encode()
        headers.append((name, f"Bearer {api_key}".encode() if bearer else api_key.encode()))
    return headers
