"""What can be set about a training, what it reports, and the learning rate at each of its steps."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[int, Meta(ge=1)]


class TrainingOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """tokens: read in all, whole steps of batch * block * accumulate. rate: the highest learning rate. decay: of
    matrices. schedule: how the rate falls after the warmup; `wsd` stays and falls in the last fifth. accumulate: of
    how many batches a step is. judge_every: steps between looks at held-out text, whose best weights are kept; 0: none.
    """

    tokens: Positive = 1_000_000
    batch: Annotated[int, Meta(ge=1, le=4096)] = 8
    block: Annotated[int, Meta(ge=8, le=1_048_576)] = 256
    accumulate: Annotated[int, Meta(ge=1, le=4096)] = 1
    rate: Annotated[float, Meta(gt=0, le=1)] = 1e-3
    schedule: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    warmup: Annotated[float, Meta(ge=0, le=0.5)] = 0.05
    decay: Annotated[float, Meta(ge=0, le=1)] = 0.1
    clip: Annotated[float, Meta(gt=0)] = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    judge_every: Annotated[int, Meta(ge=0)] = 0
    save_every: Annotated[int, Meta(ge=0)] = 0

    @property
    def step_tokens(self) -> int:
        return self.batch * self.block * self.accumulate

    @property
    def steps(self) -> int:
        return max(1, self.tokens // self.step_tokens)


class TrainingReport(msgspec.Struct, kw_only=True):
    """loss in nats a token: of the first and the last tenth of the steps. curve: (step, loss), thinned. judged: (step,
    loss on held-out text). best_step: of the weights that were kept. mfu: share of the device's peak, if it is known.
    """

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    tokens_per_s: float = 0.0
    loss_first: float = 0.0
    loss_last: float = 0.0
    curve: list[tuple[int, float]] = []
    judged: list[tuple[int, float]] = []
    best_step: int | None = None
    mfu: float | None = None


def rate_at(step: int, total: int, options: TrainingOptions) -> float:
    """Linear warmup, then as the schedule says, down to a tenth."""
    warm = max(1, round(total * options.warmup))
    if step < warm:
        return options.rate * (step + 1) / warm
    share = min(1.0, (step - warm) / max(1, total - warm))
    left = {
        "cosine": 0.5 + 0.5 * math.cos(math.pi * share),
        "linear": 1.0 - share,
        "wsd": min(1.0, (1.0 - share) / 0.2),
        "constant": 1.0,
    }[options.schedule]
    return options.rate * (0.1 + 0.9 * left)
