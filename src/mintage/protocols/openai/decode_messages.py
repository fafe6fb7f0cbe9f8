"""From the messages of a chat body to the canonical conversation."""

from __future__ import annotations

from collections.abc import Sequence

from mintage.base import (
    Audio,
    Document,
    Image,
    Message,
    MintageError,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from mintage.protocols.media import decode_base64, decode_data_url
from mintage.protocols.openai.message_wire import (
    AssistantMessage,
    AudioPart,
    CallWire,
    DeveloperMessage,
    FilePart,
    ImagePart,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
    WireMessage,
)
from mintage.protocols.strict_json import invalid

_WirePart = TextPart | ImagePart | AudioPart | FilePart | RefusalPart


def decode_messages(wire: Sequence[WireMessage]) -> tuple[Message, ...]:
    """Raises invalid_request or unsupported, with a param such as messages[3].content[0].image_url.url."""
    call_ids: set[str] = set()
    return tuple([_message(message, index, call_ids) for index, message in enumerate(wire)])


def _message(wire: WireMessage, index: int, call_ids: set[str]) -> Message:
    # `type() is` where every request passes: isinstance of a Struct costs four times as much.
    if type(wire) is UserMessage:
        return _said("user", wire, index)
    if type(wire) is SystemMessage or type(wire) is DeveloperMessage:
        return _said("system", wire, index)
    if type(wire) is AssistantMessage:
        return _assistant(wire, index, call_ids)
    if type(wire) is ToolMessage:
        return _tool(wire, index, call_ids)
    raise MintageError(
        "unsupported",
        "Messages with the role 'function' are not served.",
        "Send role `tool` with a `tool_call_id`.",
        param=f"messages[{index}].role",
    )


def _said(role: Role, wire: UserMessage | SystemMessage | DeveloperMessage, index: int) -> Message:
    if isinstance(wire.content, str):
        return Message(role, (Text(wire.content),), wire.name)
    return Message(role, _parts(wire.content, f"messages[{index}].content"), wire.name)


def _assistant(wire: AssistantMessage, index: int, call_ids: set[str]) -> Message:
    parts: list[Part] = []
    reasoning = wire.reasoning_content or wire.reasoning
    if wire.content is None and not (wire.tool_calls or wire.refusal or reasoning):
        raise invalid(
            f"'messages[{index}].content' is null.",
            "An assistant message needs content, tool_calls or a refusal.",
            f"messages[{index}].content",
            "invalid_type",
        )
    if reasoning:
        parts.append(Reasoning(text=reasoning))
    if isinstance(wire.content, str):
        if wire.content or not (wire.tool_calls or wire.refusal):
            parts.append(Text(wire.content))
    elif wire.content is not None:
        parts += _parts(wire.content, f"messages[{index}].content")
    if wire.refusal:
        parts.append(Refusal(wire.refusal))
    for position, call in enumerate(wire.tool_calls or ()):
        parts.append(_call(call, f"messages[{index}].tool_calls[{position}]"))
        call_ids.add(call.id)
    return Message("assistant", tuple(parts), wire.name)


def _call(wire: CallWire, path: str) -> ToolCall:
    if wire.type == "custom" or wire.custom is not None:
        raise MintageError(
            "unsupported", "Custom tools are not served.", "Offer it as a function with one string.", param=path
        )
    if wire.function is None:
        raise invalid(
            f"Missing required parameter: '{path}.function'.",
            "Repeat the call as the model made it.",
            f"{path}.function",
            "missing_required_parameter",
        )
    return ToolCall(id=wire.id, name=wire.function.name, arguments=wire.function.arguments)


def _tool(wire: ToolMessage, index: int, call_ids: set[str]) -> Message:
    if wire.tool_call_id not in call_ids:
        raise invalid(
            "A message with the role 'tool' must answer a call of an earlier assistant message.",
            "Keep the assistant message with its `tool_calls` in front of it, and repeat the call's id.",
            f"messages[{index}].tool_call_id",
        )
    content = wire.content if isinstance(wire.content, str) else "".join([part.text for part in wire.content])
    return Message("tool", (ToolResult(call_id=wire.tool_call_id, content=content),))


def _parts(wire: Sequence[_WirePart], path: str) -> tuple[Part, ...]:
    return tuple([_part(part, f"{path}[{index}]") for index, part in enumerate(wire)])


def _part(wire: _WirePart, path: str) -> Part:
    if isinstance(wire, TextPart):
        return Text(wire.text)
    if isinstance(wire, ImagePart):
        return _image(wire, f"{path}.image_url.url")
    if isinstance(wire, AudioPart):
        return Audio(
            data=decode_base64(wire.input_audio.data, f"{path}.input_audio.data"), format=wire.input_audio.format
        )
    if isinstance(wire, FilePart):
        return _document(wire, f"{path}.file")
    return Refusal(wire.refusal)


def _image(wire: ImagePart, path: str) -> Image:
    url, detail = wire.image_url.url, wire.image_url.detail or "auto"
    if url.startswith("data:"):
        media_type, data = decode_data_url(url, path)
        if not media_type.startswith("image/"):
            raise invalid(f"'{path}' is not an image.", "Write it as data:image/png;base64,DATA.", path)
        return Image(data=data, media_type=media_type, detail=detail)
    if not url.startswith(("https://", "http://")):
        raise invalid(f"'{path}' is neither a web address nor a data URL.", "Start it with https:// or data:.", path)
    return Image(url=url, detail=detail)


def _document(wire: FilePart, path: str) -> Document:
    file = wire.file
    if (file.file_data is None) == (file.file_id is None):
        raise invalid(f"'{path}' needs one of file_data and file_id.", "Send exactly one of them.", path)
    if file.file_data is None:
        return Document(file_id=file.file_id, name=file.filename or "")
    media_type, field = "", f"{path}.file_data"
    if file.file_data.startswith("data:"):
        media_type, data = decode_data_url(file.file_data, field)
    else:
        data = decode_base64(file.file_data, field)
    return Document(data=data, media_type=media_type, name=file.filename or "")
