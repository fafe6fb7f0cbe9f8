"""The Anthropic dialect: messages, count_tokens, models. We serve it, and we speak it to Anthropic.

Serving: decode_messages_body, decode_count_body -> Request; encode_answer, StreamEncoder, encode_error -> bytes.
Upstream: encode_request -> bytes; decode_answer, StreamDecoder -> Answer, events; decode_error -> MintageError.
Start with request_wire.py (what is accepted), decode_request.py, then stream_encoder.py.
"""

from typing import Final

from mintage.protocols.anthropic.batches import decode_batch_body
from mintage.protocols.anthropic.decode_answer import decode_answer, decode_count
from mintage.protocols.anthropic.decode_request import decode_count_body, decode_messages_body
from mintage.protocols.anthropic.encode_answer import (
    ModelEntry,
    encode_answer,
    encode_count,
    encode_model,
    encode_models,
)
from mintage.protocols.anthropic.encode_request import VERSION, encode_count_request, encode_request
from mintage.protocols.anthropic.errors import encode_error, error_frame
from mintage.protocols.anthropic.stream_decoder import StreamDecoder
from mintage.protocols.anthropic.stream_encoder import StreamEncoder
from mintage.protocols.upstream_errors import decode_error

#: What an engine's `dialect` says when its bytes can be relayed.
DIALECT: Final = "anthropic"

__all__ = [
    "DIALECT",
    "VERSION",
    "ModelEntry",
    "StreamDecoder",
    "StreamEncoder",
    "decode_answer",
    "decode_batch_body",
    "decode_count",
    "decode_count_body",
    "decode_error",
    "decode_messages_body",
    "encode_answer",
    "encode_count",
    "encode_count_request",
    "encode_error",
    "encode_model",
    "encode_models",
    "encode_request",
    "error_frame",
]
