"""The byte path of what is not a stream: a request with the fields that are ours, an answer read for its usage."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from mintage.base import MintageError, Usage, UsageReported
from mintage.protocols.openai.answer_wire import NULL
from mintage.protocols.openai.encode_request import OutputLimitField
from mintage.protocols.openai.tally import Tally, members, scan
from mintage.protocols.openai.usage import encode_usage, parse_usage
from mintage.protocols.upstream_errors import unreadable

_members = msgspec.json.Decoder(dict[str, Raw]).decode
_json = msgspec.json.Encoder().encode
_TRUE: Final = b"true"
_USAGE_WANTED: Final = Raw(b'{"include_usage":true}')
#: Accepted at the door and not served: with the upstream they would store data, or buy a dearer tier.
_OURS: Final = ("service_tier", "store", "metadata")


class RelayedAnswer(Struct, frozen=True):
    """body: what to send, with the usage that is billed. report: that usage, estimated if none was believable."""

    body: bytes
    report: UsageReported
    upstream_id: str
    upstream_model: str


def rewrite_request(
    raw: bytes,
    *,
    model: str,
    include_usage: bool,
    max_output_tokens: int | None = None,
    output_limit_field: OutputLimitField = "max_completion_tokens",
) -> bytes:
    """A body that decode_chat or decode_completion accepted, for an upstream of the same dialect.

    include_usage: make a stream report its usage, whatever the client asked. max_output_tokens: the limit that the
    hold was computed with, so that the upstream cannot write more; None leaves the client's own.
    """
    try:
        body = _members(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise MintageError("invalid_json", "The body is not valid JSON.", "Send one JSON object.") from None
    body["model"] = Raw(_json(model))
    for name in _OURS:
        body.pop(name, None)
    stream = body.get("stream")
    if include_usage and stream is not None and bytes(stream) == _TRUE:
        body["stream_options"] = _USAGE_WANTED
    if max_output_tokens is not None:
        body.pop("max_tokens", None)
        body.pop("max_completion_tokens", None)
        body["max_tokens" if "prompt" in body else output_limit_field] = Raw(b"%d" % max_output_tokens)
    return _json(body)


def relay_answer(raw: bytes, *, model: str | None = None) -> RelayedAnswer:
    """An upstream's whole answer. model: the name to show. Raises upstream_failed if it is not an answer."""
    chunk = scan(raw)
    if not chunk.choices:
        raise unreadable("an answer without choices")
    usage = parse_usage(chunk.usage) if chunk.usage != NULL else None
    if usage is not None and usage.completion_tokens:
        report = UsageReported(usage=usage)
    else:
        tally = Tally()
        tally.add(chunk)
        report = tally.report(streamed=False)
    return RelayedAnswer(_billed(raw, chunk.usage, report.usage, model), report, chunk.id or "", chunk.model or "")


def _billed(raw: bytes, theirs: Raw, usage: Usage, model: str | None) -> bytes:
    """The answer with the usage that is billed, and under the name that was asked for."""
    ours = encode_usage(usage)
    # Inside a string a quote is escaped, so the key can only be the answer's own: put the numbers in its place.
    if model is None and raw.count(b'"usage"') == 1 and raw.count(theirs) == 1:
        return raw.replace(theirs, ours)
    body = members(raw)
    body["usage"] = Raw(ours)
    if model is not None:
        body["model"] = Raw(_json(model))
    return _json(body)
