"""A checkpoint of the Llama family as GGUF, which llama.cpp, OpenVINO and most local engines read.

Names and layout: gguf-py's constants and llama.cpp's conversion of LlamaForCausalLM. Rotary halves are interleaved
there, so the rows of the query and key projections are permuted; `tests/factory/export` holds the logits to parity.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.base import MintageError
from mintage.factory.export.checkpoint import Checkpoint, open_checkpoint
from mintage.factory.export.gguf_vocabulary import read_vocabulary, write_vocabulary

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFWriter

#: What weights may be kept as, with bits a weight. Norms and biases stay float32.
QUANTISATIONS: Final = {"f32": 32.0, "f16": 16.0, "bf16": 16.0, "q8_0": 8.5, "q5_1": 6.0, "q4_0": 4.5}
_FAMILY: Final = ("LlamaForCausalLM", "MistralForCausalLM")
_LAYERS_MAX: Final = 1024
Array = Any


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an export wrote. sha256 of the file, or of all files' hashes in order of their names."""

    format: str
    path: str
    sha256: str
    size_bytes: int
    tensors: int
    quantised: str


def export_gguf(
    folder: Path,
    target: Path,
    *,
    quantise: str = "f16",
    name: str = "",
    licence: str = "",
    languages: tuple[str, ...] = (),
    progress: Callable[[int, int | None, str], None] = lambda done, total, note: None,
) -> ExportReport:
    """Write `target` whole or not at all. Raises unsupported (another architecture or tokenizer) or invalid_request."""
    from gguf import GGUFWriter

    if quantise not in QUANTISATIONS:
        raise MintageError(
            "invalid_request", f"{quantise!r} is no way to keep weights.", f"One of: {', '.join(QUANTISATIONS)}."
        )
    checkpoint = open_checkpoint(folder)
    _check(checkpoint)
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    writer = GGUFWriter(partial, "llama")
    try:
        _write_facts(writer, checkpoint.config, name or folder.name, licence, languages, quantise)
        write_vocabulary(writer, read_vocabulary(folder, int(checkpoint.config["vocab_size"])))
        written = 0
        for gguf_name, array in _tensors(checkpoint):
            _add(writer, gguf_name, array, quantise)
            written += 1
            progress(written, len(checkpoint.tensors), gguf_name)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with partial.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return ExportReport(
        format="gguf",
        path=str(target),
        sha256=digest,
        size_bytes=target.stat().st_size,
        tensors=written,
        quantised=quantise,
    )


def _check(checkpoint: Checkpoint) -> None:
    config = checkpoint.config
    architectures = config.get("architectures") or [""]
    if architectures[0] not in _FAMILY:
        raise MintageError(
            "unsupported",
            f"GGUF is written for the Llama family; this is {architectures[0] or 'a model that does not say'}.",
            "Serve the folder itself with the transformers engine, or export ONNX.",
        )
    scaling = _rope(config)
    if scaling.get("rope_type", scaling.get("type", "default")) != "default" or config.get("attention_bias"):
        raise MintageError("unsupported", "Scaled rotary embeddings and attention biases are not converted.", "")
    if not 1 <= int(config.get("num_hidden_layers", 0)) <= _LAYERS_MAX:
        raise MintageError("invalid_request", "The checkpoint's config.json has no layers.", "The file is broken.")


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _write_facts(  # noqa: PLR0917 - what the header says
    writer: GGUFWriter, config: dict[str, Any], name: str, licence: str, languages: tuple[str, ...], quantise: str
) -> None:
    import gguf

    heads = int(config["num_attention_heads"])
    head = int(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_name(name)
    if licence:
        writer.add_license(licence)
    if languages:
        writer.add_languages(list(languages))
    writer.add_vocab_size(int(config["vocab_size"]))
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(_rope(config).get("rope_theta") or config.get("rope_theta") or 10_000.0))
    writer.add_layer_norm_rms_eps(float(config.get("rms_norm_eps", 1e-6)))
    writer.add_file_type(getattr(gguf.LlamaFileType, _FILE_TYPE[quantise]))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


_FILE_TYPE: Final = {
    "f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0", "q5_1": "MOSTLY_Q5_1",
    "q4_0": "MOSTLY_Q4_0",
}  # fmt: skip


def _tensors(checkpoint: Checkpoint) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """(name in GGUF, values), in the order in which a runtime reads them."""
    config = checkpoint.config
    heads = int(config["num_attention_heads"])
    shared = int(config.get("num_key_value_heads") or heads)
    yield "token_embd.weight", checkpoint.read("model.embed_tokens.weight")
    for layer in range(int(config["num_hidden_layers"])):
        of = f"model.layers.{layer}."
        to = f"blk.{layer}."
        yield f"{to}attn_norm.weight", checkpoint.read(f"{of}input_layernorm.weight")
        yield f"{to}attn_q.weight", interleave(checkpoint.read(f"{of}self_attn.q_proj.weight"), heads)
        yield f"{to}attn_k.weight", interleave(checkpoint.read(f"{of}self_attn.k_proj.weight"), shared)
        yield f"{to}attn_v.weight", checkpoint.read(f"{of}self_attn.v_proj.weight")
        yield f"{to}attn_output.weight", checkpoint.read(f"{of}self_attn.o_proj.weight")
        yield f"{to}ffn_norm.weight", checkpoint.read(f"{of}post_attention_layernorm.weight")
        yield f"{to}ffn_gate.weight", checkpoint.read(f"{of}mlp.gate_proj.weight")
        yield f"{to}ffn_up.weight", checkpoint.read(f"{of}mlp.up_proj.weight")
        yield f"{to}ffn_down.weight", checkpoint.read(f"{of}mlp.down_proj.weight")
    yield "output_norm.weight", checkpoint.read("model.norm.weight")
    if "lm_head.weight" in checkpoint and not config.get("tie_word_embeddings"):
        yield "output.weight", checkpoint.read("lm_head.weight")


def interleave(weight: Array, heads: int) -> Array:
    """Rows of a projection (heads * width, inputs) from halves side by side to pairs, as llama.cpp rotates them."""
    rows, inputs = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, inputs).swapaxes(1, 2).reshape(rows, inputs)


def _add(writer: GGUFWriter, name: str, array: Array, quantise: str) -> None:
    """One-dimensional tensors stay exact; rows that do not divide into a format's blocks are kept as f16."""
    import gguf
    import numpy as np

    array = np.ascontiguousarray(array, np.float32)
    if array.ndim == 1 or quantise == "f32":
        writer.add_tensor(name, array)
        return
    kind = quantise if quantise in ("f16", "bf16") or array.shape[-1] % 32 == 0 else "f16"
    if kind == "f16":
        writer.add_tensor(name, array.astype(np.float16))
        return
    qtype = gguf.GGMLQuantizationType[kind.upper()]
    writer.add_tensor(name, gguf.quants.quantize(array, qtype), raw_dtype=qtype)
