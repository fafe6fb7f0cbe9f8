"""Read the header of a GGUF file: what a model says about itself, without loading a single weight.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian).
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Final

import msgspec

from mintage.base import MintageError

_SCALARS: Final = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING: Final = 8
_ARRAY: Final = 9
_PAIRS_MAX: Final = 4096
_ITEMS_MAX: Final = 8_000_000  # a vocabulary has at most some hundred thousand entries and merges
_ITEMS_KEPT: Final = 64  # longer arrays are vocabularies: stepped over, not kept
_TEXT_MAX: Final = 1024 * 1024


class GgufHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a GGUF file says about its model. Empty or 0: it does not say."""

    architecture: str = ""
    title: str = ""
    licence: str = ""
    languages: tuple[str, ...] = ()
    context_tokens: int = 0  # the window it was trained for
    chat_template: str = ""  # Jinja source
    tensors: int = 0


class _Reader:
    """A cursor over the mapped file. Every read is checked: a broken file raises struct.error or ValueError."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def scalar(self, form: str) -> int | float | bool:
        value: int | float | bool = struct.unpack_from(form, self.data, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def length(self, most: int) -> int:
        size = int(self.scalar("<Q"))
        if size > most:
            raise ValueError(f"length {size} is over {most}")
        return size

    def text(self) -> str:
        size = self.length(_TEXT_MAX)
        raw = self.data[self.at : self.at + size]
        if len(raw) != size:
            raise ValueError("a text ends after the file")
        self.at += size
        return raw.decode("utf-8", "replace")

    def value(self, kind: int) -> object:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self.array()
        if kind not in _SCALARS:
            raise ValueError(f"value type {kind} is unknown")
        return self.scalar(_SCALARS[kind])

    def array(self) -> list[object]:
        """Short arrays as a list; a long one (the vocabulary) is stepped over and comes back empty."""
        kind = int(self.scalar("<I"))
        count = self.length(_ITEMS_MAX)
        if kind == _ARRAY:
            raise ValueError("arrays of arrays are not used by models")
        if count <= _ITEMS_KEPT:
            return [self.value(kind) for _ in range(count)]
        if kind != _STRING:
            if kind not in _SCALARS:
                raise ValueError(f"value type {kind} is unknown")
            self.at += count * struct.calcsize(_SCALARS[kind])
            return []
        data, at, unpack = self.data, self.at, struct.Struct("<Q").unpack_from
        for _ in range(count):
            at += 8 + unpack(data, at)[0]
        self.at = at
        return []

    def pairs(self) -> tuple[int, dict[str, object]]:
        """(number of tensors, all key-value pairs)."""
        if self.data[:4] != b"GGUF":
            raise ValueError("it does not start with the letters GGUF")
        self.at = 4
        if int(self.scalar("<I")) not in (2, 3):
            raise ValueError("its version is neither 2 nor 3")
        tensors = int(self.scalar("<Q"))
        count = self.length(_PAIRS_MAX)
        found: dict[str, object] = {}
        for _ in range(count):
            key = self.text()
            found[key] = self.value(int(self.scalar("<I")))
        return tensors, found


def read_gguf(path: Path) -> GgufHeader:
    """The header of the file. Raises MintageError invalid_request if it is not a GGUF file or is cut short."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            tensors, found = _Reader(data).pairs()
    except (ValueError, struct.error, OverflowError) as error:
        raise MintageError(
            "invalid_request",
            f"{path.name} is not a usable GGUF file: {error}.",
            "Pull a file whose name ends in .gguf, and pull it again if the download was cut.",
        ) from error
    return _interpret(tensors, found)


def _interpret(tensors: int, found: dict[str, object]) -> GgufHeader:
    def text(key: str) -> str:
        value = found.get(key)
        return value if isinstance(value, str) else ""

    architecture = text("general.architecture")
    context = found.get(f"{architecture}.context_length")
    languages = found.get("general.languages")
    return GgufHeader(
        architecture=architecture,
        title=text("general.name"),
        licence=text("general.license"),
        languages=tuple(x for x in languages if isinstance(x, str)) if isinstance(languages, list) else (),
        context_tokens=context if isinstance(context, int) and context > 0 else 0,
        chat_template=text("tokenizer.chat_template"),
        tensors=tensors,
    )
