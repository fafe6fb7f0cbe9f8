"""`python worker.py HOME [PLANTED BUG]`: works off the queue of HOME until nothing is left; tests kill it."""

import asyncio
import sys
from pathlib import Path

import sqlalchemy as sa

from mintage.base import SystemClock
from mintage.books import Database, failpoints
from mintage.jobs import Done, Jobs, Leases

EFFECT = sa.text("INSERT INTO effects VALUES (:job)")


def pay(context):
    """Its effect must happen once, however often this runs."""
    return Done("paid", lambda connection: connection.execute(EFFECT, {"job": context.job.id}) and None)


def register(jobs):
    jobs.kinds.register("pay", pay, attempts_max=10, backoff_s=0.01)
    jobs.kinds.register("count", "work_for_tests:count", attempts_max=10, backoff_s=0.01)


def plant_effect_apart(database):
    """The bug: the effect commits in a transaction of its own, before the completion."""
    real = Leases.complete

    def complete(self, job, result, *, effect=None, **rest):
        if effect is not None:
            with database.write() as connection:
                effect(connection)
        if failpoints.armed is not None:
            failpoints.hit("jobs.between")
        real(self, job, result, **rest)

    Leases.complete = complete


async def main(home, planted):
    database = Database.open(home / "books.db")
    if planted == "effect_apart":
        plant_effect_apart(database)
    jobs = Jobs(database, SystemClock())
    register(jobs)
    runner = jobs.runner(home=home, tick_s=0.02)
    await runner.start()
    await runner.drain()
    await runner.stop()
    database.close()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
