"""The whole way on the smallest recipe: a model is made, promoted, sold and paid for; the books know its cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.factory.costs import ComputePrice
from mintage.factory.recipe import load_recipe, parse_recipe

pytest.importorskip("torch")
pytest.importorskip("tokenizers")
pytest.importorskip("gguf")

RECIPES = Path(__file__).parents[2] / "recipes"


def mintage(home: Path, *words: str, code: int = 0) -> Any:
    """The command line in a process of its own; its JSON."""
    script = Path(sys.executable).with_name("mintage")
    done = subprocess.run(
        [script, *words, "--json", "--home", home], capture_output=True, text=True, timeout=300,
        env={**os.environ, "MINTAGE_PORT": "0", "OMP_NUM_THREADS": "2"}, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def made(home: Path) -> Any:
    return mintage(home, "factory", "run", str(RECIPES / "smoke.toml"))


def test_a_first_customer_pays_for_an_answer(made: Any) -> None:
    [answer] = made["answers"]
    assert made["state"] == "done"
    assert answer["charge_nanos"] > answer["cost_nanos"] > 0
    assert answer["margin_nanos"] == answer["charge_nanos"] - answer["cost_nanos"]


def test_what_it_cost_is_in_the_books_and_flows_into_the_profit_and_loss(home: Path, made: Any) -> None:
    costs = mintage(home, "factory", "costs", "smoke")
    assert costs["capitalised_nanos"] == sum(line["nanos"] for line in costs["lines"]) == made["cost_nanos"] > 0
    assert {line["step"] for line in costs["lines"]} >= {"corpus", "pretrain", "finetune", "export"}
    assert costs["energy_wh"] > 0
    assert costs["tokens_served"] > 0
    mintage(home, "factory", "amortise")  # the hourly job may have come first, so the total counts
    due = costs["capitalised_nanos"] * costs["tokens_served"] // costs["lifetime_tokens"]
    moved = mintage(home, "factory", "costs", "smoke")["amortised_nanos"]
    assert moved == due > 0
    assert mintage(home, "factory", "amortise")["nanos"] == 0
    rows = mintage(home, "pnl", "--by", "provider")["items"]
    assert {row["group"]["provider"]: row["cost_nanos"] for row in rows}["factory"] == moved
    assert mintage(home, "books", "verify")["balanced"]


def test_lineage_goes_back_to_the_data(home: Path, made: Any) -> None:
    rows = {one["id"]: one for one in mintage(home, "factory", "lineage", "smoke")["items"]}
    deployment = next(one for one in rows.values() if one["kind"] == "deployment")
    kinds, waiting = set(), [deployment["id"]]
    while waiting:
        one = rows[waiting.pop()]
        kinds.add(one["kind"])
        waiting += one["parents"]
    assert kinds == {"deployment", "export", "evaluation", "model", "base", "store", "tokenizer", "data"}
    assert all(len(one["sha256"]) == 64 for one in rows.values())


def test_a_finished_step_is_not_done_again_unless_its_input_changed(home: Path, made: Any) -> None:
    from mintage.base import load_settings
    from mintage.factory.make import make
    from mintage.factory.run import Run

    run = Run.open(Path(made["folder"]))
    (run.folder / "export" / "model.gguf").write_bytes(b"GGUF and then nothing")
    make(run, load_settings(home=str(home)), progress=lambda *told: None, cancelled=lambda: False)
    tries = {step.name: step.attempts for step in Run.open(run.folder).state.steps}
    assert tries == {
        "corpus": 1, "tokenizer": 1, "store": 1, "pretrain": 1, "finetune": 1, "evaluate": 1, "export": 2,
    }  # fmt: skip


def test_altered_weights_are_not_served(home: Path, made: Any, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "home"
    shutil.copytree(home, copy)
    weights = copy / "models" / "smoke" / "model.gguf"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    from mintage.accounts import Accounts
    from mintage.base import SystemClock
    from mintage.books import Database
    from mintage.factory import signer_of
    from mintage.registry import Registry

    database = Database.open(copy / "books.db")
    accounts = Accounts(database, SystemClock(), copy)
    accounts.vault.open()
    registry = Registry(copy, verify=lambda folder, name, path: signer_of(accounts).verify(folder, name, path))
    with pytest.raises(MintageError, match="other weights"):
        registry.weights("smoke")
    signature = weights.with_name("signature.json")
    signed = json.loads(signature.read_text())
    import hashlib

    signature.write_text(json.dumps({**signed, "sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}))
    with pytest.raises(MintageError, match="not as it was signed"):
        registry.weights("smoke")
    database.close()


def test_promoting_again_replaces_and_retires(home: Path, made: Any) -> None:
    done = mintage(home, "models", "promote", "smoke")
    assert not done["plan_changed"]
    staged = mintage(home, "models", "stage", "smoke", "retired")
    assert staged["stage"] == "retired"
    assert mintage(home, "models", "list")["items"] == []


@pytest.mark.parametrize("name", [path.stem for path in sorted(RECIPES.glob("*.toml"))])
def test_every_recipe_has_an_estimate(home: Path, name: str) -> None:
    plan = mintage(home, "factory", "run", str(RECIPES / f"{name}.toml"), "--dry-run")
    assert plan["pretrain"]["fits"]
    assert plan["seconds"] > 0
    assert plan["cost_nanos"] > 0


def test_a_wrong_option_is_refused_with_the_nearest_right_one(tmp_path: Path) -> None:
    text = (RECIPES / "smoke.toml").read_text()
    (tmp_path / "wrong.toml").write_text(text.replace("depth = 2", "dephts = 2"))
    problem = mintage(tmp_path, "factory", "run", str(tmp_path / "wrong.toml"), "--dry-run", code=2)["error"]
    assert "dephts" in problem["detail"] and "depth" in problem["hint"]
    with pytest.raises(MintageError, match="unknown"):
        parse_recipe(text + "\n[nonsense]\n")
    with pytest.raises(MintageError) as caught:
        load_recipe(tmp_path / "none.toml")
    assert caught.value.code == "not_found"


@given(
    cpu=st.integers(0, 10**9), gpu=st.integers(0, 10**8), hour=st.decimals(0, 1000, places=4), cores=st.integers(1, 512)
)
def test_cost_is_exact_and_never_negative(cpu: int, gpu: int, hour: Decimal, cores: int) -> None:
    """All cores for an hour cost the hour, whatever their number; doubling the time doubles the cost to a nano."""
    price = ComputePrice(
        currency="USD", hour=hour, gpu_hour=Decimal(2), cores=cores, watts_per_core=10, watts_per_gpu=500
    )
    assert price.nanos(3600.0 * cores, 0) == int(hour * 10**9)
    one, two = price.nanos(cpu / 1000, gpu / 1000), price.nanos(2 * cpu / 1000, 2 * gpu / 1000)
    assert one >= 0
    assert abs(two - 2 * one) <= 1
