"""A document, the Arrow schema of many, and what a step counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_DOCUMENTS: Final = 1024
BATCH_CHARACTERS: Final = 16 << 20  # a batch of long books is smaller
#: Columns of every batch, all text: where it is from is kept with each document, for licences and erasure.
SCHEMA: Final = ("id", "text", "source", "licence", "url")


class Document(NamedTuple):
    """id: unique within its source, stable between readings. licence: an SPDX name, or "" if nobody said."""

    id: str
    text: str
    source: str
    licence: str = ""
    url: str = ""


class Tally(msgspec.Struct):
    """What one step took in, gave out and left behind. left: reason -> documents (or files, or lines) left out."""

    step: str
    documents_in: int = 0
    documents_out: int = 0
    characters_out: int = 0
    left: Counter[str] = msgspec.field(default_factory=Counter)

    @property
    def did_nothing(self) -> bool:
        """A filter that removes nothing is more often broken than lucky: whoever runs it should say so."""
        return self.documents_in > 0 and not self.left


def batches(found: Iterable[Document], tally: Tally) -> Iterator[pa.RecordBatch]:
    """Documents gathered into record batches of at most BATCH_DOCUMENTS and about BATCH_CHARACTERS."""
    gathered: list[Document] = []
    characters = 0
    for document in found:
        gathered.append(document)
        characters += len(document.text)
        if len(gathered) >= BATCH_DOCUMENTS or characters >= BATCH_CHARACTERS:
            yield _batch(gathered, characters, tally)
            gathered, characters = [], 0
    if gathered:
        yield _batch(gathered, characters, tally)


def _batch(gathered: list[Document], characters: int, tally: Tally) -> pa.RecordBatch:
    import pyarrow as pa

    tally.documents_out += len(gathered)
    tally.characters_out += characters
    columns = [pa.array(column, pa.large_string()) for column in zip(*gathered, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=list(SCHEMA))


def documents(found: Iterable[pa.RecordBatch]) -> Iterator[Document]:
    """Batches taken apart again, for steps that look at one document at a time."""
    for batch in found:
        yield from map(Document, *(batch.column(name).to_pylist() for name in SCHEMA))
