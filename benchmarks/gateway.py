"""The gateway against nginx, the fastest bare Python proxy and LiteLLM, side by side in one run.

    bash benchmarks/setup.sh && python benchmarks/gateway.py [--seconds 3] [--rounds 3] [--only nginx,bare,mintage]

All proxies sit between the same C upstream (answers of about 1 KB, streams of 53 events) and the same load generators
(wrk; a C client for streams), and are measured in turns, so that a slow moment of the machine hits all alike; the
median of the rounds counts. CPU is user + system time of the proxy's processes alone, all threads. With two cores or
more the proxy has one to itself. Latency and time to the first event are measured with one connection.

Targets: Mintage <= 4x nginx and <= 1/150 of LiteLLM (CPU per request); stretch <= 1.5x bare. How Python was built
decides a quarter of it, and the disk's fdatasync nearly all of the latency: the first line says both.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

HERE = Path(__file__).parent
BIN = HERE.parent / ".benchmarks" / "bin"
LITELLM = HERE.parent / ".benchmarks" / "litellm" / "bin" / "litellm"
PYTHON = sys.executable
CONNECTIONS = 64
STREAM_GAP_US = 5000
CORES = psutil.cpu_count() or 1


@dataclass
class Target:
    """One proxy: how to start it, and what was measured."""

    name: str
    tls: bool = False
    connections: int = CONNECTIONS
    seconds: float = 0.0  # at least
    port: int = 0
    key: str = "sk-bench"
    process: subprocess.Popen[bytes] | None = None
    rows: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        self.rows.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        values = self.rows.get(name)
        return statistics.median(values) if values else float("nan")

    def cpu_s(self, *, helpers: bool = False) -> float:
        return sum(sum(p.cpu_times()[:2]) for p in self._processes(helpers))

    def rss_mb(self, *, helpers: bool = False) -> float:
        return sum(p.memory_info().rss for p in self._processes(helpers)) / 1024 / 1024

    def _processes(self, helpers: bool) -> list[psutil.Process]:
        """Those that answer; or those beside them, which Mintage has: its shipper keeps ledger and lake up to date."""
        if self.process is None:
            return []
        first = psutil.Process(self.process.pid)
        children = first.children(recursive=True)
        if self.name.startswith("mintage"):
            return children if helpers else [first]
        return [] if helpers else [first, *children]

    def place(self, cores: list[int]) -> None:
        """Give the proxy these cores. Helpers do not share its own: they take the one of the load generators."""
        for helpers, where in ((False, cores), (True, [1 % CORES])):
            for process in self._processes(helpers):
                with contextlib.suppress(psutil.Error):
                    for thread in process.threads():
                        psutil.Process(thread.id).cpu_affinity(where)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(core: int, command: list[str]) -> list[str]:
    return ["taskset", "-c", str(core % CORES), *command] if CORES > 1 and shutil.which("taskset") else command


class Bench:
    """Starts what is asked for in one folder, and stops it."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.seconds = seconds
        self.upstream_port = free_port()
        self.tls_port = free_port()
        self.certificate = folder / "ca.pem"
        self._running: list[subprocess.Popen[bytes]] = []

    def spawn(self, name: str, core: int, command: list[str], **env: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("wb")
        process = subprocess.Popen(
            pinned(core, command), stdout=subprocess.PIPE, stderr=log, env={**os.environ, **env}, cwd=self.folder
        )
        self._running.append(process)
        return process

    def stop(self) -> None:
        for process in reversed(self._running):
            process.terminate()
        for process in self._running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def start_upstream(self, *, tls: bool) -> None:
        self.spawn("upstream", 1, [str(BIN / "upstream"), str(self.upstream_port), str(STREAM_GAP_US)])
        await_port(self.upstream_port)
        if tls:
            self.make_certificate()
            conf = self.nginx_conf("tls", self.tls_port, tls=True)
            self.spawn("nginx-tls", 1, ["nginx", "-c", str(conf), "-p", str(self.folder), "-e", "stderr"])
            await_port(self.tls_port)

    def make_certificate(self) -> None:
        subprocess.run(
            [
                *["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
                *["-keyout", str(self.folder / "key.pem"), "-out", str(self.certificate), "-days", "2"],
                *["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
            ],
            check=True,
            capture_output=True,
        )

    def nginx_conf(self, name: str, port: int, *, tls: bool) -> Path:
        listen = f"listen 127.0.0.1:{port}" + (" ssl;" if tls else ";")
        keys = f"ssl_certificate {self.certificate}; ssl_certificate_key {self.folder}/key.pem;" if tls else ""
        conf = self.folder / f"nginx-{name}.conf"
        conf.write_text(
            f"daemon off; worker_processes 1; pid {self.folder}/{name}.pid; error_log stderr error;\n"
            "events { worker_connections 4096; }\n"
            f"http {{ access_log off; client_body_temp_path {self.folder}/{name}-body; proxy_temp_path"
            f" {self.folder}/{name}-proxy; fastcgi_temp_path {self.folder}/{name}-f; uwsgi_temp_path"
            f" {self.folder}/{name}-u; scgi_temp_path {self.folder}/{name}-s;\n"
            "keepalive_requests 1000000000; keepalive_timeout 600s;\n"
            f"upstream up {{ server 127.0.0.1:{self.upstream_port}; keepalive 256; keepalive_requests 1000000000; }}\n"
            f"server {{ {listen} {keys} location / {{ proxy_pass http://up; proxy_http_version 1.1;"
            ' proxy_set_header Connection ""; } } }\n'
        )
        return conf

    def start(self, target: Target) -> None:
        target.port = free_port()
        upstream = f"https://localhost:{self.tls_port}" if target.tls else f"http://127.0.0.1:{self.upstream_port}"
        kind = target.name.split()[0]
        if kind == "direct":
            target.port = self.upstream_port
            return
        if kind == "nginx":
            conf = self.nginx_conf("proxy", target.port, tls=False)
            command = ["nginx", "-c", str(conf), "-p", str(self.folder), "-e", "stderr"]
        elif kind == "bare":
            command = [PYTHON, str(HERE / "bare_proxy.py"), str(target.port)]
            command += [str(self.tls_port), str(self.certificate)] if target.tls else [str(self.upstream_port)]
        elif kind == "mintage":
            home = self.folder / f"home-{int(target.tls)}"
            command = [PYTHON, str(HERE / "served_mintage.py"), str(home), upstream + "/v1"]
        else:
            command = self.litellm(target, upstream)
        trust = {"SSL_CERT_FILE": str(self.certificate)} if target.tls else {}
        litellm = {"LITELLM_MASTER_KEY": target.key, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        target.process = self.spawn(target.name.replace(" ", "-"), 0, command, **trust, **litellm)
        if kind == "mintage":
            assert target.process.stdout is not None
            said = json.loads(target.process.stdout.readline())
            target.port, target.key = said["port"], said["key"]
        await_port(target.port)
        for _ in range(5):
            first_answer(target)

    def litellm(self, target: Target, upstream: str) -> list[str]:
        config = self.folder / "litellm.yaml"
        config.write_text(
            "model_list:\n  - model_name: gpt-4o-mini\n    litellm_params:\n      model: openai/gpt-4o-mini\n"
            f"      api_base: {upstream}/v1\n      api_key: sk-bench\n"
            "litellm_settings:\n  telemetry: false\n"
        )
        return [str(LITELLM), "--config", str(config), "--port", str(target.port), "--host", "127.0.0.1"]

    def wrk(self, target: Target, connections: int, seconds: float) -> dict[str, int]:
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s", "-s"]
        command += [str(HERE / "wrk_report.lua"), f"http://127.0.0.1:{target.port}/v1/chat/completions"]
        done = subprocess.run(
            pinned(1, command), check=True, capture_output=True, env={**os.environ, "BENCH_KEY": target.key}
        )
        said: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
        if said["failed"] or not said["requests"]:
            raise SystemExit(f"{target.name}: {said['failed']} of {said['requests']} requests failed")
        return said

    def measure(self, target: Target) -> None:
        """One round: saturated requests, one request at a time, streams."""
        seconds = max(self.seconds, target.seconds)
        self.wrk(target, target.connections, max(1, seconds / 4))
        target.place([0])
        before, helpers = target.cpu_s(), target.cpu_s(helpers=True)
        said = self.wrk(target, target.connections, seconds)
        target.note("cpu_us", (target.cpu_s() - before) / said["requests"] * 1e6)
        target.note("helpers_us", (target.cpu_s(helpers=True) - helpers) / said["requests"] * 1e6)
        target.note("rps", said["requests"] / said["duration_us"] * 1e6)
        target.note("rss_mb", target.rss_mb())
        target.note("helpers_mb", target.rss_mb(helpers=True))
        target.place(list(range(CORES)))  # a wait for the disk is longer for a thread that may wake on one core only
        said = self.wrk(target, 1, seconds)
        target.note("p10_us", said["p10_us"])
        target.note("p50_us", said["p50_us"])
        target.note("first_us", self.streams(target, 1)["first_p50_us"])
        target.place([0])
        before = target.cpu_s()
        streamed = self.streams(target, target.connections)
        target.note("event_us", (target.cpu_s() - before) / streamed["events"] * 1e6)

    def streams(self, target: Target, connections: int) -> dict[str, int]:
        command = [str(BIN / "streams"), str(target.port), str(connections), str(max(self.seconds, target.seconds))]
        done = subprocess.run(
            pinned(1, [*command, f"authorization: Bearer {target.key}"]), check=True, capture_output=True
        )
        said: dict[str, int] = json.loads(done.stdout)
        if said["failed"] or not said["ended"]:
            raise SystemExit(f"{target.name}: streams failed: {said}")
        return said


def first_answer(target: Target) -> None:
    """The first requests load what is loaded late; LiteLLM takes seconds for it."""
    body = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'
    headers = {"content-type": "application/json", "authorization": f"Bearer {target.key}"}
    url = f"http://127.0.0.1:{target.port}/v1/chat/completions"
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
        assert json.load(answer)["choices"]


def sync_us() -> float:
    """What one fdatasync of 4 KB costs here, at its best tenth: a paid request waits for two, one after the other."""
    times = []
    with tempfile.TemporaryFile(dir=HERE.parent / ".benchmarks") as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
        for i in range(100):
            os.pwrite(file.fileno(), b"x" * 4096, i * 4096)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return sorted(times)[10] * 1e6


def interpreter_ns() -> float:
    """One step of an ordinary Python loop: about 60 ns on a good core with an optimised build, 100 without."""
    counts: dict[int, int] = {}

    def step(i: int) -> None:
        counts[i & 255] = counts.get(i & 255, 0) + 1

    best = float("inf")
    for _ in range(20):
        began = time.perf_counter()
        for i in range(10_000):
            step(i)
        best = min(best, time.perf_counter() - began)
    return best / 10_000 * 1e9


def await_port(port: int) -> None:
    for _ in range(1200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}; see the logs")


def table(targets: list[Target]) -> Iterator[str]:
    by_name = {target.name: target for target in targets}
    nginx, direct = by_name.get("nginx"), by_name["direct"]
    yield f"{'':14}{'CPU/request':>13}{'x nginx':>9}{'req/s':>9}{'+p10 c=1':>10}{'+p50 c=1':>10}" + (
        f"{'CPU/event':>11}{'x nginx':>9}{'TTFT':>9}{'RSS':>9}"
    )
    for target in targets:
        if target is direct:
            continue
        cpu, event = target.median("cpu_us"), target.median("event_us")
        ratio = cpu / nginx.median("cpu_us") if nginx else float("nan")
        event_ratio = event / nginx.median("event_us") if nginx else float("nan")
        added10 = (target.median("p10_us") - direct.median("p10_us")) / 1000
        added50 = (target.median("p50_us") - direct.median("p50_us")) / 1000
        ttft = (target.median("first_us") - direct.median("first_us")) / 1000
        yield f"{target.name:14}{cpu:>10.1f} us{ratio:>8.2f}x{target.median('rps'):>9.0f}{added10:>7.2f} ms" + (
            f"{added50:>7.2f} ms{event:>8.1f} us{event_ratio:>8.2f}x{ttft:>6.2f} ms{target.median('rss_mb'):>6.0f} MB"
        )
    mintage = by_name.get("mintage")
    if mintage:
        yield (
            f"beside mintage, in a process of its own at low priority: ledger and lake, "
            f"{mintage.median('helpers_us'):.1f} us per request, {mintage.median('helpers_mb'):.0f} MB"
        )
    for other in ("nginx", "bare", "litellm"):
        if mintage and other in by_name:
            share = mintage.median("cpu_us") / by_name[other].median("cpu_us")
            yield f"mintage / {other}: {share:.4f}" if share < 0.1 else f"mintage / {other}: {share:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="comma-separated names, for example nginx,bare,mintage")
    arguments = parser.parse_args()
    targets = [Target("direct"), Target("nginx"), Target("bare"), Target("mintage")]
    targets += [
        Target("bare tls", tls=True),
        Target("mintage tls", tls=True),
        Target("litellm", connections=4, seconds=8),
    ]
    if arguments.only:
        wanted = {"direct", *arguments.only.split(",")}
        targets = [target for target in targets if target.name in wanted]
    elif not LITELLM.exists():
        targets.pop()
    with tempfile.TemporaryDirectory(prefix="mintage-bench-") as folder:
        bench = Bench(Path(folder), arguments.seconds)
        try:
            bench.start_upstream(tls=any(target.tls for target in targets))
            for target in targets:
                bench.start(target)
            for _ in range(arguments.rounds):
                for target in targets:
                    bench.measure(target)
        finally:
            bench.stop()
    sys.stdout.write(
        f"{datetime.date.today()}, {CORES} cores, load {os.getloadavg()[0]:.1f}, fdatasync {sync_us():.0f} us, "
        f"Python {sys.version.split()[0]}: {interpreter_ns():.0f} ns per step\n"
    )
    sys.stdout.write("\n".join(table(targets)) + "\n")


if __name__ == "__main__":
    main()
