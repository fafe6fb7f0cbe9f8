"""The shelf of price books: one immutable file a compilation, the operator's overrides beside them.

    books/2026-11-23-<16 hex digits of SHA-256>.json    never written again
    overrides/openai.toml                                a plan whose prices replace the book's for that provider

The book in use is the newest by date that is not after the day asked for; without any, the one in the package.
"""

from __future__ import annotations

import hashlib
import os
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from mintage.base import MintageError
from mintage.pricing.card import RateCard, compile_plan
from mintage.pricing.costs.book import CostBook
from mintage.pricing.costs.data import PriceFile, decode_provider, read_price_file
from mintage.pricing.costs.diff import diff_files
from mintage.pricing.parse import load_plan
from mintage.pricing.version import freeze_plan

BOOKS_LIMIT: Final = 1_000
_DIGITS: Final = 16


class ShelfEntry(msgspec.Struct, frozen=True, kw_only=True):
    """id: day and digest of the file. source: what it was compiled from. builtin: the one in the package."""

    id: str
    date: date
    source: str
    builtin: bool = False


class BookShelf:
    """A folder of price books. Adding is atomic; nothing is ever changed or removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._books = folder / "books"
        self._overrides = folder / "overrides"

    def entries(self) -> list[ShelfEntry]:
        """Oldest first; the package's own among them."""
        own = read_price_file()
        found = [ShelfEntry(id=f"builtin-{own.date}", date=own.date, source=own.version, builtin=True)]
        for file in sorted(self._books.glob("*.json"))[:BOOKS_LIMIT]:
            book = self._read(file)
            found.append(ShelfEntry(id=file.stem, date=book.date, source=book.version))
        return sorted(found, key=lambda entry: (entry.date, not entry.builtin, entry.id))

    def file(self, entry_id: str | None = None, *, day: date | None = None) -> PriceFile:
        """The named book, or the newest one up to a day. Raises MintageError("not_found")."""
        known = [entry for entry in self.entries() if day is None or entry.date <= day or entry.builtin]
        chosen = known[-1] if entry_id is None else next((e for e in known if e.id == entry_id), None)
        if chosen is None:
            raise MintageError("not_found", f"There is no price book {entry_id!r}.", "See `mintage price book list`.")
        return read_price_file() if chosen.builtin else self._read(self._books / f"{chosen.id}.json")

    def open(self, entry_id: str | None = None, *, day: date | None = None) -> CostBook:
        """The book with the operator's overrides over it."""
        return CostBook(self.file(entry_id, day=day), self.overrides())

    def compare(self, raw: bytes) -> list[str]:
        """What a new book changes against the newest one, line by line."""
        return list(diff_files(self.file(), _decode(raw)))

    def add(self, raw: bytes) -> ShelfEntry:
        """Keep a book for ever. The same bytes again change nothing; a full shelf refuses."""
        book = _decode(raw)
        name = f"{book.date}-{hashlib.sha256(raw).hexdigest()[:_DIGITS]}"
        target = self._books / f"{name}.json"
        if not target.exists():
            if len(list(self._books.glob("*.json"))) >= BOOKS_LIMIT:
                raise MintageError("conflict", f"The shelf holds {BOOKS_LIMIT} price books.", "Archive old ones.")
            _publish(target, raw)
        return ShelfEntry(id=name, date=book.date, source=book.version)

    def overrides(self) -> dict[str, RateCard]:
        """provider -> the operator's own prices for it."""
        found: dict[str, RateCard] = {}
        for file in sorted(self._overrides.glob("*.toml")):
            plan = load_plan(file.read_bytes())
            found[file.stem] = compile_plan(freeze_plan(plan, applied_ns=0))
        return found

    def override(self, provider: str, raw: bytes) -> RateCard:
        """Set what we pay a provider: the prices of a plan in TOML. Raises MintageError if it is none."""
        if provider not in read_price_file().providers and not provider.replace("-", "").replace("_", "").isalnum():
            raise MintageError("invalid_request", f"{provider[:60]!r} is no provider.", "Use a name such as openai.")
        card = compile_plan(freeze_plan(load_plan(raw), applied_ns=0))
        _publish(self._overrides / f"{provider}.toml", raw, replace=True)
        return card

    @staticmethod
    def _read(file: Path) -> PriceFile:
        raw = file.read_bytes()
        if hashlib.sha256(raw).hexdigest()[:_DIGITS] != file.stem[-_DIGITS:]:
            raise MintageError(
                "conflict", f"The price book {file.stem} was changed after it was kept.", "Restore it from a backup."
            )
        return _decode(raw)


def _decode(raw: bytes) -> PriceFile:
    try:
        book = msgspec.json.decode(raw, type=PriceFile)
        for provider in book.providers.values():
            decode_provider(provider)
        return book
    except msgspec.DecodeError as error:
        raise MintageError(
            "invalid_request", f"It is not a price book: {error}.", "Compile one with `mintage price book update`."
        ) from error


def _publish(target: Path, raw: bytes, *, replace: bool = False) -> None:
    """Whole or not at all, and read-only: a book is never edited in place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".new-{os.getpid()}-{target.name}")
    try:
        temporary.write_bytes(raw)
        temporary.chmod(0o600 if replace else 0o400)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
