"""What is kept is what the customer chose, encrypted, for as long as chosen; erasing leaves the books alone."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.base import ManualClock, MintageError, new_id
from mintage.content import Content, ContentPolicy, FileStore

SECRET = "the customer's own words 客户的话"
DAY_S = 86_400


@pytest.fixture
def clock():
    return ManualClock()


def open_content(folder, clock):
    turn = bytes(range(255, -1, -1))  # a seal that shows when it is left out
    files = FileStore(folder, clock, seal=lambda raw: raw.translate(turn), unseal=lambda raw: raw.translate(turn))
    return Content(folder, clock, files)


@pytest.fixture
def content(tmp_path, clock):
    found = open_content(tmp_path, clock)
    yield found
    found.close()


def keep(content, clock, tenant="cus_1", text=SECRET):
    request_id = new_id("req", clock.now_ns())
    content.records.offer(tenant, request_id, clock.now_ns(), lambda: {"text": text})
    return request_id


def test_nothing_is_kept_until_someone_chooses(content, clock, tmp_path):
    request_id = keep(content, clock)
    content.records.flush()
    assert content.policies.get("cus_1") == ContentPolicy()
    assert list(tmp_path.rglob("*.bin")) == []
    with pytest.raises(MintageError):
        content.records.read("cus_1", request_id)


def test_what_is_kept_is_read_again_also_by_the_next_process_and_lies_encrypted(content, clock, tmp_path):
    content.policies.set("cus_1", ContentPolicy(keep="full", days=3))
    ids = [keep(content, clock, text=f"{SECRET} {number}") for number in range(50)]
    assert content.records.read("cus_1", ids[7]) == {"text": f"{SECRET} 7"}
    content.close()
    again = open_content(tmp_path, clock)
    assert again.policies.get("cus_1") == ContentPolicy(keep="full", days=3)
    assert again.records.read("cus_1", ids[49]) == {"text": f"{SECRET} 49"}
    again.close()
    raw = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in raw
    assert json.dumps(SECRET).encode() not in raw


def test_another_tenant_reads_nothing(content, clock):
    for tenant in ("cus_1", "cus_2"):
        content.policies.set(tenant, ContentPolicy(keep="full"))
    request_id = keep(content, clock)
    keep(content, clock, tenant="cus_2")
    for tenant in ("cus_2", "cus_3", "../cus_1"):
        with pytest.raises(MintageError) as refusal:
            content.records.read(tenant, request_id)
        assert refusal.value.code == "not_found"


def test_days_that_are_over_are_swept_by_each_tenants_choice(content, clock):
    content.policies.set("cus_1", ContentPolicy(keep="full", days=1))
    content.policies.set("cus_2", ContentPolicy(keep="metadata", days=5))
    ids = {tenant: keep(content, clock, tenant=tenant) for tenant in ("cus_1", "cus_2")}
    content.records.flush()
    assert content.records.sweep() == 0
    clock.advance(3 * DAY_S)
    assert content.records.sweep() == 1
    with pytest.raises(MintageError):
        content.records.read("cus_1", ids["cus_1"])
    assert content.records.read("cus_2", ids["cus_2"])
    content.policies.set("cus_2", ContentPolicy())
    assert content.records.sweep() == 1


def test_destroying_the_key_erases_prompts_answers_and_files_even_from_a_copy(content, clock, tmp_path):
    content.policies.set("cus_1", ContentPolicy(keep="full"))
    request_id = keep(content, clock)
    entry = content.files.add("cus_1", "prj_1", "a.txt", "batch", SECRET.encode())
    content.records.flush()
    (day,) = tmp_path.glob("cus_1/records/*.bin")
    copy = day.read_bytes()
    content.erase("cus_1")
    assert content.policies.get("cus_1").keep == "full"
    day.parent.mkdir(parents=True)
    day.write_bytes(copy)  # as if the disk had kept it
    newer = keep(content, clock)
    assert content.records.read("cus_1", newer) == {"text": SECRET}
    with pytest.raises(MintageError):
        content.records.read("cus_1", request_id)
    with pytest.raises(MintageError):
        content.files.read("cus_1", "prj_1", entry.id)


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(0, 400))
def test_a_file_cut_off_anywhere_loses_only_what_was_cut(tmp_path_factory, cut):
    folder, clock = tmp_path_factory.mktemp("content"), ManualClock()
    content = open_content(folder, clock)
    content.policies.set("cus_1", ContentPolicy(keep="full"))
    ids = [keep(content, clock, text=str(number)) for number in range(4)]
    content.close()
    (day,) = folder.glob("cus_1/records/*.bin")
    size = day.stat().st_size
    os.truncate(day, max(0, size - cut))
    whole = max(0, size - cut) // (size // 4)
    again = open_content(folder, clock)
    newest = keep(again, clock, text="new")
    for number, request_id in enumerate(ids):
        if number < whole:
            assert again.records.read("cus_1", request_id) == {"text": str(number)}
        else:
            with pytest.raises(MintageError):
                again.records.read("cus_1", request_id)
    assert again.records.read("cus_1", newest) == {"text": "new"}
    again.close()


def test_a_full_queue_drops_records_and_counts_them(content, clock):
    import threading

    content.policies.set("cus_1", ContentPolicy(keep="full"))
    gate = threading.Event()
    content.records.offer("cus_1", new_id("req", clock.now_ns()), clock.now_ns(), gate.wait)
    for _ in range(1100):
        keep(content, clock)
    assert content.records.dropped >= 99
    gate.set()


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_a_choice_out_of_bounds_is_refused(content, days):
    with pytest.raises(MintageError) as refusal:
        content.policies.set("cus_1", ContentPolicy(keep="full", days=days))
    assert refusal.value.hint
