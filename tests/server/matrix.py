"""The same exchange as each dialect asks it, as each provider must hear it, and as each client must read the answer.

Written by hand from the vendors' documentation, without our codecs, so that they are checked and not repeated.
"""

from __future__ import annotations

import json
from typing import Any, Final

CLIENTS: Final = ("openai", "responses", "anthropic", "google")
PROVIDERS: Final = ("openai", "anthropic", "google")
PNG: Final = "cG5n"
TEXT: Final = "Hello, wörld 你好 😀"
PIECES: Final = ["Hello, ", "wörld", " 你好", " 😀"]
SYSTEM: Final = "Be kind 🙂."
ASKED: Final = "What is this? 这是什么?"
SCHEMA: Final = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
PARAMETERS: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ARGUMENTS: Final = {"city": "São Paulo"}
RESULT: Final = "sunny ☀"
PATHS: Final = {
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "google": "/v1beta/models/sold:generateContent",
}
#: Disjoint: uncached input, cached, written, reasoning. Each provider says it in its own overlapping way.
USAGE: Final = (8, 4, 3, 2)


def path(client: str, stream: bool) -> str:
    if client == "google" and stream:
        return "/v1beta/models/sold:streamGenerateContent?alt=sse"
    return PATHS[client]


# What clients ask


def ask(client: str, *, stream: bool) -> dict[str, Any]:
    """A conversation with a system prompt, an image, a call and its result, tools, a schema and samplers."""
    body = {"openai": _ask_openai, "responses": _ask_responses, "anthropic": _ask_anthropic, "google": _ask_google}
    fields: dict[str, Any] = {"stream": True} if stream and client != "google" else {}
    if stream and client == "openai":
        fields["stream_options"] = {"include_usage": True}
    return body[client]() | fields


def _ask_openai() -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": json.dumps(ARGUMENTS)}}
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    return {
        "model": "sold",
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": [{"type": "text", "text": ASKED}, image]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": RESULT},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}],
        "tool_choice": "required",
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}},
        "temperature": 0.5,
        "max_tokens": 200,
        "stop": ["END"],
    }


def _ask_responses() -> dict[str, Any]:
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
    return {
        "model": "sold",
        "instructions": SYSTEM,
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": ASKED}, image]},
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": json.dumps(ARGUMENTS)},
            {"type": "function_call_output", "call_id": "call_1", "output": RESULT},
        ],
        "tools": [{"type": "function", "name": "weather", "parameters": PARAMETERS}],
        "tool_choice": "required",
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}},
        "reasoning": {"summary": "auto"},
        "temperature": 0.5,
        "max_output_tokens": 200,
    }


def _ask_anthropic() -> dict[str, Any]:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    return {
        "model": "sold",
        "system": SYSTEM,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": ASKED}, image]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "call_1", "name": "weather", "input": ARGUMENTS}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": RESULT}]},
        ],
        "tools": [{"name": "weather", "input_schema": PARAMETERS}],
        "tool_choice": {"type": "any"},
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        "temperature": 0.5,
        "max_tokens": 200,
        "stop_sequences": ["END"],
    }


def _ask_google() -> dict[str, Any]:
    return {
        "systemInstruction": {"parts": [{"text": SYSTEM}]},
        "contents": [
            {"role": "user", "parts": [{"text": ASKED}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": ARGUMENTS}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"output": RESULT}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": PARAMETERS}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {
            "temperature": 0.5,
            "maxOutputTokens": 200,
            "stopSequences": ["END"],
            "responseMimeType": "application/json",
            "responseJsonSchema": SCHEMA,
            "thinkingConfig": {"includeThoughts": True},
        },
    }


# What providers hear


def heard(provider: str, body: dict[str, Any]) -> dict[str, Any]:
    """What a provider's body says, in words that are the same for all."""
    return {"openai": _heard_openai, "anthropic": _heard_anthropic, "google": _heard_google}[provider](body)


def _heard_openai(body: dict[str, Any]) -> dict[str, Any]:
    system, user, assistant, tool = body["messages"]
    text, image = user["content"]
    call = assistant["tool_calls"][0]
    assert tool["tool_call_id"] == call["id"]
    return {
        "system": system["content"],
        "text": text["text"],
        "image": image["image_url"]["url"],
        "call": (call["function"]["name"], json.loads(call["function"]["arguments"])),
        "result": tool["content"],
        "tool": (body["tools"][0]["function"]["name"], body["tools"][0]["function"]["parameters"]),
        "must_call": body["tool_choice"] == "required",
        "schema": body["response_format"]["json_schema"]["schema"],
        "temperature": body["temperature"],
        "limit": body["max_completion_tokens"],
        "stop": body.get("stop"),
    }


def _heard_anthropic(body: dict[str, Any]) -> dict[str, Any]:
    user, assistant, results = body["messages"]
    text, image = user["content"]
    call, result = assistant["content"][0], results["content"][0]
    assert result["tool_use_id"] == call["id"]
    return {
        "system": body["system"][0]["text"],
        "text": text["text"],
        "image": f"data:{image['source']['media_type']};base64,{image['source']['data']}",
        "call": (call["name"], call["input"]),
        "result": result["content"],
        "tool": (body["tools"][0]["name"], body["tools"][0]["input_schema"]),
        "must_call": body["tool_choice"]["type"] == "any",
        "schema": body["output_config"]["format"]["schema"],
        "temperature": body["temperature"],
        "limit": body["max_tokens"],
        "stop": body.get("stop_sequences"),
    }


def _heard_google(body: dict[str, Any]) -> dict[str, Any]:
    user, assistant, results = body["contents"]
    text, image = user["parts"]
    call, result = assistant["parts"][0]["functionCall"], results["parts"][0]["functionResponse"]
    assert (result["id"], result["name"]) == (call["id"], call["name"])
    config, tool = body["generationConfig"], body["tools"][0]["functionDeclarations"][0]
    return {
        "system": body["systemInstruction"]["parts"][0]["text"],
        "text": text["text"],
        "image": f"data:{image['inlineData']['mimeType']};base64,{image['inlineData']['data']}",
        "call": (call["name"], call["args"]),
        "result": result["response"]["output"],
        "tool": (tool["name"], tool["parametersJsonSchema"]),
        "must_call": body["toolConfig"]["functionCallingConfig"]["mode"] == "ANY",
        "schema": config["responseJsonSchema"],
        "temperature": config["temperature"],
        "limit": config["maxOutputTokens"],
        "stop": config.get("stopSequences"),
    }


def meant(client: str) -> dict[str, Any]:
    return {
        "system": SYSTEM,
        "text": ASKED,
        "image": f"data:image/png;base64,{PNG}",
        "call": ("weather", ARGUMENTS),
        "result": RESULT,
        "tool": ("weather", PARAMETERS),
        "must_call": True,
        "schema": SCHEMA,
        "temperature": 0.5,
        "limit": 200,
        "stop": None if client == "responses" else ["END"],  # which has no stop sequences
    }


# What providers say


def say(provider: str, *, finish: str, calls: bool, thoughts: bool = True) -> list[bytes]:
    """A stream's events. finish: stop or length."""
    return {"openai": _say_openai, "anthropic": _say_anthropic, "google": _say_google}[provider](
        finish, calls, thoughts
    )


def _data(body: dict[str, Any], name: str | None = None) -> bytes:
    event = b"" if name is None else b"event: %b\n" % name.encode()
    return event + b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def _say_openai(finish: str, calls: bool, thoughts: bool) -> list[bytes]:
    def chunk(delta: dict[str, Any], reason: str | None = None, **fields: Any) -> bytes:
        choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
        return _data({"id": "x", "model": "up", "choices": choices, "usage": None} | fields)

    out = [chunk({"role": "assistant", "content": ""})]
    out += [chunk({"reasoning_content": "Hm."})] if thoughts else []
    out += [chunk({"content": piece}) for piece in PIECES]
    if calls:
        text = json.dumps(ARGUMENTS, ensure_ascii=False)
        call = {"index": 0, "id": "call_2", "type": "function", "function": {"name": "weather", "arguments": ""}}
        out.append(chunk({"tool_calls": [call]}))
        for piece in (text[:5], text[5:]):
            out.append(chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}))
    out.append(chunk({}, "tool_calls" if calls and finish == "stop" else finish))
    uncached, cached, written, reasoning = USAGE
    usage = {
        "prompt_tokens": uncached + cached,
        "completion_tokens": written + reasoning,
        "total_tokens": sum(USAGE),
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    return [*out, _data({"id": "x", "model": "up", "choices": [], "usage": usage}), b"data: [DONE]\n\n"]


def _say_anthropic(finish: str, calls: bool, thoughts: bool) -> list[bytes]:
    uncached, cached, written, reasoning = USAGE
    begun = {"input_tokens": uncached, "cache_read_input_tokens": cached, "output_tokens": 1}
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if thoughts:
        deltas = [{"type": "thinking_delta", "thinking": "Hm."}, {"type": "signature_delta", "signature": "c2ln"}]
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
    blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in PIECES]))
    if calls:
        text = json.dumps(ARGUMENTS, ensure_ascii=False)
        pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in (text[:5], text[5:])]
        blocks.append(({"type": "tool_use", "id": "call_2", "name": "weather", "input": {}}, pieces))
    message = {"id": "x", "type": "message", "role": "assistant", "model": "up", "content": [], "usage": begun}
    out = [_data({"type": "message_start", "message": message}, "message_start"), _data({"type": "ping"}, "ping")]
    for index, (block, deltas) in enumerate(blocks):
        start = {"type": "content_block_start", "index": index, "content_block": block}
        out.append(_data(start, "content_block_start"))
        name = "content_block_delta"
        out += [_data({"type": name, "index": index, "delta": delta}, name) for delta in deltas]
        out.append(_data({"type": "content_block_stop", "index": index}, "content_block_stop"))
    reason = "max_tokens" if finish == "length" else "tool_use" if calls else "end_turn"
    usage = {"output_tokens": written + reasoning, "output_tokens_details": {"thinking_tokens": reasoning}}
    out.append(_data({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}, "message_delta"))
    return [*out, _data({"type": "message_stop"}, "message_stop")]


def _say_google(finish: str, calls: bool, thoughts: bool) -> list[bytes]:
    uncached, cached, written, reasoning = USAGE

    def chunk(parts: list[dict[str, Any]], **fields: Any) -> bytes:
        candidate = {"content": {"parts": parts, "role": "model"}, "index": 0} | fields
        return _data({"candidates": [candidate], "modelVersion": "up", "responseId": "x"})

    out = [chunk([{"text": "Hm.", "thought": True}])] if thoughts else []
    out += [chunk([{"text": piece}]) for piece in PIECES]
    if calls:
        out.append(chunk([{"functionCall": {"name": "weather", "args": ARGUMENTS}, "thoughtSignature": "c2ln"}]))
    usage = {
        "promptTokenCount": uncached + cached,
        "cachedContentTokenCount": cached,
        "candidatesTokenCount": written,
        "thoughtsTokenCount": reasoning,
        "totalTokenCount": sum(USAGE),
    }
    candidate = {
        "content": {"parts": [{"text": ""}], "role": "model"},
        "finishReason": "MAX_TOKENS" if finish == "length" else "STOP",
        "index": 0,
    }
    return [*out, _data({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "up"})]


# What clients read


def read(client: str, answer: str, *, stream: bool) -> dict[str, Any]:
    """text, thoughts, calls, finish and usage of an answer."""
    if stream:
        frames = [frame for frame in answer.split("\n\n") if frame]
        datas = [line[6:] for frame in frames for line in frame.split("\n") if line.startswith("data: ")]
        bodies = [json.loads(data) for data in datas if data != "[DONE]"]
        return {
            "openai": _gather_openai, "responses": _gather_responses, "anthropic": _gather_anthropic,
            "google": _gather_google,
        }[client](bodies)  # fmt: skip
    body = json.loads(answer)
    return {
        "openai": _read_openai, "responses": _read_responses, "anthropic": _read_anthropic, "google": _read_google,
    }[client](body)  # fmt: skip


def _read_openai(body: dict[str, Any]) -> dict[str, Any]:
    message, usage = body["choices"][0]["message"], body["usage"]
    return _found(
        message["content"] or "",
        message.get("reasoning_content", ""),
        [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message.get("tool_calls", ())],
        body["choices"][0]["finish_reason"],
        _openai_usage(usage),
    )


def _openai_usage(usage: dict[str, Any]) -> tuple[int, ...]:
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
    return usage["prompt_tokens"] - cached, cached, usage["completion_tokens"] - reasoning, reasoning


def _gather_openai(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    deltas = [body["choices"][0]["delta"] for body in bodies if body["choices"]]
    calls: dict[int, list[str]] = {}
    for call in (call for delta in deltas for call in delta.get("tool_calls", ())):
        if "id" in call:
            calls[call["index"]] = [call["function"]["name"], ""]
        calls[call["index"]][1] += call["function"]["arguments"]
    assert bodies[-1]["choices"] == []
    return _found(
        "".join(delta.get("content") or "" for delta in deltas),
        "".join(delta.get("reasoning_content") or "" for delta in deltas),
        [(name, json.loads(arguments)) for name, arguments in calls.values()],
        [body["choices"][0]["finish_reason"] for body in bodies if body["choices"]][-1],
        _openai_usage(bodies[-1]["usage"]),
    )


def _read_responses(body: dict[str, Any]) -> dict[str, Any]:
    items = body["output"]
    calls = [(item["name"], json.loads(item["arguments"])) for item in items if item["type"] == "function_call"]
    reason = (body["incomplete_details"] or {}).get("reason")
    details = body["usage"]["input_tokens_details"]
    reasoning = body["usage"]["output_tokens_details"]["reasoning_tokens"]
    cached = details["cached_tokens"]
    return _found(
        "".join(part["text"] for item in items if item["type"] == "message" for part in item["content"]),
        "".join(piece["text"] for item in items if item["type"] == "reasoning" for piece in item["summary"]),
        calls,
        "length" if reason == "max_output_tokens" else "tool_calls" if calls else "stop",
        (body["usage"]["input_tokens"] - cached, cached, body["usage"]["output_tokens"] - reasoning, reasoning),
    )


def _gather_responses(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    found = _read_responses(bodies[-1]["response"])
    for name, kind in (("text", "output_text"), ("thoughts", "reasoning_summary_text")):
        deltas = [body["delta"] for body in bodies if body["type"] == f"response.{kind}.delta"]
        assert "".join(deltas) == found[name]
    return found


def _read_anthropic(body: dict[str, Any]) -> dict[str, Any]:
    blocks, usage = body["content"], body["usage"]
    reasoning = usage["output_tokens_details"]["thinking_tokens"]
    return _found(
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"],
        {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}[body["stop_reason"]],
        (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"] - reasoning, reasoning),
    )


def _gather_anthropic(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    for body in bodies:
        if body["type"] == "content_block_start":
            blocks.append(body["content_block"] | {"json": ""})
        elif body["type"] == "content_block_delta":
            delta = dict(body["delta"])
            kind = delta.pop("type")
            for name, value in delta.items():
                field = "json" if kind == "input_json_delta" else name
                blocks[body["index"]][field] = blocks[body["index"]].get(field, "") + value
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["json"])
    last = bodies[-2]
    return _read_anthropic({"content": blocks, "usage": last["usage"], "stop_reason": last["delta"]["stop_reason"]})


def _read_google(body: dict[str, Any]) -> dict[str, Any]:
    return _gather_google([body])


def _gather_google(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    parts = [part for body in bodies for part in body["candidates"][0]["content"]["parts"]]
    usage = bodies[-1]["usageMetadata"]
    cached = usage.get("cachedContentTokenCount", 0)
    calls = [(part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts if "functionCall" in part]
    reason = bodies[-1]["candidates"][0]["finishReason"]
    return _found(
        "".join(part.get("text", "") for part in parts if not part.get("thought")),
        "".join(part["text"] for part in parts if part.get("thought")),
        calls,
        "length" if reason == "MAX_TOKENS" else "tool_calls" if calls else "stop",
        (
            usage["promptTokenCount"] - cached, cached, usage["candidatesTokenCount"],
            usage.get("thoughtsTokenCount", 0),
        ),
    )  # fmt: skip


def _found(text: str, thoughts: str, calls: list[Any], finish: str, usage: tuple[int, ...]) -> dict[str, Any]:
    return {"text": text, "thoughts": thoughts, "calls": calls, "finish": finish, "usage": usage}
