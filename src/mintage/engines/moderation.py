"""Moderation on this machine: a small profanity model, and rules where it is known to be wrong.

The model alone misses threats and calls mild words offensive (docs/reference/engines.md); the rules raise the
categories that they name, and lower the score of words that offend nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from mintage.base import Event, MintageError, Moderation, Operation, Request, Usage, UsageReported
from mintage.engines.blocking import BlockingEngine

_TEXTS_MAX: Final = 1_024
_CHARACTERS_MAX: Final = 100_000
_FLAG_AT: Final = 0.7
_BYTES_PER_TOKEN: Final = 4

CATEGORIES: Final = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
_MILD: Final = re.compile(r"\b(?:damn(?:ed|it)?|hell|crap|darn|heck|bloody)\b", re.IGNORECASE)
_THREAT: Final = ("harassment", "harassment/threatening", "violence")
#: What is said, and which categories that is.
_RULES: Final[tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), categories)
    for categories, *patterns in (
        (
            _THREAT,
            r"\b(?:i|we)(?:'ll| will| am going to|'m going to| gonna) (?:\w+ ){0,2}"
            r"(?:kill|murder|hurt|stab|shoot|beat|strangle|burn) (?:you|him|her|them|your)\b",
            r"\bi(?:'m going to| will|'ll) (?:find|come for|hunt) you\b",
            r"(?:我要|我会|我想)(?:杀|打死|弄死|砍)(?:了)?(?:你|他|她|他们)",
        ),
        (
            ("self-harm", "self-harm/intent"),
            r"\b(?:kill|hurt|cut|harm)(?:ing)? myself\b|\bend my life\b|\bwant to die\b|不想活|自杀|自残",
        ),
        (
            ("self-harm", "self-harm/instructions"),
            r"\b(?:how (?:to|do i)|ways to) (?:kill|hang|cut) (?:my|your)self\b",
        ),
        (
            ("illicit", "illicit/violent"),
            r"\b(?:build|make|assemble) (?:a |an )?(?:pipe )?(?:bomb|explosive|molotov)\b",
            r"(?:制作|自制)(?:炸弹|炸药)",
        ),
        (("violence", "violence/graphic"), r"\b(?:behead|dismember|disembowel|mutilat)\w*"),
        (
            ("hate", "hate/threatening"),
            r"\b(?:all|those|these) \w+ (?:are|should be) (?:vermin|subhuman|exterminated)\b",
        ),
    )
    for pattern in patterns
)


class ModerationEngine(BlockingEngine):
    """Scores of OpenAI's categories from 0 to 1. Billed by the token of four bytes, counted the same every time."""

    operations: frozenset[Operation] = frozenset(("moderation",))

    def __init__(self, name: str, queue_limit: int) -> None:
        super().__init__(name, queue_limit)
        self._profanity: Any = None

    def load(self) -> None:
        from profanity_check import predict_prob

        predict_prob(["loaded"])
        self._profanity = predict_prob

    def usage_of(self, request: Request) -> Usage:
        if not 1 <= len(request.prompts) <= _TEXTS_MAX or any(len(t) > _CHARACTERS_MAX for t in request.prompts):
            raise MintageError(
                "invalid_request", f"Send 1 to {_TEXTS_MAX} texts of up to {_CHARACTERS_MAX} characters.", param="input"
            )
        return Usage(input_tokens=sum(max(1, len(text.encode()) // _BYTES_PER_TOKEN) for text in request.prompts))

    def answer(self, request: Request) -> Iterator[Event]:
        usage = self.usage_of(request)
        offence = self._profanity([_MILD.sub("", text) for text in request.prompts])
        for choice, (text, score) in enumerate(zip(request.prompts, offence, strict=True)):
            scores = score_text(text, float(score))
            yield Moderation(
                scores=scores, flagged=frozenset(name for name in scores if scores[name] >= _FLAG_AT), choice=choice
            )
        yield UsageReported(usage=usage)


def score_text(text: str, offence: float) -> dict[str, float]:
    """Every category's score; offence is what the model says of the text without its mild words."""
    scores = dict.fromkeys(CATEGORIES, 0.0)
    scores["harassment"] = round(min(max(offence, 0.0), 1.0), 6)
    for pattern, categories in _RULES:
        if pattern.search(text):
            for category in categories:
                scores[category] = max(scores[category], 0.95)
    return scores
