"""The loop that every training shares: batches in, AdamW on a warmed and cooled rate, checkpoints, a curve.

Lightning Fabric drives it: the same lines train on a core, a GPU, or on many of either, where each takes its part of
every batch. A loss is normalised by all tokens that count in the step, over batches and devices, so that how a step is
cut into parts changes nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mintage.base import MintageError
from mintage.factory.step import Cancelled, ProgressCallback, StepCancelled
from mintage.factory.training.checkpoint import Checkpoints, Kept, put_tensors, tensors_of, weights_of
from mintage.factory.training.objectives import IGNORED, Inputs
from mintage.factory.training.options import TrainingOptions, TrainingReport, rate_at

if TYPE_CHECKING:
    import torch
    from lightning.fabric import Fabric

_SAVE_EVERY_S: Final = 60.0
_TOLD_EVERY_S: Final = 1.0
_CURVE_MAX: Final = 2_000
#: (model, inputs of one batch) -> (sum of its losses, how many of them): what the loop makes smaller.
LossSum = Callable[[Any, Inputs], "tuple[torch.Tensor, int]"]


def token_loss(model: Any, inputs: Inputs) -> tuple[torch.Tensor, int]:
    """Cross-entropy in nats, summed over the labels that count."""
    import torch

    labels = inputs["labels"]
    logits = model(**{name: part for name, part in inputs.items() if name != "labels"}).logits
    counts = labels != IGNORED
    number = int(counts.sum())
    if number * 2 < labels.numel():  # most logits are not asked for
        logits, labels = logits[counts], labels[counts]
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, -2).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return loss, number


def one_device() -> Fabric:
    """The device that a training in this process uses: a GPU if there is one."""
    from lightning.fabric import Fabric

    return Fabric(accelerator="auto", devices=1)


class Loop:
    """model is changed in place. out: where checkpoints lie until the training has ended. judge: the loss on held-out
    text, called every judge_every steps. flops_per_token and peak_flops: for how busy the device is kept.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        options: TrainingOptions,
        out: Path,
        *,
        progress: ProgressCallback,
        cancelled: Cancelled,
        fabric: Fabric | None = None,
        loss: LossSum = token_loss,
        judge: Callable[[Any], float] | None = None,
        flops_per_token: float = 0.0,
        peak_flops: float = 0.0,
    ) -> None:
        self._plain, self._options = model, options
        self._checkpoints = Checkpoints(out)
        self._progress, self._cancelled = progress, cancelled
        self._fabric = fabric or one_device()
        self._loss, self._judge = loss, judge
        self._flops, self._peak = flops_per_token, peak_flops

    def run(self, batches: Callable[[int], Iterator[list[Inputs]]], total: int) -> TrainingReport:
        """batches(first step) gives each step's batches, always the same for the same step.

        Raises MintageError conflict for a loss that is no number, StepCancelled after a checkpoint when asked to end.
        """
        caching: bool | None = getattr(self._plain.config, "use_cache", None)
        if caching is not None:
            self._plain.config.use_cache = False  # what it keeps for generating is of no use here
        model = self._fabric.setup_module(self._plain)
        optimizer = adamw(self._plain, self._options)  # of the weights as they are shared now
        kept, tensors = self._checkpoints.load()
        put_tensors(self._plain, optimizer, tensors)
        self._optimizer: Any = self._fabric.setup_optimizers(optimizer)
        if self._options.compile:
            import torch

            model = torch.compile(model)
        try:
            report = self._steps(model, kept, batches, total)
        finally:
            if caching is not None:
                self._plain.config.use_cache = caching
        return report

    def _steps(
        self, model: Any, kept: Kept, batches: Callable[[int], Iterator[list[Inputs]]], total: int
    ) -> TrainingReport:
        began = time.monotonic() - kept.seconds
        told = saved = time.monotonic()
        model.train()
        for step, parts in zip(range(kept.step, total), batches(kept.step), strict=False):
            loss = self._one(model, parts, rate_at(step, total, self._options))
            if not math.isfinite(loss):
                raise MintageError("conflict", f"The loss is {loss} at step {step}.", "Lower the rate, then resume.")
            kept.losses.append(round(loss, 5))
            kept.step, now = step + 1, time.monotonic()
            if now - told >= _TOLD_EVERY_S or kept.step == total:
                told = now
                self._progress(kept.step, total, self._words(loss, kept, now - began))
            self._look(model, kept, total)
            stopping = self._agreed(self._cancelled())
            if stopping or self._agreed(self._due(kept.step, now - saved)):
                kept.seconds, saved = now - began, now
                self._save(kept)
            if stopping:
                raise StepCancelled
        if kept.best is not None and kept.best[1] != kept.step:
            self._checkpoints.load_best(self._plain)
        return self._report(kept, time.monotonic() - began)

    def _one(self, model: Any, parts: list[Inputs], rate: float) -> float:
        """One step over this device's share of the parts. Returns the loss a token over all devices."""
        import torch

        for group in self._optimizer.param_groups:
            group["lr"] = rate
        fabric, world = self._fabric, self._fabric.world_size
        counts = torch.tensor([float(sum(int((part["labels"] != IGNORED).sum()) for part in parts)), 0.0])
        mine = [{name: share_of(tensor, fabric) for name, tensor in part.items()} for part in parts]
        for number, part in enumerate(mine):
            waiting = number < len(mine) - 1
            with fabric.no_backward_sync(model, enabled=waiting and world > 1):
                with self._autocast():
                    loss, _ = self._loss(model, part)
                fabric.backward(loss * (world / max(float(counts[0]), 1.0)))
            counts[1] += float(loss.detach())
        fabric.clip_gradients(model, self._optimizer, max_norm=self._options.clip, error_if_nonfinite=False)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        total: Any = fabric.all_reduce(counts[1], reduce_op="sum") if world > 1 else counts[1]
        return float(total) / max(float(counts[0]), 1.0)

    def _autocast(self) -> Any:
        import torch

        half = self._options.precision == "bfloat16"
        return torch.autocast(self._fabric.device.type, torch.bfloat16, enabled=half)

    def _look(self, model: Any, kept: Kept, total: int) -> None:
        """Judge, and keep the weights if they are the best so far."""
        every = self._options.judge_every
        if self._judge is None or not every or (kept.step % every and kept.step != total):
            return
        model.eval()
        loss = round(self._judge(self._plain), 5)
        model.train()
        kept.judged.append((kept.step, loss))
        if kept.best is None or loss < kept.best[0]:
            kept.best = (loss, kept.step)
            weights = weights_of(self._plain)
            if self._fabric.is_global_zero:
                self._checkpoints.save_best(weights)
            self._fabric.barrier()

    def _due(self, step: int, since_s: float) -> bool:
        every = self._options.save_every
        return step % every == 0 if every else since_s >= _SAVE_EVERY_S

    def _agreed(self, mine: bool) -> bool:
        """What the first device thinks: all must stop or save in the same step."""
        return bool(self._fabric.broadcast(mine)) if self._fabric.world_size > 1 else mine

    def _save(self, kept: Kept) -> None:
        tensors = tensors_of(self._plain, getattr(self._optimizer, "optimizer", self._optimizer))
        if self._fabric.is_global_zero:
            self._checkpoints.save(kept, tensors)
        self._fabric.barrier()

    def _words(self, loss: float, kept: Kept, seconds: float) -> str:
        speed = kept.step * self._options.step_tokens / max(seconds, 1e-9)
        busy = self._busy(speed)
        return f"loss {loss:.3f}, {speed:,.0f} tokens/s" + (f", MFU {busy:.0%}" if busy is not None else "")

    def _busy(self, tokens_per_s: float) -> float | None:
        return tokens_per_s * self._flops / self._peak if self._peak and self._flops else None

    def _report(self, kept: Kept, seconds: float) -> TrainingReport:
        losses, tenth = kept.losses, max(1, len(kept.losses) // 10)
        every = max(1, len(losses) // _CURVE_MAX)
        tokens = kept.step * self._options.step_tokens
        busy = self._busy(tokens / max(seconds, 1e-9))
        return TrainingReport(
            steps=kept.step,
            tokens=tokens,
            seconds=round(seconds, 1),
            tokens_per_s=round(tokens / max(seconds, 1e-9), 1),
            loss_first=round(sum(losses[:tenth]) / tenth, 4),
            loss_last=round(sum(losses[-tenth:]) / tenth, 4),
            curve=[(number, loss) for number, loss in enumerate(losses) if number % every == 0],
            judged=kept.judged,
            best_step=kept.best[1] if kept.best else None,
            mfu=None if busy is None else round(busy, 4),
        )


def adamw(model: torch.nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Matrices decay, vectors do not (Loshchilov and Hutter 2017). Only what is to be trained is in it."""
    import torch

    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.dim() >= 2], "weight_decay": options.decay},
        {"params": [weight for weight in weights if weight.dim() < 2], "weight_decay": 0.0},
    ]
    filled = [group for group in groups if group["params"]]
    return torch.optim.AdamW(filled, lr=options.rate, betas=(0.9, 0.95), fused=True)


def share_of(tensor: torch.Tensor, fabric: Fabric) -> torch.Tensor:
    """This device's rows of a batch: every world_size-th."""
    return tensor[fabric.global_rank :: fabric.world_size].to(fabric.device)
