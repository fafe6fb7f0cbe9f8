"""Time-based one-time passwords (RFC 6238: HMAC-SHA-1, 6 digits, 30 seconds) and recovery codes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final
from urllib.parse import quote

STEP_S: Final = 30
SECRET_BYTES: Final = 20
RECOVERY_CODES: Final = 10
_DIGITS: Final = 6


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def code_at(secret: bytes, step: int) -> str:
    """The code of one time step (RFC 4226, 5.3: dynamic truncation)."""
    mac = hmac.new(secret, step.to_bytes(8, "big"), hashlib.sha1).digest()
    offset = mac[-1] & 0xF
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**_DIGITS:0{_DIGITS}d}"


def matching_step(secret: bytes, code: str, now_ns: int, *, after: int) -> int | None:
    """The step whose code this is: now's, or a neighbour's for clocks that differ. Steps up to `after` were used."""
    given = "".join(code.split())
    if not (given.isascii() and given.isdigit() and len(given) == _DIGITS):
        return None
    current = now_ns // (STEP_S * 1_000_000_000)
    found = None
    for step in (current - 1, current, current + 1):
        if hmac.compare_digest(code_at(secret, step), given) and step > after:
            found = step
    return found


def provisioning_uri(secret: bytes, *, issuer: str, account: str) -> str:
    """What authenticator apps read from a QR code (Google Authenticator's key URI format)."""
    label = f"{quote(issuer, safe='')}:{quote(account, safe='')}"
    return f"otpauth://totp/{label}?secret={text_of(secret)}&issuer={quote(issuer, safe='')}"


def text_of(secret: bytes) -> str:
    """For typing in: base32 without padding."""
    return base64.b32encode(secret).decode().rstrip("=")


def new_recovery_codes() -> list[str]:
    """80 random bits each, to be shown once."""
    raw = (base64.b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES))
    return ["-".join(code[i : i + 4] for i in range(0, 16, 4)) for code in raw]


def recovery_digest(code: str) -> str:
    """What is stored of a code, however it was typed."""
    return hashlib.sha256("".join(code.lower().replace("-", "").split()).encode()).hexdigest()
