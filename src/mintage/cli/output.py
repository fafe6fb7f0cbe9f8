"""What people and scripts read: tables and exact amounts for the one, a single JSON object for the other."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH: Final = 250  # a table in a pipe is not folded to 80 columns


def console() -> Console:
    """Standard output, as it is now: tests and callers may have redirected it."""
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)


def print_json(value: Any) -> None:
    """One object: a list becomes {"items": [...]}."""
    if isinstance(value, list):
        value = {"items": value}
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_error(problem: dict[str, Any], *, as_json: bool) -> None:
    """To standard output as {"error": {...}} for scripts, to standard error for people."""
    if as_json:
        print_json({"error": problem})
        return
    err = Console(stderr=True, highlight=False, soft_wrap=True)
    err.print(Text.assemble(("error: ", "bold red"), str(problem["detail"]), (f" [{problem['code']}]", "dim")))
    if hint := problem.get("hint"):
        err.print(Text.assemble(("hint: ", "bold"), str(hint)))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Cells are shown as they are: no markup, no control characters."""
    shown = Table(title=Text(title), title_justify="left", header_style="bold")
    for name in columns:
        shown.add_column(name, justify="right" if name in right else "left", overflow="fold")
    count = 0
    for row in rows:
        shown.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
        count += 1
    if count:
        console().print(shown)
    else:
        say(f"{title}: none.")


def facts(title: str, pairs: Iterable[tuple[str, object]]) -> None:
    """One thing: its fields, one a line."""
    shown = Table(title=Text(title), title_justify="left", show_header=False)
    shown.add_column(style="dim")
    shown.add_column(overflow="fold")
    for name, value in pairs:
        shown.add_row(name, Text("" if value is None else str(value)))
    console().print(shown)


def say(text: str) -> None:
    console().print(Text(text), soft_wrap=True)


def more(page: dict[str, Any]) -> None:
    """How to see the rest of a list."""
    if cursor := page.get("next_cursor"):
        say(f"More: add --cursor {cursor}")


def units(nanos: int) -> str:
    """Exact currency units, never fewer than two places: 10.00, 0.0000408."""
    whole, _, fraction = f"{Decimal(nanos).scaleb(-9):f}".partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"


def amount(nanos: int, currency: str) -> str:
    return f"{units(nanos)} {currency}"


def per_million(rate_attos: int) -> str:
    """A rate of one unit as the price of a million, which is how people quote tokens."""
    return f"{Decimal(rate_attos).scaleb(-12).normalize():f}" if rate_attos else ""


def when(at_ns: int | None) -> str:
    if at_ns is None:
        return ""
    return datetime.fromtimestamp(at_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")
