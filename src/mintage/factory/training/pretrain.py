"""Pretraining: rows of a token store, made into inputs and labels by the objective of the architecture."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mintage.factory.models import Architecture
from mintage.factory.step import Cancelled, ProgressCallback
from mintage.factory.training.loop import Loop
from mintage.factory.training.objectives import Ids, Inputs, make_inputs
from mintage.factory.training.options import TrainingOptions, TrainingReport
from mintage.factory.training.rows import RowSource

if TYPE_CHECKING:
    import torch
    from lightning.fabric import Fabric

TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json")


def pretrain(
    model: torch.nn.Module,
    source: RowSource,
    ids: Ids,
    options: TrainingOptions,
    out: Path,
    *,
    architecture: Architecture = "decoder",
    progress: ProgressCallback,
    cancelled: Cancelled,
    fabric: Fabric | None = None,
    judge: Callable[[Any], float] | None = None,
    flops_per_token: float = 0.0,
    peak_flops: float = 0.0,
) -> TrainingReport:
    """Train in place. out: for checkpoints."""

    def batches(first: int) -> Iterator[list[Inputs]]:
        step = first
        while True:
            draw = source.draw(step)
            yield [make_inputs(architecture, source.rows(draw), ids, draw) for _ in range(options.accumulate)]
            step += 1

    loop = Loop(
        model, options, out, progress=progress, cancelled=cancelled, fabric=fabric, judge=judge,
        flops_per_token=flops_per_token, peak_flops=peak_flops,
    )  # fmt: skip
    return loop.run(batches, options.steps)


def save_model(model: Any, tokenizer_folder: Path, out: Path) -> None:
    """The model and its tokenizer as a folder that Transformers' Auto classes read; whole or not at all."""
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.eval()
    model.save_pretrained(partial)
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer_folder / name, partial / name)
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
