"""The bodies of POST /v1/messages and /v1/messages/count_tokens.

As in the OpenAI dialect: what is listed is read, what has the type None is refused by name with the hint in
UNSUPPORTED, and what changes nothing about the answer is read and ignored.
Source: the request types of the anthropic SDK for Python, 2.12.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from mintage.protocols.anthropic.block_wire import AssistantBlock, CacheControl, TextBlock, UserBlock

Unit = Annotated[float, Meta(ge=0, le=1)]
TokenLimit = Annotated[int, Meta(ge=1, le=2**31 - 1)]
ToolName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
_Ignored = object
#: Kinds of tools that a client may declare; every other runs on Anthropic's servers.
OWN_TOOLS: Final = (None, "custom")


class Said(Struct, tag_field="role", tag="user", forbid_unknown_fields=True):
    content: str | Annotated[list[UserBlock], Meta(max_length=4096)]


class Answered(Struct, tag_field="role", tag="assistant", forbid_unknown_fields=True):
    content: str | Annotated[list[AssistantBlock], Meta(max_length=4096)]


class Instructed(Struct, tag_field="role", tag="system", forbid_unknown_fields=True):
    """An instruction in the middle of a conversation."""

    content: str | Annotated[list[TextBlock], Meta(max_length=4096)]


WireMessage = Said | Answered | Instructed


class ToolWire(Struct, kw_only=True, forbid_unknown_fields=True):
    name: ToolName
    input_schema: dict[str, object]
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None
    eager_input_streaming: bool | None = None
    input_examples: _Ignored = None
    allowed_callers: list[Literal["direct"]] | None = None
    defer_loading: Literal[False] | None = None


class ChooseAuto(Struct, tag_field="type", tag="auto", forbid_unknown_fields=True):
    disable_parallel_tool_use: bool | None = None


class ChooseAny(Struct, tag_field="type", tag="any", forbid_unknown_fields=True):
    disable_parallel_tool_use: bool | None = None


class ChooseTool(Struct, tag_field="type", tag="tool", forbid_unknown_fields=True):
    name: ToolName
    disable_parallel_tool_use: bool | None = None


class ChooseNone(Struct, tag_field="type", tag="none", forbid_unknown_fields=True):
    pass


class ThinkEnabled(Struct, tag_field="type", tag="enabled", forbid_unknown_fields=True):
    budget_tokens: Annotated[int, Meta(ge=1024, le=2**31 - 1)]
    display: Literal["summarized", "omitted"] | None = None


class ThinkDisabled(Struct, tag_field="type", tag="disabled", forbid_unknown_fields=True):
    pass


class ThinkAdaptive(Struct, tag_field="type", tag="adaptive", forbid_unknown_fields=True):
    display: Literal["summarized", "omitted"] | None = None


class JsonFormat(Struct, forbid_unknown_fields=True):
    type: Literal["json_schema"]
    schema: dict[str, object]


class OutputConfig(Struct, forbid_unknown_fields=True):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonFormat | None = None


class Metadata(Struct, forbid_unknown_fields=True):
    user_id: Annotated[str, Meta(max_length=512)] | None = None


class CountBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """What both bodies have: everything that is read by the model."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[WireMessage], Meta(min_length=1, max_length=4096)]
    system: str | list[TextBlock] | None = None
    tools: Annotated[list[ToolWire], Meta(max_length=128)] | None = None
    tool_choice: ChooseAuto | ChooseAny | ChooseTool | ChooseNone | None = None
    thinking: ThinkEnabled | ThinkDisabled | ThinkAdaptive | None = None
    output_config: OutputConfig | None = None
    output_format: JsonFormat | None = None  # where structured output was while it was new
    # Ignored: without them the answer is the same.
    cache_control: CacheControl | None = None
    betas: list[str] | None = None
    context_management: _Ignored = None
    # Not served.
    speed: Literal["standard"] | None = None
    mcp_servers: Annotated[list[None], Meta(max_length=0)] | None = None
    user_profile_id: None = None
    workspace_id: None = None


class MessagesBody(CountBody, kw_only=True, forbid_unknown_fields=True):
    max_tokens: TokenLimit
    temperature: Unit | None = None
    top_p: Unit | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    stop_sequences: Annotated[list[Annotated[str, Meta(min_length=1, max_length=1024)]], Meta(max_length=64)] | None = (
        None
    )
    stream: bool | None = None
    metadata: Metadata | None = None
    # Ignored.
    service_tier: Literal["auto", "standard_only"] | None = None
    diagnostics: _Ignored = None
    # Not served.
    container: None = None
    inference_geo: None = None


_BLOCK: Final = "Send text, images, documents, tool calls and their results; tools of Anthropic's servers are not here."
_CACHE: Final = "Use the default of five minutes: an hour has a price of its own, which is not offered."
UNSUPPORTED: Final[dict[str, str]] = {
    "speed": "Leave it out.",
    "mcp_servers": "Call the server yourself and offer its functions as tools.",
    "container": "Leave it out.",
    "inference_geo": "Leave it out.",
    "user_profile_id": "Say who asks in `metadata.user_id`.",
    "workspace_id": "A key belongs to one project: leave it out.",
    "thinking.type": "Use adaptive, enabled or disabled.",
    "tools.defer_loading": "Send all tools.",
    "tools.allowed_callers": "Tools are called by the model directly.",
    "messages.content.type": _BLOCK,
    "messages.content.content.type": "A tool's result is text, images or documents.",
    "messages.content.citations": "Citations are not served: leave it out.",
    "messages.content.citations.enabled": "Citations are not served: leave it out.",
    "messages.content.transformations": "Scale the image before you send it.",
    "messages.content.source.type": "Send it as base64, as text or by its web address.",
    **{
        f"{place}cache_control.ttl": _CACHE
        for place in ("", "system.", "tools.", "messages.content.", "messages.content.content.")
    },
}
