"""The OpenAI dialect: chat, completions, responses, embeddings, moderations, audio. We serve it, and we speak it.

Serving: decode_chat, decode_completion -> Request; encode_answer, StreamEncoder, encode_error, encode_models -> bytes.
Upstream: encode_request -> bytes; decode_answer, StreamDecoder -> Answer, events; decode_error -> MintageError.
Same dialect on both sides: rewrite_request, relay_answer, RelayScanner pass bytes through and read only the usage.
Start with request_wire.py (what is accepted), decode_request.py, stream_encoder.py, then relay.py.
"""

from typing import Final

from mintage.protocols.openai import responses
from mintage.protocols.openai.audio import (
    MEDIA_TYPES,
    SpeechEncoder,
    TranscriptEncoder,
    decode_speech_body,
    decode_transcription_form,
    encode_transcript,
)
from mintage.protocols.openai.call_media import (
    decode_embeddings,
    decode_moderations,
    decode_transcript,
    encode_media_request,
)
from mintage.protocols.openai.decode_answer import decode_answer
from mintage.protocols.openai.decode_request import decode_chat, decode_completion
from mintage.protocols.openai.encode_answer import encode_answer
from mintage.protocols.openai.encode_request import encode_request
from mintage.protocols.openai.errors import encode_error, error_frame
from mintage.protocols.openai.models import encode_model, encode_models
from mintage.protocols.openai.relay import RelayScanner
from mintage.protocols.openai.relay_whole import RelayedAnswer, relay_answer, rewrite_request
from mintage.protocols.openai.stream_decoder import StreamDecoder
from mintage.protocols.openai.stream_encoder import StreamEncoder
from mintage.protocols.openai.vectors import (
    decode_embedding_body,
    decode_moderation_body,
    encode_embeddings,
    encode_moderations,
)
from mintage.protocols.upstream_errors import decode_error

#: What an engine's `dialect` says when its bytes can be relayed.
DIALECT: Final = "openai"

__all__ = [
    "DIALECT",
    "MEDIA_TYPES",
    "RelayScanner",
    "RelayedAnswer",
    "SpeechEncoder",
    "StreamDecoder",
    "StreamEncoder",
    "TranscriptEncoder",
    "decode_answer",
    "decode_chat",
    "decode_completion",
    "decode_embedding_body",
    "decode_embeddings",
    "decode_error",
    "decode_moderation_body",
    "decode_moderations",
    "decode_speech_body",
    "decode_transcript",
    "decode_transcription_form",
    "encode_answer",
    "encode_embeddings",
    "encode_error",
    "encode_media_request",
    "encode_model",
    "encode_models",
    "encode_moderations",
    "encode_request",
    "encode_transcript",
    "error_frame",
    "relay_answer",
    "responses",
    "rewrite_request",
]
