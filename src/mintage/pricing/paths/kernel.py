"""The path kernel: every wallet under every plan, compiled by numba, in int64 that is checked before it runs.

Lots lie in a ring sorted by (expiry, given before bought, age), so that burning takes from the front. Needs numba.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from mintage.base import MintageError
from mintage.pricing.paths.rules import FIELDS, NEVER_NS, WalletRules

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAFE_ATTOS: Final = 2**61
_SAFE_NANOS: Final = 2**60


def walk_wallets(  # noqa: PLR0917 - the kernel's arrays
    offsets: NDArray[Any],
    at_ns: NDArray[Any],
    months: NDArray[Any],
    meters: NDArray[Any],
    contexts: NDArray[Any],
    rates: NDArray[Any],
    rules: Sequence[WalletRules],
    *,
    tokens: NDArray[Any] | None = None,
    end_ns: int | None = None,
) -> dict[str, NDArray[Any]]:
    """field of WalletPath -> int64 [plans, wallets].

    offsets: wallets + 1; wallet w has events offsets[w] to offsets[w + 1], sorted by time. meters: int64 [events, k].
    contexts: int64 [events], which row of rates. rates: int64 attos [plans, contexts, k]. Raises MintageError
    ("invalid_request") for events out of order or sums that pass int64, "unsupported" for more than 512 lots at once.
    """
    import numpy as np

    from mintage.pricing.paths.compiled import LOTS, walk_all

    _check(offsets, at_ns, meters, rates)
    table = np.array(
        [[int(getattr(rule, name)) for name in WalletRules.__struct_fields__] for rule in rules], dtype=np.int64
    )
    counted = meters.sum(axis=1, dtype=np.int64) if tokens is None else tokens
    out = np.zeros((len(rules), len(offsets) - 1, len(FIELDS) + 1), dtype=np.int64)
    last = np.int64(-1 if end_ns is None else end_ns)
    walk_all(offsets, at_ns, months, meters, contexts, rates, table, counted, last, out)
    if out[:, :, -1].any():
        raise MintageError("unsupported", f"A wallet has more than {LOTS} lots at once.", "Use the reference path.")
    return {name: out[:, :, place] for place, name in enumerate(FIELDS)}


def _check(offsets: NDArray[Any], at_ns: NDArray[Any], meters: NDArray[Any], rates: NDArray[Any]) -> None:
    import numpy as np

    later = at_ns[1:] >= at_ns[:-1]
    starts = offsets[1:-1]
    later[starts[(starts > 0) & (starts < len(at_ns))] - 1] = True  # the next wallet begins anew
    if not later.all():
        raise MintageError("invalid_request", "Events of a wallet are out of order.", "Sort them by wallet and time.")
    if len(at_ns) and (meters.min(initial=0) < 0 or rates.min(initial=0) < 0):
        raise MintageError("invalid_request", "A count or a rate is negative.", "Check the workload.")
    if len(at_ns) and (at_ns.min() < 0 or at_ns.max() >= NEVER_NS):
        raise MintageError("invalid_request", "A time is out of range.", "Check the workload.")
    most = meters.max(axis=0, initial=0).astype(object)
    dearest = rates.reshape(-1, rates.shape[-1]).max(axis=0, initial=0).astype(object)
    if int((most * dearest).sum()) >= _SAFE_ATTOS:
        raise MintageError("invalid_request", "One request may cost more than 2^61 attos.", "Use the reference path.")
    total = (meters.astype(float).sum(axis=0) * dearest.astype(float)).sum() / 1e9
    if not np.isfinite(total) or total >= _SAFE_NANOS:
        raise MintageError("invalid_request", "The bills may pass 2^60 nanos.", "Split the workload.")
