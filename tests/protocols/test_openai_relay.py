"""The byte path: what passes, what is dropped, what is counted, and that chunking never matters."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import Event, MintageError, Request, TextDelta, Usage, UsageReported
from mintage.protocols import openai

from .strategies import chat_streams, splits

WIRE_USAGE = {
    "prompt_tokens": 8,
    "completion_tokens": 3,
    "total_tokens": 11,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
USAGE = Usage(input_tokens=8, output_tokens=3)


def frame(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def delta(finish: str | None = None, **fields: Any) -> bytes:
    return frame(
        {"id": "c", "model": "up", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}], "usage": None}
    )


DONE = b"data: [DONE]\n\n"
TEXT = delta(content="Hello") + delta(content=' "usage": {"prompt_tokens": 9}') + delta("stop")
USAGE_CHUNK = frame({"id": "c", "model": "up", "choices": [], "usage": WIRE_USAGE | {"cost": 0.01}})


def relay(pieces: list[bytes], **options: Any) -> tuple[bytes, openai.RelayScanner]:
    scanner = openai.RelayScanner(**options)
    out = b"".join([scanner.feed(piece) for piece in pieces]) + scanner.close()
    return out, scanner


def test_bytes_pass_and_the_usage_that_nobody_asked_for_is_dropped() -> None:
    out, scanner = relay([TEXT + USAGE_CHUNK + DONE])
    assert out == TEXT + DONE
    assert (scanner.usage, scanner.finished, scanner.error) == (USAGE, True, None)
    assert (scanner.upstream_id, scanner.upstream_model) == ("c", "up")
    assert scanner.report() == UsageReported(usage=USAGE)


def test_a_client_who_asked_sees_the_billed_numbers_and_not_the_providers_price() -> None:
    out, _ = relay([TEXT + USAGE_CHUNK + DONE], include_usage=True)
    chunk = json.loads(out.split(b"\n\n")[-3][6:])
    assert chunk == {"id": "c", "model": "up", "choices": [], "usage": WIRE_USAGE}


def test_usage_in_the_last_chunk_with_choices() -> None:
    last = {"model": "up", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": WIRE_USAGE}
    out, scanner = relay([delta(content="a") + frame(last) + DONE])
    assert scanner.usage == USAGE
    assert b"prompt_tokens" not in out
    assert out.count(b"data: ") == 3
    out, _ = relay([delta(content="a") + frame(last) + DONE], include_usage=True)
    assert b'"prompt_tokens":8' in out


@pytest.mark.parametrize("dumps", [json.dumps, lambda chunk: msgspec.json.encode(chunk).decode()])
def test_our_name_for_the_model_stands_in_every_chunk(dumps: Any) -> None:
    chunks = [{"model": "up", "choices": [{"index": 0, "delta": {"content": '"model":"up"'}}]}] * 2
    chunks.append({"model": "up", "choices": [], "usage": WIRE_USAGE})
    raw = b"".join([b"data: " + dumps(chunk).encode() + b"\n\n" for chunk in chunks]) + DONE
    out, scanner = relay([raw], model="mint", include_usage=True)
    assert [json.loads(event[6:])["model"] for event in out.split(b"\n\n")[:3]] == ["mint"] * 3
    assert json.loads(out.split(b"\n\n")[0][6:])["choices"][0]["delta"]["content"] == '"model":"up"'
    assert scanner.upstream_model == "up"


@given(st.data(), chat_streams(), st.booleans(), st.sampled_from([None, "mint"]), st.sampled_from([b"\n", b"\r\n"]))
def test_how_the_bytes_are_split_changes_nothing(
    data: st.DataObject, stream: tuple[Request, list[Event]], include_usage: bool, model: str | None, end: bytes
) -> None:
    request, events = stream
    encoder = openai.StreamEncoder(request, id="chatcmpl-1", created_s=1, model="m")
    raw = b"".join([encoder.encode(event) for event in events]) + b": ping\n\n\n" + encoder.end()
    raw = raw.replace(b"\n", end)
    options: dict[str, Any] = {"include_usage": include_usage, "model": model}
    whole, one = relay([raw], **options)
    parts, many = relay(data.draw(splits(raw)), **options)
    assert parts == whole
    assert one.error is None
    for name in ("usage", "events", "finished", "upstream_id", "upstream_model"):
        assert getattr(one, name) == getattr(many, name)
    reported = events[-1]
    assert isinstance(reported, UsageReported)
    assert one.usage == reported.usage
    decoder = openai.StreamDecoder()
    assert [e for e in decoder.feed(whole) if isinstance(e, TextDelta)] == [
        e for e in events if isinstance(e, TextDelta)
    ]


@given(st.data(), chat_streams())
def test_a_stream_cut_anywhere_is_noticed_and_counted(data: st.DataObject, stream: tuple[Request, list[Event]]) -> None:
    request, events = stream
    encoder = openai.StreamEncoder(request, id="chatcmpl-1", created_s=1, model="m")
    raw = b"".join([encoder.encode(event) for event in events[:-1]])  # without usage: nothing before [DONE] is whole
    cut = data.draw(st.integers(0, len(raw)))
    out, scanner = relay([raw[:cut]])
    assert raw.startswith(out)
    assert scanner.error is not None
    assert scanner.error.code == "upstream_failed"
    assert not scanner.finished
    whole_events = raw[:cut].count(b"\n\n")
    assert scanner.events <= whole_events


def test_a_cut_stream_is_estimated_by_its_deltas() -> None:
    cut = b"".join(
        [delta(role="assistant", content="")] + [delta(content=" word")] * 10 + [delta(reasoning_content="hm")] * 4
    )
    _, scanner = relay([cut])
    assert scanner.error is not None
    assert scanner.report() == UsageReported(usage=Usage(output_tokens=10, reasoning_tokens=4), estimated=True)


def test_fat_deltas_count_by_their_length() -> None:
    _, scanner = relay(
        [delta(content="x" * 400) + delta(tool_calls=[{"index": 0, "function": {"arguments": "y" * 41}}])]
    )
    assert scanner.report().usage == Usage(output_tokens=111)


def test_running_usage_is_not_the_end() -> None:
    running = frame({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}], "usage": WIRE_USAGE})
    last = frame({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": WIRE_USAGE})
    scanner = openai.RelayScanner()
    scanner.feed(running)
    assert scanner.usage == USAGE
    assert not scanner.ending
    scanner.feed(last)
    assert scanner.ending
    assert not scanner.finished


def test_usage_without_written_tokens_is_not_believed() -> None:
    chunk = frame({"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 0}})
    out, scanner = relay([TEXT + chunk + DONE], include_usage=True)
    assert scanner.usage is None
    report = scanner.report()
    assert (report.estimated, report.usage.input_tokens) == (True, 8)
    assert json.loads(out.split(b"\n\n")[-3][6:])["usage"]["completion_tokens"] == report.usage.output_tokens > 0


def test_whole_but_for_done_is_completed_for_the_client() -> None:
    out, scanner = relay([TEXT + USAGE_CHUNK])
    assert out == TEXT + DONE
    assert scanner.finished
    assert scanner.error is None


def test_done_without_a_blank_line() -> None:
    out, scanner = relay([TEXT + USAGE_CHUNK + b"data: [DONE]"])
    assert out == TEXT + DONE
    assert scanner.finished


@pytest.mark.parametrize(
    "bad",
    [
        b'data: {"error":{"message":"boom","code":500}}\n\n',
        b"data: {oops}\n\n",
        b"data: \xff\n\n",
        b"data: " + b"[" * 5000 + b"\n\n",
    ],
)
def test_a_failure_is_kept_from_the_client_and_left_for_the_gateway(bad: bytes) -> None:
    out, scanner = relay([TEXT + bad + TEXT + DONE])
    assert out == TEXT
    assert scanner.error is not None
    assert scanner.error.code == "upstream_failed"
    assert scanner.feed(TEXT) == b""


def test_comments_and_foreign_lines_are_dropped() -> None:
    out, _ = relay([b": OPENROUTER PROCESSING\n\nid: 3\nevent: x\ndata:" + delta(content="a")[6:] + DONE])
    assert out == delta(content="a") + DONE


def test_choices_of_another_shape_still_count() -> None:
    odd = frame({"choices": [{"index": 0, "delta": {"content": [{"type": "text", "text": "a"}]}}]})
    out, scanner = relay([odd + USAGE_CHUNK + DONE])
    assert out == odd + DONE
    assert (scanner.events, scanner.usage) == (1, USAGE)


def test_a_rewritten_request() -> None:
    raw = (
        b'{ "model": "mint", "messages": [{"role":"user","content":"h\\u00e9"}], "stream": true, "max_tokens": 99,'
        b' "service_tier": "priority", "store": true, "metadata": {"a": "b"}, "stream_options": {} }'
    )
    out = openai.rewrite_request(raw, model="up", include_usage=True, max_output_tokens=7)
    assert json.loads(out) == {
        "model": "up",
        "messages": [{"role": "user", "content": "hé"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 7,
    }
    assert b"h\\u00e9" in out  # messages pass as they were written


def test_what_is_not_streamed_gets_no_stream_options() -> None:
    out = openai.rewrite_request(b'{"model":"m","prompt":"hi"}', model="up", include_usage=True, max_output_tokens=7)
    assert json.loads(out) == {"model": "up", "prompt": "hi", "max_tokens": 7}
    with pytest.raises(MintageError):
        openai.rewrite_request(b"[]", model="up", include_usage=True)


def test_a_relayed_answer() -> None:
    body = {
        "id": "c",
        "model": "up",
        "choices": [{"message": {"content": "Hi"}}],
        "usage": WIRE_USAGE | {"cost": 1},
        "x": [1],
    }
    relayed = openai.relay_answer(json.dumps(body).encode(), model="mint")
    assert json.loads(relayed.body) == body | {"model": "mint", "usage": WIRE_USAGE}
    assert relayed.report == UsageReported(usage=USAGE)
    assert (relayed.upstream_id, relayed.upstream_model) == ("c", "up")


def test_a_relayed_answer_without_usage_is_estimated() -> None:
    relayed = openai.relay_answer(b'{"choices":[{"message":{"content":"12345678"}}]}')
    assert relayed.report == UsageReported(usage=Usage(output_tokens=2), estimated=True)
    assert json.loads(relayed.body)["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"choices":[]}', b'{"error":{"message":"x"}}', b"\xff"])
def test_what_is_no_answer_is_not_relayed(raw: bytes) -> None:
    with pytest.raises(MintageError) as caught:
        openai.relay_answer(raw)
    assert caught.value.code == "upstream_failed"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"choices":[{"message":{"content":"\\"usage\\" {\\"prompt_tokens\\":1}"}}],"usage":{"prompt_tokens":1}}',
        b'{"usage":{"prompt_tokens":5,"completion_tokens":2,"cost":9}, "choices": [{"message":{"content":"x"}}]}',
        b'{"usage":{"prompt_tokens":9},"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":5,"cost":9}}',
        b'{"choices":[{"message":{"content":"x"},"usage":{"prompt_tokens":5,"cost":9}}],"usage":{"prompt_tokens":5,"cost":9}}',
        b'{"choices":[{"message":{"content":"x"}}]}',
        b'{"choices":[{"message":{"content":"x"}}],"usage":null}',
    ],
)
def test_the_usage_shown_is_the_usage_billed_wherever_it_stood(raw: bytes) -> None:
    """The numbers are put in place without decoding the answer; whatever looks like them must not mislead that."""
    relayed = openai.relay_answer(raw)
    shown = json.loads(
        relayed.body, object_pairs_hook=lambda pairs: dict(pairs) if _once(pairs) else pytest.fail("twice")
    )
    usage = relayed.report.usage
    assert shown["usage"]["prompt_tokens"] == usage.prompt_tokens
    assert shown["usage"]["completion_tokens"] == usage.completion_tokens
    assert "cost" not in shown["usage"]
    assert shown["choices"] == json.loads(raw)["choices"]


def _once(pairs: list[tuple[str, object]]) -> bool:
    return len({key for key, _ in pairs}) == len(pairs)
