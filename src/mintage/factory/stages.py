"""The steps of a run, in their order: each reads what earlier ones made and writes into a folder of its own."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.factory.recipe import Recipe, section
from mintage.factory.step import Step, StepContext
from mintage.factory.store import write_store
from mintage.factory.tokenizer import SPECIAL, TokenizerOptions, fertility, load_tokenizer, special_id, train_tokenizer
from mintage.factory.training import write_codes

TEXTS: Final = "mintage.factory.texts"
_DOCUMENTS_MAX: Final = 50_000_000


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """format: as `factory corpus` reads it. path, from the recipe's folder, or package: a text that comes with us."""

    format: str = "jsonl"
    path: str = ""
    package: str = ""
    licence: str = ""
    language: str = ""


class Clean(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """characters_min: shorter documents are left out. Exact duplicates always are."""

    characters_min: int = 20


class Document(msgspec.Struct, frozen=True):
    text: str
    language: str = ""
    licence: str = ""
    source: str = ""


def packaged(name: str) -> Path:
    """A text that comes with Mintage, by its name without endings. Raises not_found."""
    folder = Path(str(resources.files("mintage.factory").joinpath("texts")))
    path = folder / f"{name}.jsonl.gz"
    if Path(name).name != name or not path.is_file():
        there = ", ".join(sorted(found.name.removesuffix(".jsonl.gz") for found in folder.glob("*.jsonl.gz")))
        raise MintageError("not_found", f"No text {name[:40]!r} comes with Mintage.", f"There are: {there}.")
    return path


class CorpusStep:
    """corpus/train.jsonl.gz and held_out.jsonl.gz, a document a line, and what was left out for which reason."""

    name, inputs, outputs = "corpus", (), ("corpus",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recipe_part(self, recipe: Recipe) -> Any:
        return recipe.corpus, [stamp(self._path(source)) for source in self._sources(recipe)]

    def _sources(self, recipe: Recipe) -> list[Source]:
        return [section(raw, Source, "[[corpus.sources]]") for raw in recipe.corpus.sources]

    def _path(self, source: Source) -> Path:
        if bool(source.path) == bool(source.package):
            raise MintageError("invalid_request", "A source has either a path or a package.", "Write one of them.")
        return packaged(source.package) if source.package else self._folder / source.path

    def run(self, context: StepContext) -> dict[str, Any]:
        from mintage.factory.corpus import documents, read_corpus
        from mintage.factory.corpus.documents import Tally

        clean = section(context.recipe.corpus.clean, Clean, "[corpus.clean]")
        out = context.folder / "corpus"
        out.mkdir(exist_ok=True)
        seen: set[bytes] = set()
        counts: dict[str, Any] = {"documents_in": 0, "train": 0, "held_out": 0, "duplicate": 0, "short": 0}
        sources = []
        with _lines(out / "train.jsonl.gz") as train, _lines(out / "held_out.jsonl.gz") as held:
            for source in self._sources(context.recipe):
                path, tally = self._path(source), Tally("read")
                context.meter.read(path.stat().st_size if path.is_file() else 0)
                for number, document in enumerate(documents(read_corpus([path], source.format, tally))):
                    if number % 256 == 0:
                        context.progress(counts["documents_in"], None, f"{source.package or source.path}")
                    counts["documents_in"] += 1
                    digest = hashlib.sha256(document.text.encode()).digest()
                    if digest in seen or len(document.text) < clean.characters_min:
                        counts["duplicate" if digest in seen else "short"] += 1
                        continue
                    seen.add(digest)
                    line = Document(
                        document.text, source.language, document.licence or source.licence,
                        source.package or source.path,
                    )  # fmt: skip
                    away = int.from_bytes(digest[:4]) < context.recipe.corpus.held_out * 2**32
                    counts["held_out" if away else "train"] += 1
                    (held if away else train).write(msgspec.json.encode(line) + b"\n")
                sources.append({**msgspec.structs.asdict(source), "sha256": stamp(path), "left": dict(tally.left)})
        if not counts["train"]:
            raise MintageError("invalid_request", "The corpus has no document left.", "Check sources and cleaning.")
        context.meter.wrote(sum(path.stat().st_size for path in out.iterdir()))
        return {**counts, "sources": sources}


class TokenizerStep:
    name, inputs, outputs = "tokenizer", ("corpus",), ("tokenizer",)

    def recipe_part(self, recipe: Recipe) -> Any:
        return section(recipe.tokenizer, TokenizerOptions, "[tokenizer]")

    def run(self, context: StepContext) -> dict[str, Any]:
        options = self.recipe_part(context.recipe)
        context.progress(0, None, "counting pairs")
        texts = (document.text for document in read_documents(context.output("corpus") / "train.jsonl.gz"))
        tokenizer = train_tokenizer(texts, options, context.folder / "tokenizer")
        samples: dict[str, list[str]] = {}
        for document in read_documents(context.output("corpus") / "train.jsonl.gz"):
            found = samples.setdefault(document.language or "unknown", [])
            if len(found) < 500:
                found.append(document.text)
        return msgspec.to_builtins(fertility(tokenizer, samples))  # type: ignore[no-any-return]


class StoreStep:
    name, inputs, outputs = "store", ("corpus", "tokenizer"), ("store",)

    def recipe_part(self, recipe: Recipe) -> Any:
        return None

    def run(self, context: StepContext) -> dict[str, Any]:
        tokenizer = load_tokenizer(context.output("tokenizer"))
        end = special_id(tokenizer, SPECIAL[0])
        out = context.folder / "store"
        out.mkdir(exist_ok=True)
        result = {}
        for part in ("train", "held_out"):
            codes: list[str] = []
            documents = _told(read_documents(context.output("corpus") / f"{part}.jsonl.gz"), context, part)
            report = write_store(
                _encoded(documents, tokenizer, end, codes), out / part, vocabulary=tokenizer.get_vocab_size()
            )
            write_codes(out / part, codes)
            context.meter.tokens(report.tokens)
            result[part] = msgspec.to_builtins(report)
        context.meter.wrote(sum(path.stat().st_size for path in out.iterdir()))
        return result


def _encoded(documents: Iterator[Document], tokenizer: Any, end: int, codes: list[str]) -> Iterator[list[int]]:
    """Each document's ids and the end token; what its control code is goes to `codes`."""
    for document in documents:
        codes.append(document.language or document.source or "unknown")
        yield [*tokenizer.encode(document.text).ids, end]


def steps_of(recipe: Recipe, folder: Path) -> list[Step]:
    """Checked before the first one runs: a wrong option at the end must not cost the hours before it."""
    from mintage.factory.judge import EvaluateStep, ExportStep
    from mintage.factory.stages_model import FinetuneStep, PretrainStep

    steps: list[Step] = [CorpusStep(folder), TokenizerStep(), StoreStep(), PretrainStep(), FinetuneStep(folder)]
    steps += [EvaluateStep(), ExportStep()]
    for step in steps:
        step.recipe_part(recipe)
    section(recipe.corpus.clean, Clean, "[corpus.clean]")
    return steps


def set_threads(recipe: Recipe) -> None:
    import torch

    if recipe.run.threads:
        torch.set_num_threads(recipe.run.threads)


def read_documents(path: Path) -> Iterator[Document]:
    with gzip.open(path) as file:
        for number, line in enumerate(file):
            if number >= _DOCUMENTS_MAX:
                raise MintageError("payload_too_large", f"{path.name} has too many documents.", "Make it smaller.")
            yield msgspec.json.decode(line, type=Document)


def _told(documents: Iterator[Document], context: StepContext, part: str) -> Iterator[Document]:
    for number, document in enumerate(documents):
        if number % 256 == 0:
            context.progress(number, None, part)
        yield document


def _lines(path: Path) -> gzip.GzipFile:
    return gzip.GzipFile(path, "wb", compresslevel=6, mtime=0)


def stamp(path: Path) -> str:
    """SHA-256 of a file; of a folder, of names and sizes: reading terabytes twice would only confirm them."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if not path.is_dir():
        raise MintageError("not_found", f"There is no {path}.", "Paths start from the recipe's folder.")
    names = sorted(f"{p.relative_to(path)}\0{p.stat().st_size}" for p in path.rglob("*") if p.is_file())
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
