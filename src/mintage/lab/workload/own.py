"""Our own requests as a workload: every settled request of the commit log, as exact as the log itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from mintage.base import METERS, MintageError
from mintage.books import FrameReader, Settled
from mintage.lab.workload.table import Workload, write_arrays

_PAGE: Final = 20_000
ROWS_LIMIT: Final = 20_000_000


def import_log(
    log: Path, target: Path, *, start_ns: int = 0, end_ns: int = 2**63 - 1, tenant: str | None = None
) -> Workload:
    """Requests that occurred in [start, end), of one tenant or of all. Reads beside a running server.

    What was charged stays beside the usage: price_id, and charged_attos as text (it may pass int64); replays and the
    fees that closings post are left out, for no customer asked them.
    Raises MintageError("not_found") if nothing is left.
    """
    import numpy as np

    if not log.exists():
        raise MintageError("not_found", f"There is no log {log}.", "Give the home of a Mintage: --home.")
    rows: list[Settled] = []
    reader, after = FrameReader(log), 0
    try:
        while entries := reader.entries(after, _PAGE):
            after = entries[-1].seq
            settled = (entry.body for entry in entries if isinstance(entry.body, Settled))
            rows.extend(body for body in settled if _wanted(body, start_ns, end_ns, tenant))
            if len(rows) > ROWS_LIMIT:
                raise MintageError("payload_too_large", f"More than {ROWS_LIMIT:,} requests.", "Narrow the period.")
    finally:
        reader.close()
    if not rows:
        raise MintageError("not_found", "No request occurred then.", "Choose another period.")
    columns: dict[str, Any] = {
        "at_ns": np.array([row.occurred_ns for row in rows], dtype=np.int64),
        **{
            name: np.array([getattr(row, field) or "" for row in rows], dtype=object)
            for name, field in (
                ("customer", "tenant_id"),
                ("id", "hold_id"),
                ("model", "model"),
                ("project", "project_id"),
                ("product", "product"),
                ("end_user", "end_user"),
                ("price_id", "price_id"),
            )
        },
        "charged_attos": np.array([str(row.attos) for row in rows], dtype=object),
        **{meter: np.array([getattr(row.usage, meter) for row in rows], dtype=np.int64) for meter in METERS},
    }
    return write_arrays(target, columns)


def _wanted(body: Settled, start_ns: int, end_ns: int, tenant: str | None) -> bool:
    return (
        not body.replay_of
        and body.operation != "closing"
        and start_ns <= body.occurred_ns < end_ns
        and tenant in (None, body.tenant_id)
    )
