"""The wire formats that customers and upstreams speak, as pure codecs in both directions. No I/O.

In: bytes of a request, an answer, a stream, an error. Out: the nouns of base/, and bytes again.
One package per dialect; what dialects share lies beside them: strict_json.py, sse.py, media.py, carry.py.
Only MintageError leaves a codec, whatever the bytes are.
Start with openai/__init__.py, then follow a request through openai/decode_request.py.
"""

from mintage.protocols import anthropic, google, openai, reports

__all__ = ["anthropic", "google", "openai", "reports"]
