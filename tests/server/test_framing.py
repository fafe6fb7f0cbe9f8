"""Where requests end: the framer against every slicing, against the reference parser, and against noise."""

import contextlib
import itertools

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.server.chunked import ChunkDecoder
from mintage.server.framing import Budget, RequestFramer
from mintage.server.limits import HttpLimits

LIMITS = HttpLimits(head_bytes=2000, body_bytes=5000, header_count=20)


def parse(pieces: list[bytes], limits: HttpLimits = LIMITS) -> tuple[list[tuple[bytes, bytes]], str | None]:
    """(head, body) of each request, and the code of the refusal that ended it."""
    budget = Budget(limits.buffered_bytes)
    framer = RequestFramer(limits, budget)
    found = []
    code = None
    try:
        for piece in pieces:
            framer.receive(piece)
            while (raw := framer.next()) is not None:
                found.append((raw[0], raw[2]))
                assert raw[1] == raw[0].lower()
    except MintageError as error:
        code = error.code
    framer.clear()
    assert budget.used_bytes == 0
    return found, code


def sliced(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def chunked(body: bytes, sizes: list[int]) -> bytes:
    out, at = b"", 0
    for size in sizes:
        piece = body[at : at + size]
        if piece:
            out += b"%x;e=1\r\n%b\r\n" % (len(piece), piece)
        at += size
    if body[at:]:
        out += b"%X\r\n%b\r\n" % (len(body[at:]), body[at:])
    return out + b"0\r\nx-trailer: y\r\n\r\n"


BODIES = st.one_of(
    st.binary(max_size=300), st.sampled_from([b"", b"GET / HTTP/1.1\r\nhost: evil\r\n\r\n", b"0\r\n\r\n"])
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """(bytes on the wire, body)"""
    body = draw(BODIES)
    empty_lines = draw(st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]))
    if draw(st.booleans()):
        sizes = draw(st.lists(st.integers(1, 40), max_size=8))
        head, payload = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(body, sizes)
    else:
        head, payload = b"POST /a HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: %d\r\n\r\n" % len(body), body
    return empty_lines + head + payload, body


@given(st.lists(requests(), min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=12))
@settings(max_examples=300)
def test_slicing_never_changes_what_is_read(sent: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    wire = b"".join(raw for raw, _ in sent)
    found, code = parse(sliced(wire, cuts))
    assert code is None
    assert [body for _, body in found] == [body for _, body in sent]


FRAGMENTS = [
    *[b"GET / HTTP/1.1\r\n", b"POST /a HTTP/1.1\r\n", b"CONNECT a:1 HTTP/1.1", b"host: a\r\n", b"\r\n", b"\n", b"\r"],
    *[b"Content-Length: 5\r\n", b"content-length:0\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b" "],
    *[b"Connection: upgrade\r\nUpgrade: x\r\n", b"Expect: 100-continue\r\n", b"0\r\n\r\n", b"\0", b"\xff"],
]
NOISE = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=12)), max_size=12).map(b"".join)


@given(NOISE, st.lists(st.integers(0, 10_000), max_size=6))
@settings(max_examples=500)
@example(b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nmore", [])
@example(b"\r\n\r\n\r\n", [1, 2, 3])
def test_noise_reads_the_same_however_it_is_sliced(wire: bytes, cuts: list[int]) -> None:
    """Nothing but MintageError comes out, and what was read before a refusal does not depend on the slicing."""
    whole, whole_code = parse([wire] if wire else [])
    found, code = parse(sliced(wire, cuts))
    assert found == whole
    assert (code is None) == (whole_code is None)


class Reference:
    """llhttp alone, over the whole wire."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self._pieces: list[bytes] = []

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        self.bodies.append(b"".join(self._pieces))
        self._pieces = []


@given(NOISE)
@settings(max_examples=500)
def test_what_we_accept_the_reference_parser_accepts_alike(wire: bytes) -> None:
    """We may be stricter than llhttp, never more lenient, and a body never differs."""
    found, _ = parse([wire] if wire else [])
    reference = Reference()
    with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        httptools.HttpRequestParser(reference).feed_data(wire)
    if b"pgrade" not in wire and b"CONNECT" not in wire:
        assert [body for _, body in found] == reference.bodies[: len(found)]


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5 5\r\n",
        b"Content-Length: \r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Content-Length: \xd9\xa5\r\n",
        b"Content-Length : 5\r\n",
        b" Content-Length: 5\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\r\n chunked\r\n",
        b"X: a\r\n folded\r\n",
        b"X: a\nContent-Length: 5\r\n",
        b"X: a\rContent-Length: 5\r\n",
        b"X: a\0b\r\n",
        b"X\0: b\r\n",
        b": b\r\n",
        b"no colon\r\n",
    ],
)
def test_ways_to_smuggle_are_refused(head: bytes) -> None:
    found, code = parse([b"POST / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n0\r\n\r\nhello"])
    assert found == []
    assert code in ("invalid_request", "not_implemented")


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"5;\x00\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"e" * 2000 + b"\r\nhello\r\n0\r\n\r\n",
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\na: b\nc: d\r\n\r\n",
        b"1_0\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n",
    ],
)
def test_bad_chunks_are_refused(body: bytes) -> None:
    found, code = parse([b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body])
    assert found == []
    assert code == "invalid_request"


def test_trailer_flood_and_tiny_chunks_are_refused() -> None:
    decoder = ChunkDecoder(10**6)
    with pytest.raises(MintageError) as caught:
        decoder.feed(b"0\r\n" + b"a: b\r\n" * 5000)
    assert caught.value.code == "headers_too_large"
    with pytest.raises(MintageError):
        ChunkDecoder(10**6).feed(b"1\r\na\r\n" * 2000)
    fine = ChunkDecoder(10**6)
    fine.feed(b"20\r\n" + b"a" * 32 + b"\r\n" and b"".join([b"20\r\n" + b"a" * 32 + b"\r\n"] * 5000) + b"0\r\n\r\nrest")
    assert (len(fine.body), fine.rest) == (160_000, b"rest")


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 3000 + b"\r\n\r\n", "headers_too_large"),
        (b"GET /" + b"a" * 3000, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 21 + b"\r\n", "headers_too_large"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5001\r\n\r\n", "payload_too_large"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1389\r\n", "payload_too_large"),
        (b"\r\n" * 9, "invalid_request"),
    ],
)
def test_limits(wire: bytes, code: str) -> None:
    assert parse([wire]) == ([], code)
    assert parse([wire[i : i + 1] for i in range(len(wire))]) == ([], code)


def test_limits_are_inclusive() -> None:
    head = b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n" + b"a: b\r\n" * 19 + b"\r\n"
    found, code = parse([head + b"x" * 5000])
    assert (len(found), code) == (1, None)


def test_unfinished_bodies_share_a_budget() -> None:
    limits = HttpLimits(body_bytes=1000)
    budget = Budget(1500)
    framers = [RequestFramer(limits, budget) for _ in range(2)]
    head = b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n"
    framers[0].receive(head + b"a" * 900)
    assert framers[0].next() is None
    framers[1].receive(head + b"a" * 900)
    with pytest.raises(MintageError) as caught:
        framers[1].next()
    assert caught.value.code == "unavailable"
    framers[1].clear()
    framers[0].receive(b"a" * 100)
    assert framers[0].next() is not None
    assert budget.used_bytes == 0


def test_waiting_for_the_body_is_told_only_while_it_has_not_begun() -> None:
    framer = RequestFramer(LIMITS, Budget(10**6))
    framer.receive(b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
    assert framer.next() is None
    assert framer.expects_continue
    framer = RequestFramer(LIMITS, Budget(10**6))
    framer.receive(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\na")
    assert framer.next() is None
    assert not framer.expects_continue
