"""LoRA: finetuning a pair of thin matrices beside each linear layer, and the weights as they are (Hu et al. 2021).

The adapter is kept by itself, in the format of PEFT that other servers load beside a base model, and merged into a
model that every engine reads.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def adapt(model: torch.nn.Module, rank: int, alpha: int, seed: int) -> torch.nn.Module:
    """The model with fresh adapters, which change nothing yet; only they will learn. alpha 0: twice the rank."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    transposed = any(type(module).__name__ == "Conv1D" for module in model.modules())  # GPT-2 keeps them so
    config = LoraConfig(
        r=rank, lora_alpha=alpha or 2 * rank, target_modules="all-linear", fan_in_fan_out=transposed,
        task_type="CAUSAL_LM",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT reads an attribute that Transformers has renamed
        adapted: torch.nn.Module = get_peft_model(model, config)  # type: ignore[arg-type,unused-ignore]
    return adapted


def merge(model: Any, out: Path) -> torch.nn.Module:
    """Save the adapters into `out`, whole or not at all; the model with them added to its weights."""
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial, safe_serialization=True)
    (partial / "README.md").unlink(missing_ok=True)  # a template with nothing filled in
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    merged: torch.nn.Module = model.merge_and_unload()
    return merged


def trainable(model: torch.nn.Module) -> int:
    """How many parameters learn."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
