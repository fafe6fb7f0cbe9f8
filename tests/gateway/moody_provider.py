"""A provider that does, request by request, what its path says: /500,stall,say/v1/chat/completions fails the first,
stalls in the middle of the second and answers every later one. Run it as a process; it prints {"url": ...}.

GET /log is [[path, moment], ...]; GET /bill is the tokens that it would put on its bill, in and out.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ["Hello", " there", "!"]
USAGE = {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}


class Provider(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.counts: dict[str, int] = {}
        self.log: list[tuple[str, str, float]] = []
        self.billed = [0, 0]
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""

    def do_GET(self) -> None:
        if self.path == "/log":
            self._json(200, self.server.log)
        elif self.path == "/bill":
            self._json(200, self.server.billed)
        elif self.headers.get("authorization") != "Bearer good-key":
            self._json(401, {"error": {"message": "no such key"}})
        else:
            self._json(200, {"data": [{"id": "gpt-4o-mini"}, {"id": "nobody-prices-this"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        script = self.path.split("/")[1]
        moods = script.split(",")
        with self.server.lock:
            number = self.server.counts.get(script, 0)
            self.server.counts[script] = number + 1
            mood = moods[min(number, len(moods) - 1)]
            self.server.log.append((script, mood, time.monotonic()))
        if mood.isdecimal():
            extra = {"retry-after": "1"} if mood == "429" else {}
            self._json(int(mood), {"error": {"message": "not now", "code": "rate_limit_exceeded"}}, extra)
            return
        getattr(self, f"_{mood}")(body)

    def _bill(self, prompt: int, completion: int) -> None:
        with self.server.lock:
            self.server.billed[0] += prompt
            self.server.billed[1] += completion

    def _say(self, body: dict[str, Any], usage: object = USAGE) -> None:
        self._bill(20, 3)
        if not body.get("stream"):
            message = {"role": "assistant", "content": "".join(WORDS)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._json(200, {"id": "c", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice],
                             "usage": usage})  # fmt: skip
            return
        self._begin()
        self._delta({"role": "assistant", "content": ""})
        for word in WORDS:
            self._delta({"content": word})
        self._delta({}, "stop")
        self._event({"choices": [], "usage": usage})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _lie(self, body: dict[str, Any]) -> None:
        self._say(body, {"prompt_tokens": -5, "completion_tokens": 10**15})

    def _usage_then_cut(self, body: dict[str, Any]) -> None:
        """Reports what it read, then breaks before the first word."""
        self._bill(20, 0)
        self._begin()
        self._event({"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 0, "total_tokens": 20}})
        self.wfile.flush()
        self.close_connection = True

    def _drop(self, body: dict[str, Any]) -> None:
        self.close_connection = True

    def _silent(self, body: dict[str, Any]) -> None:
        time.sleep(30)

    def _stall(self, body: dict[str, Any]) -> None:
        """Two words, then nothing."""
        self._bill(20, 2)
        self._begin()
        self._delta({"role": "assistant", "content": ""})
        self._delta({"content": "Hello"})
        self._delta({"content": " there"})
        self.wfile.flush()
        time.sleep(30)

    def _cut(self, body: dict[str, Any]) -> None:
        self._bill(20, 2)
        self._begin()
        self._delta({"content": "Hello"})
        self._delta({"content": " there"})
        self.wfile.flush()
        self.close_connection = True

    def _role_then_cut(self, body: dict[str, Any]) -> None:
        self._begin()
        self._delta({"role": "assistant", "content": ""})
        self.wfile.flush()
        self.close_connection = True

    def _garbage(self, body: dict[str, Any]) -> None:
        self._send(200, b"<html>", "text/html")

    # Wire

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def _delta(self, delta: dict[str, Any], finish: str | None = None) -> None:
        self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def _event(self, fields: dict[str, Any]) -> None:
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "up", **fields}
        self._chunk(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        try:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        except OSError:
            self.close_connection = True

    def _json(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), "application/json", headers)

    def _send(self, status: int, body: bytes, media_type: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "content-type": media_type, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    provider = Provider()
    json.dump({"url": f"http://127.0.0.1:{provider.server_port}"}, sys.stdout)
    print(flush=True)
    provider.serve_forever()
