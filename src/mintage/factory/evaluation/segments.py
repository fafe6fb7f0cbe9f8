"""Segments of a file, one a line."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final

from mintage.base import MintageError

BYTES_MAX: Final = 256 * 1024 * 1024


def read_segments(file: Path) -> list[str]:
    """The lines of a UTF-8 file, in order, empty ones too; the end of the last line is no line of its own.

    Only LF and CRLF end a line: other separators belong to the text. Raises MintageError for a file that is missing,
    too large, or not UTF-8, naming the line.
    """
    try:
        if file.stat().st_size > BYTES_MAX:
            raise MintageError("payload_too_large", f"{file} is larger than {BYTES_MAX:,} bytes.", "Score it in parts.")
        raw = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        code = "not_found" if isinstance(error, FileNotFoundError) else "invalid_request"
        raise MintageError(code, f"{file} cannot be read: {error.strerror}.", "Check the path.") from error
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise MintageError("invalid_request", f"Line {line} of {file} is not UTF-8.", "Convert the file.") from error
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
