"""Workloads: every row of a bad file is accounted for, published traces come in as they are, generators repeat."""

import json
from collections import Counter

import pytest

from mintage.base import MintageError
from mintage.lab.workload import Generated, Workload, fit, generate, import_workload

np = pytest.importorskip("numpy", reason="the extra `lab` is not installed")

BAD = """id,timestamp,customer,model,prompt_tokens,cached_tokens,completion_tokens
a,2026-01-01T10:00:00Z,x,m,100,10,5
a,2026-01-01T10:00:00Z,x,m,100,10,5
a,2026-01-01T10:00:00Z,x,m,101,10,5
b,2026-01-01T10:00:00+02:00,x,m,-4,0,5
c,yesterday,x,m,4,0,5
d,1767225600,y,m,4,9,5
e,1767225600123,y,m,4.5,0,5
f,2026-01-01 10:00:00,y,m,50,0,5
"""


def test_every_bad_row_is_named_and_kept(tmp_path):
    source = tmp_path / "bad.csv"
    source.write_text(BAD)
    with pytest.raises(MintageError, match="6 of 8 rows") as caught:
        import_workload(source, tmp_path / "w.parquet")
    assert not (tmp_path / "w.parquet").exists()
    report = caught.value.details["report"]
    assert {problem["code"]: problem["examples"][0][0] for problem in report["problems"]} == {
        "time_unreadable": 5,
        "number_unreadable": 7,
        "negative": 4,
        "duplicate_id": 2,
        "conflicting_id": 3,
        "cached_above_input": 6,
        "time_without_zone": 8,
    }
    made = import_workload(source, tmp_path / "w.parquet", allow_rejects=True, zone="Asia/Kolkata")
    assert made.read == made.taken + made.rejected == 8
    rejected = (tmp_path / "w.rejected.csv").read_text().splitlines()
    assert Counter(line.split(",")[0] for line in rejected[1:]) == Counter(
        p.code for p in made.problems if p.severity == "rejected"
    )
    first, second = Workload(tmp_path / "w.parquet").events("x") + Workload(tmp_path / "w.parquet").events("y")
    assert (first.values["input_tokens"], first.values["cached_read_tokens"]) == (90, 10)
    assert second.at_ns == (1_767_225_600 + 4 * 3600 + 1800) * 10**9  # 10:00 in Kolkata is 04:30 UTC


def test_an_outlier_is_reported_and_taken(tmp_path):
    lines = ["timestamp,customer,input_tokens,output_tokens"]
    lines += [f"2026-01-01T00:{n % 60:02d}:00Z,c,{100 + n % 7},10" for n in range(300)]
    lines.append("2026-01-02T00:00:00Z,c,1060,10")
    source = tmp_path / "o.csv"
    source.write_text("\n".join(lines))
    made = import_workload(source, tmp_path / "w.parquet")
    (problem,) = [p for p in made.problems if p.code == "outlier"]
    assert (problem.rows, problem.examples) == (1, ((301, "1060"),))
    assert made.taken == 301


def test_a_missing_column_says_what_was_looked_for(tmp_path):
    source = tmp_path / "m.csv"
    source.write_text("when,who,words\n2026-01-01T00:00:00Z,a,5\n")
    with pytest.raises(MintageError, match="no column for at") as caught:
        import_workload(source, tmp_path / "w.parquet")
    assert caught.value.details["columns"] == ["when", "who", "words"]
    mapped = {"at": "when", "customer": "who", "input_tokens": "words", "output_tokens": "words"}
    assert import_workload(source, tmp_path / "w.parquet", columns=mapped).taken == 1


def test_published_traces_come_in_as_they_are(tmp_path):
    azure = tmp_path / "azure.csv"
    azure.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n")
    import_workload(azure, tmp_path / "a.parquet", preset="azure-llm")
    (event,) = Workload(tmp_path / "a.parquet").events("azure")
    assert (event.at_ns, event.values["input_tokens"]) == (1_700_158_623_979_960_000, 4808)
    mooncake = tmp_path / "mooncake.jsonl"
    rows = [
        {"timestamp": 0, "input_length": 1300, "output_length": 5, "hash_ids": [1, 2, 3]},
        {"timestamp": 3000, "input_length": 1400, "output_length": 5, "hash_ids": [1, 2, 4]},
    ]
    mooncake.write_text("\n".join(map(json.dumps, rows)))
    import_workload(mooncake, tmp_path / "m.parquet", preset="mooncake", start="2026-01-01T00:00:00Z")
    first, second = Workload(tmp_path / "m.parquet").events("mooncake")
    assert "cached_read_tokens" not in first.values
    assert (second.values["cached_read_tokens"], second.values["input_tokens"]) == (1024, 376)
    assert second.at_ns - first.at_ns == 3 * 10**9
    spend = tmp_path / "spend.csv"
    spend.write_text(
        "request_id,call_type,startTime,model,team_id,prompt_tokens,completion_tokens,spend\n"
        "r1,acompletion,2026-01-05 08:00:00,gpt-4o,acme,120,30,0.0006\n"
    )
    made = import_workload(spend, tmp_path / "l.parquet", preset="litellm")
    assert made.mapping["customer"] == "team_id"
    (event,) = Workload(tmp_path / "l.parquet").events("acme")
    assert str(event.values["spend"]) == "0.000600000"
    usage = tmp_path / "openai.csv"
    usage.write_text(
        "start_time,end_time,project_id,model,num_model_requests,input_tokens,input_cached_tokens,output_tokens\n"
        "1767225600,1767229200,proj_1,gpt-4o,7,1000,400,90\n"
    )
    import_workload(usage, tmp_path / "u.parquet", preset="openai-usage")
    (event,) = Workload(tmp_path / "u.parquet").events("proj_1")
    assert (event.values["requests"], event.values["input_tokens"], event.values["cached_read_tokens"]) == (7, 600, 400)


def test_a_generated_workload_is_concentrated_and_repeatable(tmp_path):
    given = Generated(requests=20_000, customers=100, seed=4)
    one, two = (generate(given, tmp_path / name) for name in ("1.parquet", "2.parquet"))
    summary = one.summary()
    assert summary == two.summary()
    assert summary.rows == 20_000
    assert summary.top_share > 0.3
    assert summary.top10_share > 0.7
    assert summary.cached_share == pytest.approx(0.37, abs=0.03)
    assert generate(Generated(requests=20_000, seed=5), tmp_path / "3.parquet").summary() != summary


def test_a_fit_finds_the_generators_parameters(tmp_path):
    given = Generated(requests=40_000, customers=150, zipf=1.4, churn=0, joins=0, burst=0, growth=0, seed=2)
    made = fit(generate(given, tmp_path / "w.parquet"))
    assert made.parameters.zipf == pytest.approx(1.4, abs=0.06)
    assert made.parameters.input_median == pytest.approx(given.input_median, rel=0.03)
    assert made.parameters.output_sigma == pytest.approx(given.output_sigma, abs=0.03)
    assert made.input_distance < 0.02
    assert made.top_share_fitted == pytest.approx(made.top_share, abs=0.03)
    assert generate(made.parameters, tmp_path / "again.parquet").summary().rows == 40_000
