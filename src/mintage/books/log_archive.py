"""Archive segments: frames that everything has read move out of the database into compressed files.

A segment is gzip of JSON lines, one frame each, with the chain value of the live log: the chain runs through all
segments into the database, so that a missing or changed segment shows. Nothing is deleted before the file is durable.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from mintage.books import failpoints
from mintage.books.log_reader import ArchivedFrame, Frame, archive_folder
from mintage.books.log_state import StateReader
from mintage.books.log_store import connect

SEGMENT_BYTES: Final = 8 << 20  # of bodies before compression: what a reader holds in memory


def archive_frames(log: Path, before_seq: int, vfs: str | None = None) -> list[Path]:
    """Archive every whole frame that ends before before_seq and is part of the stored state. Returns the new files."""
    connection = connect(log, vfs=vfs)
    state = StateReader(log, vfs)
    before_seq = min(before_seq, state.seq() + 1)
    folder = archive_folder(log)
    folder.mkdir(exist_ok=True)
    made = []
    try:
        while frames := _next_segment(connection, before_seq):
            file = folder / f"{frames[0].first_seq:016d}-{frames[-1].last_seq:016d}.jsonl.gz"
            write_segment(file, frames)
            if failpoints.armed is not None:
                failpoints.hit("log.archive")
            _drop(connection, frames, file.name)
            made.append(file)
    finally:
        connection.close()
        state.close()
    return made


def _next_segment(connection: apsw.Connection, before_seq: int) -> list[Frame]:
    frames: list[Frame] = []
    size = 0
    rows: Any = connection.execute(
        "SELECT last_seq, entries, body, chain FROM frames WHERE last_seq < ? ORDER BY last_seq", (before_seq,)
    )
    for row in rows:
        frames.append(Frame(*row))
        size += len(frames[-1].body)
        if size >= SEGMENT_BYTES:
            break
    rows.close()
    return frames


def write_segment(file: Path, frames: list[Frame]) -> None:
    """Write, fsync, rename, fsync the folder: the name exists only when the whole content does."""
    encode = msgspec.json.Encoder().encode
    lines = [encode(ArchivedFrame(f.last_seq, f.entries, f.chain.hex(), msgspec.Raw(f.body))) for f in frames]
    part = file.with_suffix(".part")
    with part.open("wb") as raw:
        raw.write(gzip.compress(b"\n".join(lines) + b"\n", compresslevel=6, mtime=0))
        raw.flush()
        os.fsync(raw.fileno())
    part.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _drop(connection: apsw.Connection, frames: list[Frame], name: str) -> None:
    """The segment takes the frames' place, in one transaction."""
    last, entries = frames[-1], sum(frame.entries for frame in frames)
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        connection.execute("INSERT INTO archived VALUES(?,?,?,?)", (last.last_seq, entries, name, last.chain))
        connection.execute("DELETE FROM frames WHERE last_seq <= ?", (last.last_seq,))
    connection.execute("COMMIT")
