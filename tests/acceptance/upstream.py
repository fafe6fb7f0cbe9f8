"""A provider that speaks the OpenAI protocol and behaves as its path says: /say/v1/chat/completions and so on.

Run it as a process; it prints {"url": ...} and serves until it is killed. It keeps what it received:
GET /log is {behaviour: [{"body", "retry"}, ...]}.
"""

from __future__ import annotations

import json
import struct
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

USAGE: Final = {
    "prompt_tokens": 12,
    "completion_tokens": 5,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
    "cost": 0.000123,
}
WORDS: Final = ["Hello", ", ", "wörld", " 你好", " 😀"]
CALLS: Final = [("call_a", "weather", '{"city": "Paris"}'), ("call_b", "weather", '{"city": "Rome"}')]
_SLOW_WORDS: Final = 1_000
_PAUSE_S: Final = 0.02

Delta = dict[str, Any]


class Provider(ThreadingHTTPServer):
    """The server, and what it received."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.log: dict[str, list[dict[str, Any]]] = {}
        self.stopping = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""

    def do_GET(self) -> None:
        self._json(200, self.server.log)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        if "json" in self.headers["content-type"]:
            body = json.loads(raw)
        else:
            body = {"form": raw.decode("latin-1")}
        behaviour = self.path.split("/")[1]
        self.server.log.setdefault(behaviour, []).append({"body": body, "key": self.headers.get("authorization")})
        getattr(self, f"_{behaviour}")(body)

    # Behaviours

    def _say(self, body: dict[str, Any]) -> None:
        self._answer(body, [{"content": word} for word in WORDS])

    def _think(self, body: dict[str, Any]) -> None:
        usage = USAGE | {"completion_tokens_details": {"reasoning_tokens": 2}}
        self._answer(body, [{"reasoning_content": "Let me see."}, {"content": "Four."}], usage=usage)

    def _tools(self, body: dict[str, Any]) -> None:
        results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
        if results:
            self._answer(body, [{"content": "It is " + " and ".join(results) + "."}])
            return
        deltas: list[Delta] = []
        for index, (call_id, name, arguments) in enumerate(CALLS):
            first = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
            deltas.append({"tool_calls": [first]})
            pieces = [arguments[at : at + 7] for at in range(0, len(arguments), 7)]
            deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces]
        self._answer(body, deltas, finish="tool_calls")

    def _json_schema(self, body: dict[str, Any]) -> None:
        assert body["response_format"]["type"] == "json_schema"
        self._answer(body, [{"content": '{"name": "Ada", '}, {"content": '"age": 36}'}])

    def _completion(self, body: dict[str, Any]) -> None:
        choice = {"index": 0, "text": " four", "logprobs": None, "finish_reason": "stop"}
        self._json(
            200,
            {
                "id": "cmpl-1",
                "object": "text_completion",
                "created": 1,
                "model": "up",
                "choices": [choice],
                "usage": USAGE,
            },
        )

    def _slow(self, body: dict[str, Any]) -> None:
        def deltas() -> Iterator[Delta]:
            for number in range(_SLOW_WORDS):
                yield {"content": f"word{number} "}
                if self.server.stopping.wait(_PAUSE_S):
                    return

        self._answer(body, deltas())

    def _cut(self, body: dict[str, Any]) -> None:
        self._begin("text/event-stream")
        for word in ["one ", "two ", "three "]:
            self._event({"content": word})
        self.wfile.flush()
        self.close_connection = True  # without the last chunk: the answer is cut

    def _busy(self, body: dict[str, Any]) -> None:
        error = {"message": "Slow down, org-0123456789.", "type": "requests", "code": "rate_limit_exceeded"}
        self._json(429, {"error": error}, {"retry-after-ms": "10"})

    def _broken(self, body: dict[str, Any]) -> None:
        self._json(500, {"error": {"message": "secret trouble at sk-live-0123456789", "type": "server_error"}})

    def _long(self, body: dict[str, Any]) -> None:
        message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
        error = {
            "message": message,
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
        self._json(400, {"error": error})

    def _garbage(self, body: dict[str, Any]) -> None:
        self._send(200, b"<html>It works!</html>", "text/html")

    def _wrong_usage(self, body: dict[str, Any]) -> None:
        self._answer(body, [{"content": word} for word in WORDS], usage={"prompt_tokens": -3, "completion_tokens": "x"})

    def _embed(self, body: dict[str, Any]) -> None:
        vectors = [[len(text) / 4, -0.5, 1.0] for text in body["input"]]
        data = [
            {"object": "embedding", "index": index, "embedding": b64encode(struct.pack("<3f", *vector)).decode()}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": 9, "total_tokens": 9}
        self._json(200, {"object": "list", "data": data, "model": "up", "usage": usage})

    def _moderate(self, body: dict[str, Any]) -> None:
        results = [
            {
                "flagged": "kill" in text,
                "categories": {"violence": "kill" in text, "hate": False},
                "category_scores": {"violence": 0.9 if "kill" in text else 0.1, "hate": 0.0},
            }
            for text in body["input"]
        ]
        self._json(200, {"id": "modr-up", "model": "up", "results": results})

    def _speak(self, body: dict[str, Any]) -> None:
        self._begin("audio/mpeg")
        for piece in (b"ID3", b"\x00sound", body["voice"].encode()):
            self._chunk(piece)
        self._chunk(b"")

    def _transcribe(self, body: dict[str, Any]) -> None:
        segments = [
            {"id": 0, "start": 0.0, "end": 1.5, "text": "Hello,"},
            {"id": 1, "start": 1.5, "end": 2.25, "text": " wörld."},
        ]
        answer = {"text": "Hello, wörld.", "language": "en", "duration": 2.25, "segments": segments}
        self._json(200, answer)

    # Wire

    def _answer(
        self,
        body: dict[str, Any],
        deltas: Iterator[Delta] | list[Delta],
        *,
        finish: str = "stop",
        usage: dict[str, Any] | None = None,
    ) -> None:
        usage = USAGE if usage is None else usage
        if body.get("stream"):
            self._begin("text/event-stream")
            self._event({"role": "assistant", "content": ""})
            for delta in deltas:
                self._event(delta)
            self._event({}, finish)
            if body.get("stream_options", {}).get("include_usage"):
                self._data(_chunk(choices=[], usage=usage))
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")
            return
        message = _gather(list(deltas))
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        answer = {"id": "chatcmpl-up", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice]}
        self._json(200, answer | {"usage": usage})

    def _event(self, delta: Delta, finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        self._data(_chunk(choices=[choice], usage=None))

    def _data(self, chunk: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n")

    def _begin(self, media_type: str) -> None:
        self.send_response(200)
        self.send_header("content-type", media_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        try:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        except OSError:  # the reader left
            self.close_connection = True

    def _json(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), "application/json", headers)

    def _send(self, status: int, body: bytes, media_type: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "content-type": media_type, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _chunk(**fields: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1, "model": "up", **fields}


def _gather(deltas: list[Delta]) -> Delta:
    """What the deltas add up to, as a message."""
    message: Delta = {"role": "assistant", "content": "".join(delta.get("content", "") for delta in deltas)}
    if reasoning := "".join(delta.get("reasoning_content", "") for delta in deltas):
        message["reasoning_content"] = reasoning
    calls: dict[int, Delta] = {}
    for fragment in (call for delta in deltas for call in delta.get("tool_calls", ())):
        if "id" in fragment:
            calls[fragment["index"]] = {key: value for key, value in fragment.items() if key != "index"}
        else:
            calls[fragment["index"]]["function"]["arguments"] += fragment["function"]["arguments"]
    if calls:
        message |= {"content": None, "tool_calls": list(calls.values())}
    return message


if __name__ == "__main__":
    provider = Provider()
    json.dump({"url": f"http://127.0.0.1:{provider.server_port}"}, sys.stdout)
    print(flush=True)
    provider.serve_forever()
