"""Local chat engines on the same weights: `python benchmarks/local_engines.py [--rounds 3] [--tokens 64]`.

llama.cpp and OpenVINO read the same GGUF, each in the process that Mintage runs it in, with the same threads; they take
turns, so that a slow moment of the machine hits both alike. Figures are output tokens per second of wall time (median
of the rounds), for 1 and 8 answers at once, the wait for the first token at batch 1, and the memory of the engine's
process after the last round.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

import psutil

from mintage.base import Message, Request, Sampling, Text, TextDelta, UsageReported, load_settings
from mintage.engines import HostConfig, RemoteEngine
from mintage.registry import Registry

MODEL = "smollm2-135m"
BATCHES = (1, 8)
ENGINES = ("llamacpp", "openvino")


async def answer(engine: RemoteEngine, number: int, tokens: int) -> tuple[int, float]:
    """(tokens written, seconds until the first)."""
    request = Request(
        operation="chat", model=engine.name,
        messages=(Message("user", (Text(f"Write a long story about the number {number}."),)),),
        max_output_tokens=tokens, sampling=Sampling(temperature=0),
    )  # fmt: skip
    began, first = time.perf_counter(), 0.0
    async with aclosing(engine.stream(request)) as stream:
        async for event in stream:
            if isinstance(event, TextDelta) and not first:
                first = time.perf_counter() - began
            if isinstance(event, UsageReported):
                return event.usage.output_tokens, first
    raise RuntimeError("no usage was reported")


async def measure(engine: RemoteEngine, batch: int, tokens: int) -> tuple[float, float]:
    """(tokens per second, seconds until the first token)."""
    began = time.perf_counter()
    found = await asyncio.gather(*(answer(engine, number, tokens) for number in range(batch)))
    return sum(count for count, _ in found) / (time.perf_counter() - began), found[0][1]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    usual = Registry(load_settings().home_path)
    weights = usual.weights(usual.pull(MODEL).name)
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(Path(folder))
        engines: dict[str, RemoteEngine] = {}
        for name in ENGINES:
            entry = registry.pull(f"file:{weights}", name, engine=name)  # type: ignore[arg-type]
            config = HostConfig(
                entry=entry, path=str(registry.weights(name)), parallel=max(BATCHES), context_tokens=1024
            )
            engines[name] = RemoteEngine(config)
            began = time.perf_counter()
            await engines[name].start()
            print(f"{name} started in {time.perf_counter() - began:.1f} s")
        speeds: dict[tuple[str, int], list[float]] = {}
        firsts: dict[str, list[float]] = {}
        for engine in engines.values():
            await measure(engine, 1, 8)
        for number in range(options.rounds):
            for name in ENGINES[:: -1 if number % 2 else 1]:
                for batch in BATCHES:
                    speed, first = await measure(engines[name], batch, options.tokens)
                    speeds.setdefault((name, batch), []).append(speed)
                    if batch == 1:
                        firsts.setdefault(name, []).append(first)
        print(f"{'engine':<12} {'batch 1':>9} {'batch 8':>9} {'first token':>12} {'memory':>9}")
        for name, engine in engines.items():
            one, eight = (statistics.median(speeds[name, batch]) for batch in BATCHES)
            memory = psutil.Process(engine.pid).memory_info().rss / 1e6
            first_ms = statistics.median(firsts[name]) * 1000
            print(f"{name:<12} {one:>9.1f} {eight:>9.1f} {first_ms:>9.0f} ms {memory:>6.0f} MB")
        for engine in engines.values():
            await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
