"""/metrics for Prometheus, /healthz and /readyz for whoever starts and stops us.

The numbers are read at scrape time from plain counters; counting itself costs nothing here. Names and units:
docs/reference/metrics.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from mintage.books import CommitLog
from mintage.engines import Engine, EngineRoom
from mintage.gateway import LATENCY_EDGES_MS, Gateway
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.listener import Handler, HttpServer

_TEXT: Final = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]
_JSON: Final = [(b"content-type", b"application/json")]
_HEALTH_TIMEOUT_S: Final = 2.0


class _Numbers:
    """A collector in prometheus_client's sense."""

    def __init__(self, gateway: Gateway, server: HttpServer) -> None:
        self._gateway = gateway
        self._server = server

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._money()
        yield from self._now()

    def _requests(self) -> Iterator[Metric]:
        meters = self._gateway.meters
        requests = CounterMetricFamily("mintage_requests", "Requests settled.", labels=["model"])
        tokens = CounterMetricFamily("mintage_tokens", "Tokens of settled requests.", labels=["model", "direction"])
        latency = HistogramMetricFamily("mintage_request_seconds", "From admission to settlement.", labels=["model"])
        first = HistogramMetricFamily(
            "mintage_first_token_seconds", "From admission to the first token.", labels=["model"]
        )
        for name, model in meters.models.items():
            requests.add_metric([name], model.requests)
            tokens.add_metric([name, "input"], model.input_tokens)
            tokens.add_metric([name, "output"], model.output_tokens)
            latency.add_metric([name], _buckets(model.latency_ms_buckets), model.latency_ms_sum / 1000)
            first.add_metric([name], _buckets(model.first_token_ms_buckets), model.first_token_ms_sum / 1000)
        refused = CounterMetricFamily("mintage_refusals", "Requests refused before a hold.", labels=["code"])
        for code, count in meters.refusals.items():
            refused.add_metric([code], count)
        failed = CounterMetricFamily("mintage_failures", "Requests whose engine failed.", labels=["code"])
        for code, count in meters.failures.items():
            failed.add_metric([code], count)
        cut = CounterMetricFamily("mintage_cuts", "Answers cut before their end.", value=meters.cut)
        yield from (requests, tokens, latency, first, refused, failed, cut)

    def _money(self) -> Iterator[Metric]:
        charge = CounterMetricFamily("mintage_charge_nanos", "Charged, in 1e-9 currency units.", labels=["model"])
        cost = CounterMetricFamily("mintage_cost_nanos", "Cost, in 1e-9 currency units.", labels=["model"])
        for name, model in self._gateway.meters.models.items():
            charge.add_metric([name], model.charge_nanos)
            cost.add_metric([name], model.cost_nanos)
        yield from (charge, cost)

    def _now(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("mintage_open_requests", "Requests held and not ended.", value=len(self._gateway.open))
        yield GaugeMetricFamily("mintage_connections", "Open connections.", value=len(self._server.connections))
        log = self._gateway.request_log
        dropped = log.dropped if log is not None else 0
        yield CounterMetricFamily("mintage_request_log_dropped", "Lines that the request log lost.", value=dropped)


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Prometheus' cumulative buckets in seconds, from our counts per interval in milliseconds."""
    total, rows = 0, []
    for edge_ms, count in zip((*LATENCY_EDGES_MS, None), counts, strict=True):
        total += count
        rows.append(("+Inf" if edge_ms is None else str(edge_ms / 1000), float(total)))
    return rows


class HealthDoor:
    """alive: the process answers. ready: the books accept holds, and at least one engine is alive."""

    def __init__(self, gateway: Gateway, log: CommitLog, engines: EngineRoom) -> None:
        self._gateway = gateway
        self._log = log
        self._engines = engines
        self._registry = CollectorRegistry(auto_describe=False)

    def watch(self, server: HttpServer) -> None:
        self._registry.register(_Numbers(self._gateway, server))

    def routes(self) -> dict[tuple[str, str], Handler]:
        return {
            ("GET", "/healthz"): self.healthz,
            ("GET", "/readyz"): self.readyz,
            ("GET", "/metrics"): self.metrics,
        }

    def healthz(self, http: HttpRequest, exchange: Exchange) -> None:
        exchange.send(200, _JSON, b'{"status":"ok"}')

    def metrics(self, http: HttpRequest, exchange: Exchange) -> None:
        exchange.send(200, _TEXT, generate_latest(self._registry))

    async def readyz(self, http: HttpRequest, exchange: Exchange) -> None:
        problems = ["shutting down"] if self._gateway.closing else []
        if self._log.failed:
            problems.append("the books refuse new holds after a disk error")
        alive = [await self._alive(engine) for _, engine in self._engines.engines().values()]
        if not any(alive):
            problems.append("no engine is alive")
        body = {"status": "unready" if problems else "ready", "problems": problems}
        exchange.send(503 if problems else 200, _JSON, msgspec.json.encode(body))

    @staticmethod
    async def _alive(engine: Engine) -> bool:
        try:
            return (await asyncio.wait_for(engine.health(), _HEALTH_TIMEOUT_S)).alive
        except Exception:  # whatever a health check raises, it is not healthy
            return False
