"""Upper bounds for the hold: what a request can use at most, known before it runs."""

from __future__ import annotations

from typing import Final

import msgspec

from mintage.base import Audio, Document, Image, MintageError, Request
from mintage.engines import Capabilities
from mintage.pricing import OutputPolicy

#: A chat template may add this much around the messages of one request that the body's own JSON does not cover.
_TEMPLATE_TOKENS: Final = 64
#: The most that a provider bills for one image or one document; beyond it the bound would be a guess.
_IMAGE_TOKENS: Final = 16_384
_DOCUMENT_TOKENS: Final = 262_144


def input_bound_tokens(request: Request, body_bytes: int) -> int:
    """At most so many prompt tokens: a token of every tokenizer in use covers at least one byte of UTF-8, and the
    JSON around a message is longer than what a template adds for it."""
    bound = body_bytes + _TEMPLATE_TOKENS
    for message in request.messages:
        for part in message.parts:
            if type(part) is Image:
                bound += _IMAGE_TOKENS
            elif type(part) is Document or type(part) is Audio:
                bound += _DOCUMENT_TOKENS
    return bound


def body_bytes(request: Request) -> int:
    """The size of a request that did not come over the wire: as JSON it would be at least as long as its text."""
    return len(msgspec.json.encode(request))


def output_bound_tokens(request: Request, policy: OutputPolicy, capabilities: Capabilities) -> int:
    """At most so many output tokens per answer: what was asked, within what the plan and the model allow."""
    asked = request.max_output_tokens
    if asked is None:
        asked = policy.default_tokens or policy.max_tokens
    bound = min(asked, policy.max_tokens)
    if capabilities.max_output_tokens is not None:
        bound = min(bound, capabilities.max_output_tokens)
    return bound


def answers(request: Request) -> int:
    """How many answers one request asks for: each is bounded, held and billed."""
    return request.n * max(1, len(request.prompts))


def check_capabilities(request: Request, capabilities: Capabilities) -> None:
    """Refuse what the model cannot do, naming the parameter, instead of dropping it."""
    if request.operation not in capabilities.operations:
        raise MintageError(
            "unsupported", f"The model {request.model!r} does not do {request.operation}.", "Choose another model.",
            param="model",
        )  # fmt: skip
    if request.tools or request.logprobs or request.n > 1 or request.output.kind != "text":
        _check_features(request, capabilities)
    for message in request.messages:
        for part in message.parts:
            kind = type(part)
            if kind is Image and not capabilities.images:
                raise _unable(request, "messages", "images")
            if kind is Audio and not capabilities.audio:
                raise _unable(request, "messages", "audio")


def _check_features(request: Request, capabilities: Capabilities) -> None:
    for wanted, able, param, what in (
        (bool(request.tools), capabilities.tools, "tools", "tool calls"),
        (request.output.kind == "json_object", capabilities.json_object, "response_format", "JSON output"),
        (request.output.kind == "json_schema", capabilities.json_schema, "response_format", "a JSON schema"),
        (request.logprobs, capabilities.logprobs, "logprobs", "log-probabilities"),
        (request.n > 1, request.n <= capabilities.n_max, "n", f"more than {capabilities.n_max} answers at once"),
    ):
        if wanted and not able:
            raise _unable(request, param, what)


def check_features(request: Request, features: frozenset[str]) -> None:
    """Refuse what the customer's plan does not include. Raises permission_denied, naming the parameter."""
    kinds = {type(part) for message in request.messages for part in message.parts}
    for wanted, feature, param in (
        (bool(request.tools), "tools", "tools"),
        (request.output.kind != "text", "json", "response_format"),
        (request.logprobs, "logprobs", "logprobs"),
        (request.n > 1, "answers", "n"),
        (Image in kinds, "images", "messages"),
        (Audio in kinds, "audio", "messages"),
    ):
        if wanted and feature not in features:
            raise MintageError(
                "permission_denied",
                f"Your plan does not include {feature}.",
                "Leave it out, or ask your provider for a plan that does.",
                param=param,
            )


def _unable(request: Request, param: str, what: str) -> MintageError:
    return MintageError(
        "unsupported",
        f"The model {request.model!r} does not support {what}.",
        "Leave it out, or choose a model that supports it.",
        param=param,
    )
