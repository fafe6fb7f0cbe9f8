"""What the queue promises its users: keys, limits, tenants, cancellation, retries, pages."""

import pytest
import sqlalchemy as sa

from mintage.base import MintageError
from mintage.jobs import Jobs, Leases
from mintage.jobs import queue as queue_module


def nothing(context):
    return None


@pytest.fixture(autouse=True)
def kinds(jobs):
    jobs.kinds.register("a", nothing)
    jobs.kinds.register("b", nothing, attempts_max=1, running_max=1)


def worker(jobs, name="w1"):
    return Leases(jobs.queue._database, jobs.queue._clock, name)


def test_a_job_is_queued_with_what_it_was_given(jobs, clock):
    job = jobs.enqueue("a", {"n": 1}, tenant_id="cus_1", key="k", priority=7, actor="staff:1")
    found = jobs.queue.get(job.id)
    assert found == job
    assert (found.state, found.payload, found.tenant_id, found.priority) == ("queued", {"n": 1}, "cus_1", 7)
    assert found.created_ns == clock.now_ns() == found.run_at_ns


def test_the_same_key_gives_the_same_job_and_another_payload_is_refused(jobs):
    first = jobs.enqueue("a", {"x": 1, "y": 2}, key="k")
    assert jobs.enqueue("a", {"y": 2, "x": 1}, key="k").id == first.id
    with pytest.raises(MintageError) as refusal:
        jobs.enqueue("a", {"x": 2}, key="k")
    assert refusal.value.code == "idempotency_conflict"
    others = [jobs.enqueue("b", {"x": 2}, key="k"), jobs.enqueue("a", {"x": 2}, key="k", tenant_id="cus_1")]
    assert len({first.id, *(other.id for other in others)}) == 3


def test_a_job_enqueued_in_a_transaction_that_fails_is_not_there(jobs, database):
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        jobs.enqueue("a", connection=connection)
        raise ZeroDivisionError
    assert jobs.queue.page() == []


def test_another_tenants_job_is_not_found(jobs):
    mine = jobs.enqueue("a", tenant_id="cus_1")
    operators = jobs.enqueue("a")
    for ask in (jobs.queue.get, jobs.queue.cancel, jobs.queue.retry):
        for job in (mine, operators):
            with pytest.raises(MintageError) as refusal:
                ask(job.id, tenant_id="cus_2")
            assert refusal.value.code == "not_found"
    assert [job.id for job in jobs.queue.page(tenant_id="cus_1")] == [mine.id]
    assert jobs.queue.page(tenant_id="cus_2") == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"kind": "unknown"}, "not_found"),
        ({"payload": "x" * (1024 * 1024)}, "payload_too_large"),
        ({"payload": object()}, "invalid_request"),
        ({"priority": 101}, "invalid_request"),
        ({"key": ""}, "invalid_request"),
        ({"key": "k" * 201}, "invalid_request"),
        ({"attempts_max": 0}, "invalid_request"),
        ({"attempts_max": 101}, "invalid_request"),
    ],
)
def test_what_cannot_be_queued_is_refused_with_a_hint(jobs, options, code):
    with pytest.raises(MintageError) as refusal:
        jobs.enqueue(**{"kind": "a", **options})
    assert refusal.value.code == code
    assert refusal.value.hint
    assert jobs.queue.page() == []


def test_a_full_queue_refuses_and_one_tenant_cannot_fill_it(jobs, monkeypatch):
    monkeypatch.setattr(queue_module, "OPEN_MAX", 5)
    monkeypatch.setattr(queue_module, "OPEN_PER_TENANT_MAX", 2)
    for _ in range(2):
        jobs.enqueue("a", tenant_id="cus_1")
    with pytest.raises(MintageError) as refusal:
        jobs.enqueue("a", tenant_id="cus_1")
    assert refusal.value.code == "rate_limited"
    for _ in range(3):
        jobs.enqueue("a")
    with pytest.raises(MintageError) as refusal:
        jobs.enqueue("a")
    assert refusal.value.code == "rate_limited"


def test_priority_goes_first_then_the_longest_due(jobs, clock):
    ids = []
    for priority, delay_s in ((0, 0), (5, 1), (0, -1), (5, 0)):
        ids.append(jobs.enqueue("a", priority=priority, run_at_ns=clock.now_ns() + round(delay_s * 1e9)).id)
    leases = worker(jobs)
    claimed = [leases.claim({"a": 9}) for _ in range(4)]
    assert [job.id for job in claimed if job] == [ids[3], ids[2], ids[0]]
    clock.advance(1)
    assert leases.claim({"a": 9}).id == ids[1]


def test_no_more_of_a_kind_and_of_a_tenant_run_at_once_than_allowed(jobs):
    leases = worker(jobs)
    for _ in range(3):
        jobs.enqueue("b")
    assert leases.claim({"b": 1})
    assert worker(jobs, "w2").claim({"b": 1}) is None
    for _ in range(6):
        jobs.enqueue("a", tenant_id="greedy")
    modest = jobs.enqueue("a", tenant_id="modest")
    claimed = [leases.claim({"a": 50}) for _ in range(8)]
    assert sorted(job.tenant_id for job in claimed if job) == ["greedy"] * 4 + ["modest"]
    assert modest.id in {job.id for job in claimed if job}


def test_a_queued_job_is_cancelled_at_once_and_can_be_tried_again(jobs):
    job = jobs.enqueue("a")
    assert jobs.queue.cancel(job.id).state == "cancelled"
    assert worker(jobs).claim({"a": 1}) is None
    assert jobs.queue.cancel(job.id).state == "cancelled"
    again = jobs.queue.retry(job.id)
    assert (again.state, again.cancel_ns, again.attempts) == ("queued", None, 0)
    assert worker(jobs).claim({"a": 1}).id == job.id


def test_a_job_that_is_not_over_cannot_be_tried_again(jobs):
    job = jobs.enqueue("a")
    leases = worker(jobs)
    for _ in range(2):
        with pytest.raises(MintageError) as refusal:
            jobs.queue.retry(job.id)
        assert refusal.value.code == "conflict"
        claimed = leases.claim({"a": 1})
    assert claimed is None
    leases.complete(jobs.queue.get(job.id), None)
    with pytest.raises(MintageError):
        jobs.queue.retry(job.id)


def test_pages_and_filters_show_each_job_once_newest_first(jobs, clock):
    ids = []
    for number in range(7):
        clock.advance(0.01)
        ids.append(jobs.enqueue("ab"[number % 2], "payload").id)
    seen, before = [], None
    while page := jobs.queue.page(limit=3, before=before):
        seen += [job.id for job in page]
        before = page[-1].id
    assert seen == ids[::-1]
    assert [job.id for job in jobs.queue.page(kind="b")] == ids[1::2][::-1]
    assert jobs.queue.page(state="done") == []
    assert all(job.payload is None for job in jobs.queue.page())
    with pytest.raises(MintageError):
        jobs.queue.page(state="lost")


def test_pruning_forgets_only_what_ended_before(jobs, clock, database):
    leases = worker(jobs)
    every = {jobs.enqueue("a").id for _ in range(3)}  # at one instant: any of them may be first
    old = leases.claim({"a": 3})
    leases.complete(old, "result")
    clock.advance(100)
    leases.complete(leases.claim({"a": 3}), "result")
    assert jobs.queue.prune(clock.now_ns()) == 1
    assert {job.id for job in jobs.queue.page()} == every - {old.id}
    with database.read() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM job_attempts")) == 1


def test_a_program_that_does_not_know_a_kind_leaves_its_jobs_alone(jobs, database, clock):
    job = jobs.enqueue("a")
    other = Jobs(database, clock)
    other.kinds.register("other", nothing)
    assert worker(other).claim({kind.name: kind.running_max for kind in other.kinds.all()}) is None
    assert jobs.queue.get(job.id).state == "queued"
