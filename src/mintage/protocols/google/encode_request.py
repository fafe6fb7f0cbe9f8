"""From the canonical Request to the bodies that Google takes. What the dialect cannot say is refused, not dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mintage.base import (
    Audio,
    Document,
    Image,
    Message,
    MintageError,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    ToolCall,
    ToolResult,
)
from mintage.protocols.carry import cannot, check_sampling
from mintage.protocols.google.encode_answer import call_args
from mintage.protocols.media import encode_base64
from mintage.protocols.strict_json import encode_json, json_object

_SAMPLING: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
}
_LEVELS: Final = {effort: effort.upper() for effort in ("minimal", "low", "medium", "high", "xhigh")} | {"max": "XHIGH"}
_MODES: Final = {"none": "NONE", "required": "ANY"}
_AUDIO_TYPES: Final = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_TASKS: Final = {"query": "RETRIEVAL_QUERY", "document": "RETRIEVAL_DOCUMENT"}
#: Google's word for a call that another provider made: it has no signature to be checked.
_UNSIGNED: Final = "skip_thought_signature_validator"


def encode_request(request: Request) -> bytes:
    """The body for POST /models/MODEL:generateContent and :streamGenerateContent. Raises unsupported."""
    if request.operation != "chat":
        raise cannot(f"operation {request.operation!r}", "model", "Choose another model.")
    check_sampling(request, _SAMPLING)
    if request.parallel_tool_calls is False and request.tools:
        raise cannot("one tool call at a time", "parallel_tool_calls")
    body = _conversation(request)
    if config := _config(request):
        body["generationConfig"] = config
    return encode_json(body)


def _config(request: Request) -> dict[str, object]:
    config: dict[str, object] = {}
    for ours, theirs in _SAMPLING.items():
        if (value := getattr(request.sampling, ours)) is not None and (ours != "top_k" or value > 0):
            config[theirs] = value
    if request.max_output_tokens is not None:
        config["maxOutputTokens"] = request.max_output_tokens
    if request.n > 1:
        config["candidateCount"] = request.n
    if request.stop:
        config["stopSequences"] = list(request.stop)
    if request.logprobs:
        config["responseLogprobs"] = True
        if request.top_logprobs:
            config["logprobs"] = request.top_logprobs
    if request.output.kind != "text":
        config["responseMimeType"] = "application/json"
    if request.output.kind == "json_schema" and request.output.schema is not None:
        config["responseJsonSchema"] = request.output.schema
    if thinking := _thinking(request):
        config["thinkingConfig"] = thinking
    return config


def encode_count_request(request: Request, model: str) -> bytes:
    """The body for POST /models/MODEL:countTokens."""
    return encode_json({"generateContentRequest": {"model": f"models/{model}", **_conversation(request)}})


def encode_embed_request(request: Request, model: str) -> bytes:
    """The body for POST /models/MODEL:batchEmbedContents."""
    shared: dict[str, object] = {"model": f"models/{model}"}
    if request.purpose:
        shared["taskType"] = _TASKS[request.purpose]
    if request.dimensions is not None:
        shared["outputDimensionality"] = request.dimensions
    return encode_json({"requests": [{**shared, "content": {"parts": [{"text": text}]}} for text in request.prompts]})


def _conversation(request: Request) -> dict[str, object]:
    """What the model reads: contents, system instruction, tools."""
    names = {part.id: part.name for message in request.messages for part in message.parts if isinstance(part, ToolCall)}
    body: dict[str, object] = {"contents": _contents(request.messages, names)}
    system = [part for message in request.messages if message.role == "system" for part in message.parts]
    if system:
        body["systemInstruction"] = {"parts": [_system(part) for part in system]}
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_function(request, index) for index in range(len(request.tools))]}]
        choice = request.tool_choice
        if choice.mode == "function":
            config: dict[str, object] = {"mode": "ANY", "allowedFunctionNames": [choice.name]}
            body["toolConfig"] = {"functionCallingConfig": config}
        elif choice.mode != "auto":
            body["toolConfig"] = {"functionCallingConfig": {"mode": _MODES[choice.mode]}}
    return body


def _thinking(request: Request) -> dict[str, object]:
    effort, budget = request.reasoning_effort, request.reasoning_budget_tokens
    wire: dict[str, object] = {}
    if budget is not None:
        wire["thinkingBudget"] = budget
    elif effort == "none":
        wire["thinkingBudget"] = 0
    elif effort is not None:
        wire["thinkingLevel"] = _LEVELS[effort]
    if request.reasoning_shown or (request.reasoning_shown is None and wire and budget != 0 and effort != "none"):
        wire["includeThoughts"] = True
    return wire


def _function(request: Request, index: int) -> dict[str, object]:
    tool = request.tools[index]
    wire: dict[str, object] = {"name": tool.name}
    if tool.description:
        wire["description"] = tool.description
    if tool.parameters:
        wire["parametersJsonSchema"] = tool.parameters
    return wire


def _system(part: Part) -> dict[str, object]:
    if not isinstance(part, Text):
        raise cannot("anything but text in a system message", "messages", "Send it in a user message.")
    return {"text": part.text}


def _contents(messages: tuple[Message, ...], names: Mapping[str, str]) -> list[dict[str, object]]:
    """Messages of one speaker in a row are one turn. System messages stand elsewhere, wherever they stood."""
    turns: list[dict[str, object]] = []
    parts: list[dict[str, object]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "model" if message.role == "assistant" else "user"
        if not turns or turns[-1]["role"] != role:
            parts = []
            turns.append({"role": role, "parts": parts})
        parts += _parts(message, names)
    turns = [turn for turn in turns if turn["parts"]]
    if not turns:
        raise MintageError("invalid_request", "There is no message to answer.", "Add a user message.", param="messages")
    return turns


def _parts(message: Message, names: Mapping[str, str]) -> list[dict[str, object]]:
    """The first call of a turn needs a signature; where another provider made it, it says that there is none."""
    parts: list[dict[str, object]] = []
    unsigned = not any(isinstance(part, ToolCall) and part.signature for part in message.parts)
    for part in message.parts:
        if isinstance(part, ToolCall):
            call = {"functionCall": {"id": part.id, "name": part.name, "args": call_args(part.arguments)}}
            signature = part.signature or (_UNSIGNED if unsigned else "")
            unsigned = False
            parts.append({**call, "thoughtSignature": signature} if signature else dict(call))
        else:
            parts += _part(part, names)
    return parts


def _part(part: Part, names: Mapping[str, str]) -> list[dict[str, object]]:
    if isinstance(part, Text | Refusal):
        return [{"text": part.text}] if part.text else []
    if isinstance(part, ToolResult):
        return [_result(part, names)]
    if isinstance(part, Reasoning):
        return _reasoning(part)
    if isinstance(part, Image) and part.data is not None:
        return [{"inlineData": {"mimeType": part.media_type, "data": encode_base64(part.data)}}]
    if isinstance(part, Image):
        return [{"fileData": {"fileUri": part.url, "mimeType": part.media_type or _image_type(part.url or "")}}]
    if isinstance(part, Audio):
        media_type = _AUDIO_TYPES.get(part.format, f"audio/{part.format}")
        return [{"inlineData": {"mimeType": media_type, "data": encode_base64(part.data)}}]
    if isinstance(part, Document):
        return [_document(part)]
    raise cannot("this part of a message", "messages")


def _reasoning(part: Reasoning) -> list[dict[str, object]]:
    """What another provider has sealed says nothing here, and earlier thoughts are not read again unsigned."""
    if part.redacted or not part.signature:
        return []
    wire: dict[str, object] = {"text": part.text, "thoughtSignature": part.signature}
    return [{**wire, "thought": True} if part.text else wire]


def _document(part: Document) -> dict[str, object]:
    if part.url is not None:
        return {"fileData": {"fileUri": part.url, "mimeType": part.media_type or "application/pdf"}}
    if part.data is None:
        raise cannot("a stored file", "messages", "Send the file's bytes.")
    blob = {"mimeType": part.media_type or "application/pdf", "data": encode_base64(part.data)}
    return {"inlineData": blob}


def _result(part: ToolResult, names: Mapping[str, str]) -> dict[str, object]:
    if part.parts:
        raise cannot("images or documents as the result of a tool", "messages", "Send them in a user message.")
    found = None if part.is_error else json_object(part.content)
    response = found if found is not None else {"error" if part.is_error else "output": part.content}
    name = names.get(part.call_id)
    if name is None:
        raise MintageError("invalid_request", "A tool's result answers no call.", "Keep the call.", param="messages")
    return {"functionResponse": {"id": part.call_id, "name": name, "response": response}}


def _image_type(url: str) -> str:
    """Google wants to be told; the address says it as a rule."""
    ending = url.partition("?")[0].rpartition(".")[2].lower()
    return {"png": "image/png", "webp": "image/webp", "gif": "image/gif"}.get(ending, "image/jpeg")
