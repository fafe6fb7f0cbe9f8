"""Checkpoints as ONNX and OpenVINO, for runtimes that have no llama.cpp: logits of a whole context, any length."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mintage.base import MintageError
from mintage.factory.export.checkpoint import open_checkpoint
from mintage.factory.export.gguf import ExportReport

if TYPE_CHECKING:
    import torch


def export_onnx(folder: Path, target: Path) -> ExportReport:
    """`target`.onnx: input_ids (batch, length) int64 -> logits (batch, length, vocabulary) float32.

    Raises unavailable if `onnx` is not installed, unsupported for a model that cannot be traced.
    """
    import torch

    model, example, lengths = _traceable(folder)
    try:
        with warnings.catch_warnings():  # of torch about its own parts
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                (example,),
                target,
                input_names=["input_ids"],
                output_names=["logits"],
                dynamic_shapes=lengths,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except ImportError as error:
        raise _missing("onnx and onnxscript") from error
    return _report("onnx", target, [target])


def export_openvino(folder: Path, target: Path) -> ExportReport:
    """`target`.xml with its .bin: input_ids -> logits, as export_onnx."""
    try:
        import openvino
    except ImportError as error:
        raise _missing("openvino") from error
    model, example, _ = _traceable(folder)
    with warnings.catch_warnings():  # of tracing: what it says is constant here is
        warnings.simplefilter("ignore")
        converted = openvino.convert_model(
            model, example_input=example, input=[("input_ids", [-1, -1], openvino.Type.i64)]
        )
    openvino.save_model(converted, target, compress_to_fp16=False)
    return _report("openvino", target, [target, target.with_suffix(".bin")])


def _traceable(folder: Path) -> tuple[Any, torch.Tensor, Any]:
    """The checkpoint as a function of input_ids alone, an example of it, and which of its dimensions may vary."""
    import torch
    from transformers import AutoModelForCausalLM

    open_checkpoint(folder)  # refuses what is not safe
    inner = AutoModelForCausalLM.from_pretrained(
        folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32, attn_implementation="eager"
    )
    inner.eval()
    inner.config.use_cache = False

    class Logits(torch.nn.Module):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            whole = torch.ones_like(input_ids)  # without it, masks are made by operations that no exporter knows
            logits: torch.Tensor = self.inner(input_ids=input_ids, attention_mask=whole, use_cache=False).logits
            return logits

    example = torch.arange(10, dtype=torch.int64).reshape(2, 5)
    return Logits(), example, {"input_ids": {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}}


def _report(form: str, target: Path, files: list[Path]) -> ExportReport:
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return ExportReport(
        format=form,
        path=str(target),
        sha256=hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest(),
        size_bytes=sum(path.stat().st_size for path in files),
        tensors=0,
        quantised="f32",
    )


def _missing(what: str) -> MintageError:
    return MintageError("unavailable", f"This export needs {what}.", "pip install 'mintage[export]'.")
