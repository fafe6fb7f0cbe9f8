"""Files of a known format as batches of documents: `read_corpus([path], "pile", tally)`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mintage.base import MintageError
from mintage.factory.corpus import formats_text as text
from mintage.factory.corpus.documents import Document, Tally, batches
from mintage.factory.corpus.format_wikipedia import wikipedia
from mintage.factory.corpus.streams import BrokenError, Limits

if TYPE_CHECKING:
    import pyarrow as pa

Reader = Callable[[Path, Limits, Counter[str]], Iterator[Document]]

#: format -> (its reader, the endings of its files in a folder)
FORMATS: Final[dict[str, tuple[Reader, tuple[str, ...]]]] = {
    "pile": (partial(text.json_lines, source="pile"), (".jsonl.zst", ".jsonl")),
    "c4": (partial(text.json_lines, source="c4"), (".json.gz", ".json")),
    "bookcorpus": (partial(text.sentences, source="bookcorpus"), (".txt", ".txt.gz")),
    "openwebtext": (partial(text.text_archive, source="openwebtext"), (".tar.xz", ".xz", ".tar")),
    "wikipedia": (partial(wikipedia, source="wikipedia"), (".xml.bz2", ".xml")),
    "text": (partial(text.whole_text, source="text"), (".txt", ".md", ".txt.gz")),
    "jsonl": (partial(text.json_lines, source="jsonl"), (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson")),
    "parquet": (partial(text.parquet, source="parquet"), (".parquet",)),
}
_FILES_MAX: Final = 1_000_000


def files_of(paths: Iterable[Path], form: str) -> list[Path]:
    """Each file, and of each folder the files of the format below it, sorted: the order never changes."""
    endings = _known(form)[1]
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.name.endswith(endings) and file.is_file())
        elif path.exists():
            found.append(path)
        else:
            raise MintageError("not_found", f"There is no {path}.", "Check the path.")
        if len(found) > _FILES_MAX:
            raise MintageError("invalid_request", f"There are more than {_FILES_MAX:,} files.", "Read them in parts.")
    if not found:
        raise MintageError(
            "not_found", f"No file of the format {form} was found.", f"Its files end in {', '.join(endings)}."
        )
    return found


def _known(form: str) -> tuple[Reader, tuple[str, ...]]:
    try:
        return FORMATS[form]
    except KeyError:
        raise MintageError(
            "invalid_request",
            f"There is no format {form[:40]!r}.",
            f"Choose from {', '.join(FORMATS)}.",
            param="format",
        ) from None


def read_corpus(
    paths: Iterable[Path], form: str, tally: Tally, limits: Limits | None = None
) -> Iterator[pa.RecordBatch]:
    """Batches of every document, file by file. What cannot be read is counted in tally.left by reason: a file that is
    cut short or broken gives what comes before the break. Raises MintageError for an unknown format or a missing file.
    """
    found = files_of(paths, form)
    return batches(_read(found, _known(form)[0], tally, limits or Limits()), tally)


def _read(found: list[Path], reader: Reader, tally: Tally, limits: Limits) -> Iterator[Document]:
    for file in found:
        try:
            for document in reader(file, limits, tally.left):
                tally.documents_in += 1
                if not document.text.strip():
                    tally.left["empty"] += 1
                elif len(document.text) > limits.document_characters_max:
                    tally.left["too_large"] += 1
                else:
                    yield document
        except BrokenError as error:
            tally.left[error.reason] += 1
