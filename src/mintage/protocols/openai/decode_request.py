"""From the body of a request to the canonical Request: POST /v1/chat/completions and /v1/completions."""

from __future__ import annotations

from typing import Final

from mintage.base import MintageError, OutputFormat, Request, Sampling, Tool, ToolChoice
from mintage.protocols.openai.decode_messages import decode_messages
from mintage.protocols.openai.request_wire import (
    CHOICES_MAX,
    UNSUPPORTED,
    ChatBody,
    CompletionBody,
    CustomTool,
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedChoice,
    TextFormat,
)
from mintage.protocols.strict_json import check_depth, convert, invalid, parse_json

#: What /v1/completions writes when max_tokens is absent, as OpenAI documents it.
COMPLETION_TOKENS_DEFAULT: Final = 16

_AUTO: Final = ToolChoice()
_TEXT: Final = OutputFormat()


def decode_chat(raw: bytes) -> Request:
    """Raises MintageError: invalid_json, invalid_request (with param) or unsupported (with param)."""
    body = convert(parse_json(raw), ChatBody, UNSUPPORTED)
    messages = decode_messages(body.messages)
    stream, include_usage = _streaming(body)
    if body.top_logprobs is not None and not body.logprobs:
        raise invalid("'top_logprobs' needs 'logprobs'.", "Set `logprobs` to true.", "top_logprobs")
    return Request(
        operation="chat",
        model=body.model,
        messages=messages,
        sampling=_sampling(body),
        tools=_tools(body.tools) if body.tools else (),
        tool_choice=_AUTO if body.tool_choice is None else _tool_choice(body),
        parallel_tool_calls=_parallel(body),
        output=_TEXT if body.response_format is None else _output(body.response_format),
        reasoning_effort=body.reasoning_effort,
        max_output_tokens=_output_limit(body),
        n=body.n or 1,
        stop=() if body.stop is None else _stop(body.stop),
        logprobs=body.logprobs or False,
        top_logprobs=body.top_logprobs or 0,
        stream=stream,
        include_usage=include_usage,
        end_user=_end_user(body.user or body.safety_identifier),
        metadata=body.metadata or {},
    )


def decode_completion(raw: bytes) -> Request:
    """Raises MintageError: invalid_json, invalid_request (with param) or unsupported (with param)."""
    body = convert(parse_json(raw), CompletionBody, UNSUPPORTED)
    prompts = _prompts(body)
    n = body.n or 1
    stream, include_usage = _streaming(body)
    if body.best_of is not None and body.best_of != n:
        raise MintageError(
            "unsupported", "'best_of' is not served.", "Ask for `n` answers and choose.", param="best_of"
        )
    if body.echo and body.logprobs is not None:
        raise MintageError(
            "unsupported",
            "Log-probabilities of an echoed prompt are not served.",
            "Leave out `echo` or `logprobs`.",
            param="echo",
        )
    return Request(
        operation="completion",
        model=body.model,
        prompts=prompts,
        suffix=body.suffix or None,
        echo=body.echo or False,
        sampling=_sampling(body),
        max_output_tokens=body.max_tokens or COMPLETION_TOKENS_DEFAULT,
        n=n,
        stop=() if body.stop is None else _stop(body.stop),
        logprobs=body.logprobs is not None,
        top_logprobs=body.logprobs or 0,
        stream=stream,
        include_usage=include_usage,
        end_user=_end_user(body.user),
    )


def _sampling(body: ChatBody | CompletionBody) -> Sampling:
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        seed=body.seed,
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
        repetition_penalty=body.repetition_penalty,
        logit_bias=body.logit_bias,
    )


def _streaming(body: ChatBody | CompletionBody) -> tuple[bool, bool]:
    """(stream, include_usage)."""
    options = body.stream_options
    if options is None:
        return body.stream or False, False
    if not body.stream:
        raise invalid(
            "'stream_options' is only allowed when 'stream' is true.", "Set `stream` to true.", "stream_options"
        )
    return True, options.include_usage or False


def _stop(stop: str | list[str]) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _end_user(user: str | None) -> str | None:
    if user and "\0" in user:
        raise invalid("'user' holds a zero character.", "Use a plain identifier.", "user")
    return user or None


def _output_limit(body: ChatBody) -> int | None:
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise invalid(
            "'max_tokens' and 'max_completion_tokens' cannot both be set.",
            "Keep `max_completion_tokens`.",
            "max_tokens",
        )
    return body.max_completion_tokens or body.max_tokens


def _tools(wire: list[FunctionTool | CustomTool]) -> tuple[Tool, ...]:
    tools = []
    for index, tool in enumerate(wire):
        if isinstance(tool, CustomTool):
            raise MintageError(
                "unsupported",
                "Custom tools are not served.",
                "Offer it as a function with one string.",
                param=f"tools[{index}].type",
            )
        function = tool.function
        check_depth(function.parameters, f"tools[{index}].function.parameters")
        tools.append(
            Tool(
                name=function.name,
                description=function.description or "",
                parameters=function.parameters or {},
                strict=function.strict,
            )
        )
    return tuple(tools)


def _tool_choice(body: ChatBody) -> ToolChoice:
    choice = body.tool_choice
    if not body.tools:
        raise invalid(
            "'tool_choice' is only allowed with 'tools'.", "Send `tools` too, or leave it out.", "tool_choice"
        )
    if isinstance(choice, NamedChoice):
        name = choice.function.name
        if not any(isinstance(tool, FunctionTool) and tool.function.name == name for tool in body.tools):
            raise invalid(
                f"'{name}' is not one of 'tools'.", "Name a tool of this request.", "tool_choice.function.name"
            )
        return ToolChoice(mode="function", name=name)
    if isinstance(choice, str):
        return ToolChoice(mode=choice)
    raise MintageError(
        "unsupported",
        "This kind of tool_choice is not served.",
        "Send only the tools that may be called, with auto, none, required or one function.",
        param="tool_choice.type",
    )


def _parallel(body: ChatBody) -> bool | None:
    if body.parallel_tool_calls is not None and not body.tools:
        raise invalid(
            "'parallel_tool_calls' is only allowed with 'tools'.",
            "Leave it out, or send `tools`.",
            "parallel_tool_calls",
        )
    return body.parallel_tool_calls


def _output(wire: TextFormat | JsonObjectFormat | JsonSchemaFormat) -> OutputFormat:
    if isinstance(wire, JsonSchemaFormat):
        schema = wire.json_schema
        check_depth(schema.schema, "response_format.json_schema.schema")
        return OutputFormat(
            kind="json_schema",
            name=schema.name,
            description=schema.description or "",
            schema=schema.schema,
            strict=schema.strict,
        )
    return OutputFormat(kind="json_object") if isinstance(wire, JsonObjectFormat) else _TEXT


def _prompts(body: CompletionBody) -> tuple[str, ...]:
    if isinstance(body.prompt, str):
        return (body.prompt,)
    prompts = []
    for prompt in body.prompt:
        if not isinstance(prompt, str):
            raise MintageError(
                "unsupported", "Prompts of token ids are not served.", "Send the prompt as text.", param="prompt"
            )
        prompts.append(prompt)
    if len(prompts) * (body.n or 1) > CHOICES_MAX:
        raise invalid(
            f"More than {CHOICES_MAX} answers were asked for.", "Split the prompts over several requests.", "prompt"
        )
    return tuple(prompts)
