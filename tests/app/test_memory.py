"""Large requests leave no large process behind; without the setting the same work does, so the check can fail."""

import platform
import subprocess
import sys

import pytest

WORK = """
import sys
import psutil
from mintage.app.memory import hold_memory_flat
if "hold" in sys.argv:
    assert hold_memory_flat()
me = psutil.Process()
del_me = bytes(16 << 20)
del del_me  # glibc learns from this free that blocks of 16 MB are usual, and takes the next from its heap
before = me.memory_info().rss
kept = []
for _ in range(60):
    body = b"x" * (2 << 20)
    kept.append(bytes(2000))  # what a request leaves behind for a while lies between the bodies
    kept.append(body)
kept = kept[::2]
print((me.memory_info().rss - before) >> 20)
"""


def growth_mb(*arguments):
    run = subprocess.run([sys.executable, "-c", WORK, *arguments], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what is freed in this way")
def test_large_bodies_leave_no_large_process():
    assert growth_mb("hold") < 10
    assert growth_mb() > 50
