"""Tables as data: a page says what its columns and cells are, and one template draws them all alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from mintage.console import figures as text
from mintage.console.figures import MoneyText, money

Kind = Literal["text", "link", "money", "number", "time", "state", "code", "none"]
Tone = Literal["ok", "wait", "cut", "bad", "off"]


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One cell. small is said below it; title on pointing at it."""

    kind: Kind
    text: str = ""
    href: str = ""
    money: MoneyText | None = None
    tone: Tone = "off"
    small: str = ""
    title: str = ""
    shade: str = ""


def words(value: str, *, small: str = "", title: str = "") -> Cell:
    return Cell(kind="text" if value else "none", text=value, small=small, title=title)


def link(value: str, href: str, *, small: str = "", title: str = "") -> Cell:
    return Cell(kind="link", text=value, href=href, small=small, title=title)


def code(value: str, *, href: str = "", title: str = "") -> Cell:
    return Cell(kind="code" if value else "none", text=value, href=href, title=title)


def amount(nanos: int, currency: str, *, shade: str = "", small: str = "") -> Cell:
    return Cell(kind="money", money=money(nanos, currency), shade=shade, small=small)


def quoted(value: MoneyText, *, small: str = "") -> Cell:
    return Cell(kind="money", money=value, small=small)


def number(value: int, *, title: str = "") -> Cell:
    return Cell(kind="number", text=text.count(value), title=title)


def share(part: int, of: int) -> Cell:
    return Cell(kind="number", text=text.share(part, of) or text.NONE)


def moment(at_ns: int | None, *, day_only: bool = False) -> Cell:
    if at_ns is None:
        return NOTHING
    iso = text.iso_time(at_ns)
    shown = iso[:10] if day_only else f"{iso[:10]} {iso[11:19]}"
    return Cell(kind="time", text=shown, title=iso)


def state(value: str, tone: Tone, *, title: str = "") -> Cell:
    return Cell(kind="state", text=value, tone=tone, title=title)


def whole(value: str, *, title: str = "") -> Cell:
    """Words that are short and never cut."""
    return Cell(kind="number" if value else "none", text=value, title=title)


NOTHING = Cell(kind="none")


class Column(msgspec.Struct, frozen=True):
    """keep: how long the column stays when the sheet gets narrow: 3 for ever, 1 the shortest."""

    label: str
    numeric: bool = False
    keep: Literal[1, 2, 3] = 3
    wide: bool = False


class Empty(msgspec.Struct, frozen=True):
    """What a table without rows says: what it is, what to do, and a command or a link to do it with."""

    title: str
    text: str
    command: str = ""
    href: str = ""
    action: str = ""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """rows and foot hold a cell for each column. next_href and first_href are for paging; caption names the table."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    empty: Empty
    foot: Sequence[Sequence[Cell]] = ()
    next_href: str = ""
    first_href: str = ""

    @property
    def pads(self) -> list[bool]:
        """For each column: whether its amounts go below the minor unit, so that points stand under each other."""
        rows = [*self.rows, *self.foot]
        return [
            any(row[place].money is not None and row[place].money.fine for row in rows)  # type: ignore[union-attr]
            for place in range(len(self.columns))
        ]
