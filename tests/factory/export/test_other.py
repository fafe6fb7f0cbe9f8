"""OpenVINO and ONNX give the logits of Transformers, at a length and batch that they were not traced with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

ROWS = [[5, 9, 70, 7, 44, 2, 17], [1, 2, 3, 4, 5, 6, 7], [99, 1, 30, 9, 12, 0, 3]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def expected(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder).eval()(torch.tensor(ROWS)).logits.numpy()


def test_openvino(folder: Path, tmp_path: Path) -> None:
    import numpy as np

    openvino = pytest.importorskip("openvino")
    from mintage.factory.export import export_openvino

    report = export_openvino(folder, tmp_path / "model.xml")
    compiled = openvino.Core().compile_model(report.path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = next(iter(compiled(np.array(ROWS)).values()))
    assert abs(found - expected(folder)).max() < 1e-3


def test_onnx(folder: Path, tmp_path: Path) -> None:
    import numpy as np

    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from mintage.factory.export import export_onnx

    report = export_onnx(folder, tmp_path / "model.onnx")
    session = runtime.InferenceSession(report.path, providers=["CPUExecutionProvider"])
    [found] = session.run(["logits"], {"input_ids": np.array(ROWS)})
    assert abs(found - expected(folder)).max() < 1e-3
