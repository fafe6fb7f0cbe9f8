"""Which vendor's dialect a request speaks, where its key is, and how an error is told in it.

Some paths are the same at three vendors (GET /v1/models), so headers decide: `anthropic-version`, then Google's key as
a header or in the query, else OpenAI.
"""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import parse_qs

from mintage.base import MintageError
from mintage.protocols import anthropic, google, openai
from mintage.server.exchange import HttpRequest

Dialect = Literal["openai", "anthropic", "google"]
ErrorParts = tuple[int, list[tuple[bytes, bytes]], bytes]

_ANTHROPIC_PATHS: Final = ("/v1/messages",)
_GOOGLE_PATHS: Final = ("/v1beta/",)
_QUERY_LIMIT: Final = 64  # parameters
_ENCODERS: Final = {
    "openai": openai.encode_error,
    "anthropic": anthropic.encode_error,
    "google": google.encode_error,
}


def dialect_of(http: HttpRequest) -> Dialect:
    path = http.path
    if path.startswith(_ANTHROPIC_PATHS):
        return "anthropic"
    if path.startswith(_GOOGLE_PATHS) or (path.startswith("/v1/models/") and ":" in path):
        return "google"
    if http.header(b"anthropic-version") is not None:
        return "anthropic"
    if http.header(b"x-goog-api-key") is not None or (b"key=" in http.query and "key" in query_of(http)):
        return "google"
    return "openai"


def query_of(http: HttpRequest) -> dict[str, str]:
    """The last value of each parameter. Raises invalid_request for more than anybody sends."""
    try:
        found = parse_qs(http.query.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=_QUERY_LIMIT)
    except ValueError:
        raise MintageError("invalid_request", "The query has too many parameters.", "Send fewer.") from None
    return {name: values[-1] for name, values in found.items()}


def api_key(http: HttpRequest) -> bytes:
    """The key, wherever a vendor's SDK puts it. Raises unauthenticated."""
    value = http.header(b"authorization")
    if value is not None and value[:7].lower() == b"bearer " and (key := value[7:].strip()):
        return key
    for name in (b"x-api-key", b"x-goog-api-key", b"api-key"):
        if (value := http.header(name)) is not None and (key := value.strip()):
            return key
    if b"key=" in http.query and (text := query_of(http).get("key")):
        return text.encode()
    raise MintageError(
        "unauthenticated",
        "No API key was sent.",
        "Send it as the header `Authorization: Bearer YOUR_KEY`, or as your SDK does.",
    )


def encode_error(error: MintageError, http: HttpRequest | None) -> ErrorParts:
    """An error that no door has told: in the dialect of its request, OpenAI's if there is none."""
    return _ENCODERS["openai" if http is None else dialect_of(http)](error)
