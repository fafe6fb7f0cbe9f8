"""A tokenizer.json of byte-level BPE as GGUF's vocabulary.

llama.cpp splits text before merging with one of the patterns that it has built in; a tokenizer is converted only if
it splits by one of them, because any other would count and read other tokens than the model was trained on.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (tokenizer.ggml.*); names of patterns: llama.cpp's
src/llama-vocab.cpp.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.base import MintageError
from mintage.factory.export.checkpoint import read_json

if TYPE_CHECKING:
    from gguf import GGUFWriter

_NORMAL, _CONTROL, _USER, _UNUSED = 1, 3, 4, 5

_QWEN2: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3: Final = _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
#: pattern of the splitting -> llama.cpp's name of it
PATTERNS: Final = {_QWEN2: "qwen2", _LLAMA3: "llama-bpe"}


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """tokens in the order of their ids; types as llama.cpp numbers them; merges as `left right`."""

    tokens: list[str]
    types: list[int]
    merges: list[str]
    pattern: str
    special: dict[str, int]  # bos, eos, pad, unk: ids, where there are such
    chat_template: str
    adds_bos: bool


def read_vocabulary(folder: Path, size: int) -> Vocabulary:
    """The tokenizer beside a checkpoint whose embedding has `size` rows. Raises unsupported for another kind."""
    raw = read_json(folder / "tokenizer.json")
    model = raw.get("model") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise _unsupported(f"its tokenizer is of the kind {model.get('type')!r}")
    if raw.get("normalizer") is not None:
        raise _unsupported("its tokenizer normalises text before it splits it")
    tokens: dict[int, str] = {int(number): text for text, number in model["vocab"].items()}
    types = dict.fromkeys(tokens, _NORMAL)
    for added in raw.get("added_tokens") or []:
        tokens[int(added["id"])] = added["content"]
        types[int(added["id"])] = _CONTROL if added.get("special") else _USER
    if max(tokens) >= size:
        raise MintageError(
            "invalid_request",
            f"The tokenizer has an id {max(tokens)}, but the model only {size} rows.",
            "The tokenizer is of another model.",
        )
    config = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    return Vocabulary(
        tokens=[tokens.get(number, f"[UNUSED_{number}]") for number in range(size)],
        types=[types.get(number, _UNUSED) for number in range(size)],
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]],
        pattern=_pattern(raw.get("pre_tokenizer") or {}),
        special=_special(folder, config, {text: number for number, text in tokens.items()}),
        chat_template=_template(folder, config),
        adds_bos=bool(config.get("add_bos_token")),
    )


def write_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pattern)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    for name, number in vocabulary.special.items():
        getattr(writer, f"add_{name}_token_id")(number)
    writer.add_add_bos_token(vocabulary.adds_bos)
    if vocabulary.chat_template:
        writer.add_chat_template(vocabulary.chat_template)


def _pattern(splitting: dict[str, Any]) -> str:
    parts = splitting.get("pretokenizers") if splitting.get("type") == "Sequence" else [splitting]
    parts = list(parts or [])
    last = parts[-1] if parts else {}
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        raise _unsupported("its tokenizer does not split text into bytes")
    if len(parts) == 1 and last.get("use_regex", True):
        return "gpt-2"
    if len(parts) == 2 and parts[0].get("type") == "Split" and not last.get("use_regex", True):
        pattern = (parts[0].get("pattern") or {}).get("Regex", "")
        if (name := PATTERNS.get(pattern)) is not None and parts[0].get("behavior") == "Isolated":
            return name
    raise _unsupported("its tokenizer splits text by a pattern that llama.cpp does not have")


def _special(folder: Path, config: dict[str, Any], ids: dict[str, int]) -> dict[str, int]:
    """Ids of bos, eos, pad and unk, by what the tokenizer's configuration says, else the model's."""
    model = read_json(folder / "config.json")
    generation = read_json(folder / "generation_config.json") if (folder / "generation_config.json").is_file() else {}
    found = {}
    for name in ("bos", "eos", "pad", "unk"):
        text = config.get(f"{name}_token")
        text = text.get("content") if isinstance(text, dict) else text
        number = ids.get(text) if isinstance(text, str) else None
        for source in (generation, model):
            if number is None and isinstance(source.get(f"{name}_token_id"), int):
                number = source[f"{name}_token_id"]
        if number is not None:
            found[name] = int(number)
    if "<|im_end|>" in ids and "eos" in found:
        found["eot"] = ids["<|im_end|>"]  # what ends a turn of the chat
    return found


def _template(folder: Path, config: dict[str, Any]) -> str:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text("utf-8")[: 1024 * 1024]
    template = config.get("chat_template")
    return template if isinstance(template, str) else ""


def _unsupported(why: str) -> MintageError:
    return MintageError(
        "unsupported",
        f"This model cannot become GGUF: {why}.",
        "Train a byte-level BPE tokenizer, or serve the folder itself with the transformers engine.",
    )
