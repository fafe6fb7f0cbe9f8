"""Every shape of checkpoint that Transformers knows: tiny ones with random weights, made here, loaded as any other."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from mintage.base import ChoiceFinished, Event, Message, MintageError, Request, Sampling, Text, TextDelta, UsageReported
from mintage.engines import HostConfig, RemoteEngine
from mintage.registry import Registry

pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def needs_torch() -> None:
    """Chosen and installed by hand: `make soak` says so when it is not there."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")


WORDS = "the a cat dog sat on mat and ran far away home red blue big small hello world one two three".split()
SIZES = {"n_embd": 32, "n_layer": 2, "n_head": 2}


def make_tokenizer(folder: Path) -> int:
    """A tokenizer of whole words, saved as a fast one. Returns the size of its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: at for at, word in enumerate(["<pad>", "</s>", "<unk>", "[MASK]", *WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="[MASK]"
    )
    tokenizer.save_pretrained(folder)
    return len(vocabulary)


def gpt2(size: int) -> object:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(vocab_size=size, n_positions=64, bos_token_id=1, eos_token_id=1, pad_token_id=0, **SIZES)
    )


def ctrl(size: int) -> object:
    from transformers import CTRLConfig, CTRLLMHeadModel

    return CTRLLMHeadModel(CTRLConfig(vocab_size=size, n_positions=64, dff=64, pad_token_id=0, eos_token_id=1, **SIZES))


def xlnet(size: int) -> object:
    from transformers import XLNetConfig, XLNetLMHeadModel

    return XLNetLMHeadModel(
        XLNetConfig(
            vocab_size=size, d_model=32, n_layer=2, n_head=2, d_inner=64, bos_token_id=1, eos_token_id=1, pad_token_id=0
        )
    )


def t5(size: int) -> object:
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=size, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, decoder_start_token_id=0,
            eos_token_id=1, pad_token_id=0,
        )
    )  # fmt: skip


def bert(size: int) -> object:
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(
        BertConfig(
            vocab_size=size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            max_position_embeddings=64,
        )
    )  # fmt: skip


WRITERS = {"gpt2": gpt2, "ctrl": ctrl, "xlnet": xlnet, "t5": t5}


@pytest.fixture
async def engine_of(tmp_path: Path) -> AsyncIterator[Callable[..., object]]:
    running: list[RemoteEngine] = []

    async def make(maker: Callable[[int], object]) -> RemoteEngine:
        import torch

        torch.manual_seed(5)
        folder = tmp_path / "made"
        folder.mkdir()
        model = maker(make_tokenizer(folder))
        model.save_pretrained(folder)  # type: ignore[attr-defined]
        registry = Registry(tmp_path / "home")
        entry = registry.pull(f"file:{folder}", "tiny")
        assert entry.engine == "transformers"
        engine = RemoteEngine(HostConfig(entry=entry, path=str(registry.weights("tiny")), threads=1))
        await engine.start()
        running.append(engine)
        return engine

    yield make
    for engine in running:
        await engine.close()


async def events_of(engine: RemoteEngine, request: Request) -> list[Event]:
    async with aclosing(engine.stream(request)) as stream:
        return [event async for event in stream]


def ask(prompt: str = "the cat sat on", **fields: object) -> Request:
    sampling = fields.pop("sampling", None) or Sampling(temperature=0)
    fields.setdefault("max_output_tokens", 6)
    return Request(operation="completion", model="tiny", prompts=(prompt,), sampling=sampling, **fields)  # type: ignore[arg-type]


def texts(events: list[Event]) -> dict[int, str]:
    found: dict[int, str] = {}
    for event in events:
        if isinstance(event, TextDelta):
            found[event.choice] = found.get(event.choice, "") + event.text
    return found


@pytest.mark.parametrize("shape", sorted(WRITERS))
async def test_each_shape_writes_greedily_sampled_and_several_at_once(
    shape: str, engine_of: Callable[..., object]
) -> None:
    engine = await engine_of(WRITERS[shape])  # type: ignore[misc]
    greedy = [texts(await events_of(engine, ask())) for _ in range(2)]
    assert greedy[0] == greedy[1]
    events = await events_of(engine, ask())
    report = events[-1]
    assert isinstance(report, UsageReported)
    assert report.usage.input_tokens >= 4
    assert 1 <= report.usage.output_tokens <= 6
    assert report.usage.input_tokens == await engine.count_tokens(ask())
    sampled = {
        str(texts(await events_of(engine, ask(sampling=Sampling(temperature=2.0, top_k=10, top_p=0.95, seed=seed)))))
        for seed in (1, 2, 3, 4)
    }
    assert len(sampled) > 1
    seeded = [await events_of(engine, ask(sampling=Sampling(temperature=1.5, seed=9))) for _ in range(2)]
    assert texts(seeded[0]) == texts(seeded[1])
    several = await events_of(engine, ask(n=3, sampling=Sampling(temperature=1.5, seed=3)))
    assert sorted(e.choice for e in several if isinstance(e, ChoiceFinished)) == [0, 1, 2]


async def test_a_masked_model_fills_the_blank_it_is_given(
    engine_of: Callable[..., object],
) -> None:
    engine = await engine_of(bert)  # type: ignore[misc]
    events = await events_of(engine, ask("the cat [MASK] on the mat"))
    (text,) = texts(events).values()
    assert text.startswith("the cat ")
    assert text.endswith(" on the mat")
    assert events[-1].usage.output_tokens == 1  # type: ignore[union-attr]
    with pytest.raises(MintageError) as caught:
        await events_of(engine, ask("nothing to fill"))
    assert caught.value.code == "invalid_request"
    assert "chat" not in engine.capabilities("tiny").operations


async def test_a_dialogue_is_turns_with_the_end_token_between(engine_of: Callable[..., object]) -> None:
    engine = await engine_of(gpt2)  # type: ignore[misc]
    chat = Request(
        operation="chat", model="tiny", messages=(Message("user", (Text("hello world"),)),), max_output_tokens=5,
        sampling=Sampling(temperature=0),
    )  # fmt: skip
    assert isinstance((await events_of(engine, chat))[-1], UsageReported)


async def test_a_prompt_beyond_the_window_is_refused(engine_of: Callable[..., object]) -> None:
    engine = await engine_of(gpt2)  # type: ignore[misc]
    with pytest.raises(MintageError) as caught:
        await engine.measure(ask("the cat " * 60))
    assert caught.value.code == "context_length_exceeded"


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(MintageError) as caught:
        Registry(tmp_path).pull(f"file:{folder}", "bad")
    assert caught.value.code == "not_found"
