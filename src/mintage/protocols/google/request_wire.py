"""The bodies of generateContent, countTokens and the embedding calls.

Google's JSON is that of protocol buffers: names in camelCase, snake_case accepted. What is listed is read; what has
the type None is refused by name with the hint in UNSUPPORTED.
Source: the types of google-genai for Python, 3.4.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from mintage.protocols.strict_json import check_depth

_Empty = Annotated[list[None], Meta(max_length=0)] | None
FunctionName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.:-]{1,128}$")]
CallId = Annotated[str, Meta(min_length=1, max_length=512)]


class _Wire(Struct, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    pass


class Blob(_Wire, kw_only=True):
    mime_type: Annotated[str, Meta(min_length=1, max_length=128)]
    data: str
    display_name: str | None = None


class FileData(_Wire, kw_only=True):
    file_uri: Annotated[str, Meta(min_length=1, max_length=4096)]
    mime_type: str | None = None
    display_name: str | None = None


class FunctionCallWire(_Wire, kw_only=True):
    name: FunctionName
    args: dict[str, object] | None = None
    id: CallId | None = None


class FunctionResponseWire(_Wire, kw_only=True):
    name: FunctionName
    response: dict[str, object]
    id: CallId | None = None
    will_continue: Literal[False] | None = None
    scheduling: None = None
    parts: _Empty = None


class PartWire(_Wire, kw_only=True):
    """Exactly one of text, inlineData, fileData, functionCall and functionResponse."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCallWire | None = None
    function_response: FunctionResponseWire | None = None
    executable_code: None = None
    code_execution_result: None = None
    video_metadata: None = None
    media_resolution: None = None
    part_metadata: object = None  # the client's own notes


class ContentWire(_Wire, kw_only=True):
    parts: Annotated[list[PartWire], Meta(max_length=4096)] | None = None
    role: Literal["user", "model", "function", "system"] | None = None


class FunctionWire(_Wire, kw_only=True):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, object] | None = None  # Google's own subset of OpenAPI
    parameters_json_schema: dict[str, object] | None = None
    response: object = None  # what it returns: told in the description if the model has to know
    response_json_schema: object = None
    behavior: Literal["BLOCKING", "UNSPECIFIED"] | None = None


class ToolWire(_Wire, kw_only=True):
    function_declarations: Annotated[list[FunctionWire], Meta(max_length=512)] | None = None
    google_search: None = None
    google_search_retrieval: None = None
    google_maps: None = None
    code_execution: None = None
    url_context: None = None
    file_search: None = None
    computer_use: None = None
    mcp_servers: _Empty = None


class CallingConfig(_Wire, kw_only=True):
    mode: Literal["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"] | None = None
    allowed_function_names: list[FunctionName] | None = None


class ToolConfig(_Wire, kw_only=True):
    function_calling_config: CallingConfig | None = None
    retrieval_config: None = None


class Thinking(_Wire, kw_only=True):
    include_thoughts: bool | None = None
    thinking_budget: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    thinking_level: Literal["THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"] | None = None


class SafetySetting(_Wire, kw_only=True):
    """Only what asks for no more than the model does by itself: a stricter threshold is a promise nobody here keeps."""

    category: str
    threshold: Literal["OFF", "BLOCK_NONE", "HARM_BLOCK_THRESHOLD_UNSPECIFIED"] | None = None
    method: None = None


class GenerationConfig(_Wire, kw_only=True):
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    candidate_count: Annotated[int, Meta(ge=1, le=8)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    stop_sequences: Annotated[list[Annotated[str, Meta(min_length=1, max_length=1024)]], Meta(max_length=16)] | None = (
        None
    )
    response_logprobs: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    response_mime_type: Literal["text/plain", "application/json"] | None = None
    response_schema: dict[str, object] | None = None
    response_json_schema: dict[str, object] | None = None
    response_modalities: list[Literal["TEXT", "MODALITY_UNSPECIFIED"]] | None = None
    thinking_config: Thinking | None = None
    enable_enhanced_civic_answers: Literal[False] | None = None
    media_resolution: Literal["MEDIA_RESOLUTION_UNSPECIFIED"] | None = None
    speech_config: None = None
    image_config: None = None
    audio_transcription_config: None = None
    audio_timestamp: Literal[False] | None = None


class GenerateBody(_Wire, kw_only=True):
    contents: Annotated[list[ContentWire], Meta(min_length=1, max_length=4096)]
    system_instruction: ContentWire | str | None = None
    generation_config: GenerationConfig | None = None
    tools: Annotated[list[ToolWire], Meta(max_length=64)] | None = None
    tool_config: ToolConfig | None = None
    safety_settings: list[SafetySetting] | None = None
    labels: Annotated[dict[str, str], Meta(max_length=64)] | None = None
    model: str | None = None  # the path says it; here it is only repeated
    service_tier: str | None = None  # ignored
    store: Literal[False] | None = None
    cached_content: None = None


class CountBody(_Wire, kw_only=True):
    contents: Annotated[list[ContentWire], Meta(min_length=1, max_length=4096)] | None = None
    generate_content_request: GenerateBody | None = None


class EmbedBody(_Wire, kw_only=True):
    content: ContentWire
    model: str | None = None
    task_type: str | None = None
    title: str | None = None
    output_dimensionality: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    auto_truncate: Literal[False] | None = None


class BatchEmbedBody(_Wire, kw_only=True):
    requests: Annotated[list[EmbedBody], Meta(min_length=1, max_length=2048)]


_SERVER_TOOL: Final = "Offer it as a function of your own."
_TEXT_ONLY: Final = "Answers are text: leave it out."
UNSUPPORTED: Final[dict[str, str]] = {
    "cachedContent": "Send the content itself.",
    "store": "Nothing is kept: leave it out.",
    "safetySettings.threshold": "Filter the answer yourself, or choose a model whose defaults are strict enough.",
    "safetySettings.method": "Leave it out.",
    "toolConfig.retrievalConfig": "Leave it out.",
    "generationConfig.responseMimeType": "Use text/plain or application/json.",
    "generationConfig.responseModalities": _TEXT_ONLY,
    "generationConfig.speechConfig": _TEXT_ONLY,
    "generationConfig.imageConfig": _TEXT_ONLY,
    "generationConfig.mediaResolution": "Scale the media before you send them.",
    "generationConfig.audioTimestamp": "Leave it out.",
    "generationConfig.audioTranscriptionConfig": "Leave it out.",
    "generationConfig.enableEnhancedCivicAnswers": "Leave it out.",
    "contents.parts.executableCode": "Send it as text.",
    "contents.parts.codeExecutionResult": "Send it as text.",
    "contents.parts.videoMetadata": "Cut the video before you send it.",
    "contents.parts.mediaResolution": "Scale the image before you send it.",
    "contents.parts.functionResponse.scheduling": "Leave it out.",
    "contents.parts.functionResponse.willContinue": "Send the whole response.",
    "contents.parts.functionResponse.parts": "Send images in a part of their own.",
    "tools.functionDeclarations.behavior": "Calls are answered before the model goes on: use BLOCKING.",
    **{
        f"tools.{name}": _SERVER_TOOL
        for name in (
            "googleSearch", "googleSearchRetrieval", "googleMaps", "codeExecution", "urlContext", "fileSearch",
            "computerUse", "mcpServers",
        )
    },
}  # fmt: skip

#: Under these names an object is free-form: its own names are left as they are.
_FREE: Final = frozenset(
    {"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels",
     "partMetadata"}
)  # fmt: skip


def camel_names(value: object) -> object:
    """The body with its own names in camelCase, however they were written. Raises invalid_request if too deep."""
    check_depth(value, "contents")
    return _camel(value)


def _camel(value: object) -> object:
    if isinstance(value, list):
        return [_camel(member) for member in value]
    if not isinstance(value, dict):
        return value
    out: dict[str, object] = {}
    for name, member in value.items():
        if "_" in name:
            head, *rest = name.split("_")
            name = head + "".join([word[:1].upper() + word[1:] for word in rest])  # noqa: PLW2901
        out[name] = member if name in _FREE else _camel(member)
    return out
