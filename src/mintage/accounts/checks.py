"""What names, addresses and zones may look like. Each check returns the clean value or raises invalid_request."""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from zoneinfo import ZoneInfo

from mintage.base import MintageError

NAME_MAX: Final = 200
TEXT_MAX: Final = 1000

_HANDLE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_EMAIL: Final = re.compile(r"[^@\s<>()\[\],;:\\\"]{1,64}@[^@\s<>()\[\],;:\\\"]{1,189}")
_MODEL: Final = re.compile(r"[^\s\x00-\x1f]{1,200}")


def _refuse(param: str, problem: str, hint: str) -> MintageError:
    return MintageError("invalid_request", problem, hint, param=param)


def check_text(text: str, param: str, *, limit: int = TEXT_MAX) -> str:
    """Normalised (NFC), without control characters but line breaks, at most `limit` characters."""
    clean = unicodedata.normalize("NFC", text).strip()
    if len(clean) > limit:
        raise _refuse(param, f"{param} has {len(clean)} characters.", f"Use at most {limit}.")
    if any(unicodedata.category(char) in ("Cc", "Cs", "Co") and char != "\n" for char in clean):
        raise _refuse(param, f"{param} holds a control character.", "Remove it.")
    return clean


def check_name(name: str, param: str = "name") -> str:
    clean = check_text(name, param, limit=NAME_MAX)
    if not clean or "\n" in clean:
        raise _refuse(param, f"{param} must be one line that is not empty.", "Give a name.")
    return clean


def check_handle(handle: str) -> str:
    """A short name for commands and addresses; never mistaken for an id, which has an underscore."""
    if not _HANDLE.fullmatch(handle):
        raise _refuse(
            "handle",
            f"{handle[:80]!r} cannot be a handle.",
            "Use 1 to 63 small letters, digits and dashes, with a letter or digit at both ends, such as acme-labs.",
        )
    return handle


def handle_from(name: str) -> str:
    """A handle made from a name; empty when the name has no letter or digit of ASCII."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:60].strip("-")


def check_email(email: str, *, required: bool = False) -> str:
    clean = email.strip()
    if (clean or required) and not _EMAIL.fullmatch(clean):
        raise _refuse("email", f"{clean[:80]!r} is not an e-mail address.", "Write it as name@example.com.")
    return clean


def check_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # unknown, ill-formed, or a folder of the database
        raise _refuse(
            "time_zone", f"{name[:64]!r} is not a time zone.", "Use an IANA name such as Europe/Berlin or UTC."
        ) from error
    return name


def check_country(code: str) -> str:
    if code and not (len(code) == 2 and code.isascii() and code.isalpha() and code.isupper()):
        raise _refuse("country", f"{code[:12]!r} is not a country code.", "Use two capital letters, such as DE.")
    return code


def check_models(models: tuple[str, ...]) -> tuple[str, ...]:
    """Model names that a key may use, sorted. `*` at the end of a name stands for anything."""
    if len(models) > 100:
        raise _refuse("models", "A key may name at most 100 models.", "Use a pattern such as smollm2-*.")
    for model in models:
        if not _MODEL.fullmatch(model) or "*" in model[:-1]:
            raise _refuse("models", f"{model[:80]!r} is not a model name.", "A * may only stand at the end.")
    return tuple(sorted(set(models)))


def check_per_minute(value: int | None, param: str) -> int | None:
    if value is not None and not 1 <= value <= 2_000_000_000:
        raise _refuse(param, f"{param} is {value}.", "Give 1 to 2,000,000,000, or nothing for no limit.")
    return value
