"""The messages of a chat body, one Struct per role and per kind of content part."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

#: As OpenAI documents it: no blanks and none of < | \\ / >.
SpeakerName = Annotated[str, Meta(pattern=r"^[^\s<|\\/>]{1,64}$")]
CallId = Annotated[str, Meta(min_length=1, max_length=512)]


class TextPart(Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    text: str
    prompt_cache_breakpoint: object = None  # a caching hint; the answer is the same without it


class ImageUrl(Struct, forbid_unknown_fields=True):
    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(Struct, tag_field="type", tag="image_url", forbid_unknown_fields=True):
    image_url: ImageUrl
    prompt_cache_breakpoint: object = None


class InputAudio(Struct, forbid_unknown_fields=True):
    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Struct, tag_field="type", tag="input_audio", forbid_unknown_fields=True):
    input_audio: InputAudio
    prompt_cache_breakpoint: object = None


class FileRef(Struct, forbid_unknown_fields=True):
    file_data: str | None = None
    file_id: Annotated[str, Meta(min_length=1, max_length=512)] | None = None
    filename: Annotated[str, Meta(max_length=512)] | None = None


class FilePart(Struct, tag_field="type", tag="file", forbid_unknown_fields=True):
    file: FileRef
    prompt_cache_breakpoint: object = None


class RefusalPart(Struct, tag_field="type", tag="refusal", forbid_unknown_fields=True):
    refusal: str


class FunctionCall(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=512)]
    arguments: str
    parsed_arguments: object = None  # SDKs leave it in the messages that their parsing helpers return


class CallWire(Struct, kw_only=True, forbid_unknown_fields=True):
    id: CallId
    type: Literal["function", "custom"] = "function"
    function: FunctionCall | None = None
    custom: object = None
    index: int | None = None  # left over by clients that gathered it from a stream


TextContent = str | Annotated[list[TextPart], Meta(min_length=1, max_length=2048)]
UserContent = str | Annotated[list[TextPart | ImagePart | AudioPart | FilePart], Meta(min_length=1, max_length=2048)]
AssistantContent = str | Annotated[list[TextPart | RefusalPart], Meta(min_length=1, max_length=2048)] | None


class SystemMessage(Struct, tag_field="role", tag="system", forbid_unknown_fields=True):
    content: TextContent
    name: SpeakerName | None = None


class DeveloperMessage(Struct, tag_field="role", tag="developer", forbid_unknown_fields=True):
    """What newer models call the system message."""

    content: TextContent
    name: SpeakerName | None = None


class UserMessage(Struct, tag_field="role", tag="user", forbid_unknown_fields=True):
    content: UserContent
    name: SpeakerName | None = None


class AssistantMessage(Struct, tag_field="role", tag="assistant", forbid_unknown_fields=True):
    """Also read back as SDKs dump the message of an answer, nulls and annotations included."""

    content: AssistantContent = None
    name: SpeakerName | None = None
    tool_calls: Annotated[list[CallWire], Meta(max_length=128)] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    annotations: object = None
    parsed: object = None  # as parsed_arguments: the SDK's own reading of content
    audio: None = None
    function_call: None = None


class ToolMessage(Struct, tag_field="role", tag="tool", forbid_unknown_fields=True):
    content: TextContent
    tool_call_id: CallId
    name: str | None = None  # older clients repeat the function's name; the call id says it


class FunctionMessage(Struct, tag_field="role", tag="function"):
    """Read so that it can be refused by name."""


WireMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage
