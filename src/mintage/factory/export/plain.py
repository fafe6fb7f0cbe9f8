"""A checkpoint as it is, for what Transformers itself serves: weights in safetensors, configuration, tokenizer."""

from __future__ import annotations

import shutil
from pathlib import Path

from mintage.factory.export.checkpoint import open_checkpoint
from mintage.factory.export.gguf import ExportReport


def export_safetensors(folder: Path, out: Path) -> ExportReport:
    """Copy a checkpoint's files into `out`. Raises as open_checkpoint does: nothing that could run comes along."""
    checkpoint = open_checkpoint(folder)
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    for name in names:
        shutil.copyfile(folder / name, out / name)
    return ExportReport(
        format="safetensors",
        path=str(out),
        sha256=checkpoint.sha256(),
        size_bytes=sum((out / name).stat().st_size for name in names),
        tensors=len(checkpoint.tensors),
        quantised="f32",
    )
