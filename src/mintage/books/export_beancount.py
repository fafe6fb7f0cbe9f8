"""The whole ledger as plain text for beancount, with a closing balance of every account that bean-check verifies.

Amounts keep all nine places, and the balances are asserted with no tolerance. Format: beancount v3's language syntax.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TextIO

from mintage.base import NANOS_PER_UNIT, MintageError
from mintage.books.database import Database
from mintage.books.journal import Journal
from mintage.books.ledger_journals import PAGE_LIMIT
from mintage.books.ledger_reader import LedgerReader
from mintage.books.ledger_rules import DAY_NS

_EPOCH: Final = datetime.date(1970, 1, 1)
_WORD: Final = re.compile(r"[A-Za-z0-9]+")


class Names:
    """Our account names as beancount's: capitalised parts of letters, digits and dashes; no two become one."""

    def __init__(self, accounts: Iterable[str]) -> None:
        self._names: dict[str, str] = {}
        taken: set[str] = set()
        for account in sorted(set(accounts)):
            name = wanted = ":".join(_part(part) for part in account.split(":"))
            number = 1
            while name in taken:
                number += 1
                name = f"{wanted}-{number}"
            taken.add(name)
            self._names[account] = name

    def __getitem__(self, account: str) -> str:
        return self._names[account]

    def items(self) -> list[tuple[str, str]]:
        return list(self._names.items())


def _part(part: str) -> str:
    words = _WORD.findall(part) or ["Other"]
    text = "-".join(words) if "_" not in part else "".join(word[0].upper() + word[1:] for word in words)
    return text[0].upper() + text[1:]


def amount(nanos: int) -> str:
    """In currency units, all nine places."""
    units, rest = divmod(abs(nanos), NANOS_PER_UNIT)
    return f"{'-' if nanos < 0 else ''}{units}.{rest:09d}"


def _string(text: str) -> str:
    return '"' + " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _date(day: int) -> str:
    return (_EPOCH + datetime.timedelta(days=day)).isoformat()


def _journals(reader: LedgerReader) -> Iterator[Journal]:
    """Newest first: beancount sorts by date itself."""
    cursor = None
    while True:
        page = reader.journals(limit=PAGE_LIMIT, cursor=cursor)
        yield from page.journals
        cursor = page.cursor
        if cursor is None:
            return


def _transaction(journal: Journal, names: Names) -> str:
    lines = [f"{_date(journal.occurred_ns // DAY_NS)} * {_string(journal.event)} {_string(journal.memo)}"]
    facts = {"source": journal.source, "source-id": journal.source_id, "tenant": journal.tenant_id}
    lines += [f"  {name}: {_string(value)}" for name, value in facts.items() if value]
    for posting in journal.postings:
        lines.append(f"  {names[posting.account]}  {amount(posting.amount_nanos)} {posting.currency}")
        dimensions = {"product": posting.product, "model": posting.model, "provider": posting.provider}
        lines += [f"    {name}: {_string(value)}" for name, value in dimensions.items() if value]
    return "\n".join(lines) + "\n\n"


def _write(out: TextIO, reader: LedgerReader, title: str) -> None:
    balances = reader.balances()
    names = Names(account for account, _ in balances)
    out.write(f'option "title" {_string(title)}\n')
    for currency in sorted({currency for _, currency in balances}):
        out.write(f'option "operating_currency" "{currency}"\n')
    out.write("\n")
    for account, name in names.items():
        out.write(f"1970-01-01 open {name}\n  account: {_string(account)}\n")
    out.write("\n")
    last = 0
    for journal in _journals(reader):
        last = max(last, journal.occurred_ns // DAY_NS)
        out.write(_transaction(journal, names))
    for (account, currency), nanos in balances.items():
        out.write(f"{_date(last + 1)} balance {names[account]}  {amount(nanos)} ~ 0 {currency}\n")


def export_beancount(database: str | Path, out: Path, *, title: str = "Mintage") -> Path:
    """Write every journal and every balance of the ledger to `out`, whole or not at all, and return `out`.

    All of one moment. Raises MintageError("unavailable") when the file cannot be written.
    """
    books = Database.open(database)
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file, LedgerReader(books).at_one_moment() as reader:
            _write(file, reader, title)
        part.replace(out)
    except OSError as error:
        raise MintageError(
            "unavailable", f"{out} cannot be written: {error.strerror}.", "Choose another place."
        ) from error
    finally:
        part.unlink(missing_ok=True)
        books.close()
    return out
