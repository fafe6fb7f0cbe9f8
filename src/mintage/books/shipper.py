"""`python -m mintage.books.shipper LOG DATABASE LAKE [WORKER]`: the process that keeps ledger and lake up to date.

Reads questions as JSON lines on stdin, {"id", "operation", "parameters"}, and answers each on stdout with {"id",
"result"} or {"id", "error"}. Between questions it looks at the log POLL_S apart. It ends when stdin does, so it never
outlives the server, and a kill at any moment loses nothing: all it writes is derived and exactly-once.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from typing import Final

import msgspec

from mintage.base import MintageError
from mintage.books.deriver import Deriver
from mintage.books.shipper_protocol import Failure, Question, Reply

POLL_S: Final = 0.5
RETRY_S: Final = 2.0  # after an error, so that a full disk is not hammered
LINE_LIMIT: Final = 1 << 20


_QUESTION: Final = msgspec.json.Decoder(Question)
_ENCODE: Final = msgspec.json.Encoder(enc_hook=str).encode


class Lines:
    """Lines of a descriptor, without blocking longer than asked."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""
        self.ended = False

    def next(self, timeout_s: float) -> bytes | None:
        """The next whole line, or None: nothing came in time, or the stream has `ended`."""
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if found:
                self._buffer = rest
                return line
            if self.ended or len(self._buffer) > LINE_LIMIT:
                self.ended = True  # a line without an end is no question of ours
                return None
            if not select.select([self._descriptor], [], [], timeout_s)[0]:
                return None
            data = os.read(self._descriptor, 1 << 16)
            self._buffer += data
            self.ended = not data


def answer(deriver: Deriver, line: bytes) -> Reply:
    """Never raises what a question can cause."""
    try:
        question = _QUESTION.decode(line)
    except msgspec.DecodeError as error:
        return Reply(id=0, error=Failure(code="invalid_json", message=f"Not a question: {error}."))
    try:
        if question.sync:
            deriver.catch_up()
        return Reply(id=question.id, result=deriver.answer(question.operation, question.parameters))
    except MintageError as error:
        return Reply(id=question.id, error=Failure(code=error.code, message=error.message, hint=error.hint))


def serve(deriver: Deriver, lines: Lines, out: int) -> None:
    """Until stdin ends; then read the rest of the log and return."""
    while not lines.ended:
        busy = deriver.step()
        if not busy:
            deriver.lake.merge()
        wait_s = 0.0 if busy else RETRY_S if deriver.progress().error else POLL_S
        line = lines.next(wait_s)
        if line is not None:
            _send(out, _ENCODE(answer(deriver, line)) + b"\n")
    deriver.catch_up()


def _send(out: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]


def main(arguments: list[str]) -> int:
    log, database, lake, worker = (*arguments, "")[:4]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the server ends us in its own time
    with contextlib.suppress(OSError):
        os.nice(5)  # customers first
    from pathlib import Path

    try:
        deriver = Deriver(Path(log), database, Path(lake), worker)
    except MintageError as error:
        sys.stderr.write(f"mintage shipper: {error}\n")
        return 1
    try:
        serve(deriver, Lines(sys.stdin.fileno()), sys.stdout.fileno())
    except BrokenPipeError:
        return 1  # the server is gone
    finally:
        deriver.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
