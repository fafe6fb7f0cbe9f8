"""A saved model of any architecture, by what its configuration says that it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from mintage.base import MintageError
from mintage.factory.models.config import Architecture

if TYPE_CHECKING:
    import torch

#: Transformers' name of the family -> ours.
FAMILIES: Final[dict[str, Architecture]] = {
    "llama": "decoder",
    "gpt2": "gpt",
    "bert": "bert",
    "xlnet": "xlnet",
    "t5": "t5",
    "ctrl": "ctrl",
}


def architecture_of(folder: Path) -> Architecture:
    """Raises MintageError not_found or unsupported."""
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise MintageError("not_found", f"{folder} has no config.json.", "Give the folder of a model.")
    family = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).model_type
    if family not in FAMILIES:
        raise MintageError("unsupported", f"The factory makes no {family}.", f"It makes {', '.join(FAMILIES)}.")
    return FAMILIES[family]


def load_model(folder: Path) -> torch.nn.Module:
    """In float32, for training and judging alike. Only safetensors are read; nothing in the folder is ever run."""
    import torch
    import transformers

    kind = architecture_of(folder)
    loader = {"bert": "AutoModelForMaskedLM", "t5": "AutoModelForSeq2SeqLM"}.get(kind, "AutoModelForCausalLM")
    found: torch.nn.Module = getattr(transformers, loader).from_pretrained(
        folder, use_safetensors=True, local_files_only=True, trust_remote_code=False, dtype=torch.float32
    )
    return found
