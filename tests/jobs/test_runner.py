"""What becomes of a job: here, in threads and in child processes; progress, cancellation, retries, orderly stops."""

import asyncio
import os
import time

import psutil
import pytest

from mintage.base import MintageError
from mintage.jobs import Done, Job


async def ended(jobs, job: Job, limit_s=30.0) -> Job:
    async with asyncio.timeout(limit_s):
        while not (found := jobs.queue.get(job.id)).ended:  # noqa: ASYNC110 - the queue is a database
            await asyncio.sleep(0.01)
    return found


async def until(condition, limit_s=30.0):
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what is looked at is a file or a process
            await asyncio.sleep(0.01)


# -- the three places where work runs ---------------------------------------------------------------------------------


async def test_a_child_process_does_the_work_and_its_progress_and_result_are_kept(live, working):
    live.kinds.register("add", "work_for_tests:add")
    async with working(live):
        job = await ended(live, live.enqueue("add", [1, 2, 3]))
    assert job.state == "done"
    assert job.result["sum"] == 6
    assert job.result["pid"] != os.getpid()
    assert (job.progress.done, job.progress.total, job.progress.message) == (1, 2, "halfway")
    (attempt,) = live.queue.attempts(job.id)
    assert attempt.outcome == "done"
    assert attempt.ended_ns >= attempt.started_ns


async def test_coroutines_run_in_a_child_on_the_loop_and_functions_in_a_thread(live, working):
    loop = asyncio.get_running_loop()

    async def here(context):
        assert asyncio.get_running_loop() is loop
        return context.payload * 2

    def thread(context):
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return context.payload * 3

    live.kinds.register("here", here)
    live.kinds.register("thread", thread)
    live.kinds.register("child", "work_for_tests:add_slowly")
    async with working(live):
        jobs = [live.enqueue("here", 5), live.enqueue("thread", 5), live.enqueue("child", [5, 6])]
        assert [(await ended(live, job)).result for job in jobs] == [10, 15, 11]


async def test_an_effect_happens_in_the_transaction_of_the_completion(live, working, database):
    def once(context):
        return Done("ok", lambda connection: live.enqueue("next", key=context.job.id, connection=connection) and None)

    def refused(context):
        def effect(connection):
            live.enqueue("next", key="never", connection=connection)
            raise MintageError("conflict" if context.payload else "invalid_request", "No.")

        return Done("ok", effect)

    live.kinds.register("once", once)
    live.kinds.register("refused", refused, attempts_max=1)
    live.kinds.register("next", lambda context: "did")
    async with working(live):
        done = await ended(live, live.enqueue("once"))
        failed = await ended(live, live.enqueue("refused"))
        (following,) = live.queue.page(kind="next")
        await ended(live, following)
    assert done.state == "done"
    assert following.idempotency_key == done.id
    assert failed.state == "failed"
    assert failed.error.code == "invalid_request"


async def test_what_a_child_writes_is_kept_up_to_a_limit(live, working):
    live.kinds.register("talk", "work_for_tests:talk")
    async with working(live):
        short = await ended(live, live.enqueue("talk", 3))
        long = await ended(live, live.enqueue("talk", 100_000))
    (said,) = [attempt.output for attempt in live.queue.attempts(short.id)]
    assert said.startswith("line 0\nline 1\nline 2\n")
    assert "中文" in said
    assert "\0" not in said
    (tail,) = [attempt.output for attempt in live.queue.attempts(long.id)]
    assert len(tail) <= 64 * 1024
    assert "line 99999" in tail


# -- failing and trying again -----------------------------------------------------------------------------------------


async def test_a_failure_is_tried_again_and_its_checkpoint_is_handed_on(live, working):
    live.kinds.register("busy", "work_for_tests:once_busy")
    async with working(live):
        job = await ended(live, live.enqueue("busy"))
    assert (job.state, job.result, job.attempts, job.error) == ("done", {"been": 1}, 2, None)
    assert [attempt.outcome for attempt in live.queue.attempts(job.id)] == ["failed", "done"]


async def test_tries_are_limited_and_backed_off(live, working):
    kind = live.kinds.register("fail", "work_for_tests:fail", attempts_max=3, backoff_s=0.05)
    assert [kind.retry_delay_s(n) for n in (1, 2, 3)] == [0.05, 0.1, 0.2]
    assert kind.retry_delay_s(100) == 600
    async with working(live):
        job = await ended(live, live.enqueue("fail"))
    attempts = live.queue.attempts(job.id)
    assert (job.state, len(attempts)) == ("failed", 3)
    assert job.error.message == "RuntimeError: a fault"
    assert 'raise RuntimeError("a fault")' in attempts[0].output
    assert attempts[2].started_ns - attempts[1].ended_ns >= 0.1e9


async def test_what_can_never_work_is_not_tried_again(live, working):
    live.kinds.register("refuse", "work_for_tests:refuse")
    live.kinds.register("huge", "work_for_tests:huge")
    live.kinds.register("nowhere", "work_for_tests:nowhere", attempts_max=1)
    async with working(live):
        refused = await ended(live, live.enqueue("refuse"))
        huge = await ended(live, live.enqueue("huge"))
        nowhere = await ended(live, live.enqueue("nowhere"))
    assert (refused.state, refused.attempts, refused.error.hint) == ("failed", 1, "Ask for something else.")
    assert (huge.state, huge.attempts, huge.error.code) == ("failed", 1, "payload_too_large")
    assert nowhere.error.message.startswith("AttributeError")


async def test_a_child_that_dies_fails_its_attempt_and_nothing_else(live, working):
    live.kinds.register("crash", "work_for_tests:crash", attempts_max=2, backoff_s=0.01)
    live.kinds.register("add", "work_for_tests:add")
    async with working(live):
        crashed = await ended(live, live.enqueue("crash"))
        added = await ended(live, live.enqueue("add", [1]))
    assert (crashed.state, crashed.attempts) == ("failed", 2)
    assert "signal 9" in crashed.error.message
    assert added.state == "done"


async def test_a_job_that_takes_too_long_is_stopped(live, working, tmp_path):
    live.kinds.register("slow", "work_for_tests:until_cancelled", timeout_s=1, attempts_max=1)
    async with working(live):
        job = await ended(live, live.enqueue("slow", str(tmp_path / "started")))
    assert job.state == "failed"
    assert "longer than 1 seconds" in job.error.message


# -- cancelling -------------------------------------------------------------------------------------------------------


async def test_a_running_job_ends_when_it_is_asked_to(live, working, tmp_path):
    async def forever(context):
        (tmp_path / "here").write_text("started")
        await asyncio.Event().wait()

    live.kinds.register("child", "work_for_tests:until_cancelled")
    live.kinds.register("here", forever)
    async with working(live):
        for kind in ("child", "here"):
            job = live.enqueue(kind, str(tmp_path / kind))
            await until((tmp_path / kind).exists)
            assert live.queue.cancel(job.id).state == "running"
            assert (await ended(live, job)).state == "cancelled"
            (attempt,) = live.queue.attempts(job.id)
            assert attempt.outcome == "cancelled"


async def test_one_that_does_not_listen_is_killed_with_all_its_children(live, working, tmp_path):
    live.kinds.register("deaf", "work_for_tests:deaf", grace_s=0.2)
    async with working(live):
        job = live.enqueue("deaf", str(tmp_path / "pid"))
        await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        grandchild = psutil.Process(int((tmp_path / "pid").read_text()))
        live.queue.cancel(job.id)
        assert (await ended(live, job)).state == "cancelled"
    await until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


# -- stopping, losing ------------------------------------------------------------------------------------------------


async def test_an_orderly_stop_hands_jobs_back_without_counting_the_try(live, working, tmp_path):
    live.kinds.register("count", "work_for_tests:count", grace_s=2)
    job = live.enqueue("count", 60)
    file = tmp_path / f"count-{job.id}.txt"
    async with working(live):
        await until(lambda: file.exists() and len(file.read_text().split()) > 5)
    stopped = live.queue.get(job.id)
    assert (stopped.state, stopped.attempts) == ("queued", 0)
    assert stopped.checkpoint >= 5
    async with working(live):
        assert (await ended(live, job)).state == "done"
    assert [int(line) for line in file.read_text().split()] == list(range(60))
    assert [attempt.outcome for attempt in live.queue.attempts(job.id)] == ["released", "done"]


async def test_a_worker_that_lost_its_lease_stops_and_records_nothing(live, working, database, tmp_path):
    import sqlalchemy as sa

    live.kinds.register("slow", "work_for_tests:until_cancelled")
    async with working(live, lease_s=0.6) as runner:
        job = live.enqueue("slow", str(tmp_path / "started"))
        await until((tmp_path / "started").exists)
        with database.write() as connection:  # as another process's claim does
            connection.execute(sa.text("UPDATE jobs SET worker = 'other', fence = fence + 1"))
        await until(lambda: not runner._work)
    found = live.queue.get(job.id)
    assert (found.state, found.worker) == ("running", "other")


async def test_progress_tells_rate_and_time_left(live, working):
    gate = asyncio.Event()

    async def half(context):
        context.progress(0, 100, "begun")
        await asyncio.sleep(0.05)
        context.progress(50)
        await gate.wait()

    live.kinds.register("half", half)
    async with working(live):
        job = live.enqueue("half")
        await until(lambda: live.queue.get(job.id).progress.done == 50)
        progress = live.queue.get(job.id).progress
        gate.set()
        await ended(live, job)
    assert progress.message == "begun"
    assert 0 < progress.rate_per_s <= 1200  # 50 in 50 ms, by clocks that differ a little
    assert progress.eta_s == pytest.approx(50 / progress.rate_per_s)


async def test_drain_returns_when_nothing_is_left(live, working):
    live.kinds.register("add", lambda context: sum(context.payload))
    jobs = [live.enqueue("add", [n]) for n in range(10)]
    later = live.enqueue("add", [1], run_at_ns=time.time_ns() + 3600 * 10**9)
    async with working(live) as runner:
        await runner.drain()
    assert {live.queue.get(job.id).state for job in jobs} == {"done"}
    assert live.queue.get(later.id).state == "queued"
