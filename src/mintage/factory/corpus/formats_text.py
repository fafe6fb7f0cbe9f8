"""JSON lines (The Pile, C4), sentences (BookCorpus), archives of texts (OpenWebText), Parquet, plain text."""

from __future__ import annotations

import io
import lzma
import tarfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Final, cast

import msgspec

from mintage.factory.corpus.documents import Document
from mintage.factory.corpus.streams import Bounded, BrokenError, Limits, lines, open_bytes

_SENTENCES: Final = 512  # of BookCorpus, which does not say where a book ends


class _Meta(msgspec.Struct):
    pile_set_name: str = ""
    licence: str = msgspec.field(default="", name="license")
    url: str = ""


class _Row(msgspec.Struct):
    text: str
    meta: _Meta | None = None
    url: str = ""
    id: str | int | None = None
    licence: str | None = msgspec.field(default=None, name="license")
    source: str = ""


_ROW: Final = msgspec.json.Decoder(_Row)


def json_lines(file: Path, limits: Limits, left: Counter[str], *, source: str) -> Iterator[Document]:
    """`{"text": ...}` a line, with `meta.pile_set_name` as The Pile has it, `url` as C4 has it, or neither."""
    with open_bytes(file, limits) as stream:
        for number, line in lines(stream, limits, left):
            if not line.strip():
                continue
            try:
                row = _ROW.decode(line)
            except msgspec.DecodeError:
                left["not_a_document"] += 1
                continue
            meta = row.meta or _Meta()
            yield Document(
                str(row.id) if row.id is not None else f"{file.name}:{number}",
                row.text,
                row.source or (f"{source}/{meta.pile_set_name}" if meta.pile_set_name else source),
                row.licence or meta.licence,
                row.url or meta.url,
            )


def whole_text(file: Path, limits: Limits, left: Counter[str], *, source: str) -> Iterator[Document]:
    """One file, one document."""
    with open_bytes(file, limits) as stream:
        raw = stream.read(limits.document_characters_max * 4 + 1)
    yield from _decoded(file.name, raw, left, source)


def _decoded(name: str, raw: bytes, left: Counter[str], source: str) -> Iterator[Document]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        left["not_utf8"] += 1
        return
    yield Document(name, text, source)


def sentences(file: Path, limits: Limits, left: Counter[str], *, source: str) -> Iterator[Document]:
    """BookCorpus (books_large_p1.txt): a sentence a line and no book's end; documents are runs of 512 sentences."""
    gathered: list[str] = []
    first = 1
    with open_bytes(file, limits) as stream:
        for number, line in lines(stream, limits, left):
            gathered.append(line)
            if len(gathered) == _SENTENCES:
                yield Document(f"{file.name}:{first}", "\n".join(gathered), source)
                gathered, first = [], number + 1
    if gathered:
        yield Document(f"{file.name}:{first}", "\n".join(gathered), source)


def text_archive(file: Path, limits: Limits, left: Counter[str], *, source: str) -> Iterator[Document]:
    """OpenWebText: a tar of .txt files, or (openwebtext.tar.xz) a tar of such tars, each packed with xz.

    Members are read as a stream and never written: links, devices and names with `..` harm nobody.
    """
    with open_bytes(file, limits) as stream:
        yield from _members(cast("IO[bytes]", stream), limits, left, source, depth=0)


def _members(stream: IO[bytes], limits: Limits, left: Counter[str], source: str, *, depth: int) -> Iterator[Document]:
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if not member.isfile():
                    left["not_a_file"] += not member.isdir()
                    continue
                content = archive.extractfile(member)
                if content is None or (depth and member.size > limits.document_characters_max * 4):
                    left["too_large"] += 1
                    continue
                name = PurePosixPath(member.name)
                if name.suffix == ".xz" and depth == 0:
                    yield from _inner(content, member.size, limits, left, source)
                elif name.suffix == ".txt":
                    yield from _decoded(name.name, content.read(), left, source)
                else:
                    left["not_text"] += 1
    except tarfile.TarError as error:
        raise BrokenError("truncated" if isinstance(error, tarfile.ReadError) else "corrupt") from error


def _inner(packed: IO[bytes], packed_bytes: int, limits: Limits, left: Counter[str], source: str) -> Iterator[Document]:
    """One archive within the archive: if it is broken, the others are not."""
    try:
        with lzma.open(packed) as unpacked:
            stream = io.BufferedReader(Bounded(cast("BinaryIO", unpacked), packed_bytes, limits))
            yield from _members(cast("IO[bytes]", stream), limits, left, source, depth=1)
    except BrokenError as error:
        left[error.reason] += 1


def parquet(file: Path, limits: Limits, left: Counter[str], *, source: str) -> Iterator[Document]:
    """A Parquet file with a column `text`; id, url, license and source are used where they exist."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(file)
        known = set(opened.schema_arrow.names)
        if "text" not in known:
            raise BrokenError("no_text_column")
        wanted = [name for name in ("text", "id", "url", "license", "source") if name in known]
        number = 0
        for batch in opened.iter_batches(batch_size=1024, columns=wanted):
            for row in batch.to_pylist():
                number += 1
                if not isinstance(row["text"], str):
                    left["not_a_document"] += 1
                    continue
                word = partial(_word, row)
                yield Document(
                    word("id") or f"{file.name}:{number}",
                    row["text"],
                    word("source") or source,
                    word("license"),
                    word("url"),
                )
    except (pa.ArrowException, OSError) as error:
        raise BrokenError("corrupt") from error


def _word(row: dict[str, object], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value)
