"""What a step of a run is, and what it is given: its folder, how to tell of itself, when to stop, what it used up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mintage.base import MintageError

if TYPE_CHECKING:
    from mintage.factory.recipe import Recipe

#: done, total (None: not known), a few words.
ProgressCallback = Callable[[int, int | None, str], None]
Cancelled = Callable[[], bool]


class StepCancelled(Exception):  # noqa: N818 - not an error: someone asked for it
    """A run was asked to end. What its finished steps made stays, and the next run of it goes on from there."""


class StepUse(msgspec.Struct, kw_only=True):
    """What one attempt of a step used. cpu_s counts every core, of this process and of children that have ended."""

    cpu_s: float = 0.0
    gpu_s: float = 0.0
    wall_s: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    tokens: int = 0


class Meter:
    """Measures one attempt. CPU time is the kernel's; GPU time is the wall time of a step that says it used some."""

    def __init__(self) -> None:
        self.use = StepUse()
        self._began = (time.monotonic(), _cpu_s())
        self._gpus = 0

    def tokens(self, count: int) -> None:
        self.use.tokens += count

    def read(self, size_bytes: int) -> None:
        self.use.bytes_read += size_bytes

    def wrote(self, size_bytes: int) -> None:
        self.use.bytes_written += size_bytes

    def gpus(self, count: int) -> None:
        """How many GPUs the step keeps for itself from its beginning to its end."""
        self._gpus = count

    def stop(self) -> StepUse:
        """The use so far. May be called again: it is then more."""
        self.use.wall_s = time.monotonic() - self._began[0]
        self.use.cpu_s = _cpu_s() - self._began[1]
        self.use.gpu_s = self._gpus * self.use.wall_s
        return self.use


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class StepContext:
    """folder: of the run. A step writes only into its own subfolders and returns plain data, kept in run.json."""

    def __init__(
        self, folder: Path, recipe: Recipe, meter: Meter, progress: ProgressCallback, cancelled: Cancelled
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self.meter = meter
        self.cancelled = cancelled
        self._progress = progress

    def progress(self, done: int, total: int | None = None, note: str = "") -> None:
        """Tell how far it is. Raises StepCancelled if the run is to end."""
        self._progress(done, total, note)
        self.check()

    def check(self) -> None:
        if self.cancelled():
            raise StepCancelled

    def output(self, step: str) -> Path:
        """The folder of an earlier step's output. Raises conflict if it is gone."""
        path = self.folder / step
        if not path.exists():
            raise MintageError("conflict", f"The run has no {step}.", "Run it again without --from, or begin anew.")
        return path


class Step(Protocol):
    """inputs: names of the steps whose output it reads. outputs: what it leaves in the run folder, hashed.

    recipe_part: what of the recipe decides about the result; a change of it makes the step run again.
    """

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> tuple[str, ...]: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...

    def recipe_part(self, recipe: Recipe) -> Any: ...

    def run(self, context: StepContext) -> dict[str, Any]: ...
