"""Rows of text drawn from a token store by the seed and the step, so that a resumed run sees the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.base import MintageError
from mintage.factory.store import TokenStore

if TYPE_CHECKING:
    import numpy as np

CODES_FILE: Final = "codes.json"
CODES_MAX: Final = 65_535


class Codes(msgspec.Struct, frozen=True):
    """names: control codes of a corpus. of_document: for each document of the store, the number of its code."""

    names: tuple[str, ...]
    of_document: Any


def write_codes(prefix: Path, labels: list[str]) -> tuple[str, ...]:
    """One label a document, in the store's order; `prefix`.codes holds their numbers (uint16), codes.json the names."""
    import numpy as np

    path = prefix.with_name(CODES_FILE)
    known: list[str] = msgspec.json.decode(path.read_bytes(), type=list[str]) if path.is_file() else []
    known += sorted(set(labels) - set(known))
    if len(known) > CODES_MAX:
        raise MintageError("payload_too_large", f"There are over {CODES_MAX:,} control codes.", "Use coarser ones.")
    number = {name: at for at, name in enumerate(known)}
    prefix.with_suffix(".codes").write_bytes(np.asarray([number[label] for label in labels], "<u2").tobytes())
    path.write_bytes(msgspec.json.encode(known))
    return tuple(known)


def open_codes(prefix: Path) -> Codes:
    """Raises not_found or invalid_request."""
    import numpy as np

    try:
        names = msgspec.json.decode(prefix.with_name(CODES_FILE).read_bytes(), type=tuple[str, ...])
        return Codes(names, np.frombuffer(prefix.with_suffix(".codes").read_bytes(), "<u2"))
    except FileNotFoundError as error:
        raise MintageError(
            "not_found", f"The store {prefix.name} has no control codes.", "Write the store again."
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise MintageError("invalid_request", f"{prefix.name}: {error}.", "Write the store again.") from error


class RowSource:
    """rows(step) -> (batch, block) int64, always the same for the same step.

    With codes, a row begins with the code of its first document and each further document with its own.
    """

    def __init__(self, store: TokenStore, batch: int, block: int, *, seed: int) -> None:
        if len(store.tokens) <= block:
            raise MintageError(
                "invalid_request", f"The store has {len(store.tokens)} tokens, less than a block.", "Add text."
            )
        self._store, self._batch, self._block, self._seed = store, batch, block, seed
        self._code_ids: Any = None

    def with_codes(self, codes: Codes, ids: tuple[int, ...]) -> RowSource:
        """ids: the token of each code, in the order of its names."""
        import numpy as np

        if len(codes.of_document) != len(self._store):
            raise MintageError("invalid_request", "The store's control codes are of another store.", "Write it again.")
        self._code_ids = np.asarray(ids, np.int64)[codes.of_document]
        return self

    def draw(self, step: int) -> np.random.Generator:
        import numpy as np

        return np.random.default_rng((self._seed, step))

    def rows(self, draw: np.random.Generator) -> Any:
        import numpy as np

        starts = draw.integers(0, len(self._store.tokens) - self._block, self._batch)
        if self._code_ids is not None:
            return np.stack([self._coded(int(at)) for at in starts])
        return np.stack([self._store.tokens[at : at + self._block].astype(np.int64) for at in starts])

    def _coded(self, at: int) -> Any:
        import numpy as np

        text = self._store.tokens[at : at + self._block].astype(np.int64)
        first, last = self._store.document_at(at), self._store.document_at(at + self._block - 1)
        begins = [0, *(int(self._store.bounds[number]) - at for number in range(first + 1, last + 1))]
        return np.insert(text, begins, self._code_ids[first : last + 1])[: self._block]
