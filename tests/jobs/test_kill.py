"""kill -9 at every point of a job's life: it is finished by the next worker, and its effect happens exactly once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from mintage.base import SystemClock
from mintage.jobs import Jobs

PROGRAMS = Path(__file__).parent / "programs"
JOBS = 3


@pytest.fixture
def jobs(database):
    with database.write() as connection:
        connection.execute(sa.text("CREATE TABLE effects(job_id TEXT)"))
    found = Jobs(database, SystemClock())
    sys.path.insert(0, str(PROGRAMS))
    try:
        import worker

        worker.register(found)
    finally:
        sys.path.remove(str(PROGRAMS))
    return found


def work(home, failpoints="", planted=""):
    environment = os.environ | {"MINTAGE_FAILPOINTS": failpoints}
    command = [sys.executable, str(PROGRAMS / "worker.py"), str(home), planted]
    return subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)


def effects(database):
    with database.read() as connection:
        return sorted(connection.scalars(sa.text("SELECT job_id FROM effects")))


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("point", ["jobs.claimed", "jobs.completing", "jobs.completed"])
def test_a_killed_workers_jobs_are_finished_once(jobs, database, tmp_path, point, nth):
    ids = sorted(jobs.enqueue("pay").id for _ in range(JOBS))
    killed = work(tmp_path, f"{point}:kill:{nth}")
    assert killed.returncode == -signal.SIGKILL
    assert work(tmp_path).returncode == 0
    assert [jobs.queue.get(job_id).state for job_id in ids] == ["done"] * JOBS
    assert effects(database) == ids


def test_the_check_catches_an_effect_that_commits_apart(jobs, database, tmp_path):
    ids = [jobs.enqueue("pay").id for _ in range(JOBS)]
    assert work(tmp_path, "jobs.between:kill:1", "effect_apart").returncode == -signal.SIGKILL
    assert work(tmp_path).returncode == 0
    assert [jobs.queue.get(job_id).state for job_id in ids] == ["done"] * JOBS
    assert len(effects(database)) > JOBS


def test_work_in_a_child_goes_on_from_its_checkpoint_after_the_worker_was_killed(jobs, tmp_path):
    """The child dies with its worker: two of them never count at once."""
    job = jobs.enqueue("count", 400)
    file = tmp_path / f"count-{job.id}.txt"
    command = [sys.executable, str(PROGRAMS / "worker.py"), str(tmp_path)]
    process = subprocess.Popen(command)
    while jobs.queue.get(job.id).checkpoint is None:
        assert process.poll() is None
    process.kill()
    process.wait()
    assert work(tmp_path).returncode == 0
    found = jobs.queue.get(job.id)
    assert (found.state, found.result) == ("done", "counted")
    counted = [int(line) for line in file.read_text().split()]
    assert sorted(set(counted)) == list(range(400))
    assert len(counted) < 400 + 395  # it did not begin anew
    outcomes = [attempt.outcome for attempt in jobs.queue.attempts(job.id)]
    assert outcomes[-1] == "done"
    assert "lost" in outcomes


def test_a_job_that_kills_its_worker_each_time_is_given_up(jobs, database, tmp_path):
    job = jobs.enqueue("pay", attempts_max=2)
    for _ in range(2):
        assert work(tmp_path, "jobs.completing:kill:1").returncode == -signal.SIGKILL
    assert work(tmp_path).returncode == 0
    found = jobs.queue.get(job.id)
    assert (found.state, found.attempts) == ("failed", 2)
    assert "died" in found.error.message
    assert effects(database) == []
