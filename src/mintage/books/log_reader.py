"""Reading the commit log back: live frames and archived ones, through a connection of its own.

Works beside a running writer, in the writer's process or another one.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.books.entries import Entry, decode_frame, number
from mintage.books.log_store import check_format, connect

FRAMES_PER_PAGE: Final = 32


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One commit as stored: entries with seq last_seq - entries + 1 .. last_seq. chain is over all frames so far."""

    last_seq: int
    entries: int
    body: bytes
    chain: bytes

    @property
    def first_seq(self) -> int:
        return self.last_seq - self.entries + 1


class ArchivedFrame(msgspec.Struct, frozen=True):
    """One line of an archive segment. body keeps the stored bytes, which the chain covers."""

    last_seq: int
    entries: int
    chain: str
    body: msgspec.Raw


def archive_folder(log: Path) -> Path:
    """Where a log's archive segments lie."""
    return log.parent / "archive"


def read_segment(file: Path) -> list[Frame]:
    """Raises MintageError("internal") for a segment that cannot be read."""
    decoder = msgspec.json.Decoder(ArchivedFrame)
    try:
        with gzip.open(file) as lines:
            frames = [decoder.decode(line) for line in lines]
    except (OSError, EOFError, msgspec.DecodeError, ValueError) as error:
        raise MintageError(
            "internal", f"The archive segment {file.name} is unreadable.", "Restore it from a backup."
        ) from error
    return [Frame(f.last_seq, f.entries, bytes(f.body), bytes.fromhex(f.chain)) for f in frames]


class FrameReader:
    """A reader of one log. Not for two threads at once. Raises MintageError("not_found") when there is no log."""

    def __init__(self, path: Path, vfs: str | None = None) -> None:
        self._connection = connect(path, read_only=True, vfs=vfs)
        check_format(self._connection, path)
        self._folder = archive_folder(path)
        self._segment: tuple[str, list[Frame]] = ("", [])

    def page(self, after_seq: int, limit: int = FRAMES_PER_PAGE) -> list[Frame]:
        """At most `limit` frames that reach beyond after_seq, in order; all of one archive segment or all live."""
        with self._connection:  # one read transaction: archiving meanwhile hides no frame
            file: Any = self._connection.execute(
                "SELECT file FROM archived WHERE last_seq > ? ORDER BY last_seq LIMIT 1", (after_seq,)
            ).get
            if file is None:
                rows: list[Any] = self._connection.execute(
                    "SELECT last_seq, entries, body, chain FROM frames WHERE last_seq > ? ORDER BY last_seq LIMIT ?",
                    (after_seq, limit),
                ).fetchall()
                return [Frame(*row) for row in rows]
        if self._segment[0] != file:
            self._segment = (file, read_segment(self._folder / file))
        return [frame for frame in self._segment[1] if frame.last_seq > after_seq][:limit]

    def frames(self, after_seq: int) -> Iterator[Frame]:
        """Every frame that reaches beyond after_seq."""
        while page := self.page(after_seq):
            yield from page
            after_seq = page[-1].last_seq

    def entries(self, after_seq: int, limit: int) -> list[Entry]:
        """At most `limit` entries with seq > after_seq, in order."""
        found: list[Entry] = []
        while len(found) < limit and (page := self.page(after_seq, 1)):
            frame = page[0]
            skip = max(0, after_seq + 1 - frame.first_seq)
            bodies = decode_frame(frame.body)[skip : skip + limit - len(found)]
            found.extend(number(bodies, frame.first_seq + skip))
            after_seq = frame.last_seq
        return found

    def entry(self, seq: int) -> Entry | None:
        return next(iter(self.entries(seq - 1, 1)), None)

    def chain_at(self, seq: int) -> bytes | None:
        """The chain value of the frame that ends at seq, if one does."""
        frame = next(iter(self.page(seq - 1, 1)), None)
        return frame.chain if frame is not None and frame.last_seq == seq else None

    def last_seq(self) -> int:
        """0 for an empty log."""
        query = (
            "SELECT max(ifnull((SELECT max(last_seq) FROM frames), 0), ifnull((SELECT max(last_seq) FROM archived), 0))"
        )
        return int(self._connection.execute(query).get)

    def close(self) -> None:
        self._connection.close()
