"""Chat finetuning: conversations as the chat template writes them, the loss on what the assistant says alone."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from mintage.base import MintageError
from mintage.factory.step import Cancelled, ProgressCallback
from mintage.factory.training.loop import Loop
from mintage.factory.training.objectives import IGNORED, Inputs
from mintage.factory.training.options import TrainingOptions, TrainingReport

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

CHATS_MAX: Final = 1_000_000
_FILE_MAX_BYTES: Final = 512 * 1024 * 1024


class Turn(msgspec.Struct, frozen=True):
    role: Literal["system", "user", "assistant"]
    content: str


class Chat(msgspec.Struct, frozen=True):
    messages: Annotated[list[Turn], Meta(min_length=2, max_length=1000)]


def read_chats(data: bytes) -> list[Chat]:
    """Lines of {"messages": [...]}. Raises MintageError invalid_request naming the line at fault."""
    found = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            chat = msgspec.json.decode(line, type=Chat)
        except msgspec.DecodeError as error:
            raise MintageError(
                "invalid_request",
                f"Line {number} is no chat: {error}.",
                'Write {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}.',
            ) from error
        if not any(turn.role == "assistant" and turn.content for turn in chat.messages):
            raise MintageError("invalid_request", f"Line {number} has no answer to learn from.", "Add one, or drop it.")
        found.append(chat)
        if len(found) > CHATS_MAX:
            raise MintageError("payload_too_large", f"There are over {CHATS_MAX:,} chats.", "Use fewer.")
    if not found:
        raise MintageError("invalid_request", "The file has no chats.", "Write one a line.")
    return found


def read_chat_file(path: Path) -> list[Chat]:
    """A JSONL file, gzipped if its name ends in .gz."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(_FILE_MAX_BYTES + 1)
    except OSError as error:
        raise MintageError("not_found", f"{path} cannot be read: {error}.", "Check the path.") from error
    if len(data) > _FILE_MAX_BYTES:
        raise MintageError("payload_too_large", f"{path.name} is over {_FILE_MAX_BYTES:,} bytes.", "Use less.")
    return read_chats(data)


def encode_chat(tokenizer: Tokenizer, chat: Chat) -> tuple[list[int], list[int]]:
    """(ids, labels): as the chat template writes it; labels are -100 outside of the assistant's words."""
    ids: list[int] = []
    labels: list[int] = []
    for turn in chat.messages:
        head = tokenizer.encode(f"<|im_start|>{turn.role}\n").ids
        body = tokenizer.encode(f"{turn.content}<|im_end|>").ids
        tail = tokenizer.encode("\n").ids
        ids += head + body + tail
        said = body if turn.role == "assistant" else [IGNORED] * len(body)
        labels += [IGNORED] * len(head) + said + [IGNORED] * len(tail)
    return ids, labels


def count_tokens(tokenizer: Tokenizer, chats: list[Chat], block: int) -> int:
    """What one pass over the chats trains on, as it is billed: each chat cut at the block, without padding."""
    return sum(min(block, len(encode_chat(tokenizer, chat)[0])) for chat in chats)


def finetune_chat(
    model: torch.nn.Module,
    tokenizer: Tokenizer,
    chats: list[Chat],
    options: TrainingOptions,
    out: Path,
    *,
    seed: int,
    progress: ProgressCallback,
    cancelled: Cancelled,
) -> TrainingReport:
    """Train in place. Each step packs whole chats into rows of a block until the batch is full."""
    encoded = [encode_chat(tokenizer, chat) for chat in chats]
    pad = tokenizer.token_to_id("<|pad|>") or 0

    def batches(first: int) -> Iterator[list[Inputs]]:
        step = first
        while True:
            yield [_pack(encoded, options, pad, (seed, step, part)) for part in range(options.accumulate)]
            step += 1

    return Loop(model, options, out, progress=progress, cancelled=cancelled).run(batches, options.steps)


def _pack(
    encoded: list[tuple[list[int], list[int]]], options: TrainingOptions, pad: int, draw: tuple[int, ...]
) -> Inputs:
    """Rows of whole chats, one after the other; the rest of a row is padding that counts for nothing."""
    import numpy as np
    import torch

    order = np.random.default_rng(draw).permutation(len(encoded))
    ids = np.full((options.batch, options.block), pad, np.int64)
    labels = np.full((options.batch, options.block), IGNORED, np.int64)
    row = at = 0
    for number in order:
        chat, said = (part[: options.block] for part in encoded[number])
        if at and at + len(chat) > options.block:
            row, at = row + 1, 0
        if row == options.batch:
            break
        ids[row, at : at + len(chat)] = chat
        labels[row, at : at + len(chat) - 1] = said[1:]  # the label of a place is the token after it
        at += len(chat)
    return {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}
