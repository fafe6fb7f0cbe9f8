"""A training that was killed, shared among processes, or ran out of disk is the training that it would have been."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning.fabric")

from mintage.base import MintageError
from mintage.factory.models import ModelConfig
from mintage.factory.store import write_store
from mintage.factory.tokenizer import TokenizerOptions, train_tokenizer
from mintage.factory.training import Ids, PretrainJob, PretrainResult, TrainingOptions, run_pretraining
from mintage.factory.training.job import Strategy

ONE_STEP = 4 * 32 * 2


def job(
    folder: Path, data: Path, *, steps: int = 12, devices: int = 1, strategy: Strategy = "ddp", **more: int
) -> PretrainJob:
    return PretrainJob(
        shape=ModelConfig(architecture="gpt", depth=2, context=32).shape(300),
        special={"bos": 0, "eos": 0, "pad": 1}, ids=Ids(base=300, end=0, pad=1), store=str(data),
        tokenizer=str(data), checkpoints=str(folder / "checkpoints"), out=str(folder / "out"),
        options=TrainingOptions(
            tokens=steps * ONE_STEP, batch=4, block=32, accumulate=2, rate=3e-3, save_every=1, judge_every=5, **more
        ),
        seed=1, devices=devices, strategy=strategy, threads=1,
    )  # fmt: skip


def run(wanted: PretrainJob) -> PretrainResult:
    return run_pretraining(wanted, progress=lambda *told: None, cancelled=lambda: False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    train_tokenizer(["ab" * 50], TokenizerOptions(vocabulary=300, min_frequency=1), folder)
    for part, length in (("train", 4_000), ("held_out", 400)):
        write_store([[(7 * n * n + n) % 300 for n in range(length)]], folder / part, vocabulary=300)
    return folder


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> PretrainResult:
    return run(job(tmp_path_factory.mktemp("whole"), data))


CHILD = """
import sys, msgspec
from mintage.factory.training import PretrainJob, run_pretraining
job = msgspec.json.decode(open(sys.argv[1], "rb").read(), type=PretrainJob)
from mintage.factory.training import loop
loop._TOLD_EVERY_S = 0.0
run_pretraining(job, progress=lambda done, total, note: print(done, flush=True), cancelled=lambda: False)
"""


def test_one_that_was_killed_goes_on_with_the_same_curve(data: Path, whole: PretrainResult, tmp_path: Path) -> None:
    wanted = job(tmp_path, data)
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(wanted))
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "job.json")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= 7:
                break
        os.kill(child.pid, signal.SIGKILL)
    assert not (tmp_path / "out").exists()
    resumed = run(wanted)
    assert resumed.report.curve == whole.report.curve
    assert resumed.report.judged == whole.report.judged
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_learn_what_one_learns(
    strategy: Strategy, data: Path, whole: PretrainResult, tmp_path: Path
) -> None:
    """Sums are added in another order, so that the last digits may differ."""
    shared = run(job(tmp_path, data, devices=2, strategy=strategy))
    assert [step for step, _ in shared.report.curve] == [step for step, _ in whole.report.curve]
    assert [loss for _, loss in shared.report.curve] == pytest.approx(
        [loss for _, loss in whole.report.curve], abs=2e-4
    )
    assert shared.held_out is not None
    assert whole.held_out is not None
    assert shared.held_out.loss == pytest.approx(whole.held_out.loss, abs=2e-4)
    resumed = run(job(tmp_path, data, devices=1))  # from the shared checkpoint, alone
    assert resumed.report.curve == shared.report.curve


def test_a_batch_that_cannot_be_shared_is_refused(data: Path, tmp_path: Path) -> None:
    wanted = msgspec.structs.replace(job(tmp_path, data), devices=3)
    with pytest.raises(MintageError, match="cannot be shared by 3 devices"):
        run(wanted)


def test_a_full_disk_leaves_the_last_whole_checkpoint(data: Path, whole: PretrainResult, tmp_path: Path) -> None:
    wanted = job(tmp_path, data)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done: int, total: int | None, note: str) -> None:
        if list((tmp_path / "checkpoints").glob("step-*.safetensors")):
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))

    from mintage.factory.training import loop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_TOLD_EVERY_S", 0.0)
        try:
            with pytest.raises(MintageError, match="The one before it is whole") as caught:
                run_pretraining(wanted, progress=fill, cancelled=lambda: False)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code == "unavailable"
    assert not list((tmp_path / "checkpoints").glob("*.partial"))
    assert run(wanted).report.curve == whole.report.curve


def test_the_best_weights_are_kept(data: Path, tmp_path: Path) -> None:
    """A rate far too high at the end spoils what was learned; the model that is saved is the one that judged best."""
    wanted = job(tmp_path, data, steps=40)
    options = msgspec.structs.replace(wanted.options, rate=0.9, warmup=0.5, schedule="constant")
    result = run(msgspec.structs.replace(wanted, options=options))
    best = min(loss for _, loss in result.report.judged)
    assert result.report.best_step == next(step for step, loss in result.report.judged if loss == best) < 40
    assert result.held_out is not None
    assert result.held_out.loss == pytest.approx(best, abs=1e-3)
