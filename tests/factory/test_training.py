"""Stores and training: what is written is read back, and a stopped training goes on as if it had never stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.base import MintageError

pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from mintage.factory.models import ModelConfig, build
from mintage.factory.step import StepCancelled
from mintage.factory.store import TokenStore, open_store, write_store
from mintage.factory.tokenizer import TokenizerOptions, load_tokenizer, train_tokenizer
from mintage.factory.training import Ids, RowSource, TrainingOptions, TrainingReport, pretrain, read_chats
from mintage.factory.training.chat import Chat, Turn, encode_chat

OPTIONS = TrainingOptions(tokens=20 * 2 * 16, batch=2, block=16, rate=1e-2)


@settings(max_examples=30, deadline=None)
@given(documents=st.lists(st.lists(st.integers(0, 70_000), max_size=20), max_size=20))
def test_a_store_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]]
) -> None:
    prefix = tmp_path_factory.mktemp("store") / "train"
    report = write_store(documents, prefix, vocabulary=70_001)
    store = open_store(prefix)
    assert (report.documents, report.tokens) == (len(documents), sum(map(len, documents)))
    assert [store.document(number).tolist() for number in range(len(store))] == documents


def test_a_cut_store_is_refused(tmp_path: Path) -> None:
    write_store([[1, 2, 3]], tmp_path / "train", vocabulary=100)
    path = tmp_path / "train.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MintageError, match="not as long"):
        open_store(tmp_path / "train")


def train(store: TokenStore, out: Path, stop_after: int | None = None) -> TrainingReport:
    model = build(ModelConfig(depth=1, context=16).shape(64), seed=3, special={"bos": 0, "eos": 1, "pad": 2})
    asked = [0]

    def cancelled() -> bool:
        asked[0] += 1
        return asked[0] == stop_after

    source = RowSource(store, OPTIONS.batch, OPTIONS.block, seed=5)
    ids = Ids(base=64, end=0, pad=2)
    return pretrain(model, source, ids, OPTIONS, out, progress=lambda *told: None, cancelled=cancelled)


def test_a_stopped_training_goes_on_with_the_same_curve(tmp_path: Path) -> None:
    write_store([[(7 * n * n + n) % 64 for n in range(400)]], tmp_path / "train", vocabulary=64)
    store = open_store(tmp_path / "train")
    whole = train(store, tmp_path / "whole")
    with pytest.raises(StepCancelled):
        train(store, tmp_path / "cut", stop_after=8)
    assert sorted(path.suffix for path in (tmp_path / "cut").iterdir()) == [".json", ".safetensors"]
    resumed = train(store, tmp_path / "cut")
    assert resumed.curve == whole.curve
    assert len(whole.curve) == 20
    assert whole.loss_last < whole.loss_first


def test_only_answers_are_learned_and_the_template_writes_what_is_trained(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    train_tokenizer(["hello there", "你好，朋友"], TokenizerOptions(vocabulary=300, min_frequency=1), tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    chat = Chat([Turn("user", "你好"), Turn("assistant", "hello there")])
    ids, labels = encode_chat(tokenizer, chat)
    assert tokenizer.decode([label for label in labels if label >= 0], skip_special_tokens=False) == (
        "hello there<|im_end|>"
    )
    other = AutoTokenizer.from_pretrained(tmp_path)
    messages = [{"role": turn.role, "content": turn.content} for turn in chat.messages]
    assert other.apply_chat_template(messages, tokenize=False) == tokenizer.decode(ids, skip_special_tokens=False)
    assert other.apply_chat_template(messages, return_dict=True)["input_ids"] == ids


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b'{"messages": []}', b'{"messages": [{"role": "user", "content": "a"}, {"role": "x"}]}', b"\xff"],
)
def test_what_is_no_chat_is_refused_with_its_line(data: bytes) -> None:
    with pytest.raises(MintageError) as caught:
        read_chats(data)
    assert caught.value.code == "invalid_request"
