"""The OpenAI codecs, per call, against decoding the same bytes into plain objects with msgspec and the json module.

`python benchmarks/codecs.py [--seconds 0.2]` takes turns between the paths, so that a slow moment of the machine hits
all alike, and reports the best of the rounds. The budget is what the request path grants each.
"""

# ruff: noqa: A005 - it is run by its path and never imported
from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Final

import msgspec

from mintage.base import AnswerStarted, MintageError, TextDelta, ToolCallDelta, Usage, UsageReported
from mintage.protocols import openai

BODY: Final = json.dumps(
    {
        "model": "smollm2-135m",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": 'Name three things a small shop should measure every week. Say why: "margin"?'},
        ],
        "temperature": 0.7,
        "max_tokens": 128,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    separators=(",", ":"),
).encode()
TURN: Final = {"role": "user", "content": "A turn of some length: it has a colon and a few words more. " * 4}
LONG_BODY: Final = json.dumps({"model": "m", "messages": [TURN] * 400}).encode()
CHUNK: Final = (
    b'data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUv","object":"chat.completion.chunk","created":1741569952,'
    b'"model":"gpt-5-2025","service_tier":"default","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,'
    b'"delta":{"content":" hello"},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
)
USAGE_EVENT: Final = UsageReported(usage=Usage(input_tokens=20, cached_read_tokens=5, output_tokens=9))
ROUNDS: Final = 5


def best_us(call: Callable[[], object], seconds: float) -> float:
    """Microseconds of one call, over about so many seconds."""
    calls, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        for _ in range(100):
            call()
        calls += 100
    return spent / calls * 1e6


def paths() -> dict[str, tuple[Callable[[], object], float | None]]:
    """name -> (call, budget in microseconds)."""
    request = openai.decode_chat(BODY)
    encoder = openai.StreamEncoder(request, id="chatcmpl-1", created_s=1, model="smollm2-135m")
    encoder.encode(AnswerStarted(model="m"))
    answer = b'{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"%s"},' % (
        b"word " * 200
    )
    answer += b'"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":200,"total_tokens":220}}'
    decoded = openai.decode_answer(answer)
    text, call = TextDelta(" hello"), ToolCallDelta(index=0, arguments='{"a":')
    scanner, renaming, decoder = openai.RelayScanner(), openai.RelayScanner(model="mint"), openai.StreamDecoder()
    refusal = MintageError("insufficient_funds", "Your balance is too low.", "Top up.")
    return {
        "json.loads, 300 B (reference)": (lambda: json.loads(BODY), None),
        "msgspec.json.decode, 300 B (reference)": (lambda: msgspec.json.decode(BODY), None),
        "decode_chat, 300 B": (lambda: openai.decode_chat(BODY), 10),
        "json.loads, 100 KB (reference)": (lambda: json.loads(LONG_BODY), None),
        "decode_chat, 100 KB, 400 turns": (lambda: openai.decode_chat(LONG_BODY), None),
        "rewrite_request, 300 B": (lambda: openai.rewrite_request(BODY, model="gpt-5", include_usage=True), 3),
        "encode_request": (lambda: openai.encode_request(request, "gpt-5"), None),
        "StreamEncoder.encode, text": (lambda: encoder.encode(text), 3),
        "StreamEncoder.encode, tool call": (lambda: encoder.encode(call), None),
        "StreamEncoder.encode, usage": (lambda: encoder.encode(USAGE_EVENT), None),
        "StreamDecoder.feed, one event": (lambda: decoder.feed(CHUNK), None),
        "RelayScanner.feed, one event": (lambda: scanner.feed(CHUNK), 5),
        "RelayScanner.feed, ten events": (lambda: scanner.feed(CHUNK * 10), 50),
        "RelayScanner.feed, model renamed": (lambda: renaming.feed(CHUNK), 5),
        "relay_answer, 1 KB": (lambda: openai.relay_answer(answer), None),
        "decode_answer, 1 KB": (lambda: openai.decode_answer(answer), None),
        "encode_answer, 1 KB": (lambda: openai.encode_answer(request, decoded, id="c", created_s=1), None),
        "encode_error": (lambda: openai.encode_error(refusal, "req_1"), None),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.1, help="per path and round")
    seconds: float = parser.parse_args().seconds
    calls = paths()
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, (call, _) in calls.items():
            best[name] = min(best[name], best_us(call, seconds))
    base = best["json.loads, 300 B (reference)"]
    print(f"{'codec':42}{'us':>9}{'x json.loads':>14}{'budget us':>11}")
    for name, (_, budget) in calls.items():
        print(f"{name:42}{best[name]:9.2f}{best[name] / base:14.2f}{'' if budget is None else f'{budget:g}':>11}")


if __name__ == "__main__":
    main()
