"""Attention as it is written: softmax(Q K^T / sqrt(d_k)) V (Vaswani et al. 2017, equation 1). Slow, and the reference.

The fast kernels of torch and of each architecture are held to it in the tests; nothing else calls it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, *, allowed: torch.Tensor | None = None
) -> torch.Tensor:
    """queries (..., L, d_k), keys (..., S, d_k), values (..., S, d_v) -> (..., L, d_v), in float64.

    allowed: (..., L, S) bool, where a query may look; None: everywhere. A query that may look nowhere gets zeros.
    """
    import torch

    queries, keys, values = (part.double() for part in (queries, keys, values))
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(keys.shape[-1])
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -torch.inf)
    weights = torch.exp(scores - scores.amax(-1, keepdim=True).nan_to_num(neginf=0.0))
    total = weights.sum(-1, keepdim=True)
    return (weights / total.where(total > 0, torch.ones_like(total))) @ values


def causal(length: int) -> torch.Tensor:
    """(length, length) bool: each place looks at itself and at what came before."""
    import torch

    return torch.ones(length, length, dtype=torch.bool).tril()
