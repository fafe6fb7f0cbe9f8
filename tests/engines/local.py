"""Helpers for tests of the local engine."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from mintage.base import (
    ChoiceFinished,
    Event,
    Message,
    Request,
    Sampling,
    Text,
    TextDelta,
    Usage,
    UsageReported,
)
from mintage.engines import LlamaCppEngine, LlamaSettings
from mintage.registry import Registry

MODEL = "smollm2-135m"


def make_engine(home: Path, *, parallel: int = 2, context_tokens: int = 512, queue_limit: int = 2) -> LlamaCppEngine:
    registry = Registry(home)
    settings = LlamaSettings(weights=registry.weights(MODEL), context_tokens=context_tokens, parallel=parallel)
    return LlamaCppEngine(registry.get(MODEL), settings, queue_limit=queue_limit)


def chat(text: str = "Count from 1 to 9.", *, temperature: float = 0, **fields: object) -> Request:
    sampling = fields.pop("sampling", None) or Sampling(temperature=temperature, seed=7)
    fields.setdefault("max_output_tokens", 24)
    return Request(
        operation="chat", model=MODEL, messages=(Message("user", (Text(text),)),), sampling=sampling, **fields
    )  # type: ignore[arg-type]


def completion(*prompts: str, **fields: object) -> Request:
    fields.setdefault("max_output_tokens", 8)
    return Request(
        operation="completion", model=MODEL, prompts=prompts, sampling=Sampling(temperature=0, seed=7), **fields
    )  # type: ignore[arg-type]


async def events_of(engine: LlamaCppEngine, request: Request) -> list[Event]:
    async with aclosing(engine.stream(request)) as stream:
        return [event async for event in stream]


def text_of(events: Sequence[Event], choice: int = 0) -> str:
    return "".join(e.text for e in events if isinstance(e, TextDelta) and e.choice == choice)


def reason_of(events: Sequence[Event], choice: int = 0) -> str:
    (finished,) = [e for e in events if isinstance(e, ChoiceFinished) and e.choice == choice]
    return finished.reason


def report_of(events: Sequence[Event]) -> UsageReported:
    assert isinstance(events[-1], UsageReported)
    return events[-1]


def usage_of(events: Sequence[Event]) -> Usage:
    return report_of(events).usage


async def until_running(engine: LlamaCppEngine, count: int) -> None:
    """Run other tasks until so many slots are taken."""
    for _ in range(100_000):
        if engine.slots.running == count:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{engine.slots.running} slots are taken, not {count}")
