"""A queue on a database of its own, in SQLite or in a real PostgreSQL, and a runner of it."""

import contextlib
from pathlib import Path

import pytest

from mintage.base import ManualClock, SystemClock
from mintage.books import Database
from mintage.jobs import Jobs

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def database(tmp_path):
    found = Database.open(tmp_path / "books.db")
    found.migrate()
    yield found
    found.close()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def jobs(database, clock):
    """Time stands still: for what the queue decides."""
    return Jobs(database, clock)


@pytest.fixture
def live(database, monkeypatch):
    """Time goes on: for what a runner does. Children find the work of tests/jobs/programs."""
    monkeypatch.syspath_prepend(str(PROGRAMS))
    return Jobs(database, SystemClock())


@pytest.fixture
def working(tmp_path):
    """async with working(jobs): a runner that looks often."""

    @contextlib.asynccontextmanager
    async def start(jobs, **options):
        runner = jobs.runner(home=tmp_path, **{"tick_s": 0.05, **options})
        await runner.start()
        try:
            yield runner
        finally:
            await runner.stop(5)

    return start
