"""Passwords: Argon2id with the first parameters that OWASP recommends (46 MiB, 1 pass), a few at a time.

Source: OWASP Password Storage Cheat Sheet; RFC 9106. Length is what counts (NIST SP 800-63B): no rules of composition,
but nothing that everyone tries first.
"""

from __future__ import annotations

import threading
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Final

from mintage.base import MintageError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LENGTH_MIN: Final = 12
LENGTH_MAX: Final = 256
HASHES_AT_ONCE: Final = 4  # each takes 46 MiB and a core for some 30 ms

_turns: Final = threading.BoundedSemaphore(HASHES_AT_ONCE)
_TURN_WAIT_S: Final = 5.0
_TRIED_FIRST: Final = (
    "password", "passwort", "qwerty", "letmein", "welcome", "iloveyou", "123456789", "abcdefgh", "mintage", "admin123",
)  # fmt: skip


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)


@cache
def _nobodys_hash() -> str:
    return _hasher().hash("nobody has this password")


def _is_text(password: str) -> bool:
    """Half a surrogate pair, as JSON can escape it, is no text and cannot be hashed."""
    return not any("\ud800" <= char <= "\udfff" for char in password)


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, *, own: tuple[str, ...] = ()) -> str:
    """The normalised password. own: the person's name and address, which it must not be made of.

    Raises invalid_request.
    """
    clean = _normal(password) if _is_text(password) else ""
    if not LENGTH_MIN <= len(clean) <= LENGTH_MAX:
        raise _weak(f"The password has {len(clean)} characters.", f"Use {LENGTH_MIN} to {LENGTH_MAX}.")
    rest = clean.casefold()
    for word in (*_TRIED_FIRST, *(part for text in own for part in text.casefold().split("@")[:1])):
        rest = rest.replace(word, "") if len(word) > 3 else rest
    if len(set(clean)) < 5 or len(rest) < LENGTH_MIN // 2:
        raise _weak("The password is easy to guess.", "Use several words that do not belong together.")
    return clean


def _weak(problem: str, hint: str) -> MintageError:
    return MintageError("invalid_request", problem, hint, param="password")


def hash_password(password: str) -> str:
    """What is stored. Raises rate_limited when too many are being hashed."""
    with _Turn():
        return _hasher().hash(_normal(password))


def verify_password(stored: str | None, password: str) -> bool:
    """Takes the same time whether there is a password or not. Raises rate_limited when too many are being checked."""
    from argon2.exceptions import InvalidHashError, VerificationError

    if len(password) > LENGTH_MAX or not _is_text(password):
        return False
    with _Turn():
        try:
            return _hasher().verify(stored or _nobodys_hash(), _normal(password)) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


class _Turn:
    """A flood of sign-ins waits a little, then is refused, instead of taking all memory."""

    def __enter__(self) -> None:
        if not _turns.acquire(timeout=_TURN_WAIT_S):
            raise MintageError("rate_limited", "Too many people sign in at once.", "Try again.", retry_after_s=2)

    def __exit__(self, *_: object) -> None:
        _turns.release()
