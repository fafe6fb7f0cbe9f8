"""How well a model does what it was trained for, on text it has not seen, beside what guessing by frequency gives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.factory.models import Architecture
from mintage.factory.store import TokenStore
from mintage.factory.training.loop import token_loss
from mintage.factory.training.objectives import IGNORED, Ids, make_inputs
from mintage.factory.training.rows import RowSource

if TYPE_CHECKING:
    import torch

_BATCHES_MAX: Final = 1_000


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """In nats a token asked for. baseline: of guessing each token as often as the training text has it (unigram)."""

    loss: float
    baseline: float
    perplexity: float
    tokens: int


def judge_objective(
    model: torch.nn.Module,
    source: RowSource,
    ids: Ids,
    frequencies: Any,
    *,
    architecture: Architecture,
    batches: int = 8,
) -> Judged:
    """The same rows and the same chance every time. frequencies: of each token in the training text (see unigram).

    Marks are not counted: they are easy, and frequency knows nothing of them.
    """
    import torch

    device = next(model.parameters()).device
    loss = baseline = 0.0
    tokens = 0
    with torch.no_grad():
        for number in range(min(batches, _BATCHES_MAX)):
            draw = source.draw(number)
            inputs = make_inputs(architecture, source.rows(draw), ids, draw)
            labels = inputs["labels"]
            labels[torch.isin(labels, torch.tensor(ids.marks, dtype=labels.dtype))] = IGNORED
            asked = labels[labels != IGNORED]
            baseline -= float(frequencies[asked.numpy()].sum())
            total, count = token_loss(model, {name: part.to(device) for name, part in inputs.items()})
            loss, tokens = loss + float(total), tokens + count
    tokens = max(tokens, 1)
    mean = loss / tokens
    return Judged(
        loss=round(mean, 4), baseline=round(baseline / tokens, 4), perplexity=round(math.exp(min(mean, 50.0)), 3),
        tokens=tokens,
    )  # fmt: skip


def unigram(store: TokenStore, vocabulary: int) -> Any:
    """ln of how often each token comes in the store, with one more of each so that none is impossible."""
    import numpy as np

    counts = np.bincount(store.tokens[:], minlength=vocabulary).astype(np.float64) + 1.0
    return np.log(counts / counts.sum())
