"""Bytes inside JSON: base64 and data URLs, strict on the way in."""

from __future__ import annotations

import binascii

from mintage.base import MintageError


def decode_base64(text: str, param: str) -> bytes:
    """Raises invalid_request with param; the empty string is refused too."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error is one; so is text that is not ASCII
        raise _bad(
            f"'{param}' is not valid base64.", "Use the standard alphabet, padded, without blanks.", param
        ) from None
    if not data:
        raise _bad(f"'{param}' is empty.", "Send the file's bytes as base64.", param)
    return data


def encode_base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def decode_data_url(url: str, param: str) -> tuple[str, bytes]:
    """(media type, bytes) of `data:TYPE;base64,DATA`. Raises invalid_request with param."""
    head, comma, body = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise _bad(f"'{param}' is not a base64 data URL.", "Write it as data:TYPE;base64,DATA.", param)
    return head[5:-7].lower(), decode_base64(body, param)


def encode_data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{encode_base64(data)}"


def _bad(message: str, hint: str, param: str) -> MintageError:
    return MintageError("invalid_request", message, hint, param=param)
