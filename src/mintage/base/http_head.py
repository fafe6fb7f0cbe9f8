"""Reading a header out of a raw HTTP/1.1 head, without building a list of all of them.

A head runs from its first line to the blank line that ends it. The parser has already refused bare line feeds,
folded lines, blanks before a colon and control bytes, so that `CRLF name :` can only be the start of a header.
"""

from __future__ import annotations

Headers = list[tuple[bytes, bytes]]


def find_header(head: bytes, lowered: bytes, name: bytes) -> bytes | None:
    """The first value of a header, without the blanks around it. name is in lower case; lowered is head.lower()."""
    start = lowered.find(b"\r\n" + name + b":")
    if start < 0:
        return None
    start += len(name) + 3
    return head[start : head.find(b"\r\n", start)].strip(b" \t")


def split_headers(head: bytes) -> Headers:
    """All headers in order; names in lower case, values without the blanks around them."""
    headers: Headers = []
    for line in head.split(b"\r\n")[1:-2]:
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip(b" \t")))
    return headers
