"""OpenAI's responses: the same conversations as chat completions, as items and named events. Served, never spoken.

decode_response_body -> (Request, what the answer repeats of it); Frame; encode_response, StreamEncoder -> bytes.
Start with request_wire.py, then decode_items.py, then stream_encoder.py.
"""

from mintage.protocols.openai.responses.decode_request import decode_response_body, decode_response_count
from mintage.protocols.openai.responses.encode_answer import Frame, encode_response, encode_response_count
from mintage.protocols.openai.responses.stream_encoder import StreamEncoder

__all__ = [
    "Frame",
    "StreamEncoder",
    "decode_response_body",
    "decode_response_count",
    "encode_response",
    "encode_response_count",
]
