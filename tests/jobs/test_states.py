"""Any order of what users and workers do leaves a job in one known state, completed at most once; cron's times."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mintage.base import ManualClock, MintageError
from mintage.books import Database
from mintage.jobs import JobError, Jobs, Leases, next_time_ns

FAULT = JobError(code="internal", message="a fault")


class Life(RuleBasedStateMachine):
    """Two workers and a user; `truth` is what must be."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database.open(Path(self.folder.name) / "books.db")
        self.database.migrate()
        self.clock = ManualClock()
        self.jobs = Jobs(self.database, self.clock)
        self.jobs.kinds.register("k", lambda context: None, attempts_max=3)
        self.workers = [Leases(self.database, self.clock, name, lease_s=10) for name in ("w0", "w1")]
        self.held = []  # (worker, job as claimed)
        self.ids = []
        self.completed = {}

    def teardown(self):
        self.database.close()
        self.folder.cleanup()

    @precondition(lambda self: len(self.ids) < 3)
    @rule()
    def enqueue(self):
        self.clock.advance(0.001)  # of one instant, chance would say which is first
        self.ids.append(self.jobs.enqueue("k").id)

    @rule(worker=st.integers(0, 1))
    def claim(self, worker):
        if (job := self.workers[worker].claim({"k": 2})) is not None:
            assert job.attempts <= job.attempts_max
            self.held.append((worker, job))

    def _owned(self, worker, job):
        now = self.jobs.queue.get(job.id)
        return now.state == "running" and now.worker == self.workers[worker].worker and now.fence == job.fence

    def _end(self, pick, end):
        worker, job = self.held.pop(pick % len(self.held))
        owned = self._owned(worker, job)
        try:
            end(self.workers[worker], job)
        except MintageError as error:
            assert error.code == "conflict"
            assert not owned
            return None
        assert owned
        return job

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 9))
    def complete(self, pick):
        if (job := self._end(pick, lambda leases, job: leases.complete(job, job.fence))) is not None:
            assert job.id not in self.completed
            self.completed[job.id] = job.fence

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 9), again=st.booleans())
    def fail(self, pick, again):
        self._end(pick, lambda leases, job: leases.fail(job, FAULT, retry_after_s=0 if again else None))

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 9))
    def release(self, pick):
        self._end(pick, lambda leases, job: leases.release(job))

    @rule(worker=st.integers(0, 1), seconds=st.sampled_from([1, 11]))
    def time_passes_and_a_worker_reaps(self, worker, seconds):
        self.clock.advance(seconds)
        self.workers[worker].reap()

    @precondition(lambda self: self.ids)
    @rule(pick=st.integers(0, 9))
    def cancel(self, pick):
        self.jobs.queue.cancel(self.ids[pick % len(self.ids)])

    @precondition(lambda self: self.ids)
    @rule(pick=st.integers(0, 9))
    def retry(self, pick):
        job = self.jobs.queue.get(self.ids[pick % len(self.ids)])
        if job.state in ("failed", "cancelled"):
            assert self.jobs.queue.retry(job.id).state == "queued"
        else:
            with pytest.raises(MintageError):
                self.jobs.queue.retry(job.id)

    @invariant()
    def every_job_is_sound(self):
        for job_id in self.ids:
            job = self.jobs.queue.get(job_id)
            assert (job.state == "done") == (job_id in self.completed)
            assert job.ended == (job.ended_ns is not None)
            if job_id in self.completed:
                assert job.result == self.completed[job_id] == job.fence
            running = [one for one in self.jobs.queue.attempts(job_id) if one.outcome == "running"]
            assert len(running) == (job.state == "running")


Life.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestLife = Life.TestCase


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 3 * * *", "UTC", "2026-01-01T02:59:59+00:00", "2026-01-01T03:00:00+00:00"),
        ("0 3 * * *", "UTC", "2026-01-01T03:00:00+00:00", "2026-01-02T03:00:00+00:00"),
        ("*/15 * * * *", "UTC", "2026-01-01T00:01:00+00:00", "2026-01-01T00:15:00+00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+00:00", "2026-03-29T01:00:00+00:00"),  # no 2:30 that day
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00+00:00", "2028-02-29T00:00:00+00:00"),
        ("0 9 * * MON", "Asia/Shanghai", "2026-01-01T00:00:00+00:00", "2026-01-05T01:00:00+00:00"),
    ],
)
def test_cron_in_time_zones(cron, zone, after, expected):
    after_ns = int(datetime.fromisoformat(after).timestamp()) * 10**9
    assert datetime.fromtimestamp(next_time_ns(cron, zone, after_ns) / 1e9, UTC) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("cron", "zone"),
    [("", "UTC"), ("* * * *", "UTC"), ("61 * * * *", "UTC"), ("0 0 30 2 *", "UTC"), ("* * * * * *", "UTC"),
     ("0 3 * * *", "Mars/Olympus"), ("0 3 * * *", "../etc/passwd")],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(cron, zone):
    with pytest.raises(MintageError) as refusal:
        next_time_ns(cron, zone, 0)
    assert refusal.value.code == "invalid_request"
    assert refusal.value.hint


def test_a_due_time_makes_one_job_and_a_pause_is_made_up_for_once(jobs, clock):
    jobs.kinds.register("nightly", lambda context: None)
    jobs.schedules.set("backup", "nightly", "0 3 * * *", {"n": 1})
    assert jobs.schedules.tick() == 0
    clock.advance(7 * 86_400)
    assert jobs.schedules.tick() == 1
    assert jobs.schedules.tick() == 0
    (job,) = jobs.queue.page(kind="nightly")
    assert jobs.queue.get(job.id).payload == {"n": 1}
    assert jobs.schedules.get("backup").last_job_id == job.id
    jobs.schedules.enable("backup", False)
    clock.advance(86_400)
    assert jobs.schedules.tick() == 0
    assert jobs.schedules.ensure("backup", "nightly", "0 4 * * *").cron == "0 3 * * *"
    jobs.schedules.delete("backup")
    assert jobs.schedules.all() == []
