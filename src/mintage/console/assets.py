"""Static files: read once, joined into few, compressed once, named by their hash.

The pages load three files (console.css, vendor.js, console.js) and an icon. The parts stay separate on disk, so that
the vendored ones can be compared with their published hashes; they are joined here, in memory, at start-up.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib import resources
from typing import Final

import msgspec

_BUNDLES: Final[dict[str, tuple[str, ...]]] = {
    "console.css": ("vendor/uplot.min.css", "console.css"),
    "vendor.js": ("vendor/htmx.min.js", "vendor/uplot.min.js"),
    # Alpine starts as soon as it is read, so it comes after the components that it looks for.
    "console.js": (
        "js/page.js", "js/desk.js", "js/chart.js", "js/stacked.js", "js/plots.js", "js/live.js", "js/playground.js",
        "js/bench.js", "js/preview.js", "js/sign_in.js", "vendor/alpine-csp.min.js",
    ),
    "icon.svg": ("icon.svg",),
}  # fmt: skip
_MEDIA_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Asset(msgspec.Struct, frozen=True):
    """One file as served. digest is part of its address, so a browser may keep it for ever."""

    name: str
    media_type: str
    body: bytes
    packed: bytes
    digest: str


@cache
def assets() -> dict[str, Asset]:
    """Every static file by name."""
    root = resources.files("mintage.console") / "static"
    found = {}
    for name, parts in _BUNDLES.items():
        joint = b"\n;\n" if name.endswith(".js") else b"\n"
        body = joint.join((root / part).read_bytes() for part in parts)
        media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
        digest = hashlib.sha256(body).hexdigest()[:16]
        found[name] = Asset(name, media_type, body, gzip.compress(body, 9, mtime=0), digest)
    return found


def asset_url(name: str) -> str:
    """The address of a static file, with its digest. Raises KeyError if there is none."""
    return f"/console/static/{assets()[name].digest}/{name}"
