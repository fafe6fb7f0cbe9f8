"""The lake's files: immutable Parquet segments, each named by the range of log entries it covers.

Boundaries are fixed multiples, so the same entries always make the same file: a redelivered batch finds it there.
A file appears whole (written aside, fsynced, renamed, folder fsynced) or not at all.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import msgspec

SEGMENT_ENTRIES: Final = 20_000  # about 10,000 requests: a hold and a settlement each
MERGE: Final = 16  # so many neighbours become one file

_NAME: Final = re.compile(r"(\d{16})-(\d{16})\.parquet\Z")


class Segment(msgspec.Struct, frozen=True, order=True):
    """Entries first..last of the log."""

    first: int
    last: int

    @property
    def name(self) -> str:
        return f"{self.first:016d}-{self.last:016d}.parquet"


def segment_of(seq: int) -> Segment:
    """The smallest segment that an entry belongs to."""
    first = (seq - 1) // SEGMENT_ENTRIES * SEGMENT_ENTRIES + 1
    return Segment(first, first + SEGMENT_ENTRIES - 1)


def merged_segment(segment: Segment) -> Segment:
    """The merged segment that a small one goes into."""
    size = SEGMENT_ENTRIES * MERGE
    first = (segment.first - 1) // size * size + 1
    return Segment(first, first + size - 1)


def _names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


def mergeable(segments: list[Segment]) -> list[tuple[Segment, list[Segment]]]:
    """Every merged segment of which all small ones are there, with them."""
    groups: dict[Segment, list[Segment]] = {}
    for segment in segments:
        if segment == segment_of(segment.first):
            groups.setdefault(merged_segment(segment), []).append(segment)
    return [(whole, parts) for whole, parts in groups.items() if len(parts) == MERGE]


def list_segments(folder: Path) -> list[Segment]:
    """Segments in order, without those that a larger one contains."""
    matches = (_NAME.match(name) for name in _names(folder))
    found = sorted((Segment(int(m[1]), int(m[2])) for m in matches if m), key=lambda s: (s.first, -s.last))
    kept: list[Segment] = []
    for segment in found:
        if not kept or segment.last > kept[-1].last:
            kept.append(segment)
    return kept


def contained_segments(folder: Path) -> list[Path]:
    """Files whose entries a larger segment holds too: left over by a merge that was interrupted."""
    kept = {segment.name for segment in list_segments(folder)}
    return [folder / name for name in _names(folder) if _NAME.match(name) and name not in kept]


def covered_from(segments: list[Segment], seq: int) -> int:
    """The last entry up to which segments cover everything after `seq`, itself covered."""
    for segment in segments:
        if segment.first <= seq + 1 <= segment.last:
            seq = segment.last
    return seq


def gaps(segments: list[Segment]) -> list[tuple[int, int]]:
    """(first, last) of every range of entries between two segments, or before the first, that no file holds."""
    missing: list[tuple[int, int]] = []
    reached = 0
    for segment in segments:
        if segment.first > reached + 1:
            missing.append((reached + 1, segment.first - 1))
        reached = segment.last
    return missing


def publish(temporary: Path, file: Path) -> None:
    """Make a written file durable, then visible under its name."""
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sweep(folder: Path) -> None:
    """Remove what an interrupted write left behind."""
    for name in _names(folder):
        if name.startswith(".new-"):
            (folder / name).unlink(missing_ok=True)
