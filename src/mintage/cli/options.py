"""Options that many commands share, so that each means the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

Home = Annotated[
    str | None, typer.Option("--home", help="Home folder; else MINTAGE_HOME, else ~/.mintage.", metavar="DIR")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500, help="Most rows.")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="Where the last page ended.")]
Customer = Annotated[str, typer.Argument(help="Handle or id of a customer.", metavar="CUSTOMER")]
OneCustomer = Annotated[
    str | None, typer.Option("--customer", help="Only this customer: handle or id.", metavar="CUSTOMER")
]
Start = Annotated[str | None, typer.Option("--start", help="First day (UTC), as 2026-01-31.", metavar="DAY")]
End = Annotated[str | None, typer.Option("--end", help="Day after the last (UTC).", metavar="DAY")]
