"""A modern decoder (RoPE, RMSNorm, SwiGLU, grouped queries) of the Llama family, so that every engine reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    import torch


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """depth: the dial, the number of layers. What is left at 0 follows from it: width = 48 * depth, at least 128."""

    architecture: Literal["decoder"] = "decoder"
    depth: Annotated[int, Meta(ge=1, le=256)] = 4
    width: Annotated[int, Meta(ge=0, le=65_536, multiple_of=64)] = 0
    context: Annotated[int, Meta(ge=16, le=1_048_576)] = 512

    def shape(self, vocabulary: int) -> Shape:
        width = self.width or max(128, -(-48 * self.depth // 64) * 64)
        head = 32 if width <= 256 else 64 if width <= 2048 else 128
        heads = width // head
        shared = next(groups for groups in (heads // 4, heads // 2, heads) if groups and heads % groups == 0)
        return Shape(
            layers=self.depth, width=width, heads=heads, shared=shared, head=head,
            inner=-(-width * 8 // 3 // 64) * 64, vocabulary=vocabulary, context=self.context,
        )  # fmt: skip


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """shared: heads of keys and values. inner: width of the feed-forward part. Embeddings are tied."""

    layers: int
    width: int
    heads: int
    shared: int
    head: int
    inner: int
    vocabulary: int
    context: int

    @property
    def layer_parameters(self) -> int:
        attention = self.width * self.head * (2 * self.heads + 2 * self.shared)
        return attention + 3 * self.width * self.inner + 2 * self.width

    @property
    def parameters(self) -> int:
        return self.layers * self.layer_parameters + self.width + self.vocabulary * self.width


def build(shape: Shape, *, seed: int, special: dict[str, int]) -> torch.nn.Module:
    """Fresh weights, the same for the same seed. special: bos, eos and pad ids."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    ids: dict[str, Any] = {f"{name}_token_id": number for name, number in special.items()}
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.shared,
        head_dim=shape.head,
        max_position_embeddings=shape.context,
        tie_word_embeddings=True,
        rms_norm_eps=1e-6,
        **ids,
    )
    return LlamaForCausalLM(config)
