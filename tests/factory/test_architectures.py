"""Every architecture: its size by formula, its objective by its paper, that it learns, predicts, saves and loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.factory.models import Architecture, ModelConfig, architecture_of, build, load_model
from mintage.factory.models.attention import attention, causal
from mintage.factory.predict import predict
from mintage.factory.recipe import parse_recipe
from mintage.factory.run import Run, Runner
from mintage.factory.stages import steps_of
from mintage.factory.training.objectives import IGNORED, SPANS_MAX, Ids, make_inputs
from mintage.factory.training.rows import Codes, RowSource

ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
FIVE = ("gpt", "bert", "xlnet", "t5", "ctrl")
IDS = Ids(base=500, end=0, pad=1, marks=tuple(range(500, 500 + SPANS_MAX)))


@pytest.mark.parametrize("depth", [1, 3, 6])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_shape_knows_how_many_parameters_the_model_will_have(architecture: Architecture, depth: int) -> None:
    shape = ModelConfig(architecture=architecture, depth=depth, context=64).shape(311)
    model = build(shape, seed=1, special={"bos": 0, "eos": 1, "pad": 2})
    assert sum(weight.numel() for weight in model.parameters()) == shape.parameters


def test_the_reference_is_softmax_of_scaled_products() -> None:
    """By hand: two keys, scores 0 and ln 3 after scaling, weights 1/4 and 3/4."""
    keys = torch.tensor([[0.0, 0, 0, 0], [2 * np.log(3.0), 0, 0, 0]])
    found = attention(torch.tensor([[1.0, 0, 0, 0]]), keys, torch.tensor([[4.0], [8.0]]))
    assert found.item() == pytest.approx(7.0, abs=1e-12)
    nowhere = attention(torch.ones(1, 4), keys, torch.ones(2, 1), allowed=torch.zeros(1, 2, dtype=torch.bool))
    assert nowhere.item() == 0.0


@settings(max_examples=25, deadline=None)
@given(length=st.integers(1, 40), width=st.integers(1, 64), seed=st.integers(0, 2**31), masked=st.booleans())
def test_the_fast_kernel_gives_what_the_reference_gives(length: int, width: int, seed: int, masked: bool) -> None:
    torch.manual_seed(seed)
    queries, keys, values = (torch.randn(2, 3, length, width) for _ in range(3))
    fast = torch.nn.functional.scaled_dot_product_attention(queries, keys, values, is_causal=masked)
    slow = attention(queries, keys, values, allowed=causal(length) if masked else None)
    assert torch.allclose(fast.double(), slow, atol=1e-5)


@pytest.mark.parametrize("architecture", ["decoder", "gpt", "bert"])
def test_a_model_attends_as_the_reference_does(architecture: Architecture) -> None:
    """What a layer's attention gives between its projections, taken while the model reads."""
    import torch.nn.functional as functions

    shape = ModelConfig(architecture=architecture, depth=2, context=32).shape(97)
    model = build(shape, seed=1, special={"bos": 0, "eos": 1, "pad": 2}).eval()
    seen = []
    fast = functions.scaled_dot_product_attention

    def listen(queries: Any, keys: Any, values: Any, **how: Any) -> Any:
        made = fast(queries, keys, values, **how)
        grouped = queries.shape[1] // keys.shape[1]
        keys, values = keys.repeat_interleave(grouped, 1), values.repeat_interleave(grouped, 1)
        allowed = causal(queries.shape[2]) if architecture != "bert" else None
        seen.append(torch.allclose(made.double(), attention(queries, keys, values, allowed=allowed), atol=1e-5))
        return made

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(functions, "scaled_dot_product_attention", listen)
        model(input_ids=torch.arange(20)[None])
    assert seen == [True] * shape.layers


def rows(batch: int, length: int, seed: int) -> Any:
    return np.random.default_rng(seed).integers(2, 500, (batch, length))


@settings(max_examples=50, deadline=None)
@given(length=st.integers(2, 300), seed=st.integers(0, 2**31))
def test_spans_can_be_put_back(length: int, seed: int) -> None:
    given_rows = rows(2, length, seed)
    inputs = make_inputs("t5", given_rows, IDS, np.random.default_rng(seed))
    for row, text, said in zip(
        given_rows.tolist(), inputs["input_ids"].tolist(), inputs["labels"].tolist(), strict=True
    ):
        runs: dict[int, list[int]] = {}
        for token in said[:-1]:
            if token >= 500:
                last = runs.setdefault(token, [])
            else:
                last.append(token)
        restored = [word for token in text[:-1] for word in (runs[token] if token >= 500 else [token])]
        assert restored == row
        assert text[-1] == said[-1] == IDS.end
        assert list(runs) == sorted(runs)
        assert all(runs.values())
    assert (inputs["decoder_input_ids"][:, 1:] == inputs["labels"][:, :-1]).all()
    assert (inputs["decoder_input_ids"][:, 0] == IDS.pad).all()


def test_spans_take_fifteen_percent_in_runs_of_three() -> None:
    inputs = make_inputs("t5", rows(64, 400, 3), IDS, np.random.default_rng(4))
    said = inputs["labels"]
    marks = int((said >= 500).sum()) / len(said)
    assert (said < 500).sum().item() / len(said) - 1 == 60  # 15 % of 400
    assert marks == 20


def test_masking_follows_the_paper() -> None:
    given_rows = rows(200, 200, 5)
    inputs = make_inputs("bert", given_rows, IDS, np.random.default_rng(6))
    seen, labels = inputs["input_ids"].numpy(), inputs["labels"].numpy()
    asked = labels != IGNORED
    assert asked.mean() == pytest.approx(0.15, abs=0.01)
    assert (labels[asked] == given_rows[asked]).all()
    assert (seen[~asked] == given_rows[~asked]).all()
    assert (seen[asked] == IDS.marks[0]).mean() == pytest.approx(0.8, abs=0.02)
    assert (seen[asked] == given_rows[asked]).mean() == pytest.approx(0.1, abs=0.02)


@settings(max_examples=25, deadline=None)
@given(length=st.integers(6, 60), seed=st.integers(0, 2**31))
def test_a_permuted_target_never_sees_itself_or_what_comes_after_it(length: int, seed: int) -> None:
    given_rows = rows(3, length, seed)
    inputs = make_inputs("xlnet", given_rows, IDS, np.random.default_rng(seed))
    blind, where = inputs["perm_mask"].bool().numpy(), inputs["target_mapping"].argmax(-1).numpy()
    assert (inputs["target_mapping"].sum(-1) == 1).all()
    for row, masks, targets, labels in zip(given_rows, blind, where, inputs["labels"].numpy(), strict=True):
        assert len(set(targets.tolist())) == length // 6
        assert (row[targets] == labels).all()
        others = np.setdiff1d(np.arange(length), targets)
        assert not masks[:, others].any()
        assert masks[np.ix_(others, targets)].all()
        for number, target in enumerate(targets):
            assert masks[target, targets[number:]].all()
            assert not masks[target, targets[:number]].any()


def test_a_token_that_a_target_may_not_see_does_not_change_its_logits() -> None:
    """The mask as XLNet itself reads it: changing the target, or a later one, leaves what is predicted as it was."""
    shape = ModelConfig(architecture="xlnet", depth=2, context=32).shape(600)
    model = build(shape, seed=1, special={"bos": 0, "eos": 0, "pad": 1}).eval()
    given_rows = rows(1, 24, 8)
    inputs = make_inputs("xlnet", given_rows, IDS, np.random.default_rng(9))
    labels = inputs.pop("labels")
    targets = inputs["target_mapping"][0].argmax(-1)
    with torch.no_grad():
        first = model(**inputs).logits
        inputs["input_ids"][0, targets[2:]] = 7
        second = model(**inputs).logits
        inputs["input_ids"][0, targets[1]] = 7
        third = model(**inputs).logits
    assert labels.shape == (1, 4)
    assert torch.allclose(first[:, :3], second[:, :3], atol=1e-5)
    assert not torch.allclose(second[:, 2], third[:, 2], atol=1e-5)


def test_each_document_begins_with_its_control_code() -> None:
    from mintage.factory.store import TokenStore

    store = TokenStore(np.arange(10, 40, dtype=np.uint16), np.asarray([0, 4, 9, 30]))
    source = RowSource(store, 4, 12, seed=1).with_codes(
        Codes(("en", "zh"), np.asarray([0, 1, 0], np.uint16)), (500, 501)
    )
    for row in source.rows(source.draw(0)).tolist():
        for at, token in enumerate(row):
            if token >= 500:
                following = row[at + 1] if at + 1 < len(row) else None
                assert following is None or token == (501 if 14 <= following < 19 else 500)
        begins = [row[at + 1] for at, token in enumerate(row[:-1]) if token >= 500]
        assert row[0] >= 500
        assert set(begins[1:]) <= {14, 19}
    inputs = make_inputs("ctrl", np.asarray([row]), IDS, source.draw(0))
    assert not (inputs["labels"] >= 500).any()


RECIPE = """
[run]
name = "{0}"
seed = 3
[corpus]
held_out = 0.05
sources = [{{ package = "english", language = "en" }}, {{ package = "chinese", language = "zh" }}]
[tokenizer]
vocabulary = 512
[model]
architecture = "{0}"
depth = 1
context = 64
[pretrain]
tokens = {1}
batch = 8
block = 64
rate = 8e-3
[evaluate]
ask = ["春眠不覺曉", "Shall I compare"]
answer_tokens = 6
"""
#: The tokens that each needs to be clearly better than guessing by frequency, at this size.
TOKENS = {"gpt": 102_400, "bert": 358_400, "xlnet": 204_800, "t5": 102_400, "ctrl": 102_400}


@pytest.mark.parametrize("architecture", FIVE)
def test_it_learns_more_than_frequencies_predicts_and_reloads(architecture: Architecture, tmp_path: Path) -> None:
    from mintage.base import Settings
    from mintage.factory.costs import compute_price
    from mintage.factory.recipe import Loaded

    text = RECIPE.format(architecture, TOKENS[architecture])
    run = Run.begin(tmp_path, Loaded(parse_recipe(text), text, tmp_path))
    state = Runner(run, steps_of(run.recipe, tmp_path), compute_price(Settings())).run()
    assert state.state == "done"
    trained, evaluated = state.step("pretrain").result, state.step("evaluate").result
    assert trained["held_out"]["loss"] < trained["held_out"]["baseline"]
    assert len(evaluated["answers"]) == 2
    assert any(answer["answer"] for answer in evaluated["answers"])
    exported = run.folder / "export"
    assert architecture_of(exported) == architecture
    before, after = load_model(run.folder / "base").eval(), load_model(exported).eval()
    ids = torch.arange(10, 30)[None]
    given = {"input_ids": ids, **({"decoder_input_ids": ids} if architecture == "t5" else {})}
    with torch.no_grad():
        assert torch.equal(before(**given).logits, after(**given).logits)
    again = predict(exported, [answer["ask"] for answer in evaluated["answers"]], 6, chat=False)
    assert again == [answer["answer"] for answer in evaluated["answers"]]


def test_what_does_not_converse_is_not_taught_to(tmp_path: Path) -> None:
    text = RECIPE.format("bert", 512) + '[finetune]\ndata = "package:chat"\n'
    with pytest.raises(MintageError, match="does not learn conversations"):
        steps_of(parse_recipe(text), tmp_path)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's, when it loads
@pytest.mark.parametrize("architecture", ["decoder", "gpt"])
def test_lora_learns_with_few_weights_and_is_merged(architecture: Architecture, tmp_path: Path) -> None:
    """The base stays as it was, the adapter loads beside it, and the merged model says what both say together."""
    from peft import PeftModel

    from mintage.base import Settings
    from mintage.factory.costs import compute_price
    from mintage.factory.recipe import Loaded

    tuning = 'data = "package:chat"\nmethod = "lora"\nrank = 4\noptions = { tokens = 10240, batch = 4, block = 64 }\n'
    text = RECIPE.format(architecture, 5_120) + f"[finetune]\n{tuning}"
    run = Run.begin(tmp_path, Loaded(parse_recipe(text), text, tmp_path))
    state = Runner(run, steps_of(run.recipe, tmp_path), compute_price(Settings())).run()
    tuned, parameters = state.step("finetune").result, state.step("pretrain").result["parameters"]
    assert tuned["trained"] < parameters / 5
    assert tuned["loss_last"] < tuned["loss_first"]
    base, merged = load_model(run.folder / "base").eval(), load_model(run.folder / "model").eval()
    ids = torch.arange(10, 30)[None]
    with torch.no_grad():
        plain, whole = base(input_ids=ids).logits, merged(input_ids=ids).logits
        beside = PeftModel.from_pretrained(base, run.folder / "model-adapter").eval()(input_ids=ids).logits
    assert torch.allclose(beside, whole, atol=1e-4)
    assert not torch.allclose(plain, whole, atol=1e-3)
