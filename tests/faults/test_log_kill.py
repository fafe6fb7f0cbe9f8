"""kill -9 at every failpoint of the log, on homes that are killed again and again."""

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from .judge import Claims
from .recover import recover

ROOT = Path(__file__).parents[2]
KILLED = -9
#: point -> how often a run passes it at least, so that the kill lands anywhere in the run
POINTS = {
    "log.enqueue": 80,
    "log.write": 40,
    "log.fsync": 40,
    "log.synced": 40,
    "log.commit": 40,
    "log.ack": 40,
    "log.snapshot": 2,
    "log.checkpoint": 1,
    "log.archive": 1,
}


class Zygote:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, home, claims, *, points, seed, prefix, plant="", rounds=3):
        """One child, from its start to its end: its exit code. Its claims are recorded on the way."""
        home.mkdir(exist_ok=True)
        pipe = home / "pipe"
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        job = {
            "home": str(home),
            "pipe": str(pipe),
            "failpoints": points,
            "seed": seed,
            "prefix": prefix,
            "plant": plant,
            "rounds": rounds,
        }
        listener = threading.Thread(target=listen, args=(pipe, claims))
        listener.start()
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        listener.join(30)
        return int(answer)

    def close(self):
        self.process.communicate()


def listen(pipe, claims):
    with pipe.open() as lines:
        for line in lines:
            if not line.endswith("\n"):
                break  # the child died while it spoke
            what, kind, name, *answer = json.loads(line)
            if what == "try":
                claims.trying(kind, name)
            else:
                claims.tell(kind, name, answer[0])


@pytest.fixture(scope="module")
def zygote():
    zygote = Zygote()
    yield zygote
    zygote.close()


def kill_again_and_again(zygote, folder, point, *, homes, kills, plant="", seed=0):
    """(kills that happened, problems found): each home is killed, recovered and judged `kills` times."""
    chance = random.Random(f"{point}{seed}")
    killed, problems = 0, []
    for home_number in range(homes):
        home, claims = folder / f"{point}-{home_number}", Claims()
        for kill in range(kills):
            nth = chance.randint(1, POINTS[point])
            code = zygote.run(
                home,
                claims,
                points=f"{point}:kill:{nth}",
                seed=chance.random(),
                prefix=f"{home_number}.{kill}",
                plant=plant,
            )
            killed += code == KILLED
            assert code in (0, KILLED), "the child failed by itself"
            found = asyncio.run(recover(home / "log.db", claims, seed=kill))
            problems += [f"{point}:{nth}, kill {kill} of {home}: {problem}" for problem in found]
            if problems:
                return killed, problems
    return killed, problems


@pytest.mark.parametrize("point", POINTS)
def test_kill_at(point, zygote, tmp_path):
    killed, problems = kill_again_and_again(zygote, tmp_path, point, homes=4, kills=6)
    assert problems == []
    assert killed >= 21  # of 24


@pytest.mark.faults
@pytest.mark.parametrize("point", POINTS)
def test_kill_at_many_times(point, zygote, tmp_path):
    killed, problems = kill_again_and_again(zygote, tmp_path, point, homes=12, kills=10, seed=1)
    assert problems == []
    assert killed >= 112


def test_a_run_that_is_not_killed_ends_well(zygote, tmp_path):
    claims = Claims()
    assert zygote.run(tmp_path, claims, points="", seed=1, prefix="calm") == 0
    assert asyncio.run(recover(tmp_path / "log.db", claims, seed=1)) == []
    assert {kind for kind, _ in claims.told} == {"hold", "settle", "end", "top_up", "event"}


@pytest.mark.parametrize(
    ("plant", "point"),
    [
        ("ack_before_commit", "log.write"),
        ("ack_before_commit", "log.fsync"),
        ("settle_without_dedup", "log.ack"),
        ("ended_holds_come_back", "log.ack"),
        ("top_up_moves_the_balance_always", "log.ack"),
        ("snapshot_runs_ahead", "log.write"),
        ("event_key_claimed_first", "log.write"),
        ("events_without_dedup", "log.ack"),
        ("archive_drops_first", "log.archive"),
    ],
)
def test_the_plan_catches(plant, point, zygote, tmp_path):
    _, problems = kill_again_and_again(zygote, tmp_path, point, homes=4, kills=10, plant=plant)
    assert problems
