"""What a model makes of a few words, by what its architecture does: write on, fill blanks, or restore lost spans.

Greedy, so that the same model always says the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mintage.factory.models import architecture_of, load_model
from mintage.factory.tokenizer import load_tokenizer, special_id

_BLANK = "<extra_id_0>"
_CODE = "<code:"


def predict(folder: Path, asks: list[str], tokens_max: int, *, chat: bool) -> list[str]:
    """One answer an ask. chat: put the ask as a user's turn. bert is asked with <mask> where a word is missing (at the
    end if there is none), t5 with <extra_id_0>, ctrl after a control code (its first, if none is given).
    """
    if not asks:
        return []
    kind = architecture_of(folder)
    tokenizer, model = load_tokenizer(folder), load_model(folder).eval()
    answers = []
    for ask in asks:
        if kind == "bert":
            answers.append(_fill(model, tokenizer, ask if "<mask>" in ask else f"{ask}<mask>"))
            continue
        text = ask
        if kind == "t5":
            text = ask if _BLANK in ask else f"{ask}{_BLANK}"
        elif kind == "ctrl":
            text = ask if ask.startswith(_CODE) else f"{_first_code(tokenizer)}{ask}"
        elif chat:
            text = f"<|im_start|>user\n{ask}<|im_end|>\n<|im_start|>assistant\n"
        answers.append(_write(model, tokenizer, text, tokens_max, kind == "t5"))
    return answers


def _first_code(tokenizer: Any) -> str:
    codes = {number: text for text, number in tokenizer.get_vocab().items() if text.startswith(_CODE)}
    return str(codes[min(codes)]) if codes else ""


def _write(model: Any, tokenizer: Any, text: str, tokens_max: int, restores: bool) -> str:
    import torch

    ids = tokenizer.encode(text).ids
    if restores:
        ids.append(special_id(tokenizer, "<|endoftext|>"))
    given = torch.tensor([ids])
    with torch.no_grad():
        made = model.generate(given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=tokens_max)
    written = made[0, 1 if restores else len(ids) :].tolist()
    return str(tokenizer.decode(written, skip_special_tokens=True)).strip()


def _fill(model: Any, tokenizer: Any, text: str) -> str:
    import torch

    ids = torch.tensor([tokenizer.encode(text).ids])
    blanks = ids == special_id(tokenizer, "<mask>")
    with torch.no_grad():
        ids[blanks] = model(input_ids=ids).logits[blanks].argmax(-1)
    return str(tokenizer.decode(ids[0].tolist(), skip_special_tokens=True)).strip()
