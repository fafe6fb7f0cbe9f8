"""A pretraining as data: what a process needs to do its part of it, whether it is the only one or one of many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mintage.base import MintageError
from mintage.factory.models import DEVICES, Shape, build
from mintage.factory.step import Cancelled, ProgressCallback
from mintage.factory.store import open_store
from mintage.factory.training.checkpoint import put_weights, weights_of
from mintage.factory.training.judge import Judged, judge_objective, unigram
from mintage.factory.training.objectives import Ids
from mintage.factory.training.options import TrainingOptions, TrainingReport
from mintage.factory.training.pretrain import pretrain, save_model
from mintage.factory.training.rows import RowSource, open_codes

if TYPE_CHECKING:
    from lightning.fabric import Fabric

Strategy = Literal["ddp", "fsdp"]


class PretrainJob(msgspec.Struct, frozen=True, kw_only=True):
    """special: ids of bos, eos, pad. store: folder of train and held_out. start: a checkpoint's folder whose weights
    it goes on from, "" for fresh ones. device: a name that the estimate knows. strategy: how many devices share it.
    """

    shape: Shape
    special: dict[str, int]
    ids: Ids
    store: str
    tokenizer: str
    checkpoints: str
    out: str
    options: TrainingOptions
    seed: int
    start: str = ""
    device: str = "cpu"
    devices: int = 1
    strategy: Strategy = "ddp"
    threads: int = 0

    def check(self) -> None:
        """Raises invalid_request for a batch that the devices cannot share evenly."""
        if self.options.batch % self.devices:
            raise MintageError(
                "invalid_request",
                f"A batch of {self.options.batch} cannot be shared by {self.devices} devices.",
                f"Let [pretrain] batch be a multiple of {self.devices}.",
            )


class PretrainResult(msgspec.Struct, kw_only=True):
    """parameters: counted in the model. held_out: the objective's loss at the end beside its baseline."""

    parameters: int
    report: TrainingReport
    held_out: Judged | None = None


def pretrain_job(
    job: PretrainJob, fabric: Fabric, *, progress: ProgressCallback, cancelled: Cancelled
) -> PretrainResult:
    """Train this process' part; the first one saves the model. Every process returns the same."""
    import torch

    if job.threads:
        torch.set_num_threads(job.threads)
    model = _start(job) if job.start else build(job.shape, seed=job.seed, special=job.special)
    architecture = job.shape.architecture
    report = pretrain(
        model, _source(job, "train", job.seed), job.ids, job.options, Path(job.checkpoints),
        architecture=architecture, progress=progress, cancelled=cancelled, fabric=fabric,
        judge=lambda trained: _judged(job, trained).loss,
        flops_per_token=6 * job.shape.parameters + 12 * job.shape.layers * job.shape.width * job.options.block,
        peak_flops=DEVICES[job.device].flops * fabric.world_size if DEVICES[job.device].gpu else 0.0,
    )  # fmt: skip
    model.eval()
    held_out = _judged(job, model) if _long_enough(job) else None  # by all: where they share weights, all must help
    weights = weights_of(model)
    if fabric.is_global_zero:
        save_model(_whole(job, model, weights), Path(job.tokenizer), Path(job.out))
    fabric.barrier()
    return PretrainResult(parameters=job.shape.parameters, report=report, held_out=held_out)


def _whole(job: PretrainJob, model: Any, weights: dict[str, Any]) -> Any:
    """The model itself; where it is shared among devices, one that has all of its weights."""
    if job.strategy != "fsdp" or job.devices == 1:
        return model
    whole = build(job.shape, seed=job.seed, special=job.special)
    put_weights(whole, weights)
    return whole


def _start(job: PretrainJob) -> Any:
    """Another run's model, to go on from with new text. It has to be of the same shape."""
    from mintage.factory.export import check_safe
    from mintage.factory.models import load_model

    check_safe(Path(job.start))
    model = load_model(Path(job.start))
    parameters = sum(weight.numel() for weight in model.parameters())
    if parameters != job.shape.parameters:
        raise MintageError(
            "invalid_request",
            f"The model to continue has {parameters:,} parameters; [model] asks for {job.shape.parameters:,}.",
            "Give [model] the architecture, depth, width and context that it was made with, and its tokenizer.",
        )
    return model


def _source(job: PretrainJob, part: str, seed: int) -> RowSource:
    prefix = Path(job.store) / part
    source = RowSource(open_store(prefix), job.options.batch, job.options.block, seed=seed)
    if job.shape.architecture == "ctrl":
        source.with_codes(open_codes(prefix), job.ids.marks)
    return source


def _long_enough(job: PretrainJob) -> bool:
    return len(open_store(Path(job.store) / "held_out").tokens) > job.options.block


def _judged(job: PretrainJob, model: Any) -> Judged:
    frequencies = unigram(open_store(Path(job.store) / "train"), job.shape.vocabulary)
    return judge_objective(
        model, _source(job, "held_out", job.seed + 1), job.ids, frequencies, architecture=job.shape.architecture
    )
