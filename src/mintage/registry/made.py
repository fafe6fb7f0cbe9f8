"""Entries of models that are not pulled: made here, or brought by a package.

The source of one made here is `factory:RUN`, and a signature lies beside its weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mintage.registry.catalogue import BuiltIn
from mintage.registry.gguf import GgufHeader, read_gguf
from mintage.registry.manifest import EngineName, ModelEntry

MADE: Final = "factory:"


def is_made(entry: ModelEntry) -> bool:
    return entry.source.startswith(MADE)


def made_entry(  # noqa: PLR0917 - the fields of an entry
    name: str, weights: Path, sha256: str, source: str, engine: EngineName, created_ns: int
) -> ModelEntry:  # fmt: skip
    """The entry of weights that lie at `weights`. Raises invalid_request for a GGUF that is none."""
    header = GgufHeader() if engine == "transformers" else read_gguf(weights)
    return ModelEntry(
        name=name,
        engine=engine,
        source=source,
        file=weights.name,
        sha256=sha256,
        pinned=True,
        size_bytes=weights.stat().st_size,
        licence=header.licence,
        architecture=header.architecture,
        context_tokens=header.context_tokens or None,
        chat_template=header.chat_template,
        languages=header.languages,
        created_ns=created_ns,
    )


def built_in_entry(name: str, model: BuiltIn, created_ns: int) -> ModelEntry:
    return ModelEntry(
        name=name,
        engine=model.engine,
        source=f"built-in:{model.name}",
        licence=model.licence,
        languages=model.languages,
        created_ns=created_ns,
    )
