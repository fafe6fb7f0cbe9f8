"""Random and mutated bytes into every decoder: nothing but MintageError may come out, and what is accepted is sound."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest

from mintage.base import MintageError, Request
from mintage.protocols import openai

from .mutation import body_of, pieces_of

CHAT: Final[dict[str, Any]] = {
    "model": "m",
    "messages": [
        {"role": "developer", "content": "Be kind."},
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "héllo 你好 😀"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "d2F2", "format": "wav"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,cGRm", "filename": "a.pdf"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}}
    ],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True},
    },
    "temperature": 0.7,
    "top_k": 40,
    "logit_bias": {"50256": -100},
    "stop": ["a", "b"],
    "seed": 7,
    "n": 2,
    "logprobs": True,
    "top_logprobs": 3,
    "max_completion_tokens": 64,
    "stream": True,
    "stream_options": {"include_usage": True},
    "user": "u1",
    "metadata": {"a": "b"},
}
COMPLETION: Final = {"model": "m", "prompt": ["a", "b"], "max_tokens": 5, "logprobs": 2, "stop": "x", "suffix": "z"}
USAGE: Final = {
    "prompt_tokens": 8,
    "completion_tokens": 3,
    "total_tokens": 11,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
CALL: Final = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOKEN: Final = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -2.0}]}
ANSWER: Final = {
    "id": "c",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "a", "reasoning_content": "r", "tool_calls": [CALL]},
            "logprobs": {"content": [TOKEN]},
            "finish_reason": "tool_calls",
        },
        {
            "index": 1,
            "text": "t",
            "logprobs": {"tokens": ["t"], "token_logprobs": [-1.0], "top_logprobs": [{"u": -2.0}]},
        },
    ],
    "usage": USAGE,
}
CHUNKS: Final = [
    {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "héé 😀"}}],
        "usage": None,
    },
    {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "delta": {"tool_calls": [CALL]}, "logprobs": {"content": [TOKEN]}}],
    },
    {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"id": "c", "model": "m", "choices": [], "usage": USAGE},
]
ERROR: Final = {"error": {"message": "boom", "type": "server_error", "param": None, "code": 429}}


def stream_of(rng: random.Random) -> bytes:
    chunks = [ERROR if rng.random() < 0.03 else chunk for chunk in CHUNKS]
    return b"".join([b"data: " + body_of(rng, chunk) + b"\n\n" for chunk in chunks]) + b"data: [DONE]\n\n"


def accepted(decode: Callable[[bytes], Any], raw: bytes) -> Any:
    """What was decoded, or None if it was refused as it should be."""
    try:
        return decode(raw)
    except MintageError as error:
        status, _, body = openai.encode_error(error, "req_1")
        assert 400 <= status < 600
        assert json.loads(body)["error"]["message"]
        return None


def check_request(decode: Callable[[bytes], Request], raw: bytes) -> None:
    request = accepted(decode, raw)
    if request is None:
        return
    json.loads(raw)  # what we accept, everybody can read
    again = decode(openai.encode_request(request, request.model, keep_reasoning=True))
    assert again == msgspec.structs.replace(request, metadata={}, include_usage=request.stream, echo=False)
    rewritten = json.loads(openai.rewrite_request(raw, model="up", include_usage=True, max_output_tokens=3))
    assert rewritten["model"] == "up"


def check_stream(rng: random.Random) -> None:
    data = stream_of(rng)
    decoder = openai.StreamDecoder()
    try:
        for piece in pieces_of(rng, data):
            decoder.feed(piece)
        decoder.close()
    except MintageError:
        pass
    outs = []
    for pieces in ([data], pieces_of(rng, data)):
        scanner = openai.RelayScanner(include_usage=True, model="mint")
        outs.append(b"".join([scanner.feed(piece) for piece in pieces]) + scanner.close())
        assert scanner.finished != (scanner.error is not None)
        scanner.report()
    assert outs[0] == outs[1]


def run(seed: int, inputs: int) -> None:
    rng = random.Random(seed)
    for _ in range(inputs // 5):
        check_request(openai.decode_chat, body_of(rng, CHAT))
        check_request(openai.decode_completion, body_of(rng, COMPLETION))
        answer = body_of(rng, ANSWER)
        accepted(openai.decode_answer, answer)
        accepted(openai.relay_answer, answer)
        openai.decode_error(rng.choice([400, 401, 429, 500]), [], body_of(rng, ERROR))
        check_stream(rng)


def test_the_unmutated_bodies_are_accepted() -> None:
    check_request(openai.decode_chat, json.dumps(CHAT).encode())
    assert openai.decode_chat(json.dumps(CHAT).encode()).tools
    assert openai.decode_completion(json.dumps(COMPLETION).encode()).prompts
    assert len(openai.decode_answer(json.dumps(ANSWER).encode()).choices) == 2


def test_two_thousand_inputs() -> None:
    run(seed=20261123, inputs=2_000)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_thousand_inputs(seed: int) -> None:
    run(seed=seed, inputs=10_000)
