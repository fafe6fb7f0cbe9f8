"""A run: the steps of a recipe in their order, in one folder that can be looked at, resumed and thrown away.

run.json says of each step what state it is in and the SHA-256 of what it read and made. A finished step whose inputs
and part of the recipe are as they were, and whose output is still as it left it, is skipped. A stopped run goes on.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mintage.base import Clock, MintageError, SystemClock, new_id
from mintage.factory.costs import ComputePrice, CostLine, append_cost, cost_line, read_costs
from mintage.factory.recipe import Loaded, Recipe, parse_recipe
from mintage.factory.step import Cancelled, Meter, ProgressCallback, Step, StepCancelled, StepContext

RUN_FILE: Final = "run.json"
RECIPE_FILE: Final = "recipe.toml"
_RUNS_MAX: Final = 10_000
_FILES_MAX: Final = 1_000_000
State = Literal["waiting", "running", "done", "failed", "cancelled"]
#: step, done, total, words, cost so far in nanos
RunProgress = Callable[[str, int, int | None, str, int], None]


class StepState(msgspec.Struct, kw_only=True):
    """inputs and outputs: name -> SHA-256. result: what the step returned. fresh: it ran in this attempt of the run."""

    name: str
    state: State = "waiting"
    attempts: int = 0
    started_ns: int | None = None
    ended_ns: int | None = None
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    result: dict[str, Any] = {}
    error: str = ""


class RunState(msgspec.Struct, kw_only=True):
    """What run.json keeps. recipe_sha256 is of the file as it was when the run last began."""

    id: str
    name: str
    state: State = "waiting"
    recipe_sha256: str = ""
    folder: str = ""  # what the recipe's paths start from
    created_ns: int = 0
    ended_ns: int | None = None
    error: str = ""
    steps: list[StepState] = []

    def step(self, name: str) -> StepState:
        found = next((step for step in self.steps if step.name == name), None)
        if found is None:
            found = StepState(name=name)
            self.steps.append(found)
        return found


class Run:
    """One run folder. Only one process works in it at a time (a lock of the kernel)."""

    def __init__(self, folder: Path, state: RunState) -> None:
        self.folder = folder
        self.state = state

    @classmethod
    def begin(cls, home: Path, loaded: Loaded, *, clock: Clock | None = None) -> Run:
        """A new run of the recipe, in the home."""
        now_ns = (clock or SystemClock()).now_ns()
        run_id = new_id("run")
        folder = runs_folder(home) / run_id
        folder.mkdir(mode=0o700, parents=True)
        (folder / RECIPE_FILE).write_text(loaded.text, "utf-8")
        name = loaded.recipe.run.name
        run = cls(folder, RunState(id=run_id, name=name, created_ns=now_ns, folder=str(loaded.folder)))
        run.save()
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Raises not_found, or conflict for one that cannot be read."""
        try:
            return cls(folder, msgspec.json.decode((folder / RUN_FILE).read_bytes(), type=RunState))
        except FileNotFoundError as error:
            raise MintageError(
                "not_found", f"There is no run {folder.name!r}.", "`mintage factory runs` lists them."
            ) from error
        except msgspec.DecodeError as error:
            raise MintageError(
                "conflict", f"The run {folder.name!r} cannot be read: {error}.", "Begin anew."
            ) from error

    @property
    def recipe(self) -> Recipe:
        return parse_recipe((self.folder / RECIPE_FILE).read_text("utf-8"))

    @property
    def source_folder(self) -> Path:
        return Path(self.state.folder)

    def costs(self) -> list[CostLine]:
        return read_costs(self.folder)

    def save(self) -> None:
        """Whole or not at all, whatever happens meanwhile."""
        partial = self.folder / f"{RUN_FILE}.partial"
        with partial.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(self.state), indent=2))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / RUN_FILE)


class Runner:
    """Runs steps one after the other. price: what their time costs. progress is called from the step's thread."""

    def __init__(
        self,
        run: Run,
        steps: Sequence[Step],
        price: ComputePrice,
        *,
        clock: Clock | None = None,
        progress: RunProgress = lambda step, done, total, note, nanos: None,
        cancelled: Cancelled = lambda: False,
    ) -> None:
        self._run = run
        self._steps = steps
        self._price = price
        self._clock = clock or SystemClock()
        self._progress = progress
        self._cancelled = cancelled
        self._spent = sum(line.nanos for line in run.costs())

    def run(self) -> RunState:
        """Do what is left to do. A step that fails raises, after its cost and its state are kept."""
        state, recipe = self._run.state, self._run.recipe
        with _alone(self._run.folder):
            state.recipe_sha256 = hashlib.sha256((self._run.folder / RECIPE_FILE).read_bytes()).hexdigest()
            state.state, state.error = "running", ""
            for step in self._steps:
                state.step(step.name)
            self._run.save()
            try:
                for step in self._steps:
                    self._step(step, recipe)
            except StepCancelled:
                state.state = "cancelled"
            except MintageError as error:
                state.state, state.error = "failed", str(error)
                raise
            except Exception as error:
                state.state, state.error = "failed", f"{type(error).__name__}: {error}"[:2000]
                raise
            else:
                state.state = "done"
            finally:
                state.ended_ns = self._clock.now_ns()
                self._run.save()
        return state

    def _step(self, step: Step, recipe: Recipe) -> None:
        if self._cancelled():
            raise StepCancelled
        kept = self._run.state.step(step.name)
        inputs = self._inputs(step, recipe)
        if kept.state == "done" and kept.inputs == inputs and kept.outputs == self._hashes(step.outputs):
            self._progress(step.name, 1, 1, "as it was", self._spent)
            return
        kept.state, kept.attempts, kept.inputs, kept.error = "running", kept.attempts + 1, inputs, ""
        kept.started_ns, kept.ended_ns = self._clock.now_ns(), None
        self._run.save()
        meter = Meter()
        context = StepContext(self._run.folder, recipe, meter, self._teller(step.name, meter), self._cancelled)
        try:
            kept.result = msgspec.to_builtins(step.run(context))
            kept.outputs = self._hashes(step.outputs)
            kept.state = "done"
        except (StepCancelled, KeyboardInterrupt):
            kept.state = "cancelled"
            raise StepCancelled from None
        except Exception as error:
            kept.state = "failed"
            kept.error = (str(error) if isinstance(error, MintageError) else f"{type(error).__name__}: {error}")[:2000]
            raise
        finally:
            kept.ended_ns = self._clock.now_ns()
            self._charge(step.name, kept, meter)
            self._run.save()

    def _inputs(self, step: Step, recipe: Recipe) -> dict[str, str]:
        """What decides about the result: the step's part of the recipe, and what earlier steps made."""
        part = msgspec.json.encode(msgspec.to_builtins(step.recipe_part(recipe)), order="deterministic")
        found = {"recipe": hashlib.sha256(part).hexdigest()}
        for name in step.inputs:
            for output, digest in self._run.state.step(name).outputs.items():
                found[f"{name}/{output}"] = digest
        return found

    def _hashes(self, names: Sequence[str]) -> dict[str, str]:
        return {name: hash_tree(self._run.folder / name) for name in names}

    def _teller(self, step: str, meter: Meter) -> ProgressCallback:
        def tell(done: int, total: int | None, note: str) -> None:
            use = meter.stop()
            self._progress(step, done, total, note, self._spent + self._price.nanos(use.cpu_s, use.gpu_s))

        return tell

    def _charge(self, name: str, kept: StepState, meter: Meter) -> None:
        line = cost_line(
            self._price,
            meter.stop(),
            run=self._run.state.id,
            step=name,
            attempt=kept.attempts,
            outcome=kept.state,
            at_ns=self._clock.now_ns(),
        )
        append_cost(self._run.folder, line)
        self._spent += line.nanos


def runs_folder(home: Path) -> Path:
    return home / "factory" / "runs"


def find_run(home: Path, text: str) -> Run:
    """By id, by the beginning of an id, or by the name of its recipe: then the newest. Raises not_found."""
    if "/" in text or "\\" in text or text.startswith("."):
        raise MintageError("not_found", f"There is no run {text[:80]!r}.", "`mintage factory runs` lists them.")
    if (runs_folder(home) / text / RUN_FILE).is_file():
        return Run.open(runs_folder(home) / text)
    found = [run for run in list_runs(home) if run.state.id.startswith(text) or run.state.name == text]
    if not found:
        raise MintageError("not_found", f"There is no run {text[:80]!r}.", "`mintage factory runs` lists them.")
    return found[0]


def list_runs(home: Path) -> list[Run]:
    """Newest first."""
    folder = runs_folder(home)
    if not folder.is_dir():
        return []
    paths = [path for path in folder.iterdir() if (path / RUN_FILE).is_file()][:_RUNS_MAX]
    return sorted((Run.open(path) for path in paths), key=lambda run: run.state.created_ns, reverse=True)


def hash_tree(path: Path) -> str:
    """SHA-256 of a file, or of a folder's names and contents in order; "" if there is nothing."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if not path.is_dir():
        return ""
    whole = hashlib.sha256()
    for number, file_path in enumerate(sorted(p for p in path.rglob("*") if p.is_file())):
        if number >= _FILES_MAX:
            raise MintageError("conflict", f"{path} has over {_FILES_MAX:,} files.", "It is no output of a step.")
        whole.update(f"{file_path.relative_to(path)}\0{hash_tree(file_path)}\n".encode())
    return whole.hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    import fcntl

    descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise MintageError(
            "conflict", f"The run {folder.name} is at work already.", "Wait for it, or cancel it."
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


class StopFlag:
    """A cancelled() that a signal handler, or the job's context, sets."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.since_s: float | None = None

    def set(self) -> None:
        self.since_s = self.since_s or time.monotonic()
        self._event.set()

    def __call__(self) -> bool:
        return self._event.is_set()
