"""The body of POST /v1/responses. As in request_wire.py of chat: None is not served, `object` changes nothing.

Source: the request types of openai-python 3.54.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from mintage.protocols.openai.request_wire import EndUser, FunctionName, JsonObjectFormat, Metadata, TextFormat, Unit

ItemId = Annotated[str, Meta(max_length=512)]
CallId = Annotated[str, Meta(min_length=1, max_length=512)]
_Status = Literal["in_progress", "completed", "incomplete"] | None
_Ignored = object
#: What a model's earlier turns carry of themselves, and nobody reads again.
OWN_TOOLS: Final = ("function",)


class _Part(Struct, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    prompt_cache_breakpoint: _Ignored = None


class InputText(_Part, kw_only=True, tag="input_text", forbid_unknown_fields=True):
    text: str


class InputImage(_Part, kw_only=True, tag="input_image", forbid_unknown_fields=True):
    image_url: str | None = None
    file_id: None = None
    detail: Literal["auto", "low", "high", "original"] | None = None


class InputFile(_Part, kw_only=True, tag="input_file", forbid_unknown_fields=True):
    file_data: str | None = None
    file_id: ItemId | None = None
    file_url: str | None = None
    filename: Annotated[str, Meta(max_length=512)] | None = None
    detail: _Ignored = None


class OutputText(_Part, kw_only=True, tag="output_text", forbid_unknown_fields=True):
    text: str
    annotations: _Ignored = None
    logprobs: _Ignored = None
    parsed: _Ignored = None


class OutputRefusal(_Part, kw_only=True, tag="refusal", forbid_unknown_fields=True):
    refusal: str


ContentPart = InputText | InputImage | InputFile | OutputText | OutputRefusal


class MessageItem(Struct, kw_only=True, tag_field="type", tag="message", forbid_unknown_fields=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | Annotated[list[ContentPart], Meta(max_length=2048)]
    id: ItemId | None = None
    status: _Status = None
    phase: _Ignored = None


class CallItem(Struct, kw_only=True, tag_field="type", tag="function_call", forbid_unknown_fields=True):
    call_id: CallId
    name: Annotated[str, Meta(min_length=1, max_length=512)]
    arguments: str
    id: ItemId | None = None
    status: _Status = None
    caller: _Ignored = None
    namespace: None = None
    async_: Literal[False] | None = None
    parsed_arguments: _Ignored = None


class ResultItem(Struct, kw_only=True, tag_field="type", tag="function_call_output", forbid_unknown_fields=True):
    call_id: CallId
    output: str | list[InputText | InputImage | InputFile]
    id: ItemId | None = None
    status: _Status = None
    caller: _Ignored = None
    name: str | None = None
    namespace: None = None


class SummaryText(Struct, forbid_unknown_fields=True):
    text: str
    type: Literal["summary_text", "reasoning_text"] = "summary_text"


class ReasoningItem(Struct, kw_only=True, tag_field="type", tag="reasoning", forbid_unknown_fields=True):
    id: ItemId | None = None
    summary: list[SummaryText] = []
    content: list[SummaryText] | None = None
    encrypted_content: str | None = None
    status: _Status = None


Item = MessageItem | CallItem | ResultItem | ReasoningItem


class FunctionToolWire(Struct, kw_only=True, forbid_unknown_fields=True):
    type: Literal["function"]
    name: FunctionName
    parameters: dict[str, object] | None = None
    strict: bool | None = None
    description: str | None = None
    defer_loading: Literal[False] | None = None
    allowed_callers: list[Literal["direct"]] | None = None
    output_schema: _Ignored = None


class FunctionChoice(Struct, tag_field="type", tag="function", forbid_unknown_fields=True):
    name: FunctionName


class JsonSchemaFormat(Struct, tag_field="type", tag="json_schema", forbid_unknown_fields=True):
    name: FunctionName
    schema: dict[str, object]
    description: str | None = None
    strict: bool | None = None


class TextConfig(Struct, forbid_unknown_fields=True):
    format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    verbosity: Literal["medium"] | None = None


class ReasoningConfig(Struct, forbid_unknown_fields=True):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class StreamOptions(Struct, forbid_unknown_fields=True):
    include_obfuscation: bool | None = None


class CountBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """What both bodies have: everything that is read by the model."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: str | Annotated[list[Item], Meta(max_length=4096)] = ""
    instructions: str | None = None
    tools: Annotated[list[FunctionToolWire], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    truncation: Literal["disabled"] | None = None
    previous_response_id: None = None
    conversation: None = None


class ResponseBody(CountBody, kw_only=True, forbid_unknown_fields=True):
    max_output_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Unit | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: Metadata | None = None
    user: EndUser | None = None
    safety_identifier: EndUser | None = None
    include: list[Literal["reasoning.encrypted_content", "message.output_text.logprobs"]] | None = None
    # Ignored: without them the answer is the same.
    store: bool | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: _Ignored = None
    prompt_cache_retention: str | None = None
    max_tool_calls: int | None = None  # of built-in tools, of which there are none
    # Not served.
    background: Literal[False] | None = None
    prompt: None = None
    moderation: None = None
    context_management: None = None


_STATE: Final = "Nothing is kept here: send the earlier items in `input`."
UNSUPPORTED: Final[dict[str, str]] = {
    "previous_response_id": _STATE,
    "conversation": _STATE,
    "prompt": "Send the prompt's text in `instructions`.",
    "background": "Stream the answer, or use a batch.",
    "moderation": "Call /v1/moderations.",
    "context_management": "Shorten `input` yourself.",
    "truncation": "Send as much as fits: nothing is left out of what you send.",
    "include": "Ask for reasoning.encrypted_content or message.output_text.logprobs.",
    "text.verbosity": "Say in `instructions` how long the answer should be.",
    "tool_choice.type": "Send only the tools that may be called, with auto, none, required or one function.",
    "tools.defer_loading": "Send all tools.",
    "tools.allowed_callers": "Functions are called by the model directly.",
    "input.type": "Send messages, function calls and their outputs, and reasoning.",
    "input.namespace": "Leave it out.",
    "input.content.type": "Send input_text, input_image or input_file.",
    "input.content.file_id": "Send the image's address, or its bytes as a data URL.",
    "input.output.type": "Send input_text, input_image or input_file.",
}
