"""One training on several devices: torchrun starts a process a device, and Fabric shares the work among them.

The processes read the same job file; the first one tells how far it is, a line of JSON each time. On GPUs with
strategy `fsdp` weights, gradients and optimiser are spread over all of them (FSDP2).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from mintage.base import MintageError
from mintage.factory.step import Cancelled, ProgressCallback, StepCancelled
from mintage.factory.training.job import PretrainJob, PretrainResult, pretrain_job
from mintage.factory.training.loop import one_device

_JOB, _STOP, _RESULT, _ERROR, _WORDS = "job.json", "stop", "result.json", "error.json", "words.txt"
_ENDS_IN_S: Final = 120.0
_TAIL: Final = 2_000


class Told(msgspec.Struct):
    done: int
    total: int | None
    note: str


def run_pretraining(job: PretrainJob, *, progress: ProgressCallback, cancelled: Cancelled) -> PretrainResult:
    """In this process on one device, else by torchrun. Raises as pretrain_job, and upstream_failed if one died."""
    job.check()
    if job.devices == 1:
        return pretrain_job(job, one_device(), progress=progress, cancelled=cancelled)
    folder = Path(job.checkpoints)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (_STOP, _RESULT, _ERROR):
        (folder / name).unlink(missing_ok=True)
    (folder / _JOB).write_bytes(msgspec.json.encode(job))
    with (folder / _WORDS).open("wb") as words:
        child = subprocess.Popen(  # noqa: S603 - our own module
            _command(job, folder), stdout=subprocess.PIPE, stderr=words, env=_environment(job), start_new_session=True
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                _relay(line, folder, progress, cancelled)
            status = child.wait(_ENDS_IN_S)
        finally:
            child.kill()
            child.wait()
    if (folder / _STOP).exists():
        raise StepCancelled
    if (folder / _ERROR).is_file():
        raise MintageError(**msgspec.json.decode((folder / _ERROR).read_bytes()))
    if not (folder / _RESULT).is_file():
        tail = (folder / _WORDS).read_bytes()[-_TAIL:].decode(errors="replace")
        raise MintageError(
            "upstream_failed", f"The training's processes ended with status {status}: {tail}", "Mend it, then resume."
        )
    return msgspec.json.decode((folder / _RESULT).read_bytes(), type=PretrainResult)


def _command(job: PretrainJob, folder: Path) -> list[str]:
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={job.devices}",
        "--module", "mintage.factory.training.distributed", str(folder),
    ]  # fmt: skip


def _environment(job: PretrainJob) -> dict[str, str]:
    cores = os.cpu_count() or 1
    threads = job.threads or max(1, cores // job.devices)
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}


def _relay(line: bytes, folder: Path, progress: ProgressCallback, cancelled: Cancelled) -> None:
    try:
        told = msgspec.json.decode(line, type=Told)
    except msgspec.DecodeError:
        return  # some library's word
    if cancelled():
        (folder / _STOP).touch()
        return
    try:
        progress(told.done, told.total, told.note)
    except StepCancelled:
        (folder / _STOP).touch()


def rank(folder: Path, out: IO[str]) -> None:
    """One process of many: what torchrun runs."""
    import torch

    job = msgspec.json.decode((folder / _JOB).read_bytes(), type=PretrainJob)
    fabric = _fabric(job)
    fabric.launch()

    def tell(done: int, total: int | None, note: str) -> None:
        if fabric.is_global_zero:
            print(msgspec.json.encode(Told(done, total, note)).decode(), file=out, flush=True)

    try:
        result = pretrain_job(job, fabric, progress=tell, cancelled=(folder / _STOP).exists)
    except StepCancelled:
        return
    except MintageError as error:
        told = {"code": error.code, "message": error.message, "hint": error.hint}
        (folder / _ERROR).write_bytes(msgspec.json.encode(told))
        raise
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    if fabric.is_global_zero:
        partial = folder / f"{_RESULT}.partial"
        partial.write_bytes(msgspec.json.encode(result))
        partial.replace(folder / _RESULT)


def _fabric(job: PretrainJob) -> Any:
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy
    from lightning.fabric.strategies.model_parallel import ModelParallelStrategy

    gpu = job.device != "cpu"
    strategy: Any
    if job.strategy == "fsdp":
        strategy = ModelParallelStrategy(_shard, data_parallel_size=job.devices, tensor_parallel_size=1)
    else:  # xlnet has weights for segments, which plain text does not use
        strategy = DDPStrategy(find_unused_parameters=job.shape.architecture == "xlnet")
    return Fabric(accelerator="cuda" if gpu else "cpu", devices=job.devices, strategy=strategy)


def _shard(model: Any, mesh: Any) -> Any:
    """FSDP2: every layer of its own, so that only one is whole at a time."""
    import torch
    from torch.distributed.fsdp import fully_shard

    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList):
            for layer in module:
                fully_shard(layer, mesh=mesh["data_parallel"])
    fully_shard(model, mesh=mesh["data_parallel"])
    return model


if __name__ == "__main__":
    rank(Path(sys.argv[1]), sys.stdout)
