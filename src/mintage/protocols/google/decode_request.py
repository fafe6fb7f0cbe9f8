"""From the bodies of generateContent, countTokens, embedContent and batchEmbedContents to the canonical Request."""

from __future__ import annotations

from typing import Final

from mintage.base import Message, MintageError, OutputFormat, Request, Sampling, Text, Tool, ToolChoice
from mintage.protocols.google.decode_contents import decode_contents, texts_of
from mintage.protocols.google.request_wire import (
    UNSUPPORTED,
    BatchEmbedBody,
    ContentWire,
    CountBody,
    EmbedBody,
    GenerateBody,
    GenerationConfig,
    ToolWire,
    camel_names,
)
from mintage.protocols.google.schema import json_schema
from mintage.protocols.strict_json import check_depth, convert, invalid, parse_json

_AUTO: Final = ToolChoice()
_TEXT: Final = OutputFormat()
_SCHEMA_NAME: Final = "answer"
_PURPOSES: Final = {
    "RETRIEVAL_QUERY": "query",
    "QUESTION_ANSWERING": "query",
    "FACT_VERIFICATION": "query",
    "CODE_RETRIEVAL_QUERY": "query",
    "RETRIEVAL_DOCUMENT": "document",
}


def decode_generate(raw: bytes, model: str, *, stream: bool) -> Request:
    """Raises MintageError: invalid_json, invalid_request (with param) or unsupported (with param)."""
    return _request(convert(camel_names(parse_json(raw)), GenerateBody, UNSUPPORTED), model, stream=stream)


def decode_count_body(raw: bytes, model: str) -> Request:
    """What is to be counted, as a request. Raises as decode_generate does."""
    body = convert(camel_names(parse_json(raw)), CountBody, UNSUPPORTED)
    if (body.contents is None) == (body.generate_content_request is None):
        raise invalid("Exactly one of contents and generateContentRequest is needed.", "Send `contents`.", "contents")
    if body.generate_content_request is not None:
        return _request(body.generate_content_request, model, stream=False)
    return Request(operation="chat", model=model, messages=decode_contents(body.contents or ()))


def decode_embed(raw: bytes, model: str, *, batch: bool) -> Request:
    """Raises as decode_generate does. All requests of one batch ask for the same kind of vector."""
    value = camel_names(parse_json(raw))
    bodies = convert(value, BatchEmbedBody, {}).requests if batch else [convert(value, EmbedBody, {})]
    first = bodies[0]
    for index, body in enumerate(bodies):
        if (body.task_type, body.output_dimensionality) != (first.task_type, first.output_dimensionality):
            raise MintageError(
                "unsupported",
                "The requests of a batch differ in taskType or outputDimensionality.",
                "Send a batch for each.",
                param=f"requests[{index}]",
            )
    return Request(
        operation="embedding",
        model=model,
        prompts=tuple([texts_of(body.content, f"requests[{index}].content") for index, body in enumerate(bodies)]),
        dimensions=first.output_dimensionality,
        purpose=_PURPOSES.get(first.task_type or "", ""),
    )


def _request(body: GenerateBody, model: str, *, stream: bool) -> Request:
    config = body.generation_config or GenerationConfig()
    messages = decode_contents(body.contents)
    if body.system_instruction is not None and (system := _system(body.system_instruction)):
        messages = (Message("system", system), *messages)
    tools = _tools(body.tools or [])
    thinking = config.thinking_config
    level = thinking.thinking_level if thinking else None
    if config.logprobs and not config.response_logprobs:
        raise invalid("'logprobs' needs 'responseLogprobs'.", "Set it to true.", "generationConfig.logprobs")
    return Request(
        operation="chat",
        model=model,
        messages=messages,
        sampling=_sampling(config),
        tools=tools,
        tool_choice=_tool_choice(body, tools),
        output=_output(config),
        reasoning_effort=level.lower() if level and level != "THINKING_LEVEL_UNSPECIFIED" else None,
        reasoning_budget_tokens=thinking.thinking_budget if thinking else None,
        reasoning_shown=bool(thinking and thinking.include_thoughts),
        max_output_tokens=config.max_output_tokens,
        n=config.candidate_count or 1,
        stop=tuple(config.stop_sequences or ()),
        logprobs=config.response_logprobs or False,
        top_logprobs=config.logprobs or 0,
        stream=stream,
        include_usage=stream,
        metadata=body.labels or {},
    )


def _system(wire: ContentWire | str) -> tuple[Text, ...]:
    if isinstance(wire, str):
        return (Text(wire),) if wire else ()
    text = texts_of(wire, "systemInstruction")
    return (Text(text),) if text else ()


def _sampling(config: GenerationConfig) -> Sampling:
    return Sampling(
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=None if config.top_k is None else int(config.top_k),
        seed=config.seed,
        frequency_penalty=config.frequency_penalty,
        presence_penalty=config.presence_penalty,
    )


def _tools(wire: list[ToolWire]) -> tuple[Tool, ...]:
    tools = []
    for index, group in enumerate(wire):
        for position, function in enumerate(group.function_declarations or ()):
            path = f"tools[{index}].functionDeclarations[{position}].parameters"
            if function.parameters is not None and function.parameters_json_schema is not None:
                raise invalid("A function has two schemas.", "Send `parameters` or `parametersJsonSchema`.", path)
            check_depth(function.parameters or function.parameters_json_schema, path)
            schema = function.parameters_json_schema
            if function.parameters is not None:
                schema = json_schema(function.parameters)
            tools.append(Tool(name=function.name, description=function.description or "", parameters=schema or {}))
    return tuple(tools)


def _tool_choice(body: GenerateBody, tools: tuple[Tool, ...]) -> ToolChoice:
    config = body.tool_config.function_calling_config if body.tool_config else None
    if config is None:
        return _AUTO
    param = "toolConfig.functionCallingConfig.allowedFunctionNames"
    names = dict.fromkeys(config.allowed_function_names or ())
    known = {tool.name for tool in tools}
    if unknown := [name for name in names if name not in known]:
        raise invalid(f"'{unknown[0]}' is not one of the functions.", "Name a function of this request.", param)
    if config.mode == "NONE":
        return ToolChoice(mode="none")
    if config.mode != "ANY":
        if names and names.keys() != known:
            raise invalid("Allowed functions need the mode ANY.", "Set it, or send only those functions.", param)
        return _AUTO
    if len(names) == 1 and len(known) > 1:
        return ToolChoice(mode="function", name=next(iter(names)))
    if names and names.keys() != known:
        raise MintageError(
            "unsupported", "Some of the functions are allowed.", "Send only those that may be called.", param=param
        )
    return ToolChoice(mode="required") if tools else _AUTO


def _output(config: GenerationConfig) -> OutputFormat:
    if config.response_schema is not None and config.response_json_schema is not None:
        raise invalid("There are two response schemas.", "Send one.", "generationConfig.responseSchema")
    schema = config.response_json_schema
    if config.response_schema is not None:
        check_depth(config.response_schema, "generationConfig.responseSchema")
        schema = json_schema(config.response_schema)
    if config.response_mime_type != "application/json":
        if schema is not None:
            raise invalid(
                "A response schema needs JSON.", "Set responseMimeType to application/json.", "generationConfig"
            )
        return _TEXT
    if schema is None:
        return OutputFormat(kind="json_object")
    check_depth(schema, "generationConfig.responseJsonSchema")
    return OutputFormat(kind="json_schema", name=_SCHEMA_NAME, schema=schema, strict=True)
