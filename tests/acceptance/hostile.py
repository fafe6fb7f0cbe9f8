"""Hostile requests for the chat and completion endpoints: the n-th one of a seed is always the same bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Final, NamedTuple

CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
MEGABYTE: Final = 1024 * 1024
LEVELS: Final = 10_000
_MODELS: Final = ("say", "say", "say", "say", "think", "garbage", "broken", "busy", "wrong-usage", "nothing")


class Case(NamedTuple):
    """One request. framed: it is one whole HTTP request within the limits, so it must be answered, not just closed."""

    kind: str
    raw: bytes
    framed: bool = True
    head_only: bool = False


def chat_body(rng: random.Random) -> dict[str, Any]:
    """A valid body that uses much of the protocol."""
    return {
        "model": rng.choice(_MODELS),
        "messages": [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "name": "ann", "content": [{"type": "text", "text": "héllo 你好 😀"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            {"role": "user", "content": "And?"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
        "temperature": 0.7,
        "top_p": 0.9,
        "stop": ["a", "b"],
        "seed": 7,
        "n": 1,
        "logit_bias": {"50256": -100},
        "max_completion_tokens": 64,
        "stream": rng.random() < 0.3,
        "user": "u1",
        "metadata": {"a": "b"},
    }


def completion_body(rng: random.Random) -> dict[str, Any]:
    return {"model": rng.choice((*_MODELS, "completion")), "prompt": ["a"], "max_tokens": 5, "stop": "x", "seed": 3}


class Maker:
    """Makes the cases of one seed. keys: API keys that work; what else is sent as one is made up."""

    def __init__(self, seed: int, keys: list[str]) -> None:
        self._seed = seed
        self._keys = keys
        self._kinds: list[Callable[[random.Random], Case]] = [
            self.noise, self.soup, self.flipped, self.flipped, self.swapped, self.swapped, self.swapped, self.number,
            self.deep, self.not_utf8, self.surrogate, self.duplicates, self.content_type, self.header, self.key,
            self.path, self.method, self.framing, self.idempotent,
        ]  # fmt: skip

    def case(self, index: int) -> Case:
        rng = random.Random(f"{self._seed}:{index}")
        if index % 500 == 0:  # megabytes take their time
            return self.large(rng, index // 500)
        return rng.choice(self._kinds)(rng)

    # Bodies

    def noise(self, rng: random.Random) -> Case:
        return self._post("noise", rng, rng.randbytes(rng.choice((0, 1, 7, 200, 5_000))))

    def soup(self, rng: random.Random) -> Case:
        """Pieces of JSON in any order."""
        pieces = (
            b"{",
            b"}",
            b"[",
            b"]",
            b":",
            b",",
            b'"model"',
            b'"messages"',
            b'"say"',
            b"null",
            b"1e5",
            b"-",
            b'"\\u',
        )
        return self._post("soup", rng, b"".join(rng.choices(pieces, k=rng.randint(1, 80))))

    def flipped(self, rng: random.Random) -> Case:
        """A valid body with some bytes changed, lost, moved or repeated."""
        body = bytearray(_dump(self._valid(rng)))
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(body))
            upto = min(len(body), at + rng.randint(1, 20))
            match rng.randrange(4):
                case 0:
                    body[at] = rng.randrange(256)
                case 1:
                    del body[at:upto]
                case 2:
                    body[at:at] = body[at:upto]
                case _:
                    del body[at:]
            body = body or bytearray(b"{")
        return self._post("flipped", rng, bytes(body))

    def swapped(self, rng: random.Random) -> Case:
        """A valid body in which one value, anywhere, is something else."""
        body = self._valid(rng)
        _swap(rng, body, _odd_value(rng))
        return self._post("swapped", rng, _dump(body))

    def number(self, rng: random.Random) -> Case:
        odd = rng.choice(("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400, "-0.0", "0." + "1" * 3_000))
        name = rng.choice(
            ("max_tokens", "max_completion_tokens", "temperature", "seed", "n", "top_p", "top_k", "logprobs")
        )
        body = _dump({**self._valid(rng), name: "@"}).replace(b'"@"', odd.encode())
        return self._post("number", rng, body)

    def deep(self, rng: random.Random) -> Case:
        """Ten thousand levels, as the body or in a field that takes anything."""
        opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"messages":[', b"]}")))
        nest = opening * LEVELS + b"1" + closing * rng.choice((LEVELS, LEVELS, LEVELS - 1, 0))
        if rng.random() < 0.3:
            return self._post("deep", rng, nest)
        body: dict[str, Any] = self._valid(rng)
        place: Any = rng.choice((body, body.get("tools", [body])[0], body.get("messages", [body])[0]))
        place[rng.choice(("function", "content", "metadata", "stop", "response_format", "unknown"))] = "@"
        return self._post("deep", rng, _dump(body).replace(b'"@"', nest))

    def not_utf8(self, rng: random.Random) -> Case:
        bad = rng.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\x80", b"\xe4\xbd"))
        body = _dump({**self._valid(rng), rng.choice(("user", "model", "stop", "unknown")): "a@b"})
        return self._post("not utf-8", rng, body.replace(b"a@b", bad))

    def surrogate(self, rng: random.Random) -> Case:
        body = self._valid(rng)
        _swap(rng, body, rng.choice(("\ud800", "a\udfffb", "\udc00\ud800", "\x00", "\ufffe\uffff")))
        return self._post("surrogate", rng, json.dumps(body).encode())

    def duplicates(self, rng: random.Random) -> Case:
        body = _dump(self._valid(rng))
        again = b'"model":"say","messages":[],"stream":true,"n":9,"max_tokens":1e2,"stream":false,'
        return self._post("duplicate keys", rng, body[:1] + again * rng.randint(1, 200) + body[1:])

    def large(self, rng: random.Random, number: int) -> Case:
        """At the limit and beyond it, in one piece and in chunks."""
        text = b"x" * (7 * MEGABYTE if number % 3 == 0 else 9 * MEGABYTE)
        body = _dump({"model": "say", "messages": [{"role": "user", "content": "@"}]}).replace(b"@", text)
        if number % 3 == 2:
            head = self._head(rng, "POST", CHAT, b"transfer-encoding: chunked\r\n")
            return Case("large", head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), framed=False)
        return self._post("large", rng, body)._replace(framed=number % 3 == 0)

    # Heads

    def content_type(self, rng: random.Random) -> Case:
        kind = rng.choice(
            (b"text/plain", b"multipart/form-data; boundary=x", b"application/xml", b"", b"a" * 5_000, b"\xff/\xfe")
        )
        return self._post("content type", rng, _dump(self._valid(rng)), b"content-type: " + kind + b"\r\n")

    def header(self, rng: random.Random) -> Case:
        size = rng.choice((10_000, 30_000, 40_000, 200_000))
        name = rng.choice((b"x-large", b"idempotency-key", b"user-agent", b"cookie", b"x-request-id", b"openai-beta"))
        many = b"".join(b"x-%d: 1\r\n" % number for number in range(rng.choice((0, 0, 50, 200))))
        lines = name + b": " + b"v" * size + b"\r\n" + many
        return self._post("header", rng, _dump(self._valid(rng)), lines)._replace(
            framed=size < 30_000 and len(many) < 1_000
        )

    def key(self, rng: random.Random) -> Case:
        value = rng.choice(
            (
                b"",
                b"Bearer",
                b"Bearer ",
                b"Basic YTpi",
                b"Bearer " + b"k" * 9_000,
                b"Bearer \xff\xfe",
                b"Bearer sk-mint-1 2",
            )
        )
        body = _dump(self._valid(rng))
        head = b"POST %b HTTP/1.1\r\nhost: a\r\nauthorization: %b\r\ncontent-length: %d\r\n\r\n"
        return Case("key", head % (CHAT.encode(), value, len(body)) + body)

    def path(self, rng: random.Random) -> Case:
        path = rng.choice(
            (
                "/", "/v1", "/v1/", "/v1/chat", CHAT + "/", "/v1//chat/completions", "/V1/CHAT/COMPLETIONS",
                "/v1/embeddings", "/%", "/v1/receipts/req_%f0",
                "/v1/models/" + "%ff%00" * 9, "/v1/models/%2e%2e%2f", "/v1/receipts/%", "/v1/receipts/" + "r" * 9_000,
                "/../../etc/passwd", CHAT + "?" + "q=%zz&" * 500, CHAT + "#x", "/admin/v1/customers",
            )
        )  # fmt: skip
        body = _dump(self._valid(rng))
        method = rng.choice(("GET", "POST"))
        return Case("path", self._head(rng, method, path, b"content-length: %d\r\n" % len(body)) + body)

    def method(self, rng: random.Random) -> Case:
        method = rng.choice(
            ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND", "NONSENSE", "post", "P\x00ST")
        )
        raw = self._head(rng, method, rng.choice((CHAT, COMPLETIONS, "/v1/models", "*")), b"content-length: 0\r\n")
        return Case("method", raw, framed=False, head_only=method == "HEAD")

    def framing(self, rng: random.Random) -> Case:
        """Lengths that lie, ends that never come."""
        body = _dump(self._valid(rng))
        lines = rng.choice(
            (
                b"content-length: %d\r\n" % (len(body) + 100),
                b"content-length: %d\r\n" % max(0, len(body) - 100),
                b"content-length: -1\r\n",
                b"content-length: 99999999999999999999999\r\n",
                b"content-length: 1\r\ncontent-length: 2\r\n",
                b"transfer-encoding: chunked\r\ncontent-length: 4\r\n",
                b"transfer-encoding: chunked\r\n",
                b"transfer-encoding: gzip\r\n",
                b"expect: 200-ok\r\ncontent-length: 9\r\n",
                b"",
            )
        )
        return Case("framing", self._head(rng, "POST", CHAT, lines) + body, framed=False)

    def idempotent(self, rng: random.Random) -> Case:
        """Few keys for many bodies: conflicts, replays, and requests that are still running."""
        lines = (
            b"idempotency-key: " + rng.choice((b"again-%d" % rng.randrange(5), b"", b"\xff\x80", b"k" * 300)) + b"\r\n"
        )
        return self._post("idempotent", rng, _dump(self._valid(rng)), lines)

    def _valid(self, rng: random.Random) -> dict[str, Any]:
        return chat_body(rng) if rng.random() < 0.75 else completion_body(rng)

    def _post(self, kind: str, rng: random.Random, body: bytes, lines: bytes = b"") -> Case:
        path = COMPLETIONS if b'"prompt"' in body else rng.choice((CHAT,) * 9 + (COMPLETIONS,))
        if b"content-type" not in lines:
            lines += b"content-type: application/json\r\n"
        return Case(kind, self._head(rng, "POST", path, lines + b"content-length: %d\r\n" % len(body)) + body)

    def _head(self, rng: random.Random, method: str, path: str, lines: bytes) -> bytes:
        key = rng.choice(self._keys)
        return f"{method} {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n".encode() + lines + b"\r\n"


def _dump(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _odd_value(rng: random.Random) -> Any:
    return rng.choice(
        (
            None, True, False, 0, -1, 1, 2**31, 2**63, -(2**64), 10**30, 1e308, -1e-308, "", "x", "x" * 20_000, "0",
            [], {}, [None], [[]], [{}], {"": None}, {"type": "object"}, [1] * 2_000, ["a"] * 200,
            {str(n): n for n in range(300)}, {"type": "text"}, {"role": "user"}, "stop\r\nx-evil: 1",
        )
    )  # fmt: skip


def _swap(rng: random.Random, body: Any, value: Any) -> None:
    """Replace one value of a JSON tree, at any depth."""
    while True:
        keys = list(body) if isinstance(body, dict) else list(range(len(body)))
        key = rng.choice(keys)
        inner = body[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.3:
            body[key] = value
            return
        body = inner
