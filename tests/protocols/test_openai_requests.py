"""What the door accepts, what it refuses, and which field it blames."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mintage.base import (
    Audio,
    Document,
    Image,
    Message,
    MintageError,
    OutputFormat,
    Reasoning,
    Refusal,
    Request,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from mintage.protocols import openai

HI = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PNG = base64.b64encode(b"png").decode()


def chat(**fields: Any) -> Request:
    return openai.decode_chat(json.dumps({"model": "m", "messages": [HI]} | fields).encode())


def completion(**fields: Any) -> Request:
    return openai.decode_completion(json.dumps({"model": "m", "prompt": "hi"} | fields).encode())


def message(**fields: Any) -> Message:
    """Decoded behind an assistant's call c1, so that a tool result may answer it."""
    caller = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    return chat(messages=[caller, fields]).messages[1]


def test_the_smallest_chat() -> None:
    assert chat() == Request(operation="chat", model="m", messages=(Message("user", (Text("hi"),)),))


def test_nulls_mean_absent() -> None:
    fields = dict.fromkeys(
        "temperature top_p n seed stop stream stream_options max_tokens max_completion_tokens tools tool_choice "
        "parallel_tool_calls response_format reasoning_effort logprobs top_logprobs metadata user store audio "
        "functions function_call modalities verbosity web_search_options moderation top_k".split()
    )
    assert chat(**fields) == chat()


@pytest.mark.parametrize(
    ("wire", "parts"),
    [
        ({"role": "user", "content": ""}, (Text(""),)),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            (Text("a"), Text("b")),
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]},
            (Image(url="https://x.example/a.png"),),
        ),
        (
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": f"data:image/PNG;base64,{PNG}", "detail": "high"}}
                ],
            },
            (Image(data=b"png", media_type="image/png", detail="high"),),
        ),
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}}]},
            (Audio(data=b"png", format="wav"),),
        ),
        (
            {
                "role": "user",
                "content": [
                    {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PNG}", "filename": "a.pdf"}}
                ],
            },
            (Document(data=b"png", media_type="application/pdf", name="a.pdf"),),
        ),
        ({"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}, (Document(file_id="file-1"),)),
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, (ToolCall(id="c1", name="f", arguments="{}"),)),
        ({"role": "assistant", "content": "", "tool_calls": [CALL]}, (ToolCall(id="c1", name="f", arguments="{}"),)),
        ({"role": "assistant", "content": "a", "refusal": "b"}, (Text("a"), Refusal("b"))),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, (Refusal("no"),)),
        ({"role": "assistant", "content": "a", "reasoning_content": "r"}, (Reasoning(text="r"), Text("a"))),
        ({"role": "assistant", "content": "a", "reasoning": "r"}, (Reasoning(text="r"), Text("a"))),
        (
            # As SDKs dump the message of an answer.
            {
                "role": "assistant",
                "content": "a",
                "refusal": None,
                "annotations": [],
                "parsed": {"a": 1},
                "audio": None,
                "function_call": None,
                "tool_calls": None,
            },
            (Text("a"),),
        ),
        ({"role": "tool", "tool_call_id": "c1", "content": "42"}, (ToolResult(call_id="c1", content="42"),)),
        (
            {
                "role": "tool",
                "tool_call_id": "c1",
                "content": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}],
            },
            (ToolResult(call_id="c1", content="42"),),
        ),
    ],
)
def test_content(wire: dict[str, Any], parts: tuple[object, ...]) -> None:
    assert message(**wire).parts == parts


def test_developer_is_the_newer_name_of_system() -> None:
    assert message(role="developer", content="be kind", name="op") == Message("system", (Text("be kind"),), "op")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"stop": "x"}, {"stop": ("x",)}),
        ({"stop": ["a", "b", "c", "d"]}, {"stop": ("a", "b", "c", "d")}),
        ({"max_tokens": 5}, {"max_output_tokens": 5}),
        ({"max_completion_tokens": 6}, {"max_output_tokens": 6}),
        ({"stream": True}, {"stream": True}),
        ({"stream": True, "stream_options": {}}, {"stream": True}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True, "include_usage": True}),
        ({"logprobs": True, "top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"n": 3}, {"n": 3}),
        ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        ({"user": "u1"}, {"end_user": "u1"}),
        ({"safety_identifier": "s1"}, {"end_user": "s1"}),
        ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
        ({"temperature": 1, "seed": 7, "top_p": 0.5}, {"sampling": Sampling(temperature=1, seed=7, top_p=0.5)}),
        (
            {"top_k": 40, "min_p": 0.05, "repetition_penalty": 1.1},
            {"sampling": Sampling(top_k=40, min_p=0.05, repetition_penalty=1.1)},
        ),
        ({"logit_bias": {"50256": -100}}, {"sampling": Sampling(logit_bias={"50256": -100})}),
        ({"tools": [TOOL]}, {"tools": (Tool(name="f", parameters={"type": "object"}),)}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"output": OutputFormat(kind="json_object")}),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "s", "schema": {"a": 1}, "strict": True},
                }
            },
            {"output": OutputFormat(kind="json_schema", name="s", schema={"a": 1}, strict=True)},
        ),
        # Nothing is lost by not having these.
        ({"store": True, "service_tier": "flex", "prompt_cache_key": "k", "modalities": ["text"]}, {}),
        ({"prediction": {"type": "content", "content": "x"}, "verbosity": "medium"}, {}),
    ],
)
def test_fields(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    base = {"operation": "chat", "model": "m", "messages": (Message("user", (Text("hi"),)),)}
    assert chat(**fields) == Request(**(base | expected))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice(mode="function", name="f")),
    ],
)
def test_tool_choice(choice: object, expected: ToolChoice) -> None:
    assert chat(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False).tool_choice == expected


def test_completions_write_sixteen_tokens_by_default_as_documented() -> None:
    assert completion() == Request(operation="completion", model="m", prompts=("hi",), max_output_tokens=16)


def test_a_completion() -> None:
    request = completion(prompt=["a", "b"], n=2, echo=True, suffix="z", max_tokens=3, best_of=2, stream=True)
    assert (request.prompts, request.n, request.echo, request.suffix) == (("a", "b"), 2, True, "z")
    assert (request.max_output_tokens, request.stream) == (3, True)
    scored = completion(logprobs=5)
    assert (scored.logprobs, scored.top_logprobs) == (True, 5)


def refusal(raw: bytes, decode: Any = openai.decode_chat) -> MintageError:
    with pytest.raises(MintageError) as caught:
        decode(raw)
    assert caught.value.hint
    return caught.value


def content(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"model": 3}, "model", "invalid_type"),
        ({"model": ""}, "model", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "invalid_type"),
        ({"messages": [HI, {"role": "user", "content": []}]}, "messages[1].content", "invalid_value"),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [HI | {"name": "a b"}]}, "messages[0].name", "invalid_value"),
        ({"messages": [HI | {"colour": "red"}]}, "messages[0].colour", "unknown_parameter"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "missing_required_parameter"),
        (
            {"messages": [{"role": "tool", "content": "x", "tool_call_id": "c9"}]},
            "messages[0].tool_call_id",
            "invalid_value",
        ),
        (content({"type": "text", "text": 1}), "messages[0].content[0].text", "invalid_type"),
        (content({"type": "video"}), "messages[0].content[0].type", "invalid_value"),
        (content({"type": "refusal", "refusal": "x"}), "messages[0].content[0].type", "invalid_value"),
        (
            content({"type": "image_url", "image_url": {"url": "x"}}),
            "messages[0].content[0].image_url.url",
            "invalid_value",
        ),
        (
            content({"type": "input_audio", "input_audio": {"data": PNG, "format": "ogg"}}),
            "messages[0].content[0].input_audio.format",
            "invalid_value",
        ),
        (content({"type": "file", "file": {}}), "messages[0].content[0].file", "invalid_value"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"temperature": "1"}, "temperature", "invalid_type"),
        ({"temperature": True}, "temperature", "invalid_type"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": 129}, "n", "invalid_value"),
        ({"n": 1.5}, "n", "invalid_type"),
        ({"seed": 2**63}, "seed", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", "invalid_value"),
        ({"stop": []}, "stop", "invalid_value"),
        ({"stop": ["a"] * 5}, "stop", "invalid_value"),
        ({"stop": ""}, "stop", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"logit_bias": {"the": 1}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"1": 101}}, "logit_bias", "invalid_value"),
        ({"user": "a\0b"}, "user", "invalid_value"),
        ({"metadata": {"a": 1}}, "metadata", "invalid_type"),
        ({"tools": []}, "tools", "invalid_value"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "invalid_value"),
        ({"tool_choice": "auto"}, "tool_choice", "invalid_value"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice.function.name",
            "invalid_value",
        ),
        ({"parallel_tool_calls": True}, "parallel_tool_calls", "invalid_value"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort", "invalid_value"),
        ({"frobnicate": 1}, "frobnicate", "unknown_parameter"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, Any], param: str, reason: str) -> None:
    error = refusal(json.dumps({"model": "m", "messages": [HI]} | fields).encode())
    assert (error.code, error.param, error.details["reason"]) == ("invalid_request", param, reason)


def test_a_slip_of_the_pen_is_guessed() -> None:
    assert "`max_tokens`" in refusal(json.dumps({"model": "m", "messages": [HI], "max_token": 5}).encode()).hint


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"data:text/html;base64,{PNG}", "not an image"),
        ("data:image/png,rawbytes", "not a base64 data URL"),
        ("data:image/png;base64,", "empty"),
        ("data:image/png;base64,@@@@", "not valid base64"),
        ("data:image/png;base64,QQ", "not valid base64"),
        ("data:image/png;base64,ÄÄÄÄ", "not valid base64"),
        ("file:///etc/passwd", "neither a web address"),
    ],
)
def test_wrong_images(url: str, problem: str) -> None:
    error = refusal(json.dumps({"model": "m"} | content({"type": "image_url", "image_url": {"url": url}})).encode())
    assert problem in error.message
    assert error.param == "messages[0].content[0].image_url.url"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"modalities": ["text", "audio"]}, "modalities[1]"),
        ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        ({"verbosity": "low"}, "verbosity"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"moderation": {"model": "x"}}, "moderation"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages[0].audio"),
        (
            {"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": ""}}]},
            "messages[0].function_call",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": ""}}],
                    }
                ]
            },
            "messages[0].tool_calls[0]",
        ),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, "tool_choice.type"),
    ],
)
def test_what_openai_serves_and_we_do_not(fields: dict[str, Any], param: str) -> None:
    error = refusal(json.dumps({"model": "m", "messages": [HI]} | fields).encode())
    assert (error.code, error.param) == ("unsupported", param)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"prompt": None}, "invalid_request", "prompt"),
        ({"prompt": []}, "invalid_request", "prompt"),
        ({"prompt": [1, 2]}, "unsupported", "prompt"),
        ({"prompt": [[1, 2]]}, "unsupported", "prompt"),
        ({"prompt": ["a"] * 65, "n": 2}, "invalid_request", "prompt"),
        ({"best_of": 3}, "unsupported", "best_of"),
        ({"echo": True, "logprobs": 0}, "unsupported", "echo"),
        ({"logprobs": 6}, "invalid_request", "logprobs"),
        ({"messages": []}, "invalid_request", "messages"),
    ],
)
def test_wrong_completions(fields: dict[str, Any], code: str, param: str) -> None:
    error = refusal(json.dumps({"model": "m", "prompt": "hi"} | fields).encode(), openai.decode_completion)
    assert (error.code, error.param) == (code, param)


def body(messages: bytes = b'[{"role":"user","content":"hi"}]', more: bytes = b"") -> bytes:
    return b'{"model":"m","messages":' + messages + more + b"}"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xef\xbb\xbf" + body(),
        body() + b"x",
        body(b'[{"role":"user","content":"\xff"}]'),
        body(b'[{"role":"user","content":"\xed\xa0\x80"}]'),
        body(b'[{"role":"user","content":"\\ud800"}]'),
        body(b'[{"role":"user","content":"\\udc00x"}]'),
        body(b'[{"role":"user","content":"a\nb"}]'),
        body(more=b',"temperature":NaN'),
        body(more=b',"temperature":-Infinity'),
        body(more=b',"temperature":1e999'),
        body(more=b',"seed":' + b"9" * 5000),
        body(more=b',"x":' + b"[" * 100_000),
        body(more=b',"x":' + b"[" * 100_000 + b"]" * 100_000),
        body(more=b',"x":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
        body(more=b',"model":"n"'),
        body(more=b' , "model" : "n"'),
        body(more=b',"mod\\u0065l":"n"'),
        body(b'[{"role":"user","content":"hi","role":"system"}]'),
        body(more=b',"tools":[{"type":"function","function":{"name":"f","parameters":{"a":1,"a":1}}}]'),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(raw: bytes) -> None:
    error = refusal(raw)
    assert (error.code, error.status) == ("invalid_json", 400)


@pytest.mark.parametrize(
    "raw",
    [
        body(more=b' ,\n "temperature" : 0.70 '),
        body(b'[{"role":"user","content":"\\u00e9\\/ \\ud83d\\ude00 \\"model\\":"}]'),
        body(b'[ {"content": "hi", "role": "user"} ]', more=b',"temperature":1E0'),
    ],
)
def test_odd_but_honest_json_is_read(raw: bytes) -> None:
    assert openai.decode_chat(raw).model == "m"


@pytest.mark.parametrize("number", [str(2**63), "-" + "9" * 30])
def test_integers_beyond_64_bits_are_refused_in_free_form_schemas_too(number: str) -> None:
    error = refusal(
        body(more=b',"tools":[{"type":"function","function":{"name":"f","parameters":{"a":%s}}}]' % number.encode())
    )
    assert error.param == "tools[0].function.parameters"


def test_schemas_nest_sixty_deep_but_not_a_hundred() -> None:
    def nested(depth: int) -> bytes:
        return body(
            more=b',"tools":[{"type":"function","function":{"name":"f","parameters":%s}}]'
            % (b'{"a":' * depth + b"1" + b"}" * depth)
        )

    assert openai.decode_chat(nested(60)).tools
    assert refusal(nested(100)).param == "tools[0].function.parameters"
    schema = {"a": 1}
    for _ in range(100):
        schema = {"a": schema}  # type: ignore[dict-item]
    output = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    error = refusal(json.dumps({"model": "m", "messages": [HI], "response_format": output}).encode())
    assert error.param == "response_format.json_schema.schema"


def test_messages_stay_short_whatever_was_sent() -> None:
    error = refusal(json.dumps({"model": "m", "messages": [HI], "x" * 100_000: 1}).encode())
    assert len(str(error)) < 600
    error = refusal(json.dumps({"model": "m", "messages": [{"role": "r" * 100_000, "content": ""}]}).encode())
    assert len(str(error)) < 600
