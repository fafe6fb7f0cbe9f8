"""The tutorial, run as it is written, against a real `mintage run`: its commands, its curl line, its Python snippet."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from mintage.base import NANOS_PER_UNIT

ROOT: Final = Path(__file__).resolve().parents[2]
TUTORIAL: Final = ROOT / "docs" / "tutorial" / "your-first-dollar.md"
CHINESE: Final = TUTORIAL.with_name("your-first-dollar.zh-CN.md")
BIN: Final = Path(sys.executable).parent
_RUN_BLOCK: Final = re.compile(r"<!-- run -->\n```console\n(.*?)```", re.DOTALL)
_BLOCK: Final = re.compile(r"```console\n(.*?)```", re.DOTALL)
_READY_S: Final = 180
_COMMAND_S: Final = 120


def environment(home: Path) -> dict[str, str]:
    """What the tutorial's reader has: the commands on the PATH. The home and the port are the test's."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MINTAGE_")}
    path = f"{BIN}{os.pathsep}{ours['PATH']}"
    return {**ours, "PATH": path, "MINTAGE_HOME": str(home), "MINTAGE_PORT": "0", "PYTHONUNBUFFERED": "1"}


class Run:
    """`mintage run` in a terminal of its own, and what it printed before it began to serve."""

    def __init__(self, process: subprocess.Popen[str], printed: list[str]) -> None:
        self.process = process
        self.printed = printed

    @property
    def curl(self) -> str:
        return next(line for line in self.printed if line.startswith("curl "))

    @property
    def python(self) -> str:
        first = next(at for at, line in enumerate(self.printed) if line.startswith("from openai import"))
        last = next(at for at, line in enumerate(self.printed) if line.startswith("print("))
        return "\n".join(self.printed[first : last + 1])

    def interrupt(self) -> str:
        """Ctrl-C, and what was printed after it."""
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=60)
        return " ".join(rest.split())  # lines are wrapped where a terminal would wrap them


def _read_until_serving(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    impatience = threading.Timer(_READY_S, process.kill)
    impatience.start()
    try:
        while not lines or not lines[-1].startswith("Serving "):
            line = process.stdout.readline()
            assert line, f"mintage run ended, or was not ready after {_READY_S} s: {lines}"
            lines.append(line.rstrip("\n"))
    finally:
        impatience.cancel()
    return lines


@contextmanager
def mintage_run(home: Path) -> Iterator[Run]:
    with subprocess.Popen(
        [str(BIN / "mintage"), "run"],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    ) as process:
        try:
            yield Run(process, _read_until_serving(process))
        finally:
            process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reader types: the files that the tutorial names, copied, for it writes beside them."""
    here = tmp_path / "mintage"
    plans = Path("src/mintage/app/plans")
    shutil.copytree(ROOT / plans, here / plans)
    return here


def shell(script: str, home: Path, folder: Path) -> str:
    """A block as pasted: every command in it must succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=_COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def balances(home: Path, folder: Path) -> dict[str, int]:
    """Balance in nanos by customer."""
    items = json.loads(shell("mintage balances --json", home, folder))["items"]
    return {item["handle"]: item["balance_nanos"] for item in items}


@pytest.mark.model
def test_the_tutorial_runs_as_written(tmp_path: Path, folder: Path) -> None:
    home = tmp_path / "home"
    blocks = _RUN_BLOCK.findall(TUTORIAL.read_text("utf-8"))
    assert len(blocks) >= 7
    with mintage_run(home) as run:
        assert any("Your first paid request" in line for line in run.printed)
        outputs = [shell(block, home, folder) for block in blocks]
        together = "\n".join(outputs)
        for expected in ("acme", "borealis", "chen", '"per_million": "3.2"', "difference 0 nanos, 0 holds open"):
            assert expected in together, expected
        assert (folder / "books.beancount").stat().st_size > 0
        assert '"content"' in shell(run.curl, home, folder)
        (folder / "snippet.py").write_text(run.python, "utf-8")
        assert shell("python snippet.py", home, folder).strip()
        before = balances(home, folder)
        assert run.interrupt().endswith(f"The books are closed. They stay in {home}.")
        assert run.process.returncode == 0
    with mintage_run(home) as again:
        after = balances(home, folder)
        assert again.interrupt().endswith(f"The books are closed. They stay in {home}.")
        assert again.process.returncode == 0
    # Each start makes one paid request of acme's; nothing else has changed.
    assert set(after) == {"acme", "borealis", "chen", "daisy"}
    assert 0 < before.pop("acme") - after.pop("acme") < NANOS_PER_UNIT // 100
    assert after == before
    assert after["daisy"] == NANOS_PER_UNIT  # paid once: the receipt's number was new


def test_both_languages_show_the_same_commands() -> None:
    english, chinese = (_BLOCK.findall(page.read_text("utf-8")) for page in (TUTORIAL, CHINESE))
    assert english == chinese
