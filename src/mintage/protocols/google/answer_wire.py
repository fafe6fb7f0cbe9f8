"""What Google answers: whole responses and stream chunks are one shape, read leniently."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct

from mintage.base import FinishReason, TokenLogprob
from mintage.protocols.upstream_errors import unreadable

NULL: Final = Raw(b"null")
_LOGPROB_MIN: Final = -9999.0


class CallWire(Struct):
    name: str | None = None
    args: Raw = NULL
    id: str | None = None


class PartWire(Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: CallWire | None = None


class ContentWire(Struct):
    parts: list[PartWire] | None = None


class LogprobWire(Struct, rename="camel"):
    token: str | None = None
    log_probability: float | None = None


class TopWire(Struct):
    candidates: list[LogprobWire] | None = None


class LogprobsWire(Struct, rename="camel"):
    chosen_candidates: list[LogprobWire] | None = None
    top_candidates: list[TopWire] | None = None


class CandidateWire(Struct, rename="camel"):
    content: ContentWire | None = None
    finish_reason: str | None = None
    index: Annotated[int, Meta(ge=0, le=1023)] = 0
    logprobs_result: LogprobsWire | None = None


class FeedbackWire(Struct, rename="camel"):
    block_reason: str | None = None


class AnswerWire(Struct, rename="camel"):
    candidates: list[CandidateWire] | None = None
    prompt_feedback: FeedbackWire | None = None
    usage_metadata: Raw = NULL
    model_version: str | None = None
    response_id: str | None = None
    error: Raw = NULL


_REASONS: Final[dict[str, FinishReason]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "MODEL_ARMOR"),
        "content_filter",
    ),
}
#: The model wrote what is no answer: an empty one would hide that.
_FAILURES: Final = frozenset(
    {"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
     "MISSING_THOUGHT_SIGNATURE"}
)  # fmt: skip


def finish_reason(wire: str, *, called: bool) -> FinishReason:
    """Only STOP with a call is tool_calls: a length or a filter must stay visible. Raises upstream_failed."""
    if wire in _FAILURES:
        raise unreadable("an answer that it could not finish")
    reason = _REASONS.get(wire, "stop")
    return "tool_calls" if called and reason == "stop" else reason


def arguments_text(raw: Raw) -> str:
    data = bytes(raw)
    return "{}" if data == b"null" else data.decode()


def decode_logprobs(wire: LogprobsWire | None) -> tuple[TokenLogprob, ...]:
    if wire is None or not wire.chosen_candidates:
        return ()
    tops = wire.top_candidates or []
    return tuple(
        [
            _logprob(token, tuple([_logprob(other) for other in (tops[i].candidates or ())]) if i < len(tops) else ())
            for i, token in enumerate(wire.chosen_candidates)
        ]
    )


def _logprob(wire: LogprobWire, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
    value = wire.log_probability
    logprob = _LOGPROB_MIN if value is None or not value >= _LOGPROB_MIN else min(value, 0.0)
    return TokenLogprob(token=wire.token or "", logprob=logprob, top=top)


decode_wire = msgspec.json.Decoder(AnswerWire).decode
