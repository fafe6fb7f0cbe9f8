"""Input shaping: normalise what people paste, and make a long conversation fit where the plan says so."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from mintage.base import Message, MintageError, Request, Text

#: C0 and C1 controls but tab and newline, plus the byte-order mark: no model gains from them.
_NOISE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff]")


def normalise_text(text: str) -> str:
    """NFC, Unix line ends, no control characters. Plain ASCII without controls comes back as the same object."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _NOISE.search(text):
        text = _NOISE.sub("", text)
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _normalise_message(message: Message) -> Message:
    parts = tuple(Text(normalise_text(part.text)) if isinstance(part, Text) else part for part in message.parts)
    return Message(message.role, parts, message.name)


def normalise(request: Request) -> Request:
    """The request with clean text. Tool arguments and results stay byte for byte: they are data."""
    return msgspec.structs.replace(
        request,
        messages=tuple(map(_normalise_message, request.messages)),
        prompts=tuple(map(normalise_text, request.prompts)),
    )


def _turn_starts(messages: tuple[Message, ...]) -> list[int]:
    """Where the conversation may begin after older turns are dropped: at a user's message, never between a tool
    call and its result."""
    return [i for i, message in enumerate(messages) if message.role == "user"]


async def truncate(
    request: Request, count_tokens: Callable[[Request], Awaitable[int]], limit_tokens: int
) -> tuple[Request, int]:
    """Drop the fewest oldest turns so that the prompt fits into limit_tokens; system messages stay.

    Returns the request and its token count. Raises context_length_exceeded if the last turn alone is too long.
    """
    tokens = await count_tokens(request)
    if tokens <= limit_tokens:
        return request, tokens
    system = tuple(message for message in request.messages if message.role == "system")
    low, starts = 1, _turn_starts(request.messages)
    high = len(starts) - 1
    best: tuple[Request, int] | None = None
    while low <= high:  # tokens fall as more turns are dropped
        middle = (low + high) // 2
        kept = tuple(message for message in request.messages[starts[middle] :] if message.role != "system")
        shorter = msgspec.structs.replace(request, messages=system + kept)
        tokens_now = await count_tokens(shorter)
        if tokens_now <= limit_tokens:
            best, high = (shorter, tokens_now), middle - 1
        else:
            low = middle + 1
    if best is None:
        raise too_long(tokens, limit_tokens)
    return best


def too_long(tokens: int, limit_tokens: int) -> MintageError:
    return MintageError(
        "context_length_exceeded",
        f"The prompt has {tokens} tokens; {limit_tokens} fit beside the answer.",
        "Shorten the messages, or ask for fewer output tokens.",
        param="messages",
        details={"prompt_tokens": tokens, "limit_tokens": limit_tokens},
    )
