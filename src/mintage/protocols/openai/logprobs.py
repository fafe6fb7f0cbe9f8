"""Log-probabilities, in the form of chat (a list of tokens) and in that of completions (parallel lists)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

from mintage.base import TokenLogprob

#: What OpenAI writes for a token that has no finite log-probability; JSON has no infinity.
LOGPROB_MIN: Final = -9999.0


class WireTop(Struct):
    token: str
    logprob: float | None = None
    bytes: list[Annotated[int, Meta(ge=0, le=255)]] | None = None


class WireToken(WireTop):
    top_logprobs: list[WireTop] | None = None


class WireLogprobs(Struct):
    """Both forms at once: `content` is chat's, the rest is that of completions."""

    content: list[WireToken] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


def decode_logprobs(wire: WireLogprobs | None) -> tuple[TokenLogprob, ...]:
    if wire is None:
        return ()
    if wire.content is not None:
        return tuple([_decode_token(token) for token in wire.content])
    tokens = wire.tokens or ()
    values: Sequence[float | None] = wire.token_logprobs or ()
    tops: Sequence[dict[str, float] | None] = wire.top_logprobs or ()
    return tuple(
        [
            TokenLogprob(
                token=token,
                logprob=_finite(values[i] if i < len(values) else None),
                top=_decode_top(tops[i] if i < len(tops) else None),
            )
            for i, token in enumerate(tokens)
        ]
    )


def encode_chat_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, object]:
    return {"content": [{**_encode_token(t), "top_logprobs": [_encode_token(o) for o in t.top]} for t in tokens]}


def encode_completion_logprobs(tokens: Sequence[TokenLogprob], offset: int) -> dict[str, object]:
    """offset: characters of the text before the first of these tokens."""
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.token)
    return {
        "tokens": [t.token for t in tokens],
        "token_logprobs": [_finite(t.logprob) for t in tokens],
        "top_logprobs": [{o.token: _finite(o.logprob) for o in t.top} for t in tokens],
        "text_offset": offsets,
    }


def _decode_token(wire: WireToken) -> TokenLogprob:
    return TokenLogprob(
        token=wire.token,
        logprob=_finite(wire.logprob),
        raw=_raw(wire),
        top=tuple(
            [
                TokenLogprob(token=other.token, logprob=_finite(other.logprob), raw=_raw(other))
                for other in wire.top_logprobs or ()
            ]
        ),
    )


def _raw(wire: WireTop) -> bytes | None:
    """The token's bytes if its text does not tell them."""
    raw = None if wire.bytes is None else bytes(wire.bytes)
    return None if raw == wire.token.encode() else raw


def _decode_top(wire: dict[str, float] | None) -> tuple[TokenLogprob, ...]:
    return tuple([TokenLogprob(token=token, logprob=_finite(logprob)) for token, logprob in (wire or {}).items()])


def _encode_token(token: TokenLogprob) -> dict[str, object]:
    raw = token.token.encode("utf-8", "replace") if token.raw is None else token.raw
    return {"token": token.token, "logprob": _finite(token.logprob), "bytes": list(raw)}


def _finite(logprob: float | None) -> float:
    """No NaN, no infinity, nothing below what OpenAI shows."""
    if logprob is None or not logprob >= LOGPROB_MIN:
        return LOGPROB_MIN
    return min(logprob, 0.0)
