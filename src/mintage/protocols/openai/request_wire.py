"""The bodies of POST /v1/chat/completions and /v1/completions, with the ranges that OpenAI documents.

A field that OpenAI defines is listed here. One that we do not serve has the type None (null is fine, anything else is
`unsupported`, with the hint in UNSUPPORTED); one that changes nothing about the answer is read and ignored.
Source: the request types of openai-python 3.54.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from mintage.protocols.openai.message_wire import WireMessage

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Unit = Annotated[float, Meta(ge=0, le=1)]
TokenLimit = Annotated[int, Meta(ge=1, le=2**31 - 1)]
FunctionName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
StopSequence = Annotated[str, Meta(min_length=1, max_length=1024)]
TokenId = Annotated[str, Meta(pattern=r"^[0-9]{1,9}$")]
Bias = Annotated[float, Meta(ge=-100, le=100)]
EndUser = Annotated[str, Meta(max_length=512)]
CHOICES_MAX: Final = 128


class StreamOptions(Struct, forbid_unknown_fields=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None  # padding against traffic analysis; ignored


class _Shared(Struct, kw_only=True, forbid_unknown_fields=True):
    """What both bodies have."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Unit | None = None
    n: Annotated[int, Meta(ge=1, le=CHOICES_MAX)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: StopSequence | Annotated[list[StopSequence], Meta(min_length=1, max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: TokenLimit | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Annotated[dict[TokenId, Bias], Meta(max_length=1024)] | None = None
    user: EndUser | None = None
    # Samplers that OpenAI's own models lack; SDKs send them with extra_body.
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    min_p: Unit | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None


class FunctionDefinition(Struct, forbid_unknown_fields=True):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class FunctionTool(Struct, tag_field="type", tag="function", forbid_unknown_fields=True):
    function: FunctionDefinition


class CustomTool(Struct, tag_field="type", tag="custom"):
    """Read so that it can be refused by name."""


class FunctionRef(Struct, forbid_unknown_fields=True):
    name: FunctionName


class NamedChoice(Struct, tag_field="type", tag="function", forbid_unknown_fields=True):
    function: FunctionRef


class CustomChoice(Struct, tag_field="type", tag="custom"):
    """Read so that it can be refused by name."""


class AllowedChoice(Struct, tag_field="type", tag="allowed_tools"):
    """Read so that it can be refused by name."""


class JsonSchema(Struct, forbid_unknown_fields=True):
    name: FunctionName
    description: str | None = None
    schema: dict[str, object] | None = None
    strict: bool | None = None


class TextFormat(Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    pass


class JsonObjectFormat(Struct, tag_field="type", tag="json_object", forbid_unknown_fields=True):
    pass


class JsonSchemaFormat(Struct, tag_field="type", tag="json_schema", forbid_unknown_fields=True):
    json_schema: JsonSchema


Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]


class ChatBody(_Shared, kw_only=True, forbid_unknown_fields=True):
    messages: Annotated[list[WireMessage], Meta(min_length=1, max_length=4096)]
    max_completion_tokens: TokenLimit | None = None
    tools: Annotated[list[FunctionTool | CustomTool], Meta(min_length=1, max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | CustomChoice | AllowedChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    metadata: Metadata | None = None
    safety_identifier: EndUser | None = None
    # Ignored: without them the answer is the same.
    store: bool | None = None
    service_tier: str | None = None
    prediction: object = None
    prompt_cache_key: str | None = None
    prompt_cache_options: object = None
    prompt_cache_retention: str | None = None
    # Not served.
    modalities: list[Literal["text"]] | None = None
    verbosity: Literal["medium"] | None = None
    audio: None = None
    function_call: None = None
    functions: None = None
    moderation: None = None
    web_search_options: None = None


class CompletionBody(_Shared, kw_only=True, forbid_unknown_fields=True):
    prompt: str | Annotated[list[str | int | list[int]], Meta(min_length=1, max_length=2048)]
    suffix: str | None = None
    echo: bool | None = None
    best_of: Annotated[int, Meta(ge=1, le=20)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None


#: Field path without indexes -> what to do instead.
UNSUPPORTED: Final[dict[str, str]] = {
    "modalities": 'Answers are text: leave it out or send ["text"].',
    "verbosity": "Leave it out and say in the system message how long the answer should be.",
    "audio": "Answers are text: leave it out.",
    "function_call": "It was replaced by `tool_choice`.",
    "functions": "They were replaced by `tools`.",
    "moderation": "Leave it out.",
    "web_search_options": "Search first and give the results in a message, or offer search as a tool.",
    "messages.audio": "Send the transcript of that turn as `content`.",
    "messages.function_call": "It was replaced by `tool_calls`.",
}
