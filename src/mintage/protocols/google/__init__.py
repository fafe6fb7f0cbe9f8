"""The Google dialect: generateContent, countTokens, embeddings, models. We serve it, and we speak it to Google.

Serving: decode_generate, decode_count_body, decode_embed -> Request; encode_answer, StreamEncoder, ... -> bytes.
Upstream: encode_request -> bytes; decode_events, StreamDecoder, decode_embeddings -> events, vectors; decode_error.
Start with request_wire.py (what is accepted), decode_request.py, then stream_encoder.py.
"""

from typing import Final

from mintage.protocols.google.decode_answer import decode_count, decode_embeddings, decode_events
from mintage.protocols.google.decode_request import decode_count_body, decode_embed, decode_generate
from mintage.protocols.google.encode_answer import (
    ModelEntry,
    encode_answer,
    encode_count,
    encode_embeddings,
    encode_model,
    encode_models,
)
from mintage.protocols.google.encode_request import encode_count_request, encode_embed_request, encode_request
from mintage.protocols.google.errors import encode_error, error_frame
from mintage.protocols.google.stream_decoder import StreamDecoder
from mintage.protocols.google.stream_encoder import StreamEncoder
from mintage.protocols.upstream_errors import decode_error

#: What an engine's `dialect` says when its bytes can be relayed.
DIALECT: Final = "google"

__all__ = [
    "DIALECT",
    "ModelEntry",
    "StreamDecoder",
    "StreamEncoder",
    "decode_count",
    "decode_count_body",
    "decode_embed",
    "decode_embeddings",
    "decode_error",
    "decode_events",
    "decode_generate",
    "encode_answer",
    "encode_count",
    "encode_count_request",
    "encode_embed_request",
    "encode_embeddings",
    "encode_error",
    "encode_model",
    "encode_models",
    "encode_request",
    "error_frame",
]
