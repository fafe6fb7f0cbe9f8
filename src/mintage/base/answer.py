"""The canonical answer, whole or as a stream of events.

A stream is: AnswerStarted, then deltas in order, then one ChoiceFinished per choice, then one UsageReported. Answers
that are not written (Embedding, Segment, Moderation, audio) have no ChoiceFinished. A failure is a raised MintageError,
never an event: an answer that stops without UsageReported was cut.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from mintage.base.request import Part
from mintage.base.usage import Usage

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class TokenLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """token as text; raw is its bytes where they are not whole UTF-8; top holds alternatives, likeliest first."""

    token: str
    logprob: float
    raw: bytes | None = None
    top: tuple[TokenLogprob, ...] = ()


class AnswerStarted(msgspec.Struct, frozen=True, tag="started", kw_only=True):
    model: str
    upstream_id: str = ""  # the provider's own request id, kept for reconciliation
    fingerprint: str = ""
    usage: Usage | None = None  # what was read, where the engine says so before it writes


class TextDelta(msgspec.Struct, frozen=True, tag="text"):
    text: str
    choice: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


class ReasoningDelta(msgspec.Struct, frozen=True, tag="reasoning"):
    """signature ends a piece of reasoning: what follows is another piece, with its own. See Reasoning."""

    text: str
    choice: int = 0
    signature: str = ""
    redacted: bool = False


class RefusalDelta(msgspec.Struct, frozen=True, tag="refusal"):
    text: str
    choice: int = 0


class ToolCallDelta(msgspec.Struct, frozen=True, tag="tool_call", kw_only=True):
    """index counts the calls of one choice. id and name come with the first delta of a call, never again."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    choice: int = 0
    signature: str = ""  # see ToolCall


class AudioDelta(msgspec.Struct, frozen=True, tag="audio", kw_only=True):
    data: bytes
    choice: int = 0


class Embedding(msgspec.Struct, frozen=True, tag="embedding"):
    """One text's vector: 32-bit floats, little-endian, as many as its dimensions. choice: which text."""

    vector: bytes
    choice: int = 0


class Word(msgspec.Struct, frozen=True):
    text: str
    start_ms: int
    end_ms: int


class Segment(msgspec.Struct, frozen=True, tag="segment", kw_only=True):
    """A piece of a transcript, in order; the transcript is their texts joined. language: ISO 639-1, if known."""

    text: str
    start_ms: int = 0
    end_ms: int = 0
    language: str = ""
    words: tuple[Word, ...] = ()
    choice: int = 0


class Moderation(msgspec.Struct, frozen=True, tag="moderation", kw_only=True):
    """The verdict on one text: a score from 0 to 1 per category of OpenAI's taxonomy, and which ones are flagged."""

    scores: dict[str, float]
    flagged: frozenset[str] = frozenset()
    choice: int = 0


class ChoiceFinished(msgspec.Struct, frozen=True, tag="finished"):
    reason: FinishReason
    choice: int = 0
    stop_sequence: str | None = None


class UsageReported(msgspec.Struct, frozen=True, tag="usage", kw_only=True):
    """estimated: counted by us because the answer was cut before the engine reported."""

    usage: Usage
    engine_ms: float = 0.0  # time the engine worked on it, for own-compute cost
    estimated: bool = False


Event = (
    AnswerStarted
    | TextDelta
    | ReasoningDelta
    | RefusalDelta
    | ToolCallDelta
    | AudioDelta
    | Embedding
    | Segment
    | Moderation
    | ChoiceFinished
    | UsageReported
)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    parts: tuple[Part, ...]
    finish_reason: FinishReason
    logprobs: tuple[TokenLogprob, ...] = ()
    stop_sequence: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    upstream_id: str = ""
    fingerprint: str = ""
    estimated: bool = False  # usage was counted by us: the engine reported none, or none that can be true
