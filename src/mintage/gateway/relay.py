"""The byte path: same dialect on both sides, bytes through, only usage parsed.

The end of a stream (its usage and its last mark) is kept back until the settlement is durable: a client that has
seen the end of its answer has been billed for it, and a crash before that bills nothing twice.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from mintage.base import MintageError, UsageReported
from mintage.engines import Call, RelayEngine, ResponseHead
from mintage.protocols import openai

if TYPE_CHECKING:
    from mintage.gateway.conversation import Conversation

_ERROR_LIMIT_BYTES: Final = 64 * 1024


class RelayOutput(Protocol):
    """The reader's side of a relayed stream. Writing after the reader has gone does nothing."""

    @property
    def paused(self) -> bool: ...

    def begin(self) -> None:
        """The upstream has accepted: send the head of the answer."""
        ...

    def write(self, data: bytes) -> None: ...


class _Relay:
    """What both kinds share: one call, its end, and errors in the upstream's own words."""

    def __init__(self, conversation: Conversation) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.call: Call | None = None
        self._conversation = conversation
        self._error_head: ResponseHead | None = None
        self._error_body: list[bytes] = []
        self._error_bytes = 0

    def on_head(self, head: ResponseHead) -> None:
        self._conversation.upstream_id = (head.header(b"x-request-id") or b"").decode("latin-1")[:128]
        if head.status != 200:
            self._error_head = head

    def on_data(self, data: bytes) -> None:
        if self._error_head is None:
            self.take(data)
        elif self._error_bytes < _ERROR_LIMIT_BYTES:
            self._error_bytes += len(data)
            self._error_body.append(data)

    def on_end(self) -> None:
        if (head := self._error_head) is not None:
            body = b"".join(self._error_body)
            self.on_error(openai.decode_error(head.status, head.headers, body))
        else:
            self.finish()

    def on_error(self, error: MintageError) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def stop(self) -> None:
        """Ask the upstream to stop; nothing more will come."""
        if self.call is not None:
            self.call.cancel()
        if not self.done.done():
            self.done.cancel()

    def take(self, data: bytes) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        raise NotImplementedError


class StreamRelay(_Relay):
    """Server-sent events through, until the reader or the upstream ends."""

    def __init__(self, conversation: Conversation, output: RelayOutput) -> None:
        super().__init__(conversation)
        request = conversation.request
        renamed = request.model if conversation.route.upstream_model != request.model else None
        self.scanner = openai.RelayScanner(include_usage=request.include_usage, model=renamed)
        self.tail: list[bytes] = []
        self._output = output
        self._begun = False
        conversation.tally = self.scanner.report

    def take(self, data: bytes) -> None:
        scanner, conversation = self.scanner, self._conversation
        forward = scanner.feed(data)
        conversation.note_relayed(scanner.events)
        if scanner.error is not None:
            self.on_error(scanner.error)
            self.stop()
        elif scanner.ending:
            self.tail.append(forward)
        elif forward:
            self._forward(forward)
        if conversation.left and conversation.drained():
            self.stop()

    def _forward(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            self._output.begin()
        self._output.write(data)
        if self._output.paused and self.call is not None:
            self.call.pause()

    def finish(self) -> None:
        if self.done.done():
            return
        self.tail.append(self.scanner.close())
        if self.scanner.error is not None:
            self.done.set_exception(self.scanner.error)
            return
        if not self._begun:
            self._output.begin()
        self.done.set_result(None)


class WholeRelay(_Relay):
    """One JSON body, kept until it is settled."""

    def __init__(self, conversation: Conversation) -> None:
        super().__init__(conversation)
        self.answer: openai.RelayedAnswer | None = None
        self._pieces: list[bytes] = []

    def take(self, data: bytes) -> None:
        self._pieces.append(data)  # the client limits the body

    def finish(self) -> None:
        if self.done.done():
            return
        conversation = self._conversation
        model = conversation.request.model
        try:
            self.answer = openai.relay_answer(
                b"".join(self._pieces), model=model if conversation.route.upstream_model != model else None
            )
        except MintageError as error:
            self.done.set_exception(error)
            return
        conversation.tally = self._report
        self.done.set_result(None)

    def _report(self) -> UsageReported:
        assert self.answer is not None
        return self.answer.report


async def relay_stream(conversation: Conversation, engine: RelayEngine, raw: bytes, output: RelayOutput) -> bytes:
    """Stream through and settle. Returns the end of the stream, to be written last."""
    relay = StreamRelay(conversation, output)
    await _run(conversation, engine, raw, relay, include_usage=True)
    await conversation.settle(conversation.reported(), "ok")
    return b"".join(relay.tail)


async def relay_whole(conversation: Conversation, engine: RelayEngine, raw: bytes) -> bytes:
    """The upstream's answer as it came, settled."""
    relay = WholeRelay(conversation)
    await _run(conversation, engine, raw, relay, include_usage=False)
    assert relay.answer is not None
    await conversation.settle(conversation.reported(), "ok")
    return relay.answer.body


async def _run(
    conversation: Conversation, engine: RelayEngine, raw: bytes, relay: _Relay, *, include_usage: bool
) -> None:
    """Send the request and wait for its end; a failure or a reader that left is settled on the way out."""
    request = conversation.request
    body = openai.rewrite_request(
        raw,
        model=conversation.route.upstream_model,
        include_usage=include_usage,
        max_output_tokens=request.max_output_tokens,
    )
    try:
        relay.call = engine.relay(request.operation, body, relay)
        if isinstance(relay, StreamRelay):
            conversation.on_writable = relay.call.resume
        await relay.done
    except asyncio.CancelledError:
        relay.stop()
        conversation.settle_cut()
        raise
    except MintageError as error:
        await conversation.fail(error)
        raise
