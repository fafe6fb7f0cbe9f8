"""The tutorial, run as it is written, in both languages; and its doors, when they are pushed wrongly."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mintage.cli import exits
from mintage.cli.main import app

pytest.importorskip("numba", reason="the extra `lab` is not installed")

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / "tutorial" / f"find-a-better-price{end}.md" for end in ("", ".zh-CN")]
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def lines(page: Path) -> list[str]:
    return [line.removeprefix("$ ") for block in BLOCK.findall(page.read_text("utf-8")) for line in block.splitlines()]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINTAGE_HOME", str(tmp_path / "home"))
    return tmp_path


def run(*words: str):
    return CliRunner().invoke(app, list(words))


def ok(*words: str):
    done = run(*words, "--json")
    assert done.exit_code == 0, (words, done.output)
    return json.loads(done.stdout)


def test_both_languages_show_the_same_commands():
    assert lines(PAGES[0]) == lines(PAGES[1])


def test_the_tutorial_runs_as_written(folder):
    for line in lines(PAGES[0]):
        done = run(*shlex.split(line)[1:])
        assert done.exit_code == 0, (line, done.output)
    made = json.loads((folder / "lab" / "october" / "comparison.json").read_text())
    assert made["recommended"] == "tiers"
    assert [answer["rising"] for answer in made["answers"]] == [0, 45, 59]
    final = json.loads((folder / "lab" / "final" / "comparison.json").read_text())
    assert final["recommended"] == "today-optimised"
    today, better = final["answers"]
    assert float(better["margin"]) > float(today["margin"])
    assert max(shock["change"] for shock in better["worst"]) <= 0.15 + 1e-9
    page = (folder / "lab" / "final" / "report.zh.html").read_text("utf-8")
    assert "哪个方案更赚钱" in page
    assert "http" not in re.sub(r"http-equiv", "", page)  # nothing is fetched


COSTS = ("--cost", "small=openai/gpt-4o-mini", "--cost", "large=own:gpus=8,usd_gpu_hour=2,prefill_tok_s=50000,"
         "decode_tok_s=14800,utilisation=0.4")  # fmt: skip


def test_a_run_is_exact_and_repeatable(folder):
    words = ("lab", "run", "--workload", "examples/lab/october.parquet", "--plan", "examples/lab/today.toml", *COSTS)
    one, two = ok(*words), ok(*words)
    assert one == two
    (answer,) = one["answers"]
    assert float(answer["revenue"]) == pytest.approx(sum(float(row[1]) for row in answer["by_customer"]))
    assert answer["margin_interval"]["low"] < answer["margin_interval"]["mean"] < answer["margin_interval"]["high"]
    table = {name: float(cost) for name, cost in one["cost_by_model"]}
    assert table.keys() == {"small", "large"}
    assert sum(table.values()) == pytest.approx(float(answer["cost"]))


def test_what_a_plan_cannot_price_is_refused(folder, tmp_path):
    file = tmp_path / "narrow.toml"
    file.write_text(
        'id = "n"\nname = { en = "N" }\ncurrency = "USD"\n[[prices]]\nmodel = "small"\n'
        'input_tokens.per_million = "1"\noutput_tokens.per_million = "1"\n'
    )
    done = run("lab", "run", "--workload", "examples/lab/october.parquet", "--plan", str(file), "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (exits.UNAVAILABLE, "unpriceable")
    done = run("lab", "run", "--workload", "nothing.parquet", "--plan", str(file), "--json")
    assert done.exit_code == exits.NOT_FOUND
    done = run("lab", "compare", "--workload", "examples/lab/october.parquet", "--plan", "examples/lab/today.toml",
               "--plan", "examples/lab/today.toml", "--json")  # fmt: skip
    assert "same id" in json.loads(done.stdout)["error"]["detail"]
    bad = tmp_path / "assume.toml"
    bad.write_text("elastic = 3\n")
    done = run("lab", "run", "--workload", "examples/lab/october.parquet", "--plan", "examples/lab/today.toml",
               "--assume", str(bad), "--json")  # fmt: skip
    assert "elastic" in json.loads(done.stdout)["error"]["detail"]


def test_a_workload_can_be_made_like_another(folder):
    made = ok("lab", "generate", "--like", "examples/lab/october.parquet", "--out", "like.parquet", "--seed", "3")
    assert made["summary"]["rows"] == 12_000
    assert made["summary"]["top_share"] == pytest.approx(0.49, abs=0.05)
