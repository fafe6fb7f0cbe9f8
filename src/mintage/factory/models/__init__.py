"""Architectures: one dial, the depth, that sets everything else, and what a model of it takes and costs.

In: ModelConfig. Out: a Transformers model with fresh weights, and an Estimate before anything is trained.
Start with config.py (the shape), then build.py and estimate.py; attention.py is what the fast paths are held to.
"""

from mintage.factory.models.build import build
from mintage.factory.models.config import Architecture, ModelConfig, Shape
from mintage.factory.models.estimate import DEVICES, Estimate, estimate
from mintage.factory.models.load import architecture_of, load_model

__all__ = [
    "DEVICES",
    "Architecture",
    "Estimate",
    "ModelConfig",
    "Shape",
    "architecture_of",
    "build",
    "estimate",
    "load_model",
]
