import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import METERS, STATUS_BY_CODE, ManualClock, MintageError, Request, Usage, new_id

counts = st.integers(0, 2**40)
usages = st.builds(Usage, **dict.fromkeys(METERS, counts))


@given(usages, usages)
def test_usage_adds_meter_by_meter(left: Usage, right: Usage) -> None:
    total = left + right
    assert all(getattr(total, m) == getattr(left, m) + getattr(right, m) for m in METERS)


@given(usages)
def test_prompt_and_completion_are_made_of_disjoint_classes(usage: Usage) -> None:
    parts = usage.input_tokens + usage.cached_read_tokens + usage.cache_write_tokens
    assert usage.prompt_tokens == parts
    assert usage.completion_tokens == usage.output_tokens + usage.reasoning_tokens


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    clock = ManualClock()
    ids = []
    for _ in range(100):
        ids.append(new_id("req", clock.now_ns()))
        clock.advance(0.001)
    assert ids == sorted(ids)
    assert len({new_id("req", 0) for _ in range(1000)}) == 1000


def test_every_code_is_an_error_status() -> None:
    for code, status in STATUS_BY_CODE.items():
        assert 400 <= MintageError(code, "x").status == status < 600


def test_a_request_survives_the_wire_between_processes() -> None:
    request = Request(operation="chat", model="m", stop=("a",), metadata={"k": "v"})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=Request) == request
