"""Progress bars of long work: what is done, how fast, how long still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mintage.registry import Progress as PullProgress
from mintage.registry import ProgressCallback


@contextmanager
def pull_progress(console: Console) -> Iterator[ProgressCallback]:
    """A bar for one pull; nothing is drawn where nothing is downloaded."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    tasks: dict[str, int] = {}

    def show(progress: PullProgress) -> None:
        if not tasks:
            bar.start()
        if progress.stage not in tasks:
            tasks[progress.stage] = bar.add_task(str(progress.stage), total=progress.total_bytes)
        bar.update(tasks[progress.stage], completed=progress.done_bytes, total=progress.total_bytes)  # type: ignore[arg-type]

    try:
        yield show
    finally:
        if tasks:
            bar.stop()


@contextmanager
def job_progress() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar for one job, on standard error; nothing is drawn where nobody looks or nothing is told."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    tasks: list[TaskID] = []

    def show(progress: dict[str, Any]) -> None:
        if not progress["total"]:
            return
        if not tasks:
            bar.start()
            tasks.append(bar.add_task("", total=progress["total"]))
        bar.update(tasks[0], completed=progress["done"], total=progress["total"], description=progress["message"][:60])

    try:
        yield show
    finally:
        if tasks:
            bar.stop()
