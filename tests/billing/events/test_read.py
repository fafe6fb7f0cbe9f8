"""Events as they are sent: exact, whole or refused, and every refusal says where."""

import json
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import METERS, MintageError
from mintage.billing.events import event_type, read_events

NOW = 1_800_000_000 * 10**9
TIME = "2026-11-01T12:00:00.25Z"


def read(raw, form="json"):
    raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return read_events(raw, form, tenant_id="cus_1", project_id="prj_1", now_ns=NOW)


def refused(raw, form="json"):
    with pytest.raises(MintageError) as caught:
        read(raw, form)
    return caught.value


def event(**more):
    return {"id": "e1", "time": TIME, **more}


def test_one_event_with_meters_numbers_and_words():
    [one] = read(
        event(
            source="crm",
            kind="outcome",
            values={"outcomes": 1, "gb": 12.50},
            dimensions={"region": "eu"},
            supersedes="e0",
            end_user="u1",
        )
    )
    assert (one.tenant_id, one.project_id, one.source, one.id, one.supersedes) == ("cus_1", "prj_1", "crm", "e1", "e0")
    assert one.occurred_ns == 1_793_534_400_250_000_000
    assert one.usage.outcomes == 1
    assert one.properties == {"gb": "12.5", "region": "eu", "kind": "outcome"}


def test_a_number_is_never_a_float():
    [one] = read(b'{"id": "e", "time": "2026-11-01T12:00:00Z", "values": {"x": 0.100000000000000005}}')
    assert one.properties["x"] == "0.100000000000000005"
    [again] = read(b'{"id": "e", "time": "2026-11-01T12:00:00Z", "values": {"x": "0.1000000000000000050"}}')
    assert again == one


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ([event(), {"id": "e2"}], "[1]"),
        ([event(), event(id="e2", values={"x": "many"})], "[1].values[...]"),
        ([event(values={"input_tokens": 1.5})], "[0].values.input_tokens"),
        ([event(values={"input_tokens": -1})], "[0].values.input_tokens"),
        (event(values={"x": "1e-30"}), "values.x"),
        (event(values={"x": "NaN"}), "values.x"),
        (event(values={"x": 1}, dimensions={"x": "a"}), "values.x"),
        (event(dimensions={"kind": "a"}), "dimensions.kind"),
        (event(time="2026-11-01T12:00:00"), "time"),
        (event(time="2099-01-01T00:00:00Z"), "time"),
        (event(id=""), "id"),
        (event(id="a\nb"), "id"),
        (event(supersedes="e1"), "supersedes"),
        (event(colour="red"), None),
        ([], None),
    ],
)
def test_a_refusal_names_the_place_and_the_field(sent, param):
    error = refused(sent)
    assert (error.code, error.param) == ("invalid_request", param)
    assert error.hint


def test_json_lines_name_their_line():
    lines = [json.dumps(event(id=f"e{n}")) for n in range(3)]
    assert [one.id for one in read("\n".join(lines).encode(), "ndjson")] == ["e0", "e1", "e2"]
    bad = "\n".join([lines[0], "", '{"id": "x"}']).encode()
    assert refused(bad, "ndjson").param == "line 3"
    assert "line 2" in refused(b'{"id":"a","time":"2026-11-01T12:00:00Z"}\n{', "ndjson").message


CSV = (
    "\ufeffid,time,source,input_tokens,values.gb,dimensions.region\r\n"
    'e1,2026-11-01T12:00:00Z,crm,5,0.5,"a, b"\r\n\r\n'
    "e2,2026-11-01T12:00:01+02:00,,,,\r\n"
)


def test_csv_columns_are_fields_meters_values_and_dimensions():
    one, two = read(CSV.encode(), "csv")
    assert (one.source, one.usage.input_tokens, one.properties) == ("crm", 5, {"gb": "0.5", "region": "a, b"})
    assert (two.source, two.properties, one.occurred_ns - two.occurred_ns) == ("api", {}, 7_199 * 10**9)


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("id,time,colour\ne,2026-11-01T12:00:00Z,red\n", "line 1.colour"),
        ("id,values.gb\ne,1\n", "line 1.time"),
        ("id,time,id\ne,2026-11-01T12:00:00Z,e\n", "line 1.id"),
        ("id,time\ne,2026-11-01T12:00:00Z\nf\n", "line 3"),
        ("id,time\ne,yesterday\n", "line 2.time"),
        ("id,time,seats\ne,2026-11-01T12:00:00Z,2.5\n", "line 2.values.seats"),
        ('id,time\n"e,2026\n', "line 2"),
    ],
)
def test_csv_refusals_name_line_and_column(text, param):
    assert refused(text.encode(), "csv").param == param


def test_bytes_that_are_no_text_are_refused():
    assert refused(b"id,time\n\xff\xfe,x\n", "csv").param == "line 2"
    assert refused(b'{"id": "\xff"}').code in ("invalid_json", "invalid_request")


def test_limits():
    line = json.dumps(event()).encode()
    assert refused(b"\n".join([line] * 10_001), "ndjson").code == "payload_too_large"
    with pytest.raises(MintageError) as caught:
        event_type("text/html")
    assert caught.value.code == "unsupported_media_type"


WORDS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
EVENTS = st.fixed_dictionaries(
    {
        "id": st.text(st.characters(min_codepoint=32, exclude_characters="\x7f"), min_size=1, max_size=20),
        "time": st.just(TIME),
    },
    optional={
        "source": WORDS,
        "model": WORDS,
        "values": st.dictionaries(st.sampled_from(METERS), st.integers(0, 2**53), max_size=3),
        "dimensions": st.dictionaries(WORDS.filter(lambda w: w not in METERS and w != "kind"), WORDS, max_size=3),
    },
)


@given(st.lists(EVENTS, min_size=1, max_size=5))
def test_an_array_and_json_lines_say_the_same(events):
    array = read(json.dumps(events).encode())
    lines = read("\n".join(json.dumps(one) for one in events).encode(), "ndjson")
    assert array == lines
    for sent, kept in zip(events, array, strict=True):
        assert kept.usage.meters() == {name: n for name, n in sent.get("values", {}).items() if n}


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode), st.sampled_from(["json", "ndjson", "csv"]))
def test_whatever_comes_is_read_or_refused(raw, form):
    try:
        events = read(raw, form)
    except MintageError as error:
        assert error.code in ("invalid_json", "invalid_request", "payload_too_large")
    else:
        assert events
        msgspec.json.encode(events)


@given(st.data())
def test_a_damaged_body_is_read_or_refused(data):
    raw = bytearray(data.draw(st.sampled_from([CSV.encode(), json.dumps([event(values={"seats": 2})] * 2).encode()])))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] = data.draw(st.integers(0, 255))
    test_whatever_comes_is_read_or_refused.hypothesis.inner_test(bytes(raw), "csv")
    test_whatever_comes_is_read_or_refused.hypothesis.inner_test(bytes(raw), "json")
