"""Architectures: one dial, the depth, that sets everything else, and what a model of it takes and costs.

In: ModelConfig. Out: a Transformers model with fresh weights, and an Estimate before anything is trained.
Start with decoder.py (the shape), then estimate.py.
"""

from mintage.factory.models.decoder import ModelConfig, Shape, build
from mintage.factory.models.estimate import DEVICES, Estimate, estimate

__all__ = ["DEVICES", "Estimate", "ModelConfig", "Shape", "build", "estimate"]
