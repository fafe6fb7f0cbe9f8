"""From the messages of a body to the canonical conversation."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mintage.base import Document, Image, Message, Part, Reasoning, Text, ToolCall, ToolResult
from mintage.protocols.anthropic.block_wire import (
    AssistantBlock,
    Base64Source,
    ContentSource,
    DocumentBlock,
    FileSource,
    ImageBlock,
    RedactedBlock,
    SearchResultBlock,
    TextBlock,
    TextSource,
    ThinkingBlock,
    ToolResultBlock,
    UserBlock,
)
from mintage.protocols.anthropic.request_wire import Answered, Said, WireMessage
from mintage.protocols.media import decode_base64
from mintage.protocols.strict_json import check_depth, invalid

_IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_encode = msgspec.json.Encoder().encode


def decode_messages(wire: Sequence[WireMessage]) -> tuple[Message, ...]:
    """A turn's tool results become a message of their own. Raises invalid_request with a param."""
    call_ids: set[str] = set()
    messages: list[Message] = []
    for index, message in enumerate(wire):
        path = f"messages[{index}].content"
        if isinstance(message, Answered):
            messages.append(Message("assistant", _answered(message.content, path, call_ids)))
        elif isinstance(message, Said):
            messages += _said(message.content, path, call_ids)
        else:
            messages.append(Message("system", decode_system(message.content)))
    return tuple(messages)


def decode_system(wire: str | Sequence[TextBlock]) -> tuple[Text, ...]:
    return (Text(wire),) if isinstance(wire, str) else tuple([Text(block.text) for block in wire])


def _said(wire: str | Sequence[UserBlock], path: str, call_ids: set[str]) -> list[Message]:
    if isinstance(wire, str):
        return [Message("user", (Text(wire),))]
    results: list[Part] = []
    said: list[Part] = []
    for index, block in enumerate(wire):
        where = f"{path}[{index}]"
        if isinstance(block, ToolResultBlock):
            results.append(_result(block, where, call_ids))
        else:
            said += _given(block, where)
    messages = [Message("tool", tuple(results))] if results else []
    if said or not results:
        messages.append(Message("user", tuple(said)))
    return messages


def _answered(wire: str | Sequence[AssistantBlock], path: str, call_ids: set[str]) -> tuple[Part, ...]:
    if isinstance(wire, str):
        return (Text(wire),)
    parts: list[Part] = []
    for index, block in enumerate(wire):
        if isinstance(block, TextBlock):
            parts.append(Text(block.text))
        elif isinstance(block, ThinkingBlock):
            parts.append(Reasoning(text=block.thinking, signature=block.signature))
        elif isinstance(block, RedactedBlock):
            parts.append(Reasoning(text="", signature=block.data, redacted=True))
        else:
            check_depth(block.input, f"{path}[{index}].input")
            call_ids.add(block.id)
            parts.append(ToolCall(id=block.id, name=block.name, arguments=_encode(block.input).decode()))
    return tuple(parts)


def _result(wire: ToolResultBlock, path: str, call_ids: set[str]) -> ToolResult:
    if wire.tool_use_id not in call_ids:
        raise invalid(
            "A tool_result must answer a tool_use of an earlier assistant turn.",
            "Keep the assistant's turn in front of it, and repeat the call's id.",
            f"{path}.tool_use_id",
        )
    is_error = wire.is_error or False
    if wire.content is None or isinstance(wire.content, str):
        return ToolResult(call_id=wire.tool_use_id, content=wire.content or "", is_error=is_error)
    parts: list[Text | Image | Document] = []
    for index, block in enumerate(wire.content):
        parts += _given(block, f"{path}.content[{index}]")
    rich = any(not isinstance(part, Text) for part in parts)
    content = "".join([part.text for part in parts if isinstance(part, Text)])
    return ToolResult(call_id=wire.tool_use_id, content=content, is_error=is_error, parts=tuple(parts) if rich else ())


def _given(
    wire: TextBlock | ImageBlock | DocumentBlock | SearchResultBlock, path: str
) -> list[Text | Image | Document]:
    if isinstance(wire, TextBlock):
        return [Text(wire.text)]
    if isinstance(wire, ImageBlock):
        return [_image(wire, f"{path}.source")]
    if isinstance(wire, SearchResultBlock):
        return [Text("\n".join([wire.title, wire.source, *[block.text for block in wire.content]]))]
    document = _document(wire, f"{path}.source")
    return [Text(wire.context), document] if wire.context else [document]


def _image(wire: ImageBlock, path: str) -> Image:
    source = wire.source
    if isinstance(source, Base64Source):
        if source.media_type not in _IMAGE_TYPES:
            raise invalid(
                f"'{path}.media_type' is not an image.", "Use image/jpeg, png, gif or webp.", f"{path}.media_type"
            )
        return Image(data=decode_base64(source.data, f"{path}.data"), media_type=source.media_type)
    return Image(url=_address(source.url, f"{path}.url"))


def _document(wire: DocumentBlock, path: str) -> Document:
    source, name = wire.source, wire.title or ""
    if isinstance(source, Base64Source):
        return Document(data=decode_base64(source.data, f"{path}.data"), media_type=source.media_type, name=name)
    if isinstance(source, FileSource):
        return Document(file_id=source.file_id, name=name)
    if isinstance(source, TextSource):
        return _plain(source.data, name)
    if isinstance(source, ContentSource):
        texts = [source.content] if isinstance(source.content, str) else [block.text for block in source.content]
        return _plain("\n".join(texts), name)
    return Document(url=_address(source.url, f"{path}.url"), media_type="application/pdf", name=name)


def _plain(text: str, name: str) -> Document:
    return Document(data=text.encode(), media_type="text/plain", name=name)


def _address(url: str, path: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise invalid(f"'{path}' is not a web address.", "Start it with https://.", path)
    return url
