"""The dial: an architecture and a depth set everything else about a model, before anything is built."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

Architecture = Literal["decoder", "gpt", "bert", "xlnet", "t5", "ctrl"]
#: Tables of relative positions in T5: one of the encoder and one of the decoder, 32 distances a head.
_T5_BUCKETS: Final = 2 * 32


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """depth: the dial, the number of layers. What is left at 0 follows from it: width = 48 * depth, at least 128.

    architecture: `decoder` is the modern one (RoPE, RMSNorm, SwiGLU, grouped queries); the others are those of their
    papers, each trained by its own objective. t5 has `depth` layers in the encoder and as many in the decoder.
    """

    architecture: Architecture = "decoder"
    depth: Annotated[int, Meta(ge=1, le=256)] = 4
    width: Annotated[int, Meta(ge=0, le=65_536, multiple_of=64)] = 0
    context: Annotated[int, Meta(ge=16, le=1_048_576)] = 512

    def shape(self, vocabulary: int) -> Shape:
        """vocabulary: of the tokenizer, with the marks that the objective adds to it."""
        width = self.width or max(128, -(-48 * self.depth // 64) * 64)
        head = 32 if width <= 256 else 64 if width <= 2048 else 128
        heads = width // head
        modern = self.architecture == "decoder"
        groups = (heads // 4, heads // 2, heads) if modern else (heads,)
        return Shape(
            architecture=self.architecture,
            layers=self.depth,
            width=width,
            heads=heads,
            shared=next(shared for shared in groups if shared and heads % shared == 0),
            head=head,
            inner=-(-width * 8 // 3 // 64) * 64 if modern else 4 * width,
            vocabulary=vocabulary,
            context=self.context,
        )


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """shared: heads of keys and values. inner: width of the feed-forward part. Embeddings are tied."""

    architecture: Architecture = "decoder"
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
        """Of one layer; in t5, of one of the encoder and one of the decoder together."""
        width = self.width
        if self.architecture == "decoder":
            attention = width * self.head * (2 * self.heads + 2 * self.shared)
            return attention + 3 * width * self.inner + 2 * width
        if self.architecture == "t5":  # no biases; the decoder attends twice
            return (12 * width + 2) * width + (16 * width + 3) * width
        if self.architecture == "xlnet":  # a fifth matrix for relative positions, three biases of heads, segments
            return (13 * width + 14) * width
        return (12 * width + 13) * width

    @property
    def parameters(self) -> int:
        width, embeddings = self.width, self.vocabulary * self.width
        around = {
            "decoder": width,
            "gpt": self.context * width + 2 * width,
            "bert": self.context * width + 4 * width + (width + 3) * width + self.vocabulary,
            "xlnet": width + self.vocabulary,
            "t5": 2 * width + _T5_BUCKETS * self.heads,
            "ctrl": 2 * width + self.vocabulary,
        }
        return self.layers * self.layer_parameters + around[self.architecture] + embeddings
