"""Random and mutated bytes into the decoders of every other dialect, and what they accept through every encoder."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Final

import pytest

from mintage.base import MintageError, Request
from mintage.protocols import anthropic, google, openai
from mintage.protocols.openai import responses

from .mutation import body_of, mutate_bytes, pieces_of

SCHEMA: Final = {"type": "object", "properties": {"a": {"type": "string"}}}
MESSAGES: Final[dict[str, Any]] = {
    "model": "m",
    "max_tokens": 3000,
    "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "héllo 你好 😀"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "cG5n"}},
                {"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}, "title": "b"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "eHg="},
                {"type": "text", "text": "ok"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": "1"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "42"}]}],
        },
    ],
    "tools": [{"name": "f", "input_schema": SCHEMA}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
    "stop_sequences": ["x"],
    "temperature": 0.5,
    "metadata": {"user_id": "u"},
    "stream": True,
}
GENERATE: Final[dict[str, Any]] = {
    "contents": [
        {"role": "user", "parts": [{"text": "héllo 😀"}, {"inlineData": {"mimeType": "image/png", "data": "cG5n"}}]},
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
            ],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "42"}}}]},
    ],
    "systemInstruction": {"parts": [{"text": "Be kind."}]},
    "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {}}}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {
        "temperature": 0.5,
        "topK": 5,
        "candidateCount": 2,
        "max_output_tokens": 9,
        "stopSequences": ["x"],
        "responseMimeType": "application/json",
        "responseSchema": {"type": "ARRAY", "items": {"type": "STRING", "nullable": True}, "maxItems": "3"},
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 5},
    },
    "labels": {"a": "b"},
}
EMBED: Final = {"requests": [{"model": "m", "content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY"}]}
RESPONSE: Final[dict[str, Any]] = {
    "model": "m",
    "instructions": "Be kind.",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "hé 😀"},
                {"type": "input_image", "image_url": "https://a.example/x"},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "c2ln",
        },
        {
            "type": "message",
            "role": "assistant",
            "id": "m1",
            "status": "completed",
            "content": [{"type": "output_text", "text": "ok", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}},
    "reasoning": {"effort": "low", "summary": "auto"},
    "max_output_tokens": 64,
    "stream": True,
    "metadata": {"a": "b"},
}
SPEECH: Final = {"model": "m", "input": "hi", "voice": {"id": "v"}, "speed": 2, "response_format": "wav"}
VECTORS: Final = {"model": "m", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 3}
JUDGE: Final = {"model": "m", "input": [{"type": "text", "text": "a"}]}
FORM_TYPE: Final = b"multipart/form-data; boundary=edge"
FORM: Final = (
    b'--edge\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n'
    b'--edge\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n'
    b"content-type: audio/wav\r\n\r\nRIFF\r\n"
    b'--edge\r\ncontent-disposition: form-data; name="stream"\r\n\r\ntrue\r\n--edge--\r\n'
)
MESSAGE: Final[dict[str, Any]] = {
    "id": "msg_1",
    "model": "m",
    "content": [*MESSAGES["messages"][1]["content"]],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 9},
}
FRAMES: Final[list[dict[str, Any]]] = [
    {"type": "message_start", "message": {"id": "m", "model": "m", "usage": {"input_tokens": 5, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "héé 😀"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]
CHUNKS: Final[list[dict[str, Any]]] = [
    {
        "candidates": [{"content": {"parts": [{"text": "héé 😀"}, {"text": "hm", "thought": True}]}}],
        "modelVersion": "m",
    },
    {
        "candidates": [
            {
                "content": {"parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
                "finishReason": "STOP",
                "logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -0.1}]},
            }
        ],
        "usageMetadata": {"promptTokenCount": 5, "cachedContentTokenCount": 2, "candidatesTokenCount": 3},
    },
]
ERROR: Final = {"error": {"message": "boom", "type": "api_error", "status": "INTERNAL", "code": 500}}
ENCODERS: Final[tuple[Callable[[Request], bytes], ...]] = (
    lambda request: openai.encode_request(request, "up"),
    lambda request: anthropic.encode_request(request, "up"),
    google.encode_request,
)


def accepted(decode: Callable[[bytes], Any], raw: bytes) -> Any:
    """What was decoded, or None if it was refused as it should be, in words that every dialect can tell."""
    try:
        return decode(raw)
    except MintageError as error:
        for encode in (openai.encode_error, anthropic.encode_error, google.encode_error):
            status, _, body = encode(error, "req_1")
            assert 400 <= status < 600
            assert json.loads(body)["error"]["message"]
        return None


def check_request(decode: Callable[[bytes], Request], raw: bytes) -> None:
    """What is accepted is sound JSON in every dialect that can say it, and refused by name in the others."""
    request = accepted(decode, raw)
    if request is None:
        return
    json.loads(raw)
    for encode in ENCODERS:
        body = accepted(lambda _, encode=encode: encode(request), b"")  # type: ignore[misc]
        if body is not None:
            json.loads(body)


def check_stream(rng: random.Random, decoder: Any, frames: list[dict[str, Any]], *, named: bool) -> None:
    """Whatever is read of a stream can be written in every dialect."""
    pieces = []
    for frame in frames:
        frame = ERROR if rng.random() < 0.03 else frame  # noqa: PLW2901
        name = b"event: %b\n" % str(frame.get("type", "error")).encode() if named else b""
        pieces.append(name + b"data: " + body_of(rng, frame) + b"\n\n")
    request = Request(operation="chat", model="m", stream=True, include_usage=True, reasoning_shown=True, n=3)
    frame_of = responses.Frame(request, {}, id="resp_1", created_s=1, model="m")
    encoders = [
        openai.StreamEncoder(request, id="c", created_s=1, model="m"),
        anthropic.StreamEncoder(request, id="msg_1", model="m"),
        google.StreamEncoder(request, id="r", model="m", sse=rng.random() < 0.5),
        responses.StreamEncoder(frame_of),
    ]
    out: list[list[bytes]] = [[] for _ in encoders]
    try:
        events = [event for piece in pieces_of(rng, b"".join(pieces)) for event in decoder.feed(piece)]
        events += decoder.close()
    except MintageError:
        return
    for encoder, written in zip(encoders, out, strict=True):
        try:
            written += [encoder.encode(event) for event in events]
            written.append(encoder.end())
        except MintageError as error:
            written.append(encoder.error(error))


def run(seed: int, inputs: int) -> None:
    rng = random.Random(seed)
    for _ in range(inputs // 12):
        check_request(anthropic.decode_messages_body, body_of(rng, MESSAGES))
        check_request(lambda raw: google.decode_generate(raw, "m", stream=True), body_of(rng, GENERATE))
        check_request(lambda raw: responses.decode_response_body(raw)[0], body_of(rng, RESPONSE))
        accepted(anthropic.decode_count_body, body_of(rng, MESSAGES))
        accepted(lambda raw: google.decode_count_body(raw, "m"), body_of(rng, {"generateContentRequest": GENERATE}))
        accepted(lambda raw: google.decode_embed(raw, "m", batch=True), body_of(rng, EMBED))
        accepted(openai.decode_embedding_body, body_of(rng, VECTORS))
        accepted(openai.decode_moderation_body, body_of(rng, JUDGE))
        accepted(openai.decode_speech_body, body_of(rng, SPEECH))
        accepted(lambda raw: openai.decode_transcription_form(FORM_TYPE, raw), mutate_bytes(rng, FORM))
        accepted(anthropic.decode_answer, body_of(rng, MESSAGE))
        accepted(google.decode_events, body_of(rng, CHUNKS[1]))
        check_stream(rng, anthropic.StreamDecoder(), FRAMES, named=True)
        check_stream(rng, google.StreamDecoder(), CHUNKS, named=False)


def test_the_unmutated_bodies_are_accepted() -> None:
    assert anthropic.decode_messages_body(json.dumps(MESSAGES).encode()).tools
    assert google.decode_generate(json.dumps(GENERATE).encode(), "m", stream=True).tools
    assert responses.decode_response_body(json.dumps(RESPONSE).encode())[0].tools
    assert google.decode_embed(json.dumps(EMBED).encode(), "m", batch=True).purpose == "query"
    assert openai.decode_transcription_form(FORM_TYPE, FORM)[0].stream
    assert len(anthropic.decode_answer(json.dumps(MESSAGE).encode()).choices) == 1
    for decode in (openai.decode_embedding_body, openai.decode_moderation_body, openai.decode_speech_body):
        body = {openai.decode_embedding_body: VECTORS, openai.decode_moderation_body: JUDGE}.get(decode, SPEECH)  # type: ignore[call-overload]
        assert decode(json.dumps(body).encode())


def test_two_thousand_inputs() -> None:
    run(seed=20261123, inputs=2_400)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_thousand_inputs(seed: int) -> None:
    run(seed=seed, inputs=10_000)
