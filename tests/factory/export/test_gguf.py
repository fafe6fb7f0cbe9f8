"""A checkpoint becomes GGUF with the same logits and the same tokens, and nothing unsafe is opened."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from mintage.base import MintageError

pytest.importorskip("torch")
pytest.importorskip("gguf")

from mintage.engines.llamacpp_runtime import LlamaRuntime, LlamaSettings
from mintage.factory.export import export_gguf, open_checkpoint

TEXTS = ["To be, or not to be: that is the question.", "学而时习之，不亦说乎？有朋自远方来。", "3 tokens\n\n  café 😀"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Llama with grouped queries, random weights that are large enough to tell tokens apart."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[AddedToken(t, special=True) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=416, hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=False, initializer_range=0.2,
        eos_token_id=2, bos_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _ask(path: Path, prompts: list[str]) -> list[dict[str, Any]]:
    runtime = LlamaRuntime(LlamaSettings(weights=path, context_tokens=256, parallel=1, threads=1))
    runtime.load()
    try:
        found = []
        for prompt in prompts:
            chunks: list[str] = []

            def keep(chunk: str, to: list[str] = chunks) -> bool:
                to.append(chunk)
                return False

            body = {"prompt": prompt, "n_predict": 1, "n_probs": 10, "temperature": -1, "stream": False}
            runtime.call("completion", json.dumps(body), keep)
            found.append(json.loads(chunks[-1]))
        return found
    finally:
        runtime.unload()


@pytest.mark.parametrize(("quantise", "nats"), [("f32", 1e-2), ("f16", 3e-2), ("q8_0", 0.3)])
def test_logits_and_tokens_are_those_of_transformers(folder: Path, tmp_path: Path, quantise: str, nats: float) -> None:
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    report = export_gguf(folder, tmp_path / "model.gguf", quantise=quantise, licence="Apache-2.0")
    assert report.size_bytes == (tmp_path / "model.gguf").stat().st_size
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    for text, answer in zip(TEXTS, _ask(tmp_path / "model.gguf", TEXTS), strict=True):
        ids = tokenizer.encode(text).ids
        assert answer["usage"]["prompt_tokens"] == len(ids)
        with torch.no_grad():
            expected = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1], -1)
        shown = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        assert len(shown) == 10
        for one in shown:
            assert abs(expected[one["id"]].item() - one["logprob"]) < nats


def test_refuses_what_may_run_code(folder: Path, tmp_path: Path) -> None:
    import shutil

    for name, content in (
        ("pytorch_model.bin", b"x"), ("weights.dat", pickle.dumps({}, 4)), ("modeling.py", b"import os"),
    ):  # fmt: skip
        copy = tmp_path / name.replace(".", "-")
        shutil.copytree(folder, copy)
        (copy / name).write_bytes(content)
        with pytest.raises(MintageError, match="refused") as caught:
            open_checkpoint(copy)
        assert caught.value.code == "invalid_request"
    custom = tmp_path / "custom"
    shutil.copytree(folder, custom)
    config = json.loads((custom / "config.json").read_text())
    (custom / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "x.Y"}}))
    with pytest.raises(MintageError, match="auto_map"):
        open_checkpoint(custom)


def test_a_cut_checkpoint_leaves_no_file(folder: Path, tmp_path: Path) -> None:
    import shutil

    cut = tmp_path / "cut"
    shutil.copytree(folder, cut)
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(MintageError, match="safetensors"):
        export_gguf(cut, tmp_path / "cut.gguf")
    assert not list(tmp_path.glob("*.gguf")) and not list(tmp_path.glob("*.partial"))


def test_refuses_a_tokenizer_that_the_runtime_would_read_differently(folder: Path, tmp_path: Path) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(folder, other)
    raw = json.loads((other / "tokenizer.json").read_text())
    raw["pre_tokenizer"] = {"type": "Whitespace"}
    (other / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(MintageError, match="cannot become GGUF"):
        export_gguf(other, tmp_path / "other.gguf")
