"""Megatron-LM's indexed dataset (MMIDIDX, version 1).

.bin: the ids of all documents one after the other. .idx: magic, version (u64), type (u8), number of sequences and of
document bounds (u64 each), lengths (i32), byte offsets (i64), document bounds (i64). Source: Megatron-LM's
megatron/core/datasets/indexed_dataset.py.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.base import MintageError

if TYPE_CHECKING:
    import numpy as np

_MAGIC: Final = b"MMIDIDX\x00\x00"
_HEAD: Final = struct.Struct("<9sQBQQ")
_UINT16, _INT32 = 8, 4  # Megatron's codes of types


class StoreReport(msgspec.Struct, frozen=True, kw_only=True):
    tokens: int
    documents: int
    dtype: str
    sha256: str  # of the .bin


def write_store(documents: Iterable[Sequence[int]], prefix: Path, *, vocabulary: int) -> StoreReport:
    """Write prefix.bin and prefix.idx; whole or not at all. uint16 where the vocabulary allows, else int32."""
    import numpy as np

    kind = np.dtype("<u2") if vocabulary <= 65_500 else np.dtype("<i4")
    digest, lengths = hashlib.sha256(), []
    partial = prefix.with_suffix(".bin.partial")
    with partial.open("wb") as file:
        for ids in documents:
            raw = np.asarray(ids, kind).tobytes()
            digest.update(raw)
            file.write(raw)
            lengths.append(len(ids))
    counts = np.asarray(lengths, "<i4")
    ends = np.cumsum(counts, dtype="<i8") * kind.itemsize
    offsets = np.concatenate([np.zeros(1, "<i8"), ends[:-1]]) if lengths else np.zeros(0, "<i8")
    with prefix.with_suffix(".idx").open("wb") as file:
        code = _UINT16 if kind.itemsize == 2 else _INT32
        file.write(_HEAD.pack(_MAGIC, 1, code, len(lengths), len(lengths) + 1))
        file.write(counts.tobytes() + offsets.astype("<i8").tobytes())
        file.write(np.arange(len(lengths) + 1, dtype="<i8").tobytes())
    partial.replace(prefix.with_suffix(".bin"))
    return StoreReport(tokens=int(counts.sum()), documents=len(lengths), dtype=kind.name, sha256=digest.hexdigest())


class TokenStore:
    """tokens: all ids in order, mapped, not read. bounds: where documents begin, and the end of the last."""

    def __init__(self, tokens: np.ndarray[Any, Any], bounds: np.ndarray[Any, Any]) -> None:
        self.tokens = tokens
        self.bounds = bounds

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def document(self, number: int) -> np.ndarray[Any, Any]:
        """A view of one document's ids."""
        found: np.ndarray[Any, Any] = self.tokens[self.bounds[number] : self.bounds[number + 1]]
        return found

    def document_at(self, token: int) -> int:
        """The number of the document that the token at this place is of."""
        return int(self.bounds.searchsorted(token, "right")) - 1


def open_store(prefix: Path) -> TokenStore:
    """Raises MintageError not_found or invalid_request (cut short, another format)."""
    import numpy as np

    try:
        raw = prefix.with_suffix(".idx").read_bytes()
        magic, version, code, sequences, _ = _HEAD.unpack_from(raw)
        if (magic, version) != (_MAGIC, 1) or code not in (_UINT16, _INT32):
            raise ValueError("it is of another format")
        counts = np.frombuffer(raw, "<i4", sequences, _HEAD.size)
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
        kind = "<u2" if code == _UINT16 else "<i4"
        path = prefix.with_suffix(".bin")
        if path.stat().st_size != int(bounds[-1]) * np.dtype(kind).itemsize:
            raise ValueError("the .bin is not as long as the .idx says")
        tokens = np.memmap(path, kind, "r") if bounds[-1] else np.zeros(0, kind)
    except FileNotFoundError as error:
        raise MintageError("not_found", f"There is no token store {prefix.name}.", "Write it first.") from error
    except (ValueError, struct.error) as error:
        raise MintageError("invalid_request", f"{prefix.name}: {error}.", "Write the store again.") from error
    return TokenStore(tokens, bounds)
