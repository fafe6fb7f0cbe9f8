"""From input items to the canonical conversation: what a model says in one turn is several items in a row."""

from __future__ import annotations

from collections.abc import Sequence

from mintage.base import Document, Image, Message, Part, Reasoning, Refusal, Role, Text, ToolCall, ToolResult
from mintage.protocols.media import decode_base64, decode_data_url
from mintage.protocols.openai.responses.request_wire import (
    CallItem,
    ContentPart,
    InputFile,
    InputImage,
    InputText,
    Item,
    MessageItem,
    OutputText,
    ReasoningItem,
    ResultItem,
)
from mintage.protocols.strict_json import invalid

_ROLES: dict[str, Role] = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant"}


def decode_items(wire: Sequence[Item]) -> tuple[Message, ...]:
    """Raises invalid_request or unsupported, with a param such as input[3].content[0].image_url."""
    call_ids: set[str] = set()
    turns: list[tuple[Role, list[Part]]] = []

    def add(role: Role, parts: Sequence[Part]) -> None:
        if role in ("assistant", "tool") and turns and turns[-1][0] == role:
            turns[-1][1].extend(parts)
        else:
            turns.append((role, list(parts)))

    for index, item in enumerate(wire):
        path = f"input[{index}]"
        if isinstance(item, MessageItem):
            content = item.content
            said = [Text(content)] if isinstance(content, str) else _parts(content, f"{path}.content")
            add(_ROLES[item.role], said)
        elif isinstance(item, CallItem):
            call_ids.add(item.call_id)
            add("assistant", [ToolCall(id=item.call_id, name=item.name, arguments=item.arguments)])
        elif isinstance(item, ResultItem):
            add("tool", [_result(item, path, call_ids)])
        else:
            add("assistant", _reasoning(item))
    return tuple([Message(role, tuple(parts)) for role, parts in turns if parts])


def _reasoning(wire: ReasoningItem) -> list[Part]:
    text = "\n\n".join([piece.text for piece in wire.content or wire.summary])
    return [Reasoning(text=text, signature=wire.encrypted_content or "")] if text or wire.encrypted_content else []


def _result(wire: ResultItem, path: str, call_ids: set[str]) -> ToolResult:
    if wire.call_id not in call_ids:
        raise invalid(
            "A function_call_output must answer an earlier function_call.",
            "Keep the function_call item in front of it, and repeat its call_id.",
            f"{path}.call_id",
        )
    if isinstance(wire.output, str):
        return ToolResult(call_id=wire.call_id, content=wire.output)
    parts = _parts(wire.output, f"{path}.output")
    rich = tuple([part for part in parts if isinstance(part, Text | Image | Document)])
    content = "".join([part.text for part in rich if isinstance(part, Text)])
    only_text = all(isinstance(part, Text) for part in rich)
    return ToolResult(call_id=wire.call_id, content=content, parts=() if only_text else rich)


def _parts(wire: Sequence[ContentPart], path: str) -> list[Part]:
    return [_part(part, f"{path}[{index}]") for index, part in enumerate(wire)]


def _part(wire: ContentPart, path: str) -> Part:
    if isinstance(wire, InputText | OutputText):
        return Text(wire.text)
    if isinstance(wire, InputImage):
        return _image(wire, f"{path}.image_url")
    if isinstance(wire, InputFile):
        return _document(wire, path)
    return Refusal(wire.refusal)


def _image(wire: InputImage, path: str) -> Image:
    url, detail = wire.image_url or "", wire.detail or "auto"
    if url.startswith("data:"):
        media_type, data = decode_data_url(url, path)
        if not media_type.startswith("image/"):
            raise invalid(f"'{path}' is not an image.", "Write it as data:image/png;base64,DATA.", path)
        return Image(data=data, media_type=media_type, detail=detail)
    if not url.startswith(("https://", "http://")):
        raise invalid(f"'{path}' is neither a web address nor a data URL.", "Start it with https:// or data:.", path)
    return Image(url=url, detail=detail)


def _document(wire: InputFile, path: str) -> Document:
    name = wire.filename or ""
    if sum([given is not None for given in (wire.file_data, wire.file_id, wire.file_url)]) != 1:
        raise invalid(f"'{path}' needs one of file_data, file_id and file_url.", "Send exactly one of them.", path)
    if wire.file_url is not None:
        if not wire.file_url.startswith(("https://", "http://")):
            raise invalid(f"'{path}.file_url' is not a web address.", "Start it with https://.", f"{path}.file_url")
        return Document(url=wire.file_url, name=name)
    if wire.file_data is None:
        return Document(file_id=wire.file_id, name=name)
    field = f"{path}.file_data"
    if wire.file_data.startswith("data:"):
        media_type, data = decode_data_url(wire.file_data, field)
        return Document(data=data, media_type=media_type, name=name)
    return Document(data=decode_base64(wire.file_data, field), name=name)
