"""Compressed files as bounded streams of bytes and lines: a bomb is stopped, a cut file keeps what could be read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec

from mintage.base import MintageError

_CHUNK: Final = 1 << 20
_RATIO_FREE_BYTES: Final = 64 << 20  # short files of one repeated letter are no attack
_BROKEN: Final = (EOFError, zlib.error, lzma.LZMAError, OSError)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """ratio_max: bytes out per byte in, beyond which a compressed file is called a bomb."""

    line_bytes_max: int = 64 << 20
    document_characters_max: int = 20_000_000
    file_bytes_max: int = 1 << 42
    ratio_max: int = 250


class BrokenError(Exception):
    """The stream cannot be read further. reason: a key for the tally."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Bounded(io.RawIOBase):
    """Bytes of a decompressor, counted against what the file holds. Raises BrokenError in place of library errors."""

    def __init__(self, source: BinaryIO, packed_bytes: int, limits: Limits) -> None:
        self._source = source
        self._most = min(limits.file_bytes_max, max(_RATIO_FREE_BYTES, packed_bytes * limits.ratio_max))
        self._read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._source.read(len(buffer))
        except _BROKEN as error:
            raise BrokenError("truncated" if isinstance(error, EOFError) else "corrupt") from error
        except Exception as error:
            if type(error).__name__ != "ZstdError":
                raise
            raise BrokenError("corrupt") from error
        self._read_bytes += len(data)
        if self._read_bytes > self._most:
            raise BrokenError("bomb")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()


def open_bytes(file: Path, limits: Limits) -> io.BufferedReader:
    """A file's content, unpacked by its ending: .gz, .bz2, .xz, .zst. Raises MintageError, later BrokenError."""
    try:
        size = file.stat().st_size
        source = _unpacked(file)
    except OSError as error:
        code = "not_found" if isinstance(error, FileNotFoundError) else "invalid_request"
        raise MintageError(code, f"{file} cannot be read: {error.strerror}.", "Check the path.") from error
    return io.BufferedReader(Bounded(source, size, limits), _CHUNK)


def _unpacked(file: Path) -> BinaryIO:
    match file.suffix.lower():
        case ".gz":
            return cast("BinaryIO", gzip.open(file))
        case ".bz2":
            return cast("BinaryIO", bz2.open(file))
        case ".xz":
            return cast("BinaryIO", lzma.open(file))
        case ".zst":
            import zstandard

            opened = file.open("rb")
            return cast("BinaryIO", _Whole(zstandard.ZstdDecompressor(max_window_size=1 << 31), opened))
        case _:
            return file.open("rb")


class _Whole:
    """zstandard takes a cut frame for the end of the file; this says so. Frames may follow one another."""

    def __init__(self, decompressor: object, source: BinaryIO) -> None:
        self._decompressor: Any = decompressor
        self._source = source
        self._frame: Any = None
        self._pending = b""
        self._packed = b""

    def read(self, size: int) -> bytes:
        while not self._pending:
            if not self._packed:
                self._packed = self._source.read(1 << 16)
                if not self._packed:
                    if self._frame is not None:
                        raise EOFError
                    return b""
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            self._pending = self._frame.decompress(self._packed)
            self._packed = b""
            if self._frame.eof:
                self._packed = self._frame.unused_data
                self._frame = None
        out, self._pending = self._pending[:size], self._pending[size:]
        return out

    def close(self) -> None:
        self._source.close()


def lines(stream: io.BufferedReader, limits: Limits, left: Counter[str]) -> Iterator[tuple[int, str]]:
    """(line number from 1, text) of each line in UTF-8; lines too long or not UTF-8 are counted and left out."""
    number = 0
    while line := stream.readline(limits.line_bytes_max):
        number += 1
        if not line.endswith(b"\n") and len(line) >= limits.line_bytes_max:
            left["line_too_long"] += 1
            while (rest := stream.readline(limits.line_bytes_max)) and not rest.endswith(b"\n"):
                pass
            continue
        try:
            yield number, line.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            left["not_utf8"] += 1
