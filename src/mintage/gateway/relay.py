"""The byte path: same dialect on both sides, bytes through, only usage parsed.

It runs on callbacks, from the durable hold to the durable settlement, because tasks and futures between them cost more
than the money does (docs/log.md, Gateway). The end of a stream (its usage and its last mark) is kept back until the
settlement is durable: a client that has seen the end of its answer has been billed, and a crash before that bills
nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol, cast

from mintage.base import Cost, MintageError, Receipt, UsageReported
from mintage.base.errors import places
from mintage.engines import Call, RelayEngine, ResponseHead
from mintage.gateway.attempts import Attempts, Try, Wait
from mintage.protocols import openai

if TYPE_CHECKING:
    from mintage.gateway.conversation import Conversation

log = logging.getLogger("mintage.gateway")
_ERROR_LIMIT_BYTES: Final = 64 * 1024


class RelayOutput(Protocol):
    """The reader's side of a relay: begin and writes of a stream, then finish or fail, once.

    Everything here does nothing after the reader has gone.
    """

    @property
    def paused(self) -> bool: ...

    def begin(self) -> None:
        """The upstream has accepted: send the head of the stream."""
        ...

    def write(self, data: bytes) -> None: ...

    def finish(self, data: bytes) -> None:
        """It is settled: the whole answer, or the end of the stream."""
        ...

    def fail(self, error: MintageError) -> None: ...


def cut_error() -> MintageError:
    return MintageError(
        "shutting_down", "The answer was cut before its end.", "What was streamed is billed. Ask again in a moment."
    )


class Relay:
    """One answer on its way through: what whole answers and streams share."""

    __slots__ = (
        "_call", "_conversation", "_error_body", "_error_head", "_output", "_over", "_raw", "_result", "_timer",
    )  # fmt: skip
    include_usage = False

    def __init__(self, conversation: Conversation, raw: bytes, output: RelayOutput) -> None:
        self._conversation = conversation
        self._raw = raw
        self._output = output
        self._call: Call | None = None
        self._over = False  # finished, failed or cut: nothing that still comes counts
        self._error_head: ResponseHead | None = None
        self._error_body = b""
        self._result = b""
        self._timer: asyncio.TimerHandle | None = None  # until the next attempt

    def held(self, durable: asyncio.Future[None]) -> None:
        """The hold is in the books, or is not: go ahead, or say why not."""
        conversation = self._conversation
        if (error := durable.exception()) is not None:
            self._over = True
            conversation.not_held(_typed(error))
            self._output.fail(_typed(error))
        elif self._over:
            return
        elif conversation.left:
            self._over = True
            conversation.release("the reader left before dispatch")
        else:
            self.dispatch()

    def dispatch(self) -> None:
        """Ask the upstream."""
        conversation = self._conversation
        if conversation.attempts is not None and not self._choose(conversation.attempts):
            return
        request, route = conversation.request, conversation.route
        try:
            body = openai.rewrite_request(
                self._raw,
                model=route.upstream_model,
                include_usage=self.include_usage,
                max_output_tokens=conversation.engine_request().max_output_tokens,
            )
            if conversation.attempts is None:
                self._raw = b""
            self._call = cast("RelayEngine", route.engine).relay(request.operation, body, self)
        except Exception as error:
            self.on_error(_typed(error))
        else:
            conversation.on_writable = self._call.resume

    def _choose(self, attempts: Attempts) -> bool:
        """Whether an attempt may begin now; else it begins by itself later, or the reader has been told."""
        if self._over:
            return False
        conversation = self._conversation
        step = attempts.next(conversation.monotonic_ns())
        if isinstance(step, Try):
            conversation.use(step.target.route)
            self.reset()
            return True
        if isinstance(step, Wait):
            self._timer = asyncio.get_running_loop().call_later(step.seconds, self.dispatch)
        else:
            self._fail(step.error)
        return False

    def _again(self, error: MintageError) -> bool:
        """Whether another attempt follows the failed one."""
        attempts = self._conversation.attempts
        if attempts is None or attempts.current is None:
            return False
        cost = None if attempts.sent else self._lost()
        if not attempts.failed(error, self._conversation.monotonic_ns(), cost):
            return False
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._error_head, self._error_body = None, b""
        self.reset()
        self.dispatch()
        return True

    def _lost(self) -> Cost | None:
        """What a failed attempt cost us that nobody saw, if the upstream said what it used."""
        tally, conversation = self._conversation.tally, self._conversation
        said = tally() if tally is not None else None
        if said is None or not (said.usage.prompt_tokens or said.usage.completion_tokens):
            return None
        return conversation.cost(conversation.with_prompt(said.usage), said.engine_ms)

    # The upstream's side

    def on_head(self, head: ResponseHead) -> None:
        upstream_id = head.header(b"x-request-id")
        if upstream_id is not None:
            self._conversation.upstream_id = upstream_id.decode("latin-1")[:128]
        if head.status != 200:
            self._error_head = head

    def on_data(self, data: bytes) -> None:
        if self._over:
            return
        if self._error_head is None:
            if self._conversation.kept is not None:
                self._conversation.kept.append(data)
            self.take(data)
        elif len(self._error_body) < _ERROR_LIMIT_BYTES:
            self._error_body += data

    def on_end(self) -> None:
        if self._over:
            return
        if (head := self._error_head) is not None:
            self.on_error(openai.decode_error(head.status, head.headers, self._error_body))
            return
        try:
            self._result = self.end()
            self._over = True
            if self._conversation.attempts is not None:
                self._conversation.attempts.succeeded(self._conversation.monotonic_ns())
            self._call = None  # it holds us as we hold it
            self._conversation.settle(self._conversation.reported(), "ok").add_done_callback(self._settled)
        except Exception as error:
            self._over = False
            self.on_error(_typed(error))

    def on_error(self, error: MintageError) -> None:
        """Try again where that may help; else stop, settle as failed, then tell the reader."""
        if not self._over and not self._again(error):
            self._fail(error)

    def _fail(self, error: MintageError) -> None:
        self._stop()
        try:
            settled = self._conversation.fail(error)
        except MintageError:  # the books refuse as well: the hold is resolved by its lease
            settled = None
        if settled is None:
            self._output.fail(error)
        else:
            settled.add_done_callback(lambda _: self._output.fail(error))

    def cut(self) -> None:
        """The gateway or the reader ends it early: bill what was used."""
        if not self._over:
            self._stop()
            self._conversation.settle_cut()
            self._output.fail(cut_error())

    def _stop(self) -> None:
        self._over = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._timer is not None:
            self._timer.cancel()
        if self._conversation.attempts is not None:
            self._conversation.attempts.abandoned(self._conversation.monotonic_ns())

    def _settled(self, settled: asyncio.Future[Receipt]) -> None:
        if (error := settled.exception()) is not None:
            self._output.fail(_typed(error))
        else:
            self._output.finish(self._result)

    # What the two kinds do differently

    def reset(self) -> None:
        """Forget what a failed attempt brought."""
        raise NotImplementedError

    def take(self, data: bytes) -> None:
        """A part of the answer has come."""
        raise NotImplementedError

    def end(self) -> bytes:
        """The answer is whole: what to send once it is settled. Raises MintageError for what is no answer."""
        raise NotImplementedError


class WholeRelay(Relay):
    """One JSON body, kept until it is settled."""

    __slots__ = ("_pieces",)

    def __init__(self, conversation: Conversation, raw: bytes, output: RelayOutput) -> None:
        super().__init__(conversation, raw, output)
        self._pieces: list[bytes] = []

    def reset(self) -> None:
        self._pieces = []
        self._conversation.tally = None

    def take(self, data: bytes) -> None:
        self._pieces.append(data)  # the client limits the body

    def end(self) -> bytes:
        conversation = self._conversation
        model = conversation.request.model
        answer = openai.relay_answer(
            b"".join(self._pieces), model=model if conversation.route.upstream_model != model else None
        )

        def report() -> UsageReported:
            return answer.report

        conversation.tally = report
        return answer.body


class StreamRelay(Relay):
    """Server-sent events through, until the reader or the upstream ends."""

    __slots__ = ("_begun", "_early", "_scanner", "_tail")
    include_usage = True

    def __init__(self, conversation: Conversation, raw: bytes, output: RelayOutput) -> None:
        super().__init__(conversation, raw, output)
        self._early: list[bytes] = []  # kept back while another upstream may still answer instead
        self._tail: list[bytes] = []
        self._begun = False
        self._scan()

    def _scan(self) -> None:
        conversation = self._conversation
        request = conversation.request
        renamed = request.model if conversation.route.upstream_model != request.model else None
        self._scanner = openai.RelayScanner(include_usage=request.include_usage, model=renamed)
        conversation.tally = self._scanner.report

    def reset(self) -> None:
        self._early, self._tail = [], []
        self._conversation.note_relayed(0)
        self._scan()

    def take(self, data: bytes) -> None:
        scanner, conversation = self._scanner, self._conversation
        forward = scanner.feed(data)
        conversation.note_relayed(scanner.events)
        attempts = conversation.attempts
        if scanner.error is not None:
            self.on_error(scanner.error)
        elif attempts is not None and not attempts.sent and not scanner.events:
            self._early.append(forward)
        elif scanner.ending:
            self._tail.append(forward)
        elif forward:
            self._forward(forward)
        if conversation.left and conversation.drained():
            self.cut()

    def _forward(self, data: bytes) -> None:
        output = self._output
        if not self._begun:
            self._begun = True
            output.begin()
            if (attempts := self._conversation.attempts) is not None:
                attempts.sent = True
                data = b"".join((*self._early, data))
                self._early = []
        output.write(data)
        if output.paused and self._call is not None:
            self._call.pause()

    def end(self) -> bytes:
        scanner = self._scanner
        self._tail.append(scanner.close())
        if scanner.error is not None:
            raise scanner.error
        if not self._begun:
            self._begun = True
            self._output.begin()
        return b"".join((*self._early, *self._tail))


def _typed(error: BaseException) -> MintageError:
    """What a reader may see of any failure."""
    if isinstance(error, MintageError):
        return error
    log.error("a relay failed: %s at %s", type(error).__name__, places(error))
    return MintageError("internal", "Something went wrong on our side.", "Try again; the log tells more.")
