"""Training a byte-level BPE tokenizer, with the special tokens of a chat, and how finely it cuts each language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from mintage.base import MintageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END: Final = "<|endoftext|>"
PAD: Final = "<|pad|>"
MASK: Final = "<mask>"  # a blank to be filled in
TURN: Final = ("<|im_start|>", "<|im_end|>")
SPECIAL: Final = (END, PAD, *TURN)
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class TokenizerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """vocabulary: tokens in all, special ones and the 256 bytes included."""

    vocabulary: Annotated[int, Meta(ge=300, le=1_000_000)] = 8192
    min_frequency: Annotated[int, Meta(ge=1, le=1000)] = 2


class TokenizerReport(msgspec.Struct, frozen=True, kw_only=True):
    """bytes_per_token by language: more is coarser, and cheaper to train and to serve."""

    vocabulary: int
    merges: int
    bytes_per_token: dict[str, float]


def train_tokenizer(texts: Iterable[str], options: TokenizerOptions, out: Path) -> Tokenizer:
    """Train and write tokenizer.json and tokenizer_config.json into `out`. The same texts give the same file."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocabulary,
        min_frequency=options.min_frequency,
        special_tokens=[AddedToken(text, special=True) for text in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": TURN[1],
        "pad_token": PAD,
        "bos_token": END,
        "add_bos_token": False,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
    }
    (out / "tokenizer_config.json").write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2))
    return tokenizer


def fertility(tokenizer: Tokenizer, samples: dict[str, list[str]]) -> TokenizerReport:
    """How many bytes a token stands for, by language of the samples."""
    found = {}
    for language, texts in sorted(samples.items()):
        tokens = sum(len(one.ids) for one in tokenizer.encode_batch(texts))
        found[language] = round(sum(len(text.encode()) for text in texts) / max(tokens, 1), 3)
    size = tokenizer.get_vocab_size()
    return TokenizerReport(vocabulary=size, merges=size - 256 - len(SPECIAL), bytes_per_token=found)


def special_id(tokenizer: Tokenizer, text: str) -> int:
    """The id of a special token. Raises invalid_request if this tokenizer has none such."""
    found = tokenizer.token_to_id(text)
    if found is None:
        raise MintageError("invalid_request", f"The tokenizer has no {text}.", "Train one with Mintage.")
    return int(found)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Raises MintageError not_found or invalid_request."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise MintageError("not_found", f"{folder} has no tokenizer.json.", "Train one first.")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise MintageError(
            "invalid_request", f"{path.name} is no tokenizer: {error}.", "The file is broken."
        ) from error


def add_marks(folder: Path, marks: Sequence[str], out: Path) -> tuple[int, ...]:
    """A copy of the tokenizer in `out` with more special tokens after its own; their ids, in order."""
    from tokenizers import AddedToken

    tokenizer = load_tokenizer(folder)
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    config = msgspec.json.decode((folder / "tokenizer_config.json").read_bytes(), type=dict[str, Any])
    if MASK in marks:
        config["mask_token"] = MASK
    (out / "tokenizer_config.json").write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2))
    return tuple(special_id(tokenizer, mark) for mark in marks)
