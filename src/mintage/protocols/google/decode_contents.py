"""From contents and their parts to the canonical conversation.

Calls have no ids as a rule: a function's response answers the earliest call of its name that has none yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from mintage.base import Audio, Document, Image, Message, MintageError, Part, Reasoning, Text, ToolCall, ToolResult
from mintage.protocols.google.request_wire import (
    Blob,
    ContentWire,
    FileData,
    FunctionCallWire,
    FunctionResponseWire,
    PartWire,
)
from mintage.protocols.media import decode_base64
from mintage.protocols.strict_json import check_depth, invalid

_KINDS: Final = ("text", "inline_data", "file_data", "function_call", "function_response")
_AUDIO_FORMATS: Final = {"mpeg": "mp3", "mp3": "mp3", "wav": "wav", "x-wav": "wav", "wave": "wav"}
_encode = msgspec.json.Encoder().encode


class _Calls:
    """The calls that wait for their response, as (id, name)."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._count = 0

    def add(self, wire: FunctionCallWire) -> str:
        self._count += 1
        call_id = wire.id or f"call_{self._count}"
        self._open.append((call_id, wire.name))
        return call_id

    def answer(self, wire: FunctionResponseWire, path: str) -> str:
        for call in self._open:
            if call[0] == wire.id if wire.id is not None else call[1] == wire.name:
                self._open.remove(call)
                return call[0]
        raise invalid(
            "A functionResponse must answer a functionCall of an earlier turn.",
            "Keep the model's turn in front of it.",
            path,
        )


def decode_contents(wire: Sequence[ContentWire]) -> tuple[Message, ...]:
    """A turn's function responses become a message of their own. Raises invalid_request or unsupported."""
    calls = _Calls()
    messages: list[Message] = []
    for index, content in enumerate(wire):
        path = f"contents[{index}].parts"
        if content.role == "system":
            messages.append(Message("system", (Text(texts_of(content, f"contents[{index}]")),)))
            continue
        model = content.role == "model"
        parts: list[Part] = []
        for position, part in enumerate(content.parts or ()):
            parts += _part(part, f"{path}[{position}]", calls, model=model)
        if model:
            messages.append(Message("assistant", tuple(parts)))
            continue
        results = tuple([part for part in parts if isinstance(part, ToolResult)])
        said = tuple([part for part in parts if not isinstance(part, ToolResult)])
        if results:
            messages.append(Message("tool", results))
        if said or not results:
            messages.append(Message("user", said))
    return tuple(messages)


def texts_of(wire: ContentWire, path: str) -> str:
    """The text of a content that may hold nothing else. Raises invalid_request."""
    texts = []
    for index, part in enumerate(wire.parts or ()):
        if part.text is None:
            raise invalid("Only text is possible here.", "Send text parts.", f"{path}.parts[{index}]")
        texts.append(part.text)
    return "".join(texts)


def _part(wire: PartWire, path: str, calls: _Calls, *, model: bool) -> list[Part]:
    if sum([getattr(wire, kind) is not None for kind in _KINDS]) != 1:
        if wire.thought_signature and all(getattr(wire, kind) is None for kind in _KINDS):
            return [Reasoning(text="", signature=wire.thought_signature)]
        raise invalid("A part holds exactly one kind of data.", f"Send one of {', '.join(_KINDS)}.", path)
    signature = wire.thought_signature or ""
    if wire.text is not None:
        if wire.thought:
            return [Reasoning(text=wire.text, signature=signature)]
        said: list[Part] = [Text(wire.text)] if wire.text or not signature else []
        return [*said, Reasoning(text="", signature=signature)] if signature else said
    if wire.function_call is not None:
        if not model:
            raise invalid("A functionCall belongs to the model's turn.", "Set the role to model.", path)
        arguments = wire.function_call.args or {}
        check_depth(arguments, f"{path}.functionCall.args")
        return [
            ToolCall(
                id=calls.add(wire.function_call),
                name=wire.function_call.name,
                arguments=_encode(arguments).decode(),
                signature=signature,
            )
        ]
    if wire.function_response is not None:
        return [_result(wire.function_response, path, calls)]
    if wire.inline_data is not None:
        return [_blob(wire.inline_data, f"{path}.inlineData")]
    return [_file(wire.file_data, f"{path}.fileData")] if wire.file_data is not None else []


def _result(wire: FunctionResponseWire, path: str, calls: _Calls) -> ToolResult:
    """`output` and `error` are how the documentation tells results; anything else is told as its JSON."""
    call_id = calls.answer(wire, f"{path}.functionResponse")
    check_depth(wire.response, f"{path}.functionResponse.response")
    if len(wire.response) == 1:
        ((name, value),) = wire.response.items()
        if name in ("output", "result", "error"):
            text = value if isinstance(value, str) else _encode(value).decode()
            return ToolResult(call_id=call_id, content=text, is_error=name == "error")
    return ToolResult(call_id=call_id, content=_encode(wire.response).decode())


def _blob(wire: Blob, path: str) -> Image | Audio | Document:
    kind, _, subtype = wire.mime_type.lower().partition("/")
    data = decode_base64(_standard(wire.data), f"{path}.data")
    if kind == "image":
        return Image(data=data, media_type=wire.mime_type.lower())
    if kind == "audio":
        return Audio(data=data, format=_AUDIO_FORMATS.get(subtype, subtype))
    if kind in ("application", "text"):
        return Document(data=data, media_type=wire.mime_type.lower(), name=wire.display_name or "")
    raise MintageError(
        "unsupported", f"Data of type {wire.mime_type[:64]!r} is not served.", "Send images, sound, PDF or text.",
        param=f"{path}.mimeType",
    )  # fmt: skip


def _file(wire: FileData, path: str) -> Image | Document:
    if not wire.file_uri.startswith(("https://", "http://")) or "generativelanguage.googleapis.com" in wire.file_uri:
        raise MintageError(
            "unsupported", "Files kept at Google are not reachable here.", "Send the bytes as inlineData.", param=path
        )
    media_type = (wire.mime_type or "").lower()
    if media_type.startswith("image/"):
        return Image(url=wire.file_uri, media_type=media_type)
    return Document(url=wire.file_uri, media_type=media_type, name=wire.display_name or "")


def _standard(text: str) -> str:
    """Protocol buffers take base64 in either alphabet, padded or not."""
    text = text.replace("-", "+").replace("_", "/")
    return text + "=" * (-len(text) % 4)
