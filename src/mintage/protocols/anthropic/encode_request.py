"""From the canonical Request to the body that Anthropic takes. What the dialect cannot say is refused, not dropped."""

from __future__ import annotations

from typing import Final

from mintage.base import (
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
from mintage.protocols.anthropic.encode_answer import tool_input
from mintage.protocols.carry import cannot, check_sampling
from mintage.protocols.media import encode_base64
from mintage.protocols.strict_json import encode_json

#: The one that every client of any age sends; newer ones leave out samplers that others ask for.
VERSION: Final = "2023-06-01"
#: `max_tokens` is required; a request that came through the gateway always names its own.
MAX_TOKENS_DEFAULT: Final = 4096
_BUDGET_MIN_TOKENS: Final = 1024
_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}


def encode_request(request: Request, model: str, *, stream: bool | None = None) -> bytes:
    """The body for POST /v1/messages. stream: None follows the request. Raises unsupported with the field."""
    body = _count_fields(request, model)
    _check(request)
    body["max_tokens"] = request.max_output_tokens or MAX_TOKENS_DEFAULT
    sampling = request.sampling
    for name in ("temperature", "top_p", "top_k"):
        if (value := getattr(sampling, name)) is not None and (name != "top_k" or value > 0):
            body[name] = value
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.end_user is not None:
        body["metadata"] = {"user_id": request.end_user}
    if request.stream if stream is None else stream:
        body["stream"] = True
    return encode_json(body)


def encode_count_request(request: Request, model: str) -> bytes:
    """The body for POST /v1/messages/count_tokens."""
    return encode_json(_count_fields(request, model))


def _check(request: Request) -> None:
    check_sampling(request, ("temperature", "top_p", "top_k"))
    if (request.sampling.temperature or 0) > 1:
        raise cannot("a temperature above 1", "temperature", "Use 0 to 1.")
    if request.n > 1:
        raise cannot("several answers to one request", "n", "Ask once for each.")
    if request.logprobs:
        raise cannot("log-probabilities", "logprobs")


def _count_fields(request: Request, model: str) -> dict[str, object]:
    if request.operation != "chat":
        raise cannot(f"operation {request.operation!r}", "model", "Choose another model.")
    head = 0
    while head < len(request.messages) and request.messages[head].role == "system":
        head += 1
    body: dict[str, object] = {"model": model, "messages": _turns(request.messages[head:])}
    system = [_text(part) for message in request.messages[:head] for part in message.parts if _says(part)]
    if system:
        body["system"] = system
    _think(body, request)
    if request.output.kind == "json_object":
        raise cannot("JSON output without a schema", "response_format", "Send a JSON schema.")
    if request.output.kind == "json_schema":
        schema = {"type": "json_schema", "schema": request.output.schema or {}}
        body.setdefault("output_config", {})["format"] = schema  # type: ignore[index]
    if request.tools:
        body["tools"] = [_tool(request, index) for index in range(len(request.tools))]
        _choose(body, request)
    return body


def _think(body: dict[str, object], request: Request) -> None:
    effort, budget = request.reasoning_effort, request.reasoning_budget_tokens
    display = (
        {} if request.reasoning_shown is None else {"display": "summarized" if request.reasoning_shown else "omitted"}
    )
    limit = request.max_output_tokens or MAX_TOKENS_DEFAULT
    if budget is not None and budget > 0:
        budget = min(max(budget, _BUDGET_MIN_TOKENS), limit - 1)
        if budget >= _BUDGET_MIN_TOKENS:  # an answer shorter than the least budget cannot think
            body["thinking"] = {"type": "enabled", "budget_tokens": budget, **display}
    elif budget == 0 or effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif budget == -1 or effort is not None:
        body["thinking"] = {"type": "adaptive", **display}
    if effort is not None and effort != "none":
        body["output_config"] = {"effort": _EFFORTS[effort]}


def _tool(request: Request, index: int) -> dict[str, object]:
    tool = request.tools[index]
    schema = tool.parameters or {"type": "object", "properties": {}}
    wire: dict[str, object] = {"name": tool.name, "input_schema": schema}
    if tool.description:
        wire["description"] = tool.description
    if tool.strict is not None:
        wire["strict"] = tool.strict
    return wire


def _choose(body: dict[str, object], request: Request) -> None:
    choice, parallel = request.tool_choice, request.parallel_tool_calls
    wire: dict[str, object] = {"type": _CHOICES.get(choice.mode, "tool")}
    if choice.mode == "function":
        wire["name"] = choice.name
    if parallel is not None and choice.mode != "none":
        wire["disable_parallel_tool_use"] = not parallel
    if len(wire) > 1 or choice.mode != "auto":
        body["tool_choice"] = wire


def _turns(messages: tuple[Message, ...]) -> list[dict[str, object]]:
    """Messages of one speaker in a row are one turn: a turn's tool results must come together, in front."""
    turns: list[dict[str, object]] = []
    blocks: list[dict[str, object]] = []
    for message in messages:
        role = "user" if message.role == "tool" else message.role
        if not turns or turns[-1]["role"] != role:
            blocks = []
            turns.append({"role": role, "content": blocks})
        blocks += [block for part in message.parts for block in _block(part)]
    turns = [turn for turn in turns if turn["content"]]
    if not turns:
        raise MintageError("invalid_request", "There is no message to answer.", "Add a user message.", param="messages")
    return turns


def _says(part: Part) -> bool:
    return not isinstance(part, Text) or bool(part.text)


def _text(part: Part) -> dict[str, object]:
    if not isinstance(part, Text):
        raise cannot("anything but text in a system message", "messages", "Send it in a user message.")
    return {"type": "text", "text": part.text}


def _block(part: Part) -> list[dict[str, object]]:
    """Empty texts are refused there, so they are left out; so is unsigned reasoning, which no provider reads again."""
    if isinstance(part, Text | Refusal):
        return [{"type": "text", "text": part.text}] if part.text else []
    if isinstance(part, Image):
        return [_image(part)]
    if isinstance(part, Document):
        return [_document(part)]
    if isinstance(part, ToolCall):
        return [{"type": "tool_use", "id": part.id, "name": part.name, "input": tool_input(part.arguments)}]
    if isinstance(part, ToolResult):
        return [_result(part)]
    if isinstance(part, Reasoning):
        if part.redacted:
            return [{"type": "redacted_thinking", "data": part.signature}]
        if not part.signature:
            return []
        return [{"type": "thinking", "thinking": part.text, "signature": part.signature}]
    raise cannot("audio", "messages", "Send its transcript.")


def _image(part: Image) -> dict[str, object]:
    if part.data is None:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    source = {"type": "base64", "media_type": part.media_type, "data": encode_base64(part.data)}
    return {"type": "image", "source": source}


def _document(part: Document) -> dict[str, object]:
    source: dict[str, object]
    if part.url is not None:
        source = {"type": "url", "url": part.url}
    elif part.data is None:
        raise cannot("a stored file", "messages", "Send the file's bytes.")
    elif part.media_type.startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": part.data.decode("utf-8", "replace")}
    else:
        media_type = part.media_type or "application/pdf"
        if media_type != "application/pdf":
            raise cannot(f"a document of type {media_type[:64]}", "messages", "Send a PDF, or its text.")
        source = {"type": "base64", "media_type": media_type, "data": encode_base64(part.data)}
    wire: dict[str, object] = {"type": "document", "source": source}
    if part.name:
        wire["title"] = part.name
    return wire


def _result(part: ToolResult) -> dict[str, object]:
    wire: dict[str, object] = {"type": "tool_result", "tool_use_id": part.call_id}
    wire["content"] = [block for inner in part.parts for block in _block(inner)] if part.parts else part.content
    if part.is_error:
        wire["is_error"] = True
    return wire
