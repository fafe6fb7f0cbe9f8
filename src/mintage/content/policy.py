"""What is kept of a customer's prompts and answers is the customer's choice: nothing, metadata, or all for n days."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from mintage.base import MintageError

Keep = Literal["nothing", "metadata", "full"]
KEEPS: Final[tuple[Keep, ...]] = ("nothing", "metadata", "full")
DAYS_MAX: Final = 3650


class ContentPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """keep: nothing; metadata (sizes, roles, parameters, no word of the text); or full. days: how long."""

    keep: Keep = "nothing"
    days: int = 30


NOTHING: Final = ContentPolicy()


class Policies:
    """In memory, since each request asks; on disk as one small file of each tenant. What is not said is `nothing`."""

    def __init__(self, folder: Path, place: Callable[[Path, bytes], None]) -> None:
        self._folder = folder
        self._place = place
        self.chosen: dict[str, ContentPolicy] = {}  # only of tenants that keep anything
        for path in folder.glob("*/policy.json"):
            with contextlib.suppress(OSError, msgspec.MsgspecError):  # unreadable: nothing is kept
                self._remember(path.parent.name, msgspec.json.decode(path.read_bytes(), type=ContentPolicy))

    def _remember(self, tenant_id: str, policy: ContentPolicy) -> None:
        if policy.keep == "nothing":
            self.chosen.pop(tenant_id, None)
        else:
            self.chosen[tenant_id] = policy

    def get(self, tenant_id: str) -> ContentPolicy:
        return self.chosen.get(tenant_id, NOTHING)

    def set(self, tenant_id: str, policy: ContentPolicy) -> ContentPolicy:
        """Counts from the next request on. What was kept under an earlier choice goes with the next sweep."""
        if policy.keep not in KEEPS or not 1 <= policy.days <= DAYS_MAX:
            raise MintageError(
                "invalid_request", f"days is {policy.days}.", f"Keep content 1 to {DAYS_MAX} days.", param="days"
            )
        path = self._folder / tenant_id / "policy.json"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._place(path, msgspec.json.encode(policy))
        self._remember(tenant_id, policy)
        return policy
