"""One connection to an upstream: a request goes out, its response comes back through a sink, then the next one."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol, cast

import httptools

from mintage.base import MintageError
from mintage.base.errors import places
from mintage.base.http_head import Headers, find_header, split_headers
from mintage.base.ticker import NEVER

if TYPE_CHECKING:
    from mintage.engines.http_client import HttpClient

log = logging.getLogger("mintage.engines")
_HEAD_LIMIT: Final = 64 * 1024
_ONE_WRITE_BYTES: Final = 64 * 1024


class ResponseHead:
    """status and headers of a response; the headers are taken apart when they are asked for."""

    __slots__ = ("_lowered", "raw", "status")

    def __init__(self, status: int, raw: bytes) -> None:
        self.status = status
        self.raw = raw
        self._lowered = b""

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header; name in lower case."""
        if not self._lowered:
            self._lowered = self.raw.lower()
        return find_header(self.raw, self._lowered, name)

    @property
    def headers(self) -> Headers:
        """All headers in order, names in lower case."""
        return split_headers(self.raw)


class ResponseSink(Protocol):
    """Takes one response: on_head, on_data for what each read of the socket brought, then on_end; or on_error.

    on_error may come at any time and is the last call. After Call.cancel() nothing comes.
    """

    def on_head(self, head: ResponseHead) -> None: ...
    def on_data(self, data: bytes) -> None: ...
    def on_end(self) -> None: ...
    def on_error(self, error: MintageError) -> None: ...


class Call:
    """One request on its way. It waits in the client's queue until a connection is free."""

    __slots__ = ("_client", "body", "connection", "deadline_s", "head", "head_only", "resent", "sink", "waiting")

    def __init__(self, client: HttpClient, head: bytes, body: bytes, sink: ResponseSink) -> None:
        self.head = head
        self.body = body
        self.sink = sink
        self.head_only = head.startswith(b"HEAD ")
        self.resent = False
        self.waiting = False
        self.connection: UpstreamConnection | None = None
        self.deadline_s = NEVER
        self._client = client

    def cancel(self) -> None:
        """Stop: close the connection that works on it, so that the upstream stops too. Safe at any time."""
        if self.connection is not None:
            self.connection.drop()
        elif self.waiting:
            self._client.forget(self)

    def pause(self) -> None:
        """Read no more for now: the reader behind is slow. The silence timeout rests meanwhile."""
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        if self.connection is not None:
            self.connection.resume()

    def on_deadline(self) -> None:
        self._client.give_up(self)


class UpstreamConnection(asyncio.Protocol):
    """Belongs to a client's pool. _call is the request that it works on, None while it is idle."""

    __slots__ = (
        "_begun", "_body_bytes", "_call", "_client", "_complete", "_head", "_keep_alive", "_parser", "_paused",
        "_pending", "_pieces", "_served", "_until_close", "closed", "deadline_s", "on_body", "transport",
    )  # fmt: skip

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.closed = False
        self.deadline_s = NEVER
        self._call: Call | None = None
        self._served = 0
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append  # the parser calls it without a Python frame
        self._parser = httptools.HttpResponseParser(self)
        self._paused = False
        self._reset()

    def _reset(self) -> None:
        self._begun = False  # a byte of the response has arrived
        self._head: ResponseHead | None = None
        self._pending = b""  # of a head that is not whole
        self._body_bytes = 0
        self._until_close = False  # the end of the connection is the end of the body
        self._complete = False
        self._keep_alive = False

    def begin(self, call: Call) -> None:
        self._call = call
        call.connection = self
        call.waiting = False
        self.deadline_s = self._client.ticker.now_s + self._client.first_byte_timeout_s
        if len(call.body) < _ONE_WRITE_BYTES:
            self.transport.write(call.head + call.body)
        else:
            self.transport.write(call.head)
            self.transport.write(call.body)

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        call = self._call
        if call is None:  # nobody asked: what it says next could be taken for another's answer
            self._close()
            return
        self._begun = True
        if not self._paused:
            self.deadline_s = self._client.ticker.now_s + self._client.silence_timeout_s
        try:
            self._read(data, call)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail("upstream_failed", f"sent what is not HTTP/1.1 ({str(error)[:80]})")
        except MintageError as error:
            self._end_with(error)
        except Exception as error:
            log.error("a response could not be passed on: %s at %s", type(error).__name__, places(error))
            self._end_with(MintageError("internal", "Something went wrong on our side.", type(error).__name__))

    def connection_lost(self, exc: Exception | None) -> None:
        self._close()
        call = self._call
        if call is None:
            return
        if self._until_close and self._head is not None and exc is None:
            self._finish(call)
        elif not self._begun and self._served and not call.resent:
            # It was closed while idle: the upstream has not seen the request (RFC 9110, section 9.2.2).
            self._detach(call)
            call.resent = True
            self._client.dispatch(call)
        else:
            self._fail("upstream_failed", "closed the connection before the answer was whole")

    # The response

    def _read(self, data: bytes, call: Call) -> None:
        if self._head is not None:
            self._parser.feed_data(data)
        elif not self._read_head(data, call):
            return
        pieces = self._pieces
        if pieces:
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            self._body_bytes += len(body)
            if self._body_bytes > self._client.body_limit_bytes:
                raise self._client.error(
                    "upstream_failed", f"sent more than {self._client.body_limit_bytes} bytes in one answer"
                )
            call.sink.on_data(body)
        if self._complete and self._call is call:
            self._finish(call)

    def _read_head(self, data: bytes, call: Call) -> bool:
        """Whether the head of the final response is there; what follows it in data is read as well."""
        if self._pending:
            data = self._pending + data
            self._pending = b""
        while True:
            end = data.find(b"\r\n\r\n") + 4
            if end > _HEAD_LIMIT or (end < 4 and len(data) > _HEAD_LIMIT):
                raise self._client.error("upstream_failed", "sent a head that is too large")
            if end < 4:
                self._pending = data
                return False
            if data[9:10] != b"1":
                break
            self._parser.feed_data(data[:end])  # 100 Continue, 103 Early Hints: the answer is still to come
            self._complete = False
            data = data[end:]
        raw = data[:end]
        self._parser.feed_data(raw if call.head_only else data)
        head = self._head = ResponseHead(self._parser.get_status_code(), raw)
        if call.head_only:
            self._complete, self._keep_alive = True, False
        elif not self._complete:
            self._until_close = head.header(b"content-length") is None and head.header(b"transfer-encoding") is None
        call.sink.on_head(head)
        return self._call is call

    def on_message_begin(self) -> None:
        if self._complete:
            raise httptools.HttpParserError("more than one answer")

    def on_message_complete(self) -> None:
        self._complete = True
        self._keep_alive = self._parser.should_keep_alive()

    def _finish(self, call: Call) -> None:
        self._detach(call)
        if self._keep_alive and not self._paused and not self.closed:
            self._served += 1
            self._reset()
            self._client.release(self)
        else:
            self._close()
        call.sink.on_end()

    def _detach(self, call: Call) -> None:
        call.connection = None
        self._call = None

    # Failures

    def on_deadline(self) -> None:
        if self._call is None:
            self._close()
        else:
            silent_s = self._client.silence_timeout_s if self._begun else self._client.first_byte_timeout_s
            self._fail("upstream_timeout", f"was silent for {silent_s:g} s")

    def _fail(self, code: str, what: str) -> None:
        self._end_with(self._client.error(code, what))

    def _end_with(self, error: MintageError) -> None:
        call = self._call
        self.drop()
        if call is not None:
            call.sink.on_error(error)

    def drop(self) -> None:
        """Close at once and tell nobody."""
        call = self._call
        if call is not None:
            self._detach(call)
        self._close()

    def shut_down(self) -> None:
        self._fail("shutting_down", "was cut off, because this server is shutting down")

    def _close(self) -> None:
        if not self.closed:
            self.closed = True
            self.deadline_s = NEVER
            self._client.closed(self)
            self.transport.abort()

    def pause(self) -> None:
        if not self._paused and not self.closed:
            self._paused = True
            self.deadline_s = NEVER
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._paused and not self.closed:
            self._paused = False
            self.deadline_s = self._client.ticker.now_s + self._client.silence_timeout_s
            self.transport.resume_reading()
