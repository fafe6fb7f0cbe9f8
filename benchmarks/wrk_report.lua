-- For benchmarks/gateway.py: a chat request, and the result as one JSON line. Headers come from the environment.
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer " .. (os.getenv("BENCH_KEY") or "none")
wrk.body = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"How many coins does a mint strike in a day, '
  .. 'and who counts them?"}],"max_tokens":64,"temperature":0.2}'

function done(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
    + summary.errors.timeout
  io.write(string.format('\n{"requests":%d,"failed":%d,"duration_us":%d,"p10_us":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, failed, summary.duration, latency:percentile(10), latency:percentile(50), latency:percentile(99)))
end
