"""What a job is, and the limits that every job keeps to."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from mintage.base import MintageError

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
STATES: Final[tuple[JobState, ...]] = ("queued", "running", "done", "failed", "cancelled")
ENDED: Final = ("done", "failed", "cancelled")

OPEN_MAX: Final = 100_000  # jobs that are queued or running, of everyone
OPEN_PER_TENANT_MAX: Final = 1_000
PAYLOAD_MAX_BYTES: Final = 1024 * 1024
RESULT_MAX_BYTES: Final = 1024 * 1024
CHECKPOINT_MAX_BYTES: Final = 256 * 1024
OUTPUT_MAX_BYTES: Final = 64 * 1024  # of an attempt's stdout and stderr: the end is kept
MESSAGE_MAX: Final = 500
KEY_MAX: Final = 200
PRIORITY_MAX: Final = 100
ATTEMPTS_MAX: Final = 100


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """done of total (None: unknown) units of the kind's own. rate_per_s is the mean of the attempt that runs."""

    done: int = 0
    total: int | None = None
    message: str = ""
    rate_per_s: float = 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds still to go at this rate; None when nobody can tell."""
        if self.total is None or self.rate_per_s <= 0:
            return None
        return max(0, self.total - self.done) / self.rate_per_s


class JobError(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt failed: a MintageError as data."""

    code: str
    message: str
    hint: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work. tenant_id None: the operator's own. attempts counts those that began and were not handed
    back by an orderly stop; after attempts_max of them the job has failed. cancel_ns: someone asked it to end.
    """

    id: str
    kind: str
    tenant_id: str | None
    idempotency_key: str | None
    payload: Any
    priority: int
    state: JobState
    run_at_ns: int
    attempts: int
    attempts_max: int
    fence: int
    worker: str
    lease_until_ns: int
    cancel_ns: int | None
    progress: Progress
    checkpoint: Any
    result: Any
    error: JobError | None
    created_by: str
    created_ns: int
    started_ns: int | None
    ended_ns: int | None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try of a job. outcome: running, done, failed, cancelled, released (an orderly stop) or lost (its worker
    died). output: the end of what it wrote to stdout and stderr."""

    fence: int
    worker: str
    started_ns: int
    ended_ns: int | None
    outcome: str
    error: JobError | None
    output: str


class Done(msgspec.Struct, frozen=True):
    """What a handler in this process may return: effect(connection) runs in the transaction that records the
    completion, so that both happen once or neither does."""

    result: Any = None
    effect: Any = None  # Callable[[sqlalchemy.Connection], None] | None


class JobCancelled(Exception):  # noqa: N818 - not an error: someone asked for it
    """Raised by context.check() in a job that was cancelled; let it pass."""


def encode_json(value: Any, limit_bytes: int, what: str) -> str:
    """JSON of at most limit_bytes. Raises MintageError("payload_too_large") or ("invalid_request")."""
    try:
        raw = msgspec.json.encode(value, order="deterministic")
    except (TypeError, ValueError, RecursionError) as error:
        raise MintageError("invalid_request", f"The {what} is not JSON: {error}.", "Give plain data.") from error
    if len(raw) > limit_bytes:
        raise MintageError(
            "payload_too_large",
            f"The {what} has {len(raw)} bytes; {limit_bytes} are allowed.",
            "Put large data into a file or the object store, and its name here.",
        )
    return raw.decode()


def job_of(row: Any) -> Job:
    """A Job of a row (mapping) of tables.jobs."""
    return Job(
        id=row["id"],
        kind=row["kind"],
        tenant_id=row["scope"] or None,
        idempotency_key=row["idempotency_key"],
        payload=msgspec.json.decode(row["payload"]),
        priority=row["priority"],
        state=row["state"],
        run_at_ns=row["run_at_ns"],
        attempts=row["attempts"],
        attempts_max=row["attempts_max"],
        fence=row["fence"],
        worker=row["worker"],
        lease_until_ns=row["lease_until_ns"],
        cancel_ns=row["cancel_ns"],
        progress=Progress(done=row["done"], total=row["total"], message=row["message"], rate_per_s=row["rate_per_s"]),
        checkpoint=msgspec.json.decode(row["checkpoint"]),
        result=msgspec.json.decode(row["result"]),
        error=error_of(row["error"]),
        created_by=row["created_by"],
        created_ns=row["created_ns"],
        started_ns=row["started_ns"],
        ended_ns=row["ended_ns"],
    )


def error_of(text: str) -> JobError | None:
    return msgspec.json.decode(text, type=JobError) if text else None


def error_text(error: JobError | None) -> str:
    return msgspec.json.encode(error).decode() if error is not None else ""
