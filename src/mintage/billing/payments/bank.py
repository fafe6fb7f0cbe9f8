"""Bank statements: CSV with a header, or CAMT.053 (ISO 20022). Every line counts once; errors name the line."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final
from xml.etree import ElementTree as ET

import msgspec

from mintage.base import MintageError, check_currency, currency_exponent

LINES_MAX: Final = 20_000
BYTES_MAX: Final = 8 * 1024 * 1024
_NEEDED: Final = ("date", "amount", "currency", "text")


class BankLine(msgspec.Struct, frozen=True, kw_only=True):
    """One booking. amount_nanos is above zero for money that came in. id: a hash of what the line says."""

    id: str
    account: str
    day: str
    currency: str
    amount_nanos: int
    payer: str
    text: str


def read_statement(raw: bytes) -> list[BankLine]:
    """All lines of a statement, or MintageError("invalid_request") whose param names the line and field at fault."""
    if len(raw) > BYTES_MAX:
        raise MintageError("payload_too_large", "The statement is too large.", "Split it by month.")
    found = list(_camt(raw) if raw.lstrip()[:1] == b"<" else _csv(raw))
    if len(found) > LINES_MAX:
        raise MintageError("payload_too_large", f"More than {LINES_MAX} lines.", "Split it by month.")
    return found


def _refuse(place: str, problem: str) -> MintageError:
    return MintageError("invalid_request", f"{place}: {problem}.", "Nothing of this statement was taken.", param=place)


def _line(place: str, seen: dict[str, int], account: str, cells: dict[str, str]) -> BankLine:
    try:
        day = str(date.fromisoformat(cells["date"][:10]))
    except ValueError as error:
        raise _refuse(f"{place}.date", "This is no day; write 2026-01-31") from error
    try:
        currency = check_currency(cells["currency"])
    except MintageError as error:
        raise _refuse(f"{place}.currency", "This is no currency code") from error
    try:
        amount = Decimal(cells["amount"].replace(" ", ""))
        nanos = int(amount.scaleb(9)) if amount.is_finite() and abs(amount) < Decimal(10) ** 9 else None
    except (InvalidOperation, ValueError) as error:
        raise _refuse(f"{place}.amount", "This is no amount; write 1234.50") from error
    if nanos is None or nanos % 10 ** (9 - currency_exponent(currency)) or Decimal(nanos).scaleb(-9) != amount:
        raise _refuse(f"{place}.amount", f"This is no amount of {currency}")
    payer, text = cells.get("payer", "")[:200], cells.get("text", "")[:1000]
    own = cells.get("id", "")
    said = "\x1f".join((account, day, currency, str(nanos), payer, text, own))
    seen[said] = seen.get(said, 0) + 1  # two equal bookings of one statement are two
    digest = hashlib.sha256(f"{said}\x1f{seen[said]}".encode()).hexdigest()[:32]
    return BankLine(
        id=f"bl_{digest}", account=account, day=day, currency=currency, amount_nanos=nanos, payer=payer, text=text
    )


def _csv(raw: bytes) -> Iterator[BankLine]:
    """Columns date, amount, currency, text; and, if there, payer, id, account."""
    try:
        reader = csv.reader(io.StringIO(raw.decode("utf-8-sig")), strict=True)
    except UnicodeDecodeError as error:
        raise _refuse(f"line {raw[: error.start].count(10) + 1}", "The file is not UTF-8") from error
    seen: dict[str, int] = {}
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        for name in _NEEDED:
            if header.count(name) != 1:
                raise _refuse(f"line 1.{name}", "The column is missing, or there twice")
        for row in reader:
            if row:
                if len(row) != len(header):
                    raise _refuse(f"line {reader.line_num}", f"It has {len(row)} cells, the header {len(header)}")
                cells = dict(zip(header, row, strict=True))
                yield _line(f"line {reader.line_num}", seen, cells.get("account", "")[:64], cells)
    except csv.Error as error:
        raise _refuse(f"line {reader.line_num}", "This is not CSV") from error


def _camt(raw: bytes) -> Iterator[BankLine]:
    """Entries of CAMT.053, whatever its version. A document type declaration is refused: it could name files."""
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise _refuse("line 1", "A bank statement has no document type declaration")
    try:
        root = ET.fromstring(raw)  # noqa: S314 - declarations are refused above
    except (ET.ParseError, ValueError, LookupError) as error:
        raise _refuse("line 1", "This is not XML") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
    statements = list(root.iter("Stmt"))
    if not statements:
        raise _refuse("line 1", "There is no statement in it (BkToCstmrStmt/Stmt)")
    seen: dict[str, int] = {}
    for statement in statements:
        account = (statement.findtext("Acct/Id/IBAN") or statement.findtext("Acct/Id/Othr/Id") or "")[:64]
        for number, entry in enumerate(statement.findall("Ntry"), 1):
            yield _entry(f"entry {number}", entry, account, seen)


def _entry(place: str, entry: ET.Element, account: str, seen: dict[str, int]) -> BankLine:
    amount = entry.find("Amt")
    if amount is None or not amount.text:
        raise _refuse(f"{place}.Amt", "The entry has no amount")
    sign = {"CRDT": "", "DBIT": "-"}.get((entry.findtext("CdtDbtInd") or "").strip())
    if sign is None:
        raise _refuse(f"{place}.CdtDbtInd", "The entry is neither credit nor debit")
    texts = [e.text or "" for e in entry.iter("Ustrd")] + [e.text or "" for e in entry.iter("Ref")]
    texts += [e.text or "" for e in entry.iter("AddtlNtryInf")]
    cells = {
        "date": (entry.findtext("BookgDt/Dt") or entry.findtext("BookgDt/DtTm") or entry.findtext("ValDt/Dt") or ""),
        "amount": sign + amount.text.strip(),
        "currency": amount.get("Ccy", ""),
        "payer": next((e.findtext("Nm") or e.findtext("Pty/Nm") or "" for e in entry.iter("Dbtr")), ""),
        "text": " ".join(" ".join(texts).split()),
        "id": entry.findtext("AcctSvcrRef") or "",
    }
    return _line(place, seen, account, cells)
