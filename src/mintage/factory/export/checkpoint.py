"""The folder of a Transformers checkpoint as far as it is safe: safetensors, JSON, text. Nothing in it is ever run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.base import MintageError

if TYPE_CHECKING:
    import numpy as np

WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
_JSON_MAX_BYTES: Final = 64 * 1024 * 1024
_FILES_MAX: Final = 4096
_SHARDS_MAX: Final = 1024
#: Endings of pickles and of formats that may hold code or objects: their loaders can run what is inside.
_UNSAFE: Final = (
    ".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5", ".keras", ".msgpack", ".py",
    ".pyc", ".so", ".dll",
)  # fmt: skip
#: First bytes of a pickle (protocols 2 to 5) and of a zip, which torch.save writes, whatever the name of the file.
_PICKLE: Final = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


def check_safe(folder: Path) -> None:
    """Raises MintageError invalid_request for a folder with anything that a loader might execute."""
    if not folder.is_dir():
        raise MintageError("not_found", f"There is no folder {folder}.", "Give the folder of a checkpoint.")
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if number >= _FILES_MAX:
            raise MintageError("invalid_request", f"{folder} has over {_FILES_MAX} files.", "It is no checkpoint.")
        if not path.is_file():
            continue
        ending = path.suffix.lower()
        unsafe = ending in _UNSAFE or path.is_symlink()
        if not unsafe and ending not in (".json", ".txt", ".jinja", ".md"):
            with path.open("rb") as file:
                head = file.read(9)
            unsafe = head.startswith(_PICKLE) and not (ending == ".safetensors" and _begins_safetensors(head, path))
        if unsafe:
            raise MintageError(
                "invalid_request",
                f"{path.name} may run code when it is loaded, so it is refused.",
                "Convert the weights to safetensors where you trust them, and leave the other files out.",
            )
    config = folder / "config.json"
    if config.is_file() and "auto_map" in read_json(config):
        raise MintageError(
            "invalid_request",
            "The checkpoint's config.json wants to load code of its own (auto_map).",
            "Only architectures that Transformers brings are loaded.",
        )


def _begins_safetensors(head: bytes, path: Path) -> bool:
    """Its first bytes are the length of its JSON header, which by chance may look like the first bytes of a pickle."""
    return head[8:9] == b"{" and 8 + int.from_bytes(head[:8], "little") <= path.stat().st_size


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a checkpoint. Raises not_found or invalid_request."""
    try:
        if path.stat().st_size > _JSON_MAX_BYTES:
            raise msgspec.DecodeError("it is too long")
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError as error:
        raise MintageError(
            "not_found", f"{path.parent} has no {path.name}.", "Give the folder of a whole checkpoint."
        ) from error
    except (OSError, msgspec.DecodeError) as error:
        raise MintageError("invalid_request", f"{path.name} cannot be read: {error}.", "The file is broken.") from error


class Checkpoint:
    """config and tokenizer as JSON; tensors read one at a time, as float32 arrays of NumPy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = read_json(folder / "config.json")
        self.files = self._weights()
        self._of = {name: path for path in self.files for name in _names(path)}

    def _weights(self) -> list[Path]:
        if (self.folder / WEIGHTS).is_file():
            return [self.folder / WEIGHTS]
        if not (self.folder / INDEX).is_file():
            raise MintageError(
                "not_found", f"{self.folder} has no {WEIGHTS}.", "Pickles are never loaded; convert to safetensors."
            )
        shards = sorted(set(map(str, read_json(self.folder / INDEX).get("weight_map", {}).values())))
        if not shards or len(shards) > _SHARDS_MAX or any(Path(name).name != name for name in shards):
            raise MintageError("invalid_request", f"{INDEX} names no shards beside it.", "The file is broken.")
        return [self.folder / name for name in shards]

    @property
    def tensors(self) -> list[str]:
        return sorted(self._of)

    def __contains__(self, name: str) -> bool:
        return name in self._of

    def read(self, name: str) -> np.ndarray[Any, Any]:
        """A tensor in its own shape, as float32. Raises invalid_request if the file has none of this name."""
        import torch
        from safetensors import safe_open

        if name not in self._of:
            raise MintageError("invalid_request", f"The checkpoint has no tensor {name}.", "Its weights are not whole.")
        with safe_open(self._of[name], framework="pt") as file:
            array: np.ndarray[Any, Any] = file.get_tensor(name).to(torch.float32).numpy()
        return array

    def sha256(self) -> str:
        """Of the weights: of the one file, or of its shards' hashes in order."""
        hashes = [_sha256(path) for path in self.files]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def open_checkpoint(folder: Path) -> Checkpoint:
    """check_safe, then the checkpoint."""
    check_safe(folder)
    return Checkpoint(folder)


def _names(path: Path) -> Iterator[str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield from file.keys()
    except (SafetensorError, OSError) as error:
        raise MintageError(
            "invalid_request", f"{path.name} is no whole safetensors file: {error}.", "Fetch or save it again."
        ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
