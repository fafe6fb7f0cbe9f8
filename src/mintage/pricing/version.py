"""A price version: one plan, frozen. Every rated line names the version that rated it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Final

import msgspec

from mintage.base import MintageError
from mintage.pricing.parse import load_plan
from mintage.pricing.plan import Plan

_DIGITS: Final = 16
_WIDE: Final = Context(prec=60)  # the default context would round a number of more than 28 digits


class PriceVersion(msgspec.Struct, frozen=True, kw_only=True):
    """id is `plan@` and the first 16 hex digits of the SHA-256 of canonical. Store canonical: it is the plan."""

    id: str
    plan: Plan
    effective_ns: int
    canonical: bytes

    @property
    def plan_id(self) -> str:
        return self.plan.id


def _plain(value: object) -> object:
    """Numbers without trailing zeros, times in UTC: one way to write each plan."""
    if isinstance(value, Decimal):
        return format(value.normalize(_WIDE), "f") if value else "0"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def canonical_form(plan: Plan) -> bytes:
    """JSON with sorted keys. `0.60` and `0.6` are one plan; so are two orders of keys, but not of prices."""
    tree = msgspec.to_builtins(plan, builtin_types=(Decimal, datetime))
    return msgspec.json.encode(_plain(tree), order="deterministic")


def _identify(plan_id: str, canonical: bytes) -> str:
    return f"{plan_id}@{hashlib.sha256(canonical).hexdigest()[:_DIGITS]}"


def _nanoseconds(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def freeze_plan(plan: Plan, *, applied_ns: int) -> PriceVersion:
    """The version of a plan that is applied now. A plan without its own `effective` takes effect at applied_ns."""
    if named := next((price.model for price in plan.prices if price.markup is not None), None):
        raise MintageError(
            "invalid_request",
            f"The mark-up of {named} is not resolved: a price version states its rates.",
            "Resolve it against a price book first.",
        )
    canonical = canonical_form(plan)
    effective_ns = applied_ns if plan.effective is None else _nanoseconds(plan.effective)
    return PriceVersion(id=_identify(plan.id, canonical), plan=plan, effective_ns=effective_ns, canonical=canonical)


def thaw_version(version_id: str, canonical: bytes, *, effective_ns: int) -> PriceVersion:
    """A stored version again. Raises MintageError("conflict") if the stored text is not what the id names."""
    plan_id = version_id.partition("@")[0]
    if _identify(plan_id, canonical) != version_id:
        raise MintageError(
            "conflict",
            f"The stored text of price version {version_id} was changed.",
            "Price versions are immutable: restore it from a backup and apply changes as a new version.",
        )
    return PriceVersion(
        id=version_id, plan=load_plan(canonical, "json"), effective_ns=effective_ns, canonical=canonical
    )
