"""Starts log-only child processes fast: imports once, then forks one child per job read from standard input.

Run as `python -m tests.faults.zygote`. A job is a line of JSON; the answer is one line with the wait status. The child
writes what its clients try and are told to the job's pipe, one line each, unbuffered.
"""

import asyncio
import json
import os
import sys
import traceback
from pathlib import Path

import mintage.books.log_pipeline as log_pipeline
import mintage.books.log_writer as log_writer
from mintage.base import ManualClock
from mintage.books import CommitLog, failpoints

from .business import NOW_NS
from .disk import Disk
from .plants import plant
from .workload import Clients


class PipedClaims:
    def __init__(self, pipe):
        self.pipe = os.open(pipe, os.O_WRONLY)

    def trying(self, kind, name):
        self.write(["try", kind, name])

    def tell(self, kind, name, answer=None):
        self.write(["told", kind, name, answer])

    def write(self, line):
        os.write(self.pipe, json.dumps(line).encode() + b"\n")


async def work(job):
    path = Path(job["home"]) / "log.db"
    log_pipeline.SNAPSHOT_ENTRIES = 40  # so that short runs meet every point
    log_writer.WAL_PAGES = 60
    log_writer.EVENT_KEYS = 20
    disk = Disk("fault")
    plant(job["plant"])
    claims = PipedClaims(job["pipe"])
    failpoints.arm(job["failpoints"])
    log = CommitLog.open(path, clock=ManualClock(NOW_NS), vfs=disk.name)
    clients = Clients(log, claims, job["seed"], job["prefix"])
    await clients.set_up()
    for _ in range(job["rounds"]):
        await clients.run(30)
        await asyncio.to_thread(log.archive, log.last_seq() - 40)
    await log.close()


def child(job):
    try:
        asyncio.run(work(job))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main():
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(job)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
