"""The local engine through Mintage against the engine alone: `python benchmarks/local_engine.py [--rounds 5]`.

Both load the same weights with the same threads, slots and window; they take turns, so that a slow moment of the
machine hits both alike, and answer the same prompts greedily with the same number of tokens.

- alone: xllamacpp called from plain threads, its chunks counted and thrown away. Nothing of ours.
- through Mintage: LlamaCppEngine, every event of every stream read on the event loop.
- over HTTP, with --url and --key of a running server that sells the model: the whole paid path, receipt included.

A round's figures are output tokens per second of wall time and CPU time of this process per token (over HTTP that
leaves the server out). Each ratio is the median of the rounds' ratios; at least 0.95 of the tokens per second is asked.
On a machine that has other work to do, trust the CPU column.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

import httpx
import xllamacpp

from mintage.base import Message, Request, Sampling, Text, UsageReported, load_settings
from mintage.engines import LlamaCppEngine, LlamaSettings
from mintage.registry import Registry

MODEL = "smollm2-135m"
CONTEXT_TOKENS = 1024
BATCHES = (1, 8)
PROMPT = "Write a long story about the number {}."

Run = Callable[[int, int], Awaitable[int]]


class Alone:
    """llama.cpp as its library offers it."""

    def __init__(self, weights: Path, threads: int) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(weights)
        params.n_parallel = max(BATCHES)
        params.n_ctx = CONTEXT_TOKENS * max(BATCHES)
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.cache_ram_mib = 0
        params.verbosity = -1
        params.hostnames = [str(Path(tempfile.mkdtemp()) / "door.sock")]
        self._server = xllamacpp.Server(params)
        self._workers = ThreadPoolExecutor(max(BATCHES))

    def _answer(self, prompt: str, tokens: int) -> int:
        body = {
            "messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "temperature": 0, "stream": True,
            "stream_options": {"include_usage": True}, "logit_bias": {"2": -100},
        }  # fmt: skip
        chunks: list[str] = []
        self._server.handle_chat_completions(json.dumps(body), lambda chunk: bool(chunks.append(chunk)))
        usages = [json.loads(chunk)["usage"] for chunk in chunks[-2:] if '"usage"' in chunk]
        return int(usages[-1]["completion_tokens"])

    async def run(self, batch: int, tokens: int) -> int:
        loop = asyncio.get_running_loop()
        prompts = [PROMPT.format(i) for i in range(batch)]
        return sum(
            await asyncio.gather(*(loop.run_in_executor(self._workers, self._answer, p, tokens) for p in prompts))
        )


class ThroughMintage:
    def __init__(self, engine: LlamaCppEngine) -> None:
        self._engine = engine

    async def _answer(self, prompt: str, tokens: int) -> int:
        # One customer per prompt, so that both sides find their prompt's cache warm.
        request = Request(
            operation="chat", model=MODEL, cache_scope=prompt, messages=(Message("user", (Text(prompt),)),),
            max_output_tokens=tokens,
            sampling=Sampling(temperature=0, logit_bias={"2": -100.0}),
        )  # fmt: skip
        async with aclosing(self._engine.stream(request)) as stream:
            async for event in stream:
                if isinstance(event, UsageReported):
                    return event.usage.output_tokens
        raise RuntimeError("no usage was reported")

    async def run(self, batch: int, tokens: int) -> int:
        return sum(await asyncio.gather(*(self._answer(PROMPT.format(i), tokens) for i in range(batch))))


class OverHttp:
    def __init__(self, url: str, key: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {key}"},
            timeout=600,
            limits=httpx.Limits(max_connections=64),
        )

    async def _answer(self, prompt: str, tokens: int) -> int:
        body = {
            "model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "temperature": 0,
            "stream": True, "stream_options": {"include_usage": True}, "logit_bias": {"2": -100},
        }  # fmt: skip
        found = 0
        async with self._client.stream("POST", "/v1/chat/completions", json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("data: {") and (usage := json.loads(line[6:]).get("usage")):
                    found = usage["completion_tokens"]
        return int(found)

    async def run(self, batch: int, tokens: int) -> int:
        return sum(await asyncio.gather(*(self._answer(PROMPT.format(i), tokens) for i in range(batch))))


async def measure(run: Run, batch: int, tokens: int) -> tuple[float, float]:
    """(tokens per second, CPU milliseconds per token) of one round."""
    began, cpu = time.perf_counter(), time.process_time()
    written = await run(batch, tokens)
    if written != batch * tokens:
        raise RuntimeError(f"{written} tokens instead of {batch * tokens}: the runs cannot be compared")
    return written / (time.perf_counter() - began), (time.process_time() - cpu) / written * 1000


async def compare(runs: dict[str, Run], rounds: int, tokens: int) -> None:
    columns = f"{'tokens/s':>9} {'ratio':>6}  {'CPU ms/token':>12} {'ratio':>6}"
    print(f"{'batch':>5}  {'system':<16} {columns}   tokens/s of each round")
    for batch in BATCHES:
        speeds: dict[str, list[float]] = {name: [] for name in runs}
        costs: dict[str, list[float]] = {name: [] for name in runs}
        for run in runs.values():
            await measure(run, batch, 8)  # warms the prompts' cache
        for number in range(rounds):
            for name in list(runs)[:: -1 if number % 2 else 1]:  # nobody is always first
                speed, cost = await measure(runs[name], batch, tokens)
                speeds[name].append(speed)
                costs[name].append(cost)
        for name in runs:
            faster, dearer = (
                statistics.median(a / b for a, b in zip(found[name], found["alone"], strict=True))
                for found in (speeds, costs)
            )
            shown = " ".join(f"{speed:.0f}" for speed in speeds[name])
            print(
                f"{batch:>5}  {name:<16} {statistics.median(speeds[name]):>9.1f} {faster:>6.3f}  "
                f"{statistics.median(costs[name]):>12.2f} {dearer:>6.3f}   {shown}"
            )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64, help="per answer")
    parser.add_argument("--home", help="a home that holds the model; the usual one if not given")
    parser.add_argument("--url", help="of a running server, to measure the whole paid path too")
    parser.add_argument("--key", default="", help="a customer's key for --url")
    options = parser.parse_args()
    registry = Registry(load_settings(home=options.home).home_path)
    entry = registry.pull(MODEL)
    settings = LlamaSettings(weights=registry.weights(entry.name), context_tokens=CONTEXT_TOKENS, parallel=max(BATCHES))
    engine = LlamaCppEngine(entry, settings)
    await engine.start()
    alone = Alone(settings.weights, settings.thread_count)
    runs: dict[str, Run] = {"alone": alone.run, "through Mintage": ThroughMintage(engine).run}
    if options.url:
        runs["over HTTP"] = OverHttp(options.url, options.key).run
    await compare(runs, options.rounds, options.tokens)
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
