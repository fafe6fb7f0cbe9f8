"""A served console on real books in a fresh home."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from .world import World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


@pytest.fixture
async def visitor(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without a session."""
    async with httpx.AsyncClient(base_url=world.url, headers={"accept": "text/html"}, timeout=20) as client:
        yield client


@pytest.fixture
async def owner(world: World, visitor: httpx.AsyncClient) -> httpx.AsyncClient:
    """A browser that has signed in."""
    answer = await visitor.post("/console/sign-in", data={"token": world.link()})
    assert answer.status_code == 303
    return visitor
