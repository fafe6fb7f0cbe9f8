"""Checkpoints of a training: tensors as safetensors, so that nothing in them can run; the file that names the step
comes last, so that a stop at any moment leaves the last whole one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.base import MintageError

if TYPE_CHECKING:
    import torch

_STATE: Final = "training.json"
_BEST: Final = "best.safetensors"
_MODEL: Final = "model."
_OPTIMIZER: Final = "optimizer."


class Kept(msgspec.Struct):
    """What a checkpoint says beside its tensors. best: (loss on held-out text, step) of the best weights so far."""

    step: int = 0
    seconds: float = 0.0
    losses: list[float] = []
    judged: list[tuple[int, float]] = []
    best: tuple[float, int] | None = None


class Checkpoints:
    """In one folder: the last whole state, and the weights that judged best."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, kept: Kept, tensors: dict[str, Any]) -> None:
        """tensors: of tensors_of. Raises MintageError unavailable if they do not fit; the checkpoint before it is
        still whole then.
        """
        name = f"step-{kept.step}.safetensors"
        self._write(name, tensors)
        partial = self._folder / f"{_STATE}.partial"
        partial.write_bytes(msgspec.json.encode(kept))
        partial.replace(self._folder / _STATE)
        for older in self._folder.glob("step-*.safetensors"):
            if older.name != name:
                older.unlink()

    def save_best(self, weights: dict[str, Any]) -> None:
        self._write(_BEST, weights)

    def load_best(self, model: torch.nn.Module) -> None:
        from safetensors.torch import load_file

        put_weights(model, load_file(self._folder / _BEST))

    def load(self) -> tuple[Kept, dict[str, Any]]:
        """(state, its tensors): the last whole one; a fresh one if there is none."""
        from safetensors.torch import load_file

        if not (self._folder / _STATE).is_file():
            return Kept(), {}
        kept = msgspec.json.decode((self._folder / _STATE).read_bytes(), type=Kept)
        return kept, load_file(self._folder / f"step-{kept.step}.safetensors")

    def _write(self, name: str, tensors: dict[str, Any]) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{name}.partial"
        try:
            save_file(tensors, partial)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
        except (OSError, SafetensorError) as error:
            partial.unlink(missing_ok=True)
            raise MintageError(
                "unavailable",
                f"The checkpoint {name} could not be written: {error}.",
                "The one before it is whole. Make room, then run it again: it goes on from there.",
            ) from error
        partial.replace(self._folder / name)


def tensors_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """All that a checkpoint holds, whole: where devices share them, all devices must call this."""
    tensors = {f"{_MODEL}{key}": value for key, value in weights_of(model).items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}{number}.{key}": _whole(value) for key, value in state.items()}
    return tensors


def put_weights(model: torch.nn.Module, weights: dict[str, Any]) -> None:
    """Into the model, whether it is whole here or shared; tied tensors come along with the one that was kept."""
    import torch

    with torch.no_grad():
        for name, own in model.state_dict().items():
            if name in weights:
                own.copy_(_like(weights[name], own))


def put_tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Any]) -> None:
    """What tensors_of gave, back into model and optimizer."""
    if not tensors:
        return
    put_weights(model, {key.removeprefix(_MODEL): part for key, part in tensors.items() if key.startswith(_MODEL)})
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith(_OPTIMIZER):
            number, name = key.removeprefix(_OPTIMIZER).split(".", 1)
            whole = value if value.dim() == 0 else _like(value, weights[int(number)])
            state.setdefault(int(number), {})[name] = whole
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def weights_of(model: torch.nn.Module) -> dict[str, Any]:
    """Each tensor once: a file may not hold two names of the same memory, and tied ones are tied again when loaded."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for key, value in model.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            found[key] = _whole(value.detach())
    return found


def _whole(tensor: Any) -> Any:
    """A shared tensor (DTensor) gathered from all devices; any other as it is."""
    return (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).contiguous()


def _like(tensor: Any, own: Any) -> Any:
    """This device's part of a whole tensor, laid out as `own` is."""
    if not hasattr(own, "device_mesh"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(own.device), own.device_mesh, own.placements)
