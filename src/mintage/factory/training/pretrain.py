"""Pretraining: blocks drawn from the store by the seed and the step, so that a resumed run sees the same ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mintage.base import MintageError
from mintage.factory.step import Cancelled, ProgressCallback
from mintage.factory.store import TokenStore
from mintage.factory.training.loop import Batch, Loop, TrainingOptions, TrainingReport

if TYPE_CHECKING:
    import torch

TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json")


def pretrain(
    model: torch.nn.Module,
    store: TokenStore,
    options: TrainingOptions,
    out: Path,
    *,
    seed: int,
    progress: ProgressCallback,
    cancelled: Cancelled,
) -> TrainingReport:
    """Train in place. out: for checkpoints. Raises invalid_request for a store shorter than one block."""
    if len(store.tokens) <= options.block:
        raise MintageError(
            "invalid_request", f"The store has {len(store.tokens)} tokens, less than a block.", "Add text."
        )

    def batches(first: int) -> Iterator[Batch]:
        import numpy as np
        import torch

        step = first
        while True:
            draw = np.random.default_rng((seed, step))
            starts = draw.integers(0, len(store.tokens) - options.block, options.batch)
            rows = np.stack([store.tokens[at : at + options.block].astype(np.int64) for at in starts])
            ids = torch.from_numpy(rows)
            yield ids, ids
            step += 1

    return Loop(model, options, out, progress=progress, cancelled=cancelled).run(batches, options.steps)


def save_model(model: Any, tokenizer_folder: Path, out: Path) -> None:
    """The model and its tokenizer as a folder that AutoModelForCausalLM and AutoTokenizer read; whole or not at all."""
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.eval()
    model.save_pretrained(partial)
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer_folder / name, partial / name)
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
