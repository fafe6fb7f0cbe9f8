"""From the body of POST /v1/messages, or of its count_tokens, to the canonical Request."""

from __future__ import annotations

from typing import Final

from mintage.base import Message, MintageError, OutputFormat, Request, Sampling, Tool, ToolChoice
from mintage.protocols.anthropic.decode_blocks import decode_messages, decode_system
from mintage.protocols.anthropic.request_wire import (
    OWN_TOOLS,
    UNSUPPORTED,
    ChooseAny,
    ChooseNone,
    ChooseTool,
    CountBody,
    MessagesBody,
    ThinkAdaptive,
    ThinkDisabled,
    ThinkEnabled,
    ToolWire,
)
from mintage.protocols.strict_json import check_depth, convert, invalid, parse_json

_AUTO: Final = ToolChoice()
_TEXT: Final = OutputFormat()
#: What OutputFormat.name is where the dialect has no names.
SCHEMA_NAME: Final = "answer"


def decode_messages_body(raw: bytes) -> Request:
    """Raises MintageError: invalid_json, invalid_request (with param) or unsupported (with param)."""
    value = parse_json(raw)
    _refuse_server_tools(value)
    body = convert(value, MessagesBody, UNSUPPORTED)
    budget = _budget(body)
    if budget is not None and budget >= body.max_tokens:
        raise invalid(
            "'thinking.budget_tokens' must be less than 'max_tokens'.", "Raise `max_tokens`.", "thinking.budget_tokens"
        )
    return _request(
        body,
        sampling=Sampling(temperature=body.temperature, top_p=body.top_p, top_k=body.top_k),
        max_output_tokens=body.max_tokens,
        stop=tuple(body.stop_sequences or ()),
        stream=body.stream or False,
        end_user=_end_user(body),
    )


def decode_count_body(raw: bytes) -> Request:
    """What is to be counted, as a request. Raises as decode_messages_body does."""
    value = parse_json(raw)
    _refuse_server_tools(value)
    return _request(convert(value, CountBody, UNSUPPORTED))


def _request(
    body: CountBody,
    *,
    sampling: Sampling | None = None,
    max_output_tokens: int | None = None,
    stop: tuple[str, ...] = (),
    stream: bool = False,
    end_user: str | None = None,
) -> Request:
    messages = decode_messages(body.messages)
    if body.system:
        messages = (Message("system", decode_system(body.system)), *messages)
    tools = tuple([_tool(tool, index) for index, tool in enumerate(body.tools or ())])
    choice, parallel = _tool_choice(body, tools)
    display = getattr(body.thinking, "display", None)
    return Request(
        operation="chat",
        model=body.model,
        messages=messages,
        sampling=sampling or Sampling(),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        output=_output(body),
        reasoning_effort=body.output_config.effort if body.output_config else None,
        reasoning_budget_tokens=_budget(body),
        reasoning_shown=None if display is None else display == "summarized",
        max_output_tokens=max_output_tokens,
        stop=stop,
        stream=stream,
        include_usage=stream,
        end_user=end_user,
    )


def _refuse_server_tools(value: object) -> None:
    """Tools that Anthropic runs have fields of their own, so they are refused before the strict reading."""
    tools = value.get("tools") if isinstance(value, dict) else None
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind not in OWN_TOOLS:
            raise MintageError(
                "unsupported",
                f"The tool type {kind[:64]!r} is not served.",
                "Offer it as a tool of your own, with an input_schema.",
                param=f"tools[{index}].type",
            )


def _tool(wire: ToolWire, index: int) -> Tool:
    check_depth(wire.input_schema, f"tools[{index}].input_schema")
    return Tool(name=wire.name, description=wire.description or "", parameters=wire.input_schema, strict=wire.strict)


def _tool_choice(body: CountBody, tools: tuple[Tool, ...]) -> tuple[ToolChoice, bool | None]:
    """(choice, parallel_tool_calls)."""
    wire = body.tool_choice
    if wire is None:
        return _AUTO, None
    if not tools:
        raise invalid("'tool_choice' is only allowed with 'tools'.", "Send `tools` too.", "tool_choice")
    if isinstance(wire, ChooseNone):
        return ToolChoice(mode="none"), None
    parallel = None if wire.disable_parallel_tool_use is None else not wire.disable_parallel_tool_use
    if isinstance(wire, ChooseTool):
        if all(tool.name != wire.name for tool in tools):
            raise invalid(f"'{wire.name}' is not one of 'tools'.", "Name a tool of this request.", "tool_choice.name")
        return ToolChoice(mode="function", name=wire.name), parallel
    return ToolChoice(mode="required") if isinstance(wire, ChooseAny) else _AUTO, parallel


def _output(body: CountBody) -> OutputFormat:
    wire = body.output_format or (body.output_config.format if body.output_config else None)
    if wire is None:
        return _TEXT
    check_depth(wire.schema, "output_config.format.schema")
    return OutputFormat(kind="json_schema", name=SCHEMA_NAME, schema=wire.schema, strict=True)


def _budget(body: CountBody) -> int | None:
    """See Request.reasoning_budget_tokens."""
    wire = body.thinking
    if isinstance(wire, ThinkEnabled):
        return wire.budget_tokens
    if isinstance(wire, ThinkDisabled):
        return 0
    return -1 if isinstance(wire, ThinkAdaptive) else None


def _end_user(body: MessagesBody) -> str | None:
    user = body.metadata.user_id if body.metadata else None
    if user and "\0" in user:
        raise invalid("'metadata.user_id' holds a zero character.", "Use a plain identifier.", "metadata.user_id")
    return user or None
