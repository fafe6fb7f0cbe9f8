"""Out of the factory: checkpoints as the formats that local engines read (GGUF, ONNX, OpenVINO), and never a pickle.

In: the folder of a Transformers checkpoint in safetensors. Out: one file or folder, hashed.
Start with checkpoint.py (what is accepted), then gguf.py (weights) and gguf_vocabulary.py (the tokenizer).
"""

from mintage.factory.export.checkpoint import Checkpoint, check_safe, open_checkpoint
from mintage.factory.export.gguf import QUANTISATIONS, ExportReport, export_gguf
from mintage.factory.export.other import export_onnx, export_openvino
from mintage.factory.export.plain import export_safetensors

__all__ = [
    "QUANTISATIONS",
    "Checkpoint",
    "ExportReport",
    "check_safe",
    "export_gguf",
    "export_onnx",
    "export_openvino",
    "export_safetensors",
    "open_checkpoint",
]
