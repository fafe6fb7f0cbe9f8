import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.pricing import canonical_form, freeze_plan, load_plan, plan_from_data, thaw_version
from mintage.pricing.json_schema import plan_schema, schema_text
from mintage.pricing.schema import SCHEMA_FILE

from .strategies import plans

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples" / "plans").glob("*.toml"))
HEAD = 'id = "p"\ncurrency = "USD"\nname = { en = "P" }\n'


def refusal(text: str | bytes, form: str = "toml") -> MintageError:
    with pytest.raises(MintageError) as caught:
        load_plan(text if isinstance(text, bytes) else text.encode(), form)  # type: ignore[arg-type]
    assert caught.value.code == "invalid_request"
    assert caught.value.hint
    return caught.value


def rate_text(text: str) -> str:
    return HEAD + f'[[prices]]\nmodel = "m"\ninput_tokens = {{ per_unit = {text} }}\n'


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_example_plans_load_and_are_bilingual(file: Path) -> None:
    plan = load_plan(file.read_bytes())
    assert plan.name.in_language("en") != plan.name.in_language("zh-CN")
    assert plan.description is not None


@pytest.mark.parametrize("digits", ["12345678901.123456789012", "0.123456789012", "99999999999999999999999"])
def test_numbers_are_exact_to_the_last_digit_bare_or_quoted(digits: str) -> None:
    data = {
        "id": "p",
        "currency": "USD",
        "name": {"en": "P"},
        "prices": [{"model": "m", "input_tokens": {"per_unit": "@"}}],
    }
    bare = json.dumps(data).replace('"@"', digits).encode()
    quoted = json.dumps(data).replace("@", digits).encode()
    loaded = [
        load_plan(bare, "json"),
        load_plan(quoted, "json"),
        load_plan(rate_text(f'"{digits}"').encode()),
        load_plan(rate_text(digits).encode()),
    ]
    for plan in loaded:
        assert plan.prices[0].input_tokens is not None
        assert str(plan.prices[0].input_tokens.per_unit) == digits
    assert len({canonical_form(plan) for plan in loaded}) == 1


def test_more_than_twelve_places_are_refused_not_rounded() -> None:
    error = refusal(rate_text("0.12345678901234567890123"))
    assert error.param == "prices[0].input_tokens.per_unit"
    assert "12 decimal places" in error.message


def test_a_binary_float_is_refused() -> None:
    with pytest.raises(MintageError, match=r"prices\[0\].input_tokens.per_unit is a binary float"):
        plan_from_data(
            {
                "id": "p",
                "currency": "USD",
                "name": {"en": "P"},
                "prices": [{"model": "m", "input_tokens": {"per_unit": 0.15}}],
            }
        )


@pytest.mark.parametrize(
    ("text", "param", "words"),
    [
        (HEAD + "colour = 1", None, "unknown field `colour`"),
        (HEAD.replace('"USD"', '"usd"'), "currency", "currency code"),
        (HEAD.replace('"p"', '"P p"'), "id", "matching regex"),
        ('id = "p"', None, "missing required field"),
        (rate_text('"-1"'), "prices[0].input_tokens.per_unit", "negative"),
        (rate_text("nan"), "prices[0].input_tokens.per_unit", "not a decimal"),
        (rate_text("inf"), "prices[0].input_tokens.per_unit", "not a decimal"),
        (rate_text('"free"'), "prices[0].input_tokens.per_unit", "decimal"),
        (rate_text("true"), "prices[0].input_tokens.per_unit", "bool"),
        (rate_text("1e400"), "prices[0].input_tokens.per_unit", "not a decimal"),
        (rate_text("1, per_million = 2"), "prices[0].input_tokens", "exactly one of"),
        (HEAD + '[[prices]]\nmodel = "m"', "prices[0]", "no rate"),
        (HEAD + '[[prices]]\nmodel = "m"\naudio_ms = { per_unit = 1 }', "prices[0]", "per_minute"),
        (HEAD + '[[prices]]\nmodel = "m"\nrequests = { per_hour = 1 }', "prices[0]", "per_unit"),
        (HEAD + '[[prices]]\nmodel = "m"\nrequests = { per_unit = 1 }\nminimum = 2\nmaximum = 1', "prices[0]", "above"),
        (
            HEAD + "[[adjustments]]\nfactor = 1\nduring = { start = 10:00:00, end = 10:00:00 }",
            "adjustments[0].during",
            "empty",
        ),
        (
            HEAD + '[[adjustments]]\nfactor = 1\nduring = { start = 10:00:00, end = 11:00:00, zone = "Mars/Base" }',
            "adjustments[0].during",
            "time zone",
        ),
        (HEAD + "credit_limit = 5", None, "postpaid"),
        (HEAD + "effective = 2026-01-01T00:00:00", "effective", "timezone"),
        ("id =\n", None, "line 1"),
        (HEAD + "x = [" * 5000, None, "not valid TOML"),
    ],
)
def test_a_bad_plan_is_refused_by_the_name_of_its_field(text: str, param: str | None, words: str) -> None:
    error = refusal(text)
    assert error.param == param
    assert words in error.message


def test_bytes_that_are_no_plan_at_all() -> None:
    assert "UTF-8" in refusal(b'id = "\xff"').message
    assert "larger" in refusal(b"#" * 1_048_577).message
    assert "JSON" in refusal(b'{"id": ', "json").message
    assert refusal(b"[" * 100_000, "json").message
    assert refusal(b"3", "json").message


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_bytes_are_a_plan_or_a_typed_error(raw: str | bytes) -> None:
    for form in ("toml", "json"):
        try:
            load_plan(raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass"), form)  # type: ignore[arg-type]
        except MintageError as error:
            assert error.code == "invalid_request"


@given(plans())
def test_a_version_survives_storage_and_names_its_content(plan) -> None:
    version = freeze_plan(plan, applied_ns=5)
    assert thaw_version(version.id, version.canonical, effective_ns=5) == version
    assert freeze_plan(version.plan, applied_ns=9).id == version.id


def test_one_plan_written_two_ways_is_one_version() -> None:
    one = load_plan(rate_text('"0.60"').encode())
    two = load_plan(b'name = { en = "P" }\n' + rate_text("0.6000").replace('name = { en = "P" }\n', "").encode())
    other = load_plan(rate_text('"0.61"').encode())
    ids = [freeze_plan(plan, applied_ns=0).id for plan in (one, two, other)]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].startswith("p@")


def test_a_stored_version_that_was_changed_is_noticed() -> None:
    version = freeze_plan(load_plan(rate_text('"0.60"').encode()), applied_ns=0)
    with pytest.raises(MintageError) as caught:
        thaw_version(version.id, version.canonical.replace(b"0.6", b"0.1"), effective_ns=0)
    assert caught.value.code == "conflict"


def test_a_plan_takes_effect_when_it_says_or_when_it_is_applied() -> None:
    dated = load_plan((HEAD + "effective = 2026-01-01T08:00:00+08:00").encode())
    assert freeze_plan(dated, applied_ns=7).effective_ns == 1_767_225_600_000_000_000
    assert freeze_plan(load_plan(HEAD.encode()), applied_ns=7).effective_ns == 7


def test_the_published_schema_is_current_and_describes_every_field() -> None:
    published = ROOT / SCHEMA_FILE
    assert published.read_bytes() == schema_text(), "run: python -m mintage.pricing.schema"
    fields = plan_schema()["$defs"]["Plan"]["properties"]
    undescribed = [name for name, field in fields.items() if "description" not in field]
    assert undescribed == []


def test_policies_have_the_defaults_that_the_docs_state() -> None:
    policies = load_plan(HEAD.encode()).policies
    assert (policies.disconnect, policies.settle_above_hold, policies.expired_hold) == ("drain", "draw", "release")
    assert policies.input.too_long == "refuse"
    assert policies.limits.requests_per_minute is None
    assert load_plan(HEAD.encode()).credit_limit == Decimal(0)
