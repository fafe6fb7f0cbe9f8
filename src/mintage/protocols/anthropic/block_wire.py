"""The content blocks of a message, one Struct per kind."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

BlockId = Annotated[str, Meta(min_length=1, max_length=512)]
FileId = Annotated[str, Meta(min_length=1, max_length=512)]
Title = Annotated[str, Meta(max_length=512)]


class CacheControl(Struct, forbid_unknown_fields=True):
    """A caching hint. Writes that live an hour have a price of their own, which no meter here carries."""

    type: Literal["ephemeral"]
    ttl: Literal["5m"] | None = None


class Citations(Struct, forbid_unknown_fields=True):
    enabled: Literal[False] | None = None


class _Block(Struct, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    cache_control: CacheControl | None = None


class TextBlock(_Block, kw_only=True, tag="text", forbid_unknown_fields=True):
    text: str
    citations: Annotated[list[None], Meta(max_length=0)] | None = None


class Base64Source(Struct, tag_field="type", tag="base64", forbid_unknown_fields=True):
    media_type: str
    data: str


class UrlSource(Struct, tag_field="type", tag="url", forbid_unknown_fields=True):
    url: str


class FileSource(Struct, tag_field="type", tag="file", forbid_unknown_fields=True):
    file_id: FileId


class TextSource(Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    data: str
    media_type: Literal["text/plain"] = "text/plain"


class ContentSource(Struct, tag_field="type", tag="content", forbid_unknown_fields=True):
    content: str | list[TextBlock]


class ImageBlock(_Block, kw_only=True, tag="image", forbid_unknown_fields=True):
    source: Base64Source | UrlSource
    transformations: None = None


class DocumentBlock(_Block, kw_only=True, tag="document", forbid_unknown_fields=True):
    source: Base64Source | UrlSource | FileSource | TextSource | ContentSource
    citations: Citations | None = None
    context: str | None = None
    title: Title | None = None


class SearchResultBlock(_Block, kw_only=True, tag="search_result", forbid_unknown_fields=True):
    content: list[TextBlock]
    source: str
    title: str
    citations: Citations | None = None


class ToolResultBlock(_Block, kw_only=True, tag="tool_result", forbid_unknown_fields=True):
    tool_use_id: BlockId
    content: str | list[TextBlock | ImageBlock | DocumentBlock | SearchResultBlock] | None = None
    is_error: bool | None = None
    toolset_name: None = None


class ToolUseBlock(_Block, kw_only=True, tag="tool_use", forbid_unknown_fields=True):
    id: BlockId
    name: Annotated[str, Meta(min_length=1, max_length=512)]
    input: dict[str, object]
    caller: object = None  # as SDKs return it: who called, always the model here
    toolset_name: None = None


class ThinkingBlock(Struct, kw_only=True, tag_field="type", tag="thinking", forbid_unknown_fields=True):
    thinking: str
    signature: str


class RedactedBlock(Struct, kw_only=True, tag_field="type", tag="redacted_thinking", forbid_unknown_fields=True):
    data: str


UserBlock = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolResultBlock
AssistantBlock = TextBlock | ThinkingBlock | RedactedBlock | ToolUseBlock
