"""The body of POST /v1/messages/batches, as lines of a file: what a batch works through."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

from mintage.base import MintageError

REQUESTS_MAX = 100_000


class _Request(Struct, forbid_unknown_fields=True):
    custom_id: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    params: Raw


class _Body(Struct, forbid_unknown_fields=True):
    requests: Annotated[list[_Request], Meta(min_length=1, max_length=REQUESTS_MAX)]


class BatchLines(NamedTuple):
    """data: one JSON object a line, {custom_id, method, url, body}."""

    data: bytes
    total: int


_decode = msgspec.json.Decoder(_Body).decode


def decode_batch_body(raw: bytes) -> BatchLines:
    """Raises invalid_request. The parameters of each request are read when it is asked."""
    try:
        requests = _decode(raw).requests
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise MintageError(
            "invalid_request", f"The body is no batch: {str(error)[:200]}.", "Send {requests: [{custom_id, params}]}."
        ) from None
    if len({request.custom_id for request in requests}) != len(requests):
        raise MintageError("invalid_request", "A custom_id appears twice.", "Make them unique.", param="requests")
    lines = [
        msgspec.json.encode(
            {"custom_id": request.custom_id, "method": "POST", "url": "/v1/messages", "body": request.params}
        )
        for request in requests
    ]
    return BatchLines(b"\n".join(line.replace(b"\n", b" ") for line in lines), len(lines))
