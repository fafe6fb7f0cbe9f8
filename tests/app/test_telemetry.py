"""Spans arrive at a real OTLP collector, name their parent, and say what a request earned but never what was said."""

import http.client
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mintage.accounts import SYSTEM, NewKey, NewTenant
from mintage.app import App, Service
from mintage.base import NANOS_PER_UNIT, MintageError, load_settings
from mintage.billing import TopUp
from mintage.gateway import trace_parent

PLAN = b"""
id = "traced"
currency = "USD"
funding = "prepaid"
name = { en = "Traced" }
[[prices]]
model = "*"
input_tokens = { per_million = "1" }
output_tokens = { per_million = "4" }
"""
ANSWER = {
    "id": "chatcmpl-of-the-provider",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a secret"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17},
}


class Edge(ThreadingHTTPServer):
    """Provider and collector: both are at the network's edge."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans: queue.Queue = queue.Queue()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):  # noqa: A002
        """Quiet."""

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(raw).resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self.server.spans.put((raw, span))
            self.answer(200, b"", "application/x-protobuf")
        elif b"break" in raw:
            self.answer(500, b"{}", "application/json")
        else:
            self.answer(200, json.dumps(ANSWER).encode(), "application/json")

    def answer(self, status, body, kind):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def edge():
    server = Edge()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(url, key, text, **headers):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], "temperature": 0.5})
    connection.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {key}", **headers})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


async def serve(home, edge, questions, **settings):
    """Ask, stop (which sends what waits), and return the answers' statuses."""
    import asyncio

    settings = {f"MINTAGE_{name.upper()}": value for name, value in settings.items()}
    app = await App.open(
        load_settings({"MINTAGE_PORT": "0", "MINTAGE_SHUTDOWN_GRACE_S": "2", **settings}, home=str(home))
    )
    try:
        app.accounts.entities.ensure("Traced", "USD")
        app.billing.plans.apply(SYSTEM, PLAN, "toml")
        app.registry.add(
            "m", provider="openai", model="gpt-4o-mini", base_url=f"{edge.url}/v1", api_key="k", allow_private=True
        )
        tenant = app.accounts.tenants.add(SYSTEM, NewTenant(name="Acme", handle="acme"), currency="USD")
        await app.billing.assign(SYSTEM, tenant, "traced")
        await app.billing.wallets.top_up(
            SYSTEM, tenant, TopUp(amount_nanos=NANOS_PER_UNIT, source="test", source_id="1")
        )
        key = app.accounts.keys.create(SYSTEM, tenant.id, NewKey(name="k")).secret
        service = await Service.start(app)
        try:
            return [await asyncio.to_thread(ask, service.url, key, text, **headers) for text, headers in questions]
        finally:
            await service.stop()
    finally:
        await app.close()


def received(edge):
    found = []
    while not edge.spans.empty():
        found.append(edge.spans.get())
    return found


def attributes(span):
    return {
        item.key: item.value.int_value or item.value.string_value or item.value.double_value for item in span.attributes
    }


async def test_a_request_is_a_span_with_its_attempt_below_it(tmp_path, edge):
    parent = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    statuses = await serve(tmp_path, edge, [("my own words", {"traceparent": parent})], otel_endpoint=edge.url)
    assert statuses == [200]
    spans = {span.kind: span for _, span in received(edge)}
    request, attempt = spans[2], spans[3]  # SERVER, CLIENT
    assert request.name == "chat m"
    assert request.trace_id.hex() == attempt.trace_id.hex() == "ab" * 16
    assert request.parent_span_id.hex() == "cd" * 8
    assert attempt.parent_span_id == request.span_id
    assert request.start_time_unix_nano <= attempt.start_time_unix_nano < attempt.end_time_unix_nano
    said = attributes(request)
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.usage.input_tokens"] == 12
    assert said["gen_ai.usage.output_tokens"] == 5
    assert said["gen_ai.request.temperature"] == 0.5
    assert said["mintage.charge_nanos"] == 12 * 1_000 + 5 * 4_000
    assert said["mintage.margin_nanos"] == said["mintage.charge_nanos"] - said["mintage.cost_nanos"]
    assert attributes(attempt)["gen_ai.request.model"] == "gpt-4o-mini"


async def test_no_span_says_what_was_asked_or_answered_or_with_which_key(tmp_path, edge):
    await serve(tmp_path, edge, [("my own words", {}), ("break, my own words", {})], otel_endpoint=edge.url)
    found = received(edge)
    assert len(found) == 4
    for raw, _ in found:
        assert b"my own words" not in raw
        assert b"a secret" not in raw
        assert b"sk-" not in raw


async def test_a_failed_request_is_an_error(tmp_path, edge):
    assert (await serve(tmp_path, edge, [("break", {})], otel_endpoint=edge.url))[0] >= 500
    for _, span in received(edge):
        assert span.status.code == 2
        assert attributes(span)["error.type"] == "upstream_failed"


async def test_a_collector_that_is_away_costs_no_request(tmp_path, edge):
    assert await serve(tmp_path, edge, [("hello", {})], otel_endpoint="http://127.0.0.1:9") == [200]


async def test_nothing_is_sent_where_it_is_off_or_not_sampled(tmp_path, edge):
    assert await serve(tmp_path / "off", edge, [("hello", {})]) == [200]
    assert await serve(tmp_path / "none", edge, [("hello", {})], otel_endpoint=edge.url, otel_sample_ratio="0") == [200]
    assert received(edge) == []


PARENT = "{0}-{1}-" + "c" * 16 + "-01"
MALFORMED = [
    PARENT.format("00", "0" * 32),
    PARENT.format("ff", "a" * 32),
    PARENT.format("00", "A" * 32),
    "x" * 9_999,
    "",
]


@pytest.mark.parametrize("header", [None, *(text.encode() for text in MALFORMED)])
def test_a_malformed_parent_begins_a_new_trace(header):
    assert trace_parent(header) is None


def test_a_share_beyond_one_is_refused():
    with pytest.raises(MintageError, match="otel_sample_ratio"):
        load_settings({"MINTAGE_OTEL_SAMPLE_RATIO": "2"})
