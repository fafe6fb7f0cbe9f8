"""The bodies of /v1/files and /v1/batches, and the lines of a batch's input and output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from mintage.base import MintageError
from mintage.protocols.multipart import parse_form
from mintage.protocols.openai.request_wire import Metadata
from mintage.protocols.strict_json import convert, encode_json, invalid, parse_json

Endpoint = Literal[
    "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations", "/v1/messages"
]
LINES_MAX: Final = 50_000
_PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data")
_EXPIRES_MIN_S, _EXPIRES_MAX_S = 3600, 2_592_000


class Upload(Struct, frozen=True):
    """What POST /v1/files sends. expires_s: from now; None: never."""

    name: str
    purpose: str
    data: bytes
    expires_s: int | None


class _ExpiresAfter(Struct, forbid_unknown_fields=True):
    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=_EXPIRES_MIN_S, le=_EXPIRES_MAX_S)]


class BatchBody(Struct, kw_only=True, forbid_unknown_fields=True):
    input_file_id: Annotated[str, Meta(min_length=1, max_length=100)]
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: _ExpiresAfter | None = None


class BatchLine(Struct, kw_only=True):
    custom_id: Annotated[str, Meta(min_length=1, max_length=512)]
    body: Raw
    method: Literal["POST"] = "POST"
    url: str = ""


_line = msgspec.json.Decoder(BatchLine).decode


def decode_upload(content_type: bytes, body: bytes) -> Upload:
    """Raises invalid_request."""
    form = parse_form(content_type, body)
    purpose = form.one("purpose")
    if purpose not in _PURPOSES:
        raise invalid(f"'purpose' is one of {', '.join(_PURPOSES)}.", "Say what the file is for.", "purpose")
    if "file" not in form.files:
        raise invalid("Missing required parameter: 'file'.", "Send one.", "file", "missing_required_parameter")
    name, data = form.files["file"]
    expires: int | None = None
    if (seconds := form.one("expires_after[seconds]")) is not None:
        if not seconds.isascii() or not seconds.isdigit() or not _EXPIRES_MIN_S <= int(seconds) <= _EXPIRES_MAX_S:
            raise invalid("'expires_after[seconds]' is an hour to 30 days.", "Send seconds.", "expires_after[seconds]")
        expires = int(seconds)
    return Upload(name or "file", purpose or "", data, expires)


def decode_batch_body(raw: bytes) -> BatchBody:
    return convert(parse_json(raw), BatchBody, {"endpoint": "Batch one of the endpoints that this API lists."})


def decode_lines(data: bytes, endpoint: str) -> list[BatchLine]:
    """Raises invalid_request that names the line."""
    lines: list[BatchLine] = []
    seen: set[str] = set()
    for number, raw in enumerate(data.split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            line = _line(raw)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise _bad(number, "is not {custom_id, method, url, body}") from None
        if line.url != endpoint:
            raise _bad(number, f"has the url {line.url[:80]!r} instead of {endpoint!r}")
        if line.custom_id in seen:
            raise _bad(number, f"repeats the custom_id {line.custom_id[:80]!r}")
        seen.add(line.custom_id)
        lines.append(line)
        if len(lines) > LINES_MAX:
            raise _bad(number, f"is one more than {LINES_MAX}")
    if not lines:
        raise _bad(1, "is missing: the file is empty")
    return lines


def encode_file(entry: Any) -> dict[str, object]:
    """entry: a file's id, name, purpose, size_bytes, created_ns, expires_ns."""
    return {
        "id": entry.id,
        "object": "file",
        "bytes": entry.size_bytes,
        "created_at": entry.created_ns // 10**9,
        "expires_at": None if entry.expires_ns is None else entry.expires_ns // 10**9,
        "filename": entry.name,
        "purpose": entry.purpose,
        "status": "processed",
        "status_details": None,
    }


def encode_page(items: Iterable[Mapping[str, object]], *, has_more: bool = False) -> bytes:
    data = list(items)
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    page = {"object": "list", "data": data, "first_id": ends[0], "last_id": ends[1], "has_more": has_more}
    return encode_json(page)


def answered_line(custom_id: str, line_id: str, status: int, body: bytes, request_id: str) -> bytes:
    """One line of a batch's output, or of its errors."""
    response = {"status_code": status, "request_id": request_id, "body": Raw(body)}
    return encode_json({"id": line_id, "custom_id": custom_id, "response": response, "error": None}) + b"\n"


def _bad(number: int, what: str) -> MintageError:
    return MintageError(
        "invalid_request", f"Line {number} of the file {what}.", "Mend the file and send it again.",
        param="input_file_id", details={"line": number},
    )  # fmt: skip
