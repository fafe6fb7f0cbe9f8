"""What is not written token by token: bounded by its input, held, settled and metered like everything else."""

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from mintage.base import (
    AnswerStarted,
    Audio,
    AudioDelta,
    Cost,
    Embedding,
    Event,
    MintageError,
    Request,
    Segment,
    Speech,
    Transcription,
    Usage,
    UsageReported,
)
from mintage.engines import Capabilities, Health, audio_bound_ms
from mintage.gateway import Route, Snapshot

from .conftest import Desk

UNIT = 10**9
RATES = 'characters = { per_unit = "0.002" }\naudio_ms = { per_second = "0.5" }'


@dataclass
class MediaEngine:
    """Answers each kind with one event; breaks after it when told to."""

    broken: bool = False
    name: str = "media"
    local: bool = True
    dialect: str | None = None
    models: tuple[str, ...] = ("media",)
    seen: list[Request] = field(default_factory=list)

    def capabilities(self, model: str) -> Capabilities:
        operations = frozenset(("embedding", "speech", "transcription"))
        return Capabilities(model=model, operations=operations, audio=True)  # type: ignore[arg-type]

    async def count_tokens(self, request: Request) -> int:
        raise AssertionError("only what is written is counted in tokens beforehand")

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        self.seen.append(request)
        yield AnswerStarted(model="media")
        if request.operation == "embedding":
            for choice, _ in enumerate(request.prompts):
                yield Embedding(struct.pack("<2f", 1.0, 0.0), choice)
            usage = Usage(input_tokens=3 * len(request.prompts))
        elif request.operation == "speech":
            yield AudioDelta(data=b"sound")
            usage = Usage(characters=len(request.prompts[0]))
        else:
            yield Segment(text="hello", end_ms=900)
            usage = Usage(audio_ms=900)
        if self.broken:
            raise MintageError("upstream_failed", "It broke.", "Try again.")
        yield UsageReported(usage=usage, engine_ms=4.0)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def health(self) -> Health:
        return Health(state="ready")


@pytest.fixture
def engine(desk: Desk) -> MediaEngine:
    engine = MediaEngine()

    def costing(usage: Usage, engine_ms: float, at_ns: int) -> Cost:
        return Cost(provider="own", price_id="own", currency="USD", attos=int(engine_ms * 10**15), usage=usage)

    route = Route("media", engine, "media", engine.capabilities("media"), costing)
    desk.gateway.snapshot = Snapshot(2, desk.gateway.snapshot.callers, {"media": route})
    return engine


def embed(*texts: str) -> Request:
    return Request(operation="embedding", model="media", prompts=texts)


def say(text: str) -> Request:
    return Request(operation="speech", model="media", prompts=(text,), speech=Speech(voice="joe"))


def hear(data: bytes) -> Request:
    audio = Audio(data=data, format="wav")
    return Request(operation="transcription", model="media", transcription=Transcription(audio=audio))


def wav(seconds: float, rate: int = 16_000) -> bytes:
    sound = bytes(int(seconds * rate) * 2)
    head = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * 2, 2, 16) + b"data" + struct.pack("<I", len(sound))
    return b"RIFF" + struct.pack("<I", len(head) + len(sound) + 4) + b"WAVE" + head + sound


@pytest.mark.parametrize(
    ("request_", "charged"),
    [
        (embed("one", "two"), 6 * UNIT // 1000),
        (say("Hello you"), 9 * UNIT // 500),
        (hear(wav(1)), UNIT * 9 // 20),
    ],
)
async def test_each_kind_is_held_by_its_bound_and_charged_by_its_own_meter(
    desk: Desk, engine: MediaEngine, request_: Request, charged: int
) -> None:
    caller = await desk.caller(funds=100 * UNIT, rates=RATES)
    conversation = await desk.gateway.admit(caller, request_)
    held = desk.log.wallet("wal_a").held_nanos
    assert held >= charged
    events = [event async for event in conversation.events()]
    assert isinstance(events[-1], UsageReported)
    assert desk.balance() == 100 * UNIT - charged
    assert conversation.receipt is not None
    assert conversation.receipt.posted_nanos == charged
    assert conversation.receipt.cost_nanos == 4 * 10**6
    assert desk.log.open_holds() == []


async def test_a_meter_without_a_price_is_refused_before_anything_runs(desk: Desk, engine: MediaEngine) -> None:
    caller = await desk.caller(rates="")
    with pytest.raises(MintageError) as caught:
        await desk.gateway.admit(caller, say("Hello"))
    assert caught.value.code == "unpriceable"
    assert engine.seen == []
    assert desk.log.open_holds() == []


async def test_a_wallet_that_cannot_pay_the_bound_buys_nothing(desk: Desk, engine: MediaEngine) -> None:
    caller = await desk.caller(funds=UNIT // 1000, rates=RATES)
    with pytest.raises(MintageError) as caught:
        await desk.gateway.admit(caller, say("A sentence that costs more."))
    assert caught.value.code == "insufficient_funds"
    assert engine.seen == []


async def test_a_failed_answer_is_free_to_the_customer(desk: Desk, engine: MediaEngine) -> None:
    engine.broken = True
    caller = await desk.caller(funds=UNIT, rates=RATES)
    conversation = await desk.gateway.admit(caller, say("Hello"))
    with pytest.raises(MintageError):
        [event async for event in conversation.events()]
    assert desk.balance() == UNIT
    assert desk.log.open_holds() == []


async def test_a_model_refuses_what_it_was_not_made_for(desk: Desk, engine: MediaEngine) -> None:
    caller = await desk.caller(rates=RATES)
    with pytest.raises(MintageError) as caught:
        await desk.gateway.admit(caller, Request(operation="moderation", model="media", prompts=("x",)))
    assert caught.value.code == "unsupported"


def test_the_bound_of_a_wav_is_its_length_and_of_anything_else_no_less_than_it_can_be() -> None:
    assert 2000 <= audio_bound_ms(Audio(data=wav(2), format="wav")) <= 2010
    assert audio_bound_ms(Audio(data=b"\xff" * 32_000, format="mp3")) >= 32_000 * 8 / 6  # at 6 kbit/s
    assert audio_bound_ms(Audio(data=b"RIFF....WAVEfmt ", format="wav")) > 0
