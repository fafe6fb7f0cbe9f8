"""Fresh models of each architecture, as Transformers knows it, from a shape.

Sources: decoder, Touvron et al. 2023; gpt, Radford et al. 2019; bert, Devlin et al. 2018; xlnet, Yang et al. 2019;
t5, Raffel et al. 2019; ctrl, Keskar et al. 2019. Dropout is off: a model of this size sees its text about once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mintage.factory.models.config import Shape

if TYPE_CHECKING:
    import torch

_Arguments = dict[str, Any]


def build(shape: Shape, *, seed: int, special: Mapping[str, int]) -> torch.nn.Module:
    """Fresh weights, the same for the same seed. special: ids of bos, eos and pad."""
    import torch
    import transformers

    torch.manual_seed(seed)
    configuration, model, arguments = _ARCHITECTURES[shape.architecture]
    ids = {f"{name}_token_id": number for name, number in special.items()}
    if shape.architecture == "t5":  # its decoder starts from padding
        ids["decoder_start_token_id"] = special["pad"]
    config = getattr(transformers, configuration)(vocab_size=shape.vocabulary, **arguments(shape), **ids)
    made: torch.nn.Module = getattr(transformers, model)(config)
    return made


def _decoder(shape: Shape) -> _Arguments:
    return {
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.shared,
        "head_dim": shape.head,
        "max_position_embeddings": shape.context,
        "tie_word_embeddings": True,
        "rms_norm_eps": 1e-6,
    }


def _gpt(shape: Shape) -> _Arguments:
    return {
        "n_embd": shape.width,
        "n_inner": shape.inner,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_positions": shape.context,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    }


def _bert(shape: Shape) -> _Arguments:
    return {
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "max_position_embeddings": shape.context,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }


def _xlnet(shape: Shape) -> _Arguments:
    return {
        "d_model": shape.width,
        "d_inner": shape.inner,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "dropout": 0.0,
        "mem_len": None,
        "use_mems_eval": False,
        "use_mems_train": False,
    }


def _t5(shape: Shape) -> _Arguments:
    return {
        "d_model": shape.width,
        "d_kv": shape.head,
        "d_ff": shape.inner,
        "num_layers": shape.layers,
        "num_decoder_layers": shape.layers,
        "num_heads": shape.heads,
        "n_positions": shape.context,
        "dropout_rate": 0.0,
        "tie_word_embeddings": True,
    }


def _ctrl(shape: Shape) -> _Arguments:
    return {
        "n_embd": shape.width,
        "dff": shape.inner,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_positions": shape.context,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "tie_word_embeddings": True,
    }


#: architecture -> (configuration, model, arguments of the configuration)
_ARCHITECTURES: Final[dict[str, tuple[str, str, Callable[[Shape], _Arguments]]]] = {
    "decoder": ("LlamaConfig", "LlamaForCausalLM", _decoder),
    "gpt": ("GPT2Config", "GPT2LMHeadModel", _gpt),
    "bert": ("BertConfig", "BertForMaskedLM", _bert),
    "xlnet": ("XLNetConfig", "XLNetLMHeadModel", _xlnet),
    "t5": ("T5Config", "T5ForConditionalGeneration", _t5),
    "ctrl": ("CTRLConfig", "CTRLLMHeadModel", _ctrl),
}
