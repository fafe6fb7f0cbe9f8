"""The byte path of a stream: the same dialect on both sides, so events pass through and only what money needs is read.

Every event is decoded into the few fields below (skipping the rest costs less than searching for three strings, and
cannot be fooled by text that looks like a field). A `usage` that passes is written anew: the customer sees the numbers
that are billed, and none of a provider's own fields, such as what it charged us.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from mintage.base import MintageError, Usage, UsageReported
from mintage.protocols.openai.answer_wire import NULL
from mintage.protocols.openai.tally import Scan, Tally, members, scan
from mintage.protocols.openai.usage import encode_usage
from mintage.protocols.sse import EventBuffer, event_data
from mintage.protocols.upstream_errors import cut_error

_PREFIX: Final = b"data: {"
_DONE: Final = b"data: [DONE]"
_json = msgspec.json.Encoder().encode


class RelayScanner:
    """feed() the upstream's bytes and forward what it returns; close() when the connection ends.

    include_usage: the client asked for usage; without it the usage chunk is dropped. model: the name to show instead
    of the upstream's. Nothing raises: a failure (an error event, what is not the protocol, a cut) is left in `error`,
    and what came before it is still returned. The bytes forwarded do not depend on how they were split.
    """

    __slots__ = (
        "_buffer",
        "_include_usage",
        "_model",
        "_swap",
        "error",
        "finished",
        "tally",
        "upstream_id",
        "upstream_model",
    )

    def __init__(self, *, include_usage: bool = False, model: str | None = None) -> None:
        self._buffer = EventBuffer()
        self._include_usage = include_usage
        self._model = model
        self._swap: tuple[bytes, bytes] | None = None
        self.tally = Tally()
        self.finished = False  # [DONE] has passed
        self.error: MintageError | None = None
        self.upstream_id = ""
        self.upstream_model = ""

    @property
    def usage(self) -> Usage | None:
        """What the upstream reported, once it has."""
        return self.tally.usage

    @property
    def ending(self) -> bool:
        """All that is billed is known: every choice has ended and usage was reported, or [DONE] has passed."""
        return self.finished or self.tally.whole

    @property
    def events(self) -> int:
        """Deltas that said something so far."""
        return self.tally.events

    def report(self) -> UsageReported:
        return self.tally.report()

    def feed(self, data: bytes) -> bytes:
        """What to forward now: whole events only, often all of data, sometimes nothing."""
        if self.finished or self.error is not None:
            return b""
        try:
            whole = self._buffer.push(data)
        except MintageError as error:
            self.error = error
            return b""
        return self._pass(whole) if whole else b""

    def close(self) -> bytes:
        """Call once, when the connection has ended. Leaves the cut in `error`, unless all was said but [DONE]."""
        rest = self._buffer.rest()
        out = self._pass(rest + b"\n\n") if rest and not self.finished and self.error is None else b""
        if not self.finished and self.error is None:
            if not self.tally.whole:
                self.error = cut_error()
                return out
            self.finished = True
            out += _DONE + b"\n\n"
        return out

    def _pass(self, whole: bytes) -> bytes:
        events = whole.split(b"\n\n")
        if not events[-1]:
            events.pop()
        out: list[bytes] = []
        for event in events:
            kept = self._event(event)
            if kept:
                out.append(kept)
            if self.finished or self.error is not None:
                break
        if out != events:
            whole = b"".join([event + b"\n\n" for event in out])
        return whole if self._swap is None else whole.replace(*self._swap)

    def _event(self, event: bytes) -> bytes:
        """The event as it is forwarded; b"" if it is not."""
        if event.startswith(_PREFIX) and b"\n" not in event:
            return self._chunk(event[6:], event)
        data = event_data(event)
        if not data:
            return b""  # a comment is the upstream's keep-alive; ours is an empty chunk
        if data == b"[DONE]":
            self.finished = True
            return _DONE
        data = data.replace(b"\n", b" ")
        return self._chunk(data, b"data: " + data)

    def _chunk(self, data: bytes, event: bytes) -> bytes:
        try:
            chunk = scan(data)
            self.tally.add(chunk)
            if not self.upstream_model and chunk.model:
                self._begin(chunk, data)
            return event if chunk.usage == NULL else self._with_usage(chunk, data)
        except MintageError as error:
            self.error = error
            return b""

    def _begin(self, chunk: Scan, data: bytes) -> None:
        """Learn how the upstream writes its model, so that ours can stand there instead."""
        self.upstream_id, self.upstream_model = chunk.id or "", chunk.model or ""
        if self._model is None or self._model == self.upstream_model:
            return
        for separator in (b":", b": "):
            theirs = b'"model"' + separator + _json(self.upstream_model)
            if theirs in data:
                self._swap = theirs, b'"model"' + separator + _json(self._model)
                return

    def _with_usage(self, chunk: Scan, data: bytes) -> bytes:
        """The event with the numbers that are billed, or without usage for a client that did not ask."""
        wanted = self._include_usage and self.tally.reported is not None
        if not wanted and not chunk.choices:
            return b""
        body = members(data)
        if self._swap is not None:
            body["model"] = Raw(_json(self._model))
        if wanted:
            body["usage"] = Raw(encode_usage(self.tally.report().usage))
        else:
            del body["usage"]
        return b"data: " + _json(body)
