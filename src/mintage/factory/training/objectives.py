"""What each architecture learns from plain text, as data: rows of ids in, inputs and labels of one step out.

Labels lie where the logits lie that the model gives for the inputs: nothing is shifted later. -100 counts for nothing.

    causal       the next token                                     GPT, decoder      Radford et al. 2019
    control      the next token, each document after its code       CTRL              Keskar et al. 2019
    masked       15 % of the tokens: 80 % <mask>, 10 % other, 10 % kept    BERT       Devlin et al. 2018
    permutation  a sixth of the tokens, in a random order           XLNet             Yang et al. 2019
    spans        15 % of the tokens in runs of 3 on average         T5                Raffel et al. 2019
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.factory.models import Architecture

if TYPE_CHECKING:
    import numpy as np
    import torch

IGNORED: Final = -100
MASK: Final = "<mask>"
MASKED_SHARE: Final = 0.15
SPAN_MEAN: Final = 3.0
SPANS_MAX: Final = 100
PERMUTED_PART: Final = 6  # one of so many tokens is predicted
_CODE: Final = "<code:{}>"

#: What a step feeds the model, by name of its argument, and `labels`.
Inputs = dict[str, "torch.Tensor"]
Rows = "np.ndarray[Any, np.dtype[np.int64]]"


class Ids(msgspec.Struct, frozen=True, kw_only=True):
    """What an objective has to know of the tokenizer. base: tokens without marks. marks: ids of the objective's own."""

    base: int
    end: int
    pad: int
    marks: tuple[int, ...] = ()


def marks_of(architecture: Architecture, codes: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The special tokens that the objective needs beyond the tokenizer's. codes: names of a corpus' control codes."""
    if architecture in ("bert", "xlnet"):
        return (MASK,)
    if architecture == "t5":
        return tuple(f"<extra_id_{number}>" for number in range(SPANS_MAX))
    if architecture == "ctrl":
        return tuple(_CODE.format(name) for name in codes)
    return ()


def make_inputs(architecture: Architecture, rows: Any, ids: Ids, draw: np.random.Generator) -> Inputs:
    """rows: (batch, length) int64 of text. draw: all chance comes from it."""
    return _OBJECTIVES[architecture](rows, ids, draw)


def causal(rows: Any, ids: Ids, draw: np.random.Generator) -> Inputs:
    """The label of a place is the token after it; the last has none. Marks are given, never asked for."""
    import numpy as np

    labels = np.full_like(rows, IGNORED)
    labels[:, :-1] = rows[:, 1:]
    labels[np.isin(labels, ids.marks)] = IGNORED
    return _tensors(input_ids=rows, labels=labels)


def masked(rows: Any, ids: Ids, draw: np.random.Generator) -> Inputs:
    """The end of a document is no word: it is neither hidden nor asked for."""
    import numpy as np

    chosen = (draw.random(rows.shape) < MASKED_SHARE) & (rows != ids.end)
    chosen[:, 0] |= ~chosen.any(axis=1)  # a row that teaches nothing would be wasted
    fate = draw.random(rows.shape)
    hidden = np.where(chosen & (fate < 0.8), ids.marks[0], rows)
    other = draw.integers(0, ids.base, rows.shape)
    hidden = np.where(chosen & (fate >= 0.9), other, hidden)
    return _tensors(input_ids=hidden, labels=np.where(chosen, rows, IGNORED))


def permutation(rows: Any, ids: Ids, draw: np.random.Generator) -> Inputs:
    """perm_mask (batch, L, L): 1 where the row's place may not see the column's. A target sees what is no target and
    the targets before it in the drawn order, never itself; target_mapping (batch, targets, L) says where they are.
    """
    import numpy as np

    batch, length = rows.shape
    count = max(1, length // PERMUTED_PART)
    order = draw.permuted(np.tile(np.arange(length), (batch, 1)), axis=1)[:, :count]
    rank = np.full((batch, length), -1, np.int64)
    np.put_along_axis(rank, order, np.tile(np.arange(count), (batch, 1)), axis=1)
    blind = (rank[:, None, :] >= 0) & (rank[:, :, None] <= rank[:, None, :])
    mapping = np.zeros((batch, count, length), np.float32)
    np.put_along_axis(mapping, order[:, :, None], 1.0, axis=2)
    found = _tensors(input_ids=rows, labels=np.take_along_axis(rows, order, axis=1))
    return found | _tensors(perm_mask=blind.astype(np.float32), target_mapping=mapping)


def spans(rows: Any, ids: Ids, draw: np.random.Generator) -> Inputs:
    """Every row loses as many runs of as many tokens in all, so that rows stay equally long."""
    import numpy as np

    made = [corrupt_spans(row, ids, draw) for row in rows]
    inputs, targets = (np.stack([pair[part] for pair in made]) for part in (0, 1))
    before = np.concatenate([np.full((len(rows), 1), ids.pad), targets[:, :-1]], axis=1)
    return _tensors(input_ids=inputs, decoder_input_ids=before, labels=targets)


def corrupt_spans(row: Any, ids: Ids, draw: np.random.Generator) -> tuple[Any, Any]:
    """(text with a mark for each run that was taken out, each mark with its run), both closed by the end token."""
    import numpy as np

    length = len(row)
    noise = min(max(round(length * MASKED_SHARE), 1), length - 1)
    runs = min(max(round(noise / SPAN_MEAN), 1), noise, length - noise, len(ids.marks))
    lost, kept = _parts(noise, runs, draw), _parts(length - noise, runs, draw)
    text: list[Any] = []
    said: list[Any] = []
    at = 0
    for number in range(runs):
        mark = [ids.marks[number]]
        text += [row[at : at + kept[number]], mark]
        at += kept[number]
        said += [mark, row[at : at + lost[number]]]
        at += lost[number]
    return np.concatenate([*text, [ids.end]]), np.concatenate([*said, [ids.end]])


def _parts(total: int, parts: int, draw: np.random.Generator) -> Any:
    """`total` cut at random into so many parts of one at least."""
    import numpy as np

    cuts = np.sort(draw.choice(total - 1, parts - 1, replace=False)) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))


def _tensors(**arrays: Any) -> Inputs:
    import numpy as np
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


_OBJECTIVES: Final[dict[str, Callable[[Any, Ids, Any], Inputs]]] = {
    "decoder": causal,
    "gpt": causal,
    "ctrl": causal,
    "bert": masked,
    "xlnet": permutation,
    "t5": spans,
}
