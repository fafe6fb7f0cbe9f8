"""Tokenizers: byte-level BPE trained on a corpus, in the format that Transformers and llama.cpp read.

In: texts. Out: tokenizer.json and report.json in a folder, ids and back. Any text can be encoded: bytes are the base.
Start with train.py.
"""

from mintage.factory.tokenizer.train import (
    CHAT_TEMPLATE,
    SPECIAL,
    TokenizerOptions,
    TokenizerReport,
    add_marks,
    fertility,
    load_tokenizer,
    special_id,
    train_tokenizer,
)

__all__ = [
    "CHAT_TEMPLATE",
    "SPECIAL",
    "TokenizerOptions",
    "TokenizerReport",
    "add_marks",
    "fertility",
    "load_tokenizer",
    "special_id",
    "train_tokenizer",
]
