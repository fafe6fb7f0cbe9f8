"""From the canonical Request to the body that an upstream of this dialect takes.

What only concerns us stays here: metadata, and `echo`, which the answer's codec does itself. A stream always asks for
its usage, because money depends on it.
"""

from __future__ import annotations

from typing import Final, Literal

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
from mintage.protocols.carry import cannot
from mintage.protocols.media import encode_base64, encode_data_url
from mintage.protocols.strict_json import encode_json

#: The official name is max_completion_tokens; many compatible servers know only max_tokens.
OutputLimitField = Literal["max_completion_tokens", "max_tokens"]
_SAMPLING: Final = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "logit_bias",
)
#: What models of these efforts think at most, about; see the providers' own compatibility layers.
_BUDGETS: Final = (("low", 2_048), ("medium", 10_240))


def encode_request(
    request: Request,
    model: str,
    *,
    stream: bool | None = None,
    output_limit_field: OutputLimitField = "max_completion_tokens",
    keep_reasoning: bool = False,
) -> bytes:
    """The body for POST /chat/completions or /completions.

    stream: None follows the request. keep_reasoning: send earlier reasoning back as reasoning_content, which some
    providers need and others refuse. Raises unsupported for what this dialect cannot say.
    """
    body: dict[str, object] = {"model": model}
    if request.operation == "chat":
        body["messages"] = [
            wire for message in request.messages for wire in _messages(message, keep_reasoning=keep_reasoning)
        ]
        _chat_fields(body, request, output_limit_field)
    elif request.operation == "completion":
        _completion_fields(body, request)
    else:
        raise MintageError(
            "unsupported", f"'{request.operation}' is not an operation of this endpoint.", "Use its own endpoint."
        )
    for name in _SAMPLING:
        if (value := getattr(request.sampling, name)) is not None:
            body[name] = value
    if request.n != 1:
        body["n"] = request.n
    if request.stop:
        body["stop"] = list(request.stop)
    if request.end_user is not None:
        body["user"] = request.end_user
    if request.stream if stream is None else stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return encode_json(body)


def _chat_fields(body: dict[str, object], request: Request, output_limit_field: OutputLimitField) -> None:
    if request.max_output_tokens is not None:
        body[output_limit_field] = request.max_output_tokens
    if (effort := _effort(request)) is not None:
        body["reasoning_effort"] = effort
    if request.logprobs:
        body["logprobs"] = True
        if request.top_logprobs:
            body["top_logprobs"] = request.top_logprobs
    if request.output.kind != "text":
        body["response_format"] = _output(request)
    if request.tools:
        _tool_fields(body, request)


def _effort(request: Request) -> str | None:
    """A budget of tokens becomes the effort that thinks about as long."""
    budget = request.reasoning_budget_tokens
    if request.reasoning_effort is not None or budget is None or budget <= 0:
        return request.reasoning_effort
    return next((effort for effort, most in _BUDGETS if budget <= most), "high")


def _tool_fields(body: dict[str, object], request: Request) -> None:
    tools = []
    for tool in request.tools:
        function: dict[str, object] = {"name": tool.name}
        if tool.description:
            function["description"] = tool.description
        if tool.parameters:
            function["parameters"] = tool.parameters
        if tool.strict is not None:
            function["strict"] = tool.strict
        tools.append({"type": "function", "function": function})
    body["tools"] = tools
    choice = request.tool_choice
    if choice.mode == "function":
        body["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice.mode != "auto":
        body["tool_choice"] = choice.mode
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _output(request: Request) -> dict[str, object]:
    output = request.output
    if output.kind == "json_object":
        return {"type": "json_object"}
    schema: dict[str, object] = {"name": output.name}
    if output.description:
        schema["description"] = output.description
    if output.schema is not None:
        schema["schema"] = output.schema
    if output.strict is not None:
        schema["strict"] = output.strict
    return {"type": "json_schema", "json_schema": schema}


def _completion_fields(body: dict[str, object], request: Request) -> None:
    body["prompt"] = request.prompts[0] if len(request.prompts) == 1 else list(request.prompts)
    if request.max_output_tokens is not None:
        body["max_tokens"] = request.max_output_tokens
    if request.suffix is not None:
        body["suffix"] = request.suffix
    if request.logprobs:
        body["logprobs"] = request.top_logprobs


def _messages(message: Message, *, keep_reasoning: bool) -> list[dict[str, object]]:
    """One message as a rule; each tool result is a message of its own here."""
    results: list[dict[str, object]] = []
    rest: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            results.append({"role": "tool", "tool_call_id": part.call_id, "content": _result(part)})
        else:
            rest.append(part)
    if rest or not results:
        wire = _assistant(rest, keep_reasoning) if message.role == "assistant" else _said(message.role, rest)
        if message.name is not None:
            wire["name"] = message.name
        results.append(wire)
    return results


def _result(part: ToolResult) -> str:
    """A failed call is told in words: the dialect has no mark for it."""
    if part.parts:
        raise cannot("images or documents as the result of a tool", "messages", "Send them in a user message.")
    return f"Error: {part.content}" if part.is_error else part.content


def _said(role: str, parts: list[Part]) -> dict[str, object]:
    if role == "tool":
        raise MintageError("invalid_request", "A tool message holds no tool result.", "Answer a call by its id.")
    return {"role": role, "content": _content(parts)}


def _assistant(parts: list[Part], keep_reasoning: bool) -> dict[str, object]:
    said: list[Part] = []
    calls: list[dict[str, object]] = []
    reasoning: list[str] = []
    for part in parts:
        if isinstance(part, ToolCall):
            function = {"name": part.name, "arguments": part.arguments}
            calls.append({"id": part.id, "type": "function", "function": function})
        elif isinstance(part, Reasoning):
            reasoning.append(part.text)
        else:
            said.append(part)
    wire: dict[str, object] = {"role": "assistant"}
    if len(said) == 1 and isinstance(said[0], Refusal):
        wire["refusal"] = said[0].text
    elif said or not calls:
        wire["content"] = _content(said)
    if calls:
        wire["tool_calls"] = calls
    if keep_reasoning and reasoning:
        wire["reasoning_content"] = "".join(reasoning)
    return wire


def _content(parts: list[Part]) -> object:
    """A string where one text says it all, else a list of parts."""
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, object]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        url = part.url if part.data is None else encode_data_url(part.media_type, part.data)
        image: dict[str, object] = {"url": url}
        if part.detail != "auto":
            image["detail"] = part.detail
        return {"type": "image_url", "image_url": image}
    if isinstance(part, Audio):
        return {"type": "input_audio", "input_audio": {"data": encode_base64(part.data), "format": part.format}}
    if isinstance(part, Document):
        return {"type": "file", "file": _file(part)}
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    raise MintageError(
        "unsupported",
        "A part of a message cannot be sent to this model.",
        "Keep tool calls and reasoning in assistant turns.",
    )


def _file(part: Document) -> dict[str, object]:
    file: dict[str, object] = {}
    if part.data is not None:
        file["file_data"] = encode_data_url(part.media_type, part.data) if part.media_type else encode_base64(part.data)
    elif part.file_id is not None:
        file["file_id"] = part.file_id
    else:
        raise cannot("a document by its web address", "messages", "Send its bytes.")
    if part.name:
        file["filename"] = part.name
    return file
