"""Which upstreams of a route can take one request: what they can do, and how much they can read."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from mintage.base import MintageError, Request
from mintage.gateway.attempts import Attempts, RoutePlan, Target
from mintage.gateway.bounds import check_capabilities

if TYPE_CHECKING:
    from mintage.gateway.conversation import Conversation

_BYTES_PER_TOKEN: Final = 4
_random: Final = random.SystemRandom()


def begin_attempts(plan: RoutePlan, request: Request, conversation: Conversation) -> Attempts:
    """Raises what the last upstream cannot do, if none can take the request."""
    able: list[Target] = []
    reason: MintageError | None = None
    for target in plan.targets:
        try:
            check_capabilities(request, target.route.capabilities)
            _check_window(conversation.prompt_bytes, target)
        except MintageError as error:
            reason = error
        else:
            able.append(target)
    if not able and reason is not None:
        raise reason
    conversation.use(able[0].route)
    return Attempts(plan, able, conversation.started_monotonic_ns, _random)


def _check_window(prompt_bytes: int, target: Target) -> None:
    """Not where the prompt is surely too long; the upstream itself counts exactly."""
    window = target.route.capabilities.context_tokens
    if window is not None and prompt_bytes // _BYTES_PER_TOKEN > 2 * window:
        raise MintageError(
            "context_length_exceeded",
            f"The prompt does not fit into the {window} tokens of this model.",
            "Shorten it.",
            param="messages",
        )
