"""Entity tags: which state of a thing the caller has seen, so that two people do not overwrite each other's change."""

from __future__ import annotations

import hashlib

import msgspec

from mintage.base import MintageError


def tag_of(raw: bytes) -> str:
    """The entity tag of a thing's JSON: 32 hexadecimal digits, without quotes."""
    return hashlib.sha256(raw).hexdigest()[:32]


def etag(thing: msgspec.Struct) -> str:
    """The tag that the admin API sends with this thing."""
    return tag_of(msgspec.json.encode(thing))


def check_match(match: str | None, thing: msgspec.Struct) -> None:
    """match: an If-Match header's value, or None to overwrite whatever is there. thing: as it is now, read in the
    transaction that changes it. Raises precondition_failed."""
    if match is None or match.strip() == "*":
        return
    known = {part.strip().removeprefix("W/").strip('"') for part in match[:1000].split(",")}
    if etag(thing) not in known:
        raise MintageError(
            "precondition_failed",
            "It was changed by someone else in the meantime.",
            "Read it again, look at what changed, and send your change with its new ETag.",
        )
