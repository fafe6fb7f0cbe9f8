"""Functions that the tests' jobs run, in child processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mintage.base import MintageError


def add(context):
    context.progress(1, 2, "halfway")
    return {"sum": sum(context.payload), "pid": os.getpid()}


async def add_slowly(context):
    await asyncio.sleep(0)
    return sum(context.payload)


def talk(context):
    for number in range(context.payload):
        print(f"line {number}")
    print("\x00 a NUL and 中文", file=sys.stderr)


def crash(context):
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(context):
    raise MintageError("invalid_request", "This cannot be done.", "Ask for something else.")


def fail(context):
    raise RuntimeError("a fault")


def once_busy(context):
    """Busy at first; knows from its checkpoint that it was here."""
    if context.checkpoint is None:
        context.save({"been": 1})
        raise MintageError("unavailable", "Busy.", retry_after_s=0.01)
    return context.checkpoint


def until_cancelled(context):
    Path(context.payload).write_text("started")
    while True:
        context.check()
        time.sleep(0.01)


def deaf(context):
    """Ignores every request to end, and has a child of its own that does as well."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(context.payload).write_text(str(child.pid))
    while True:
        time.sleep(1)


def count(context):
    """Counts to payload, one file line each, going on from its checkpoint."""
    file = context.home / f"count-{context.job.id}.txt"
    for number in range(context.checkpoint or 0, context.payload):
        with file.open("a") as out:
            out.write(f"{number}\n")
        context.save(number + 1)
        context.progress(number + 1, context.payload)
        time.sleep(0.01)
    return "counted"


def huge(context):
    return "x" * (2 * 1024 * 1024)
