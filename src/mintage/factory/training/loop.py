"""The loop that every training shares: batches in, AdamW on a warmed and cosine-cooled rate, checkpoints, a curve."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from mintage.base import MintageError
from mintage.factory.step import Cancelled, ProgressCallback, StepCancelled

if TYPE_CHECKING:
    import torch

Positive = Annotated[int, Meta(ge=1)]
_STATE: Final = "training.json"
_SAVE_EVERY_S: Final = 60.0
_TOLD_EVERY_S: Final = 1.0
_CURVE_MAX: Final = 2_000
#: (input ids, labels) of one step, both (batch, length) int64; label -100 counts for nothing.
Batch = tuple[Any, Any]


class TrainingOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """tokens: read in all, whole steps of batch * block. rate: the highest learning rate. decay: of matrices."""

    tokens: Positive = 1_000_000
    batch: Annotated[int, Meta(ge=1, le=4096)] = 8
    block: Annotated[int, Meta(ge=8, le=1_048_576)] = 256
    rate: Annotated[float, Meta(gt=0, le=1)] = 1e-3
    warmup: Annotated[float, Meta(ge=0, le=0.5)] = 0.05
    decay: Annotated[float, Meta(ge=0, le=1)] = 0.1
    clip: Annotated[float, Meta(gt=0)] = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"

    @property
    def steps(self) -> int:
        return max(1, self.tokens // (self.batch * self.block))


class TrainingReport(msgspec.Struct, kw_only=True):
    """loss in nats a token: of the first and the last tenth of the steps. curve: (step, loss), thinned."""

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    tokens_per_s: float = 0.0
    loss_first: float = 0.0
    loss_last: float = 0.0
    curve: list[tuple[int, float]] = []


class _Kept(msgspec.Struct):
    """What a checkpoint says beside its tensors."""

    step: int
    seconds: float
    losses: list[float]


def rate_at(step: int, total: int, options: TrainingOptions) -> float:
    """Linear warmup, then a cosine down to a tenth."""
    warm = max(1, round(total * options.warmup))
    if step < warm:
        return options.rate * (step + 1) / warm
    share = min(1.0, (step - warm) / max(1, total - warm))
    return options.rate * (0.1 + 0.45 * (1 + math.cos(math.pi * share)))


class Loop:
    """model is changed in place. out: where checkpoints lie until the training has ended."""

    def __init__(
        self,
        model: torch.nn.Module,
        options: TrainingOptions,
        out: Path,
        *,
        progress: ProgressCallback,
        cancelled: Cancelled,
    ) -> None:
        import torch

        self._model, self._options, self._out = model, options, out
        self._progress, self._cancelled = progress, cancelled
        self._device = next(model.parameters()).device
        matrices = [weight for weight in model.parameters() if weight.dim() >= 2]
        vectors = [weight for weight in model.parameters() if weight.dim() < 2]
        groups = [{"params": matrices, "weight_decay": options.decay}, {"params": vectors, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.95))

    def run(self, batches: Callable[[int], Iterator[Batch]], total: int) -> TrainingReport:
        """batches(first step) gives a batch a step, always the same for the same step."""
        kept = self._load()
        began = time.monotonic() - kept.seconds
        told = saved = time.monotonic()
        self._model.train()
        for step, batch in zip(range(kept.step, total), batches(kept.step), strict=False):
            loss = self._one(batch, rate_at(step, total, self._options))
            if not math.isfinite(loss):
                raise MintageError("conflict", f"The loss is {loss} at step {step}.", "Lower the rate, then resume.")
            kept.losses.append(round(loss, 5))
            kept.step, now = step + 1, time.monotonic()
            if now - told >= _TOLD_EVERY_S or kept.step == total:
                told, speed = now, self._tokens(kept.step) / max(now - began, 1e-9)
                self._progress(kept.step, total, f"loss {loss:.3f}, {speed:,.0f} tokens/s")
            stopping = self._cancelled()
            if stopping or now - saved >= _SAVE_EVERY_S:
                kept.seconds, saved = now - began, now
                self._save(kept)
            if stopping:
                raise StepCancelled
        return self._report(kept, time.monotonic() - began)

    def _one(self, batch: Batch, rate: float) -> float:
        import torch

        for group in self._optimizer.param_groups:
            group["lr"] = rate
        ids, labels = (part.to(self._device) for part in batch)
        half = self._options.precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            logits = self._model(input_ids=ids, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
        )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._options.clip)
        self._optimizer.step()
        return float(loss.detach())

    def _tokens(self, steps: int) -> int:
        return steps * self._options.batch * self._options.block

    def _report(self, kept: _Kept, seconds: float) -> TrainingReport:
        losses, tenth = kept.losses, max(1, len(kept.losses) // 10)
        every = max(1, len(losses) // _CURVE_MAX)
        return TrainingReport(
            steps=kept.step,
            tokens=self._tokens(kept.step),
            seconds=round(seconds, 1),
            tokens_per_s=round(self._tokens(kept.step) / max(seconds, 1e-9), 1),
            loss_first=round(sum(losses[:tenth]) / tenth, 4),
            loss_last=round(sum(losses[-tenth:]) / tenth, 4),
            curve=[(number, loss) for number, loss in enumerate(losses) if number % every == 0],
        )

    # Checkpoints: safetensors, so that nothing in them can run; the file that names the step comes last.

    def _save(self, kept: _Kept) -> None:
        from safetensors.torch import save_file

        self._out.mkdir(parents=True, exist_ok=True)
        name = f"step-{kept.step}.safetensors"
        tensors = {f"model.{key}": value for key, value in self._weights().items()}
        for number, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{key}": value.contiguous() for key, value in state.items()}
        save_file(tensors, self._out / f"{name}.partial")
        (self._out / f"{name}.partial").replace(self._out / name)
        partial = self._out / f"{_STATE}.partial"
        partial.write_bytes(msgspec.json.encode(kept))
        partial.replace(self._out / _STATE)
        for older in self._out.glob("step-*.safetensors"):
            if older.name != name:
                older.unlink()

    def _weights(self) -> dict[str, Any]:
        """Without the output matrix where it is the embedding: a file may hold a tensor once."""
        return {
            key: value.detach().contiguous()
            for key, value in self._model.state_dict().items()
            if not (key == "lm_head.weight" and getattr(self._model.config, "tie_word_embeddings", False))
        }

    def _load(self) -> _Kept:
        from safetensors.torch import load_file

        if not (self._out / _STATE).is_file():
            return _Kept(0, 0.0, [])
        kept = msgspec.json.decode((self._out / _STATE).read_bytes(), type=_Kept)
        tensors = load_file(self._out / f"step-{kept.step}.safetensors")
        self._model.load_state_dict(
            {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")},
            strict=False,
        )
        state: dict[int, dict[str, Any]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, number, name = key.split(".", 2)
                state.setdefault(int(number), {})[name] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        return kept
