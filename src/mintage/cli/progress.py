"""Progress bars of long work: what is done, how fast, how long still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

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
