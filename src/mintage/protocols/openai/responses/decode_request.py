"""From the body of POST /v1/responses to the canonical Request, and what the answer repeats of the body."""

from __future__ import annotations

from typing import Final

from mintage.base import Message, MintageError, OutputFormat, Request, Sampling, Text, Tool, ToolChoice
from mintage.protocols.openai.request_wire import JsonObjectFormat
from mintage.protocols.openai.responses.decode_items import decode_items
from mintage.protocols.openai.responses.request_wire import (
    OWN_TOOLS,
    UNSUPPORTED,
    CountBody,
    FunctionChoice,
    FunctionToolWire,
    JsonSchemaFormat,
    ResponseBody,
)
from mintage.protocols.strict_json import check_depth, convert, invalid, parse_json

_AUTO: Final = ToolChoice()
_TEXT: Final = OutputFormat()


def decode_response_body(raw: bytes) -> tuple[Request, dict[str, object]]:
    """(the request, the fields that the answer repeats). Raises invalid_json, invalid_request or unsupported."""
    value = _prepared(raw)
    body = convert(value, ResponseBody, UNSUPPORTED)
    include = body.include or []
    user = body.user or body.safety_identifier or None
    if user and "\0" in user:
        raise invalid("'user' holds a zero character.", "Use a plain identifier.", "user")
    logprobs = (body.top_logprobs is not None and body.top_logprobs > 0) or "message.output_text.logprobs" in include
    request = _request(
        body,
        sampling=Sampling(temperature=body.temperature, top_p=body.top_p),
        max_output_tokens=body.max_output_tokens,
        logprobs=logprobs,
        top_logprobs=body.top_logprobs or 0,
        stream=body.stream or False,
        end_user=user,
        metadata=body.metadata or {},
    )
    assert isinstance(value, dict)  # as converted
    return request, _repeated(body, value)


def decode_response_count(raw: bytes) -> Request:
    """What POST /v1/responses/input_tokens counts, as a request."""
    return _request(convert(_prepared(raw), CountBody, UNSUPPORTED))


def _request(
    body: CountBody,
    *,
    sampling: Sampling | None = None,
    max_output_tokens: int | None = None,
    logprobs: bool = False,
    top_logprobs: int = 0,
    stream: bool = False,
    end_user: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Request:
    items = body.input
    messages = (Message("user", (Text(items),)),) if isinstance(items, str) else decode_items(items)
    if not messages or items == "":
        raise invalid(
            "Missing required parameter: 'input'.", "Say what to answer.", "input", "missing_required_parameter"
        )
    if body.instructions:
        messages = (Message("system", (Text(body.instructions),)), *messages)
    reasoning = body.reasoning
    tools = tuple([_tool(tool, index) for index, tool in enumerate(body.tools or ())])
    return Request(
        operation="chat",
        model=body.model,
        messages=messages,
        sampling=sampling or Sampling(),
        tools=tools,
        tool_choice=_tool_choice(body, tools),
        parallel_tool_calls=body.parallel_tool_calls if tools else None,
        output=_output(body),
        reasoning_effort=reasoning.effort if reasoning else None,
        reasoning_shown=bool(reasoning and (reasoning.summary or reasoning.generate_summary)),
        max_output_tokens=max_output_tokens,
        logprobs=logprobs,
        top_logprobs=top_logprobs,
        stream=stream,
        include_usage=stream,
        end_user=end_user,
        metadata=metadata or {},
    )


def _prepared(raw: bytes) -> object:
    """Messages may leave out their type; built-in tools have fields of their own, so they are refused first."""
    value = parse_json(raw)
    if not isinstance(value, dict):
        return value
    if isinstance(items := value.get("input"), list):
        value["input"] = [
            {"type": "message", **item} if isinstance(item, dict) and "role" in item else item for item in items
        ]
    tools = value.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind not in OWN_TOOLS:
            raise MintageError(
                "unsupported",
                f"The tool type {kind[:64]!r} is not served.",
                "Offer it as a function of your own.",
                param=f"tools[{index}].type",
            )
    return value


def _repeated(body: ResponseBody, value: dict[str, object]) -> dict[str, object]:
    """Defaults are told as OpenAI tells them."""
    reasoning = body.reasoning
    choice: object = body.tool_choice or "auto"
    if isinstance(choice, FunctionChoice):
        choice = {"type": "function", "name": choice.name}
    text = value.get("text")
    return {
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "parallel_tool_calls": True if body.parallel_tool_calls is None else body.parallel_tool_calls,
        "previous_response_id": None,
        "reasoning": {
            "effort": reasoning.effort if reasoning else None,
            "summary": (reasoning.summary or reasoning.generate_summary) if reasoning else None,
        },
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "text": {"format": {"type": "text"}} if not isinstance(text, dict) or not text.get("format") else text,
        "tool_choice": choice,
        "tools": [_repeated_tool(tool) for tool in body.tools or ()],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": "disabled",
        "user": body.user,
    }


def _repeated_tool(wire: FunctionToolWire) -> dict[str, object]:
    return {
        "type": "function",
        "name": wire.name,
        "description": wire.description,
        "parameters": wire.parameters,
        "strict": True if wire.strict is None else wire.strict,
    }


def _tool(wire: FunctionToolWire, index: int) -> Tool:
    check_depth(wire.parameters, f"tools[{index}].parameters")
    return Tool(
        name=wire.name, description=wire.description or "", parameters=wire.parameters or {}, strict=wire.strict
    )


def _tool_choice(body: CountBody, tools: tuple[Tool, ...]) -> ToolChoice:
    wire = body.tool_choice
    if wire is None or wire == "auto":
        return _AUTO
    if not tools:
        if wire == "none":
            return _AUTO
        raise invalid("'tool_choice' is only allowed with 'tools'.", "Send `tools` too.", "tool_choice")
    if isinstance(wire, FunctionChoice):
        if all(tool.name != wire.name for tool in tools):
            raise invalid(f"'{wire.name}' is not one of 'tools'.", "Name a tool of this request.", "tool_choice.name")
        return ToolChoice(mode="function", name=wire.name)
    return ToolChoice(mode=wire)


def _output(body: CountBody) -> OutputFormat:
    wire = body.text.format if body.text else None
    if isinstance(wire, JsonSchemaFormat):
        check_depth(wire.schema, "text.format.schema")
        return OutputFormat(
            kind="json_schema", name=wire.name, description=wire.description or "", schema=wire.schema,
            strict=wire.strict,
        )  # fmt: skip
    return OutputFormat(kind="json_object") if isinstance(wire, JsonObjectFormat) else _TEXT
