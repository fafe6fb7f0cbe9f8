"""Upper bounds of what is not written token by token: embeddings, moderation, speech, transcription.

Their usage hangs on the input alone, so the hold is the price of exactly that; an engine that can count it says so
(MeasuringEngine), for others a bound is read from the bytes.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mintage.base import METERS, MintageError, Request, Usage
from mintage.engines import Engine, MeasuringEngine, audio_bound_ms
from mintage.gateway.snapshot import Route

#: Operations whose answer is written token by token; every other is measured by its input.
WRITTEN: Final = frozenset(("chat", "completion"))
_EXTRA_TOKENS: Final = 16  # what a tokenizer may put around one text


def text_tokens_estimate(request: Request) -> int:
    """For the key's limit of tokens per minute: a token has four bytes of text or so."""
    return sum(map(len, request.prompts)) // 4 + 1


async def measure_route(request: Request, route: Route) -> Usage:
    """The most that the request can use, whichever of the route's upstreams answers."""
    routes = [route] if route.plan is None else [target.route for target in route.plan.targets]
    most = Usage()
    for one in routes:
        if request.operation in one.capabilities.operations:
            usage = await measure(msgspec.structs.replace(request, model=one.upstream_model), one.engine)
            most = Usage(**{meter: max(getattr(most, meter), getattr(usage, meter)) for meter in METERS})
    return most


async def measure(request: Request, engine: Engine) -> Usage:
    """The most that the request can use. Raises MintageError unsupported, or what the engine says about the input."""
    if isinstance(engine, MeasuringEngine):
        return await engine.measure(request)
    if request.operation == "speech":
        return Usage(characters=sum(map(len, request.prompts)))
    if request.operation == "transcription":
        if request.transcription is None:
            raise MintageError("invalid_request", "There is no audio to transcribe.", "Send a file.", param="file")
        return Usage(audio_ms=audio_bound_ms(request.transcription.audio))
    if request.operation in ("embedding", "moderation"):
        return Usage(input_tokens=sum(len(prompt.encode()) + _EXTRA_TOKENS for prompt in request.prompts))
    raise MintageError("unsupported", f"{request.operation} has no meter here.", "Choose another operation.")
