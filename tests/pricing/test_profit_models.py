"""The 24 profit models as plans: each loads, has its tags, speaks both languages, and charges what a hand computes."""

from decimal import Decimal
from pathlib import Path

import pytest

from mintage.pricing import PROFIT_MODELS, Plan, freeze_plan, load_plan, load_usage, plan_states, quote, thaw_version

FOLDER = Path(__file__).parents[2] / "examples" / "plans" / "models"
NOVEMBER = "start = 2026-11-01T00:00:00Z\nend = 2026-12-01T00:00:00Z\n"
YEAR = "start = 2026-01-01T00:00:00Z\nend = 2027-01-01T00:00:00Z\n"
TINY = "smollm2-135m"


def rows(*texts: str) -> str:
    return "usage = [\n" + ",\n".join(f"  {{ {text} }}" for text in texts) + "\n]\n"


#: number -> (usage, what a hand computes and how)
USAGES: dict[int, tuple[str, str]] = {
    1: (
        NOVEMBER
        + rows(
            f'model = "{TINY}", input_tokens = 1_000_000, cached_read_tokens = 2_000_000, '
            "output_tokens = 500_000, requests = 10_000"
        ),
        "3.10",
    ),  # 0.60 + 0.30 + 1.20 + 1.00
    2: (NOVEMBER + rows('model = "m", input_tokens = 11_000_000, output_tokens = 1_000_000'), "17.50"),  # 2+13.5+2
    3: (NOVEMBER + rows('model = "m", input_tokens = 11_000_000, output_tokens = 1_000_000'), "12.00"),  # 12 x 1
    4: (NOVEMBER + rows('model = "m", input_tokens = 2_100_001'), "36.00"),  # 2,000,001 past the free: 3 boxes
    5: (NOVEMBER + "joined = 2026-11-16T00:00:00Z\n" + rows('model = "m", input_tokens = 9'), "10.00"),  # 15/30 of 20
    6: (
        NOVEMBER + "carried = { tokens = 1_000_000 }\n" + rows('model = "m", output_tokens = 8_000_000'),
        "21.00",
    ),  # 15 + 2 x 3
    7: (
        NOVEMBER
        + rows(
            'kind = "seat", seats = 4, at = 2026-10-05T00:00:00Z', 'kind = "seat", seats = 2, at = 2026-11-16T00:00:00Z'
        ),
        "150.00",
    ),  # 5 on average x 30
    8: (NOVEMBER + rows(f'model = "{TINY}", input_tokens = 3_000_000, output_tokens = 250_000'), "4.00"),  # 3 + 1
    9: (
        NOVEMBER + "committed_before = 1_000\nterm_period = 11\n" + rows('model = "m", input_tokens = 400_000_000'),
        "400.00",
    ),  # list 1,400 < 1,500 that 1,200 buys: 320 + true-up 80
    10: (
        NOVEMBER
        + rows(
            'kind = "reservation", units = 2, at = 2026-11-01T00:00:00Z',
            'kind = "reservation", units = -1, at = 2026-11-11T00:00:00Z',
        ),
        "1440.00",
    ),  # 2 x 240 h + 1 x 480 h = 960 unit-hours
    11: (NOVEMBER + rows('model = "m", input_tokens = 500_000'), "0"),
    12: (NOVEMBER + rows(f'model = "{TINY}", input_tokens = 1_000_000'), "0.60"),  # paid from the grant
    13: (
        NOVEMBER
        + rows(
            *(f'kind = "resolution", conversation = "c{n}", at = 2026-11-02T00:00:00Z' for n in range(100)),
            'kind = "resolution", conversation = "c7", at = 2026-11-03T00:00:00Z',
            'kind = "reopened", conversation = "c8", at = 2026-11-04T00:00:00Z',
            'kind = "resolution", conversation = "old", at = 2026-10-20T00:00:00Z',
            'kind = "reopened", conversation = "old", at = 2026-11-05T00:00:00Z',
            'kind = "resolution", conversation = "older", at = 2026-09-01T00:00:00Z',
            'kind = "reopened", conversation = "older", at = 2026-11-05T00:00:00Z',
        ),
        "97.02",
    ),  # (99 - 1) x 0.99
    14: (
        NOVEMBER
        + rows(
            'kind = "run", workflow = "report"',
            'kind = "run", workflow = "invoice-de"',
            'kind = "run", workflow = "triage"',
        ),
        "2.65",
    ),
    15: (NOVEMBER + rows('kind = "revenue", amount = 25_000.50'), "2250.08"),  # 15 % of 15,000.50, half up
    16: (NOVEMBER + rows(*['kind = "impression"'] * 125, *['kind = "click"'] * 2), "1.90"),  # 1.00 + 0.90
    17: (
        NOVEMBER + rows('kind = "order", amount = 100', 'kind = "order", amount = 1', 'kind = "order", amount = 5000'),
        "46.20",
    ),  # 6 + 0.20 + 40
    18: (
        YEAR
        + rows(
            'kind = "licence", licences = 1, at = 2025-01-01T00:00:00Z',
            'kind = "licence", licences = 1, at = 2026-01-01T00:00:00Z',
        ),
        "108800.00",
    ),  # 80,000 + 2 x 14,400
    19: (
        NOVEMBER
        + "first_period = true\n"
        + rows(
            'kind = "training", token_epochs = 30_000_000',
            'kind = "reservation", units = 1, at = 2026-11-30T00:00:00Z',
            'model = "ft:mine", input_tokens = 1_000_000, output_tokens = 1_000_000',
        ),
        "351.70",
    ),  # 100+240+7.20+4.50
    20: (NOVEMBER + rows('kind = "order", amount = 100', 'kind = "order", amount = 50'), "25.05"),  # 30 - 4.35 - 0.60
    21: (
        NOVEMBER
        + "pools = { pool = { amount = 10_000, units = 4_000 } }\n"
        + rows('kind = "app_usage", minutes = 1_000'),
        "-750.00",
    ),  # a quarter of 3,000
    22: (
        NOVEMBER + "committed_before = 4_000\nterm_period = 11\n" + rows('kind = "report", units = 2_000'),
        "2000.00",
    ),  # 500, and 1,500 to the 6,000
    23: (
        NOVEMBER
        + rows(
            f'model = "{TINY}", input_tokens = 1_000_000, at = 2026-11-02T04:00:00Z',
            f'model = "{TINY}", input_tokens = 1_000_000, class = "batch", at = 2026-11-02T04:00:00Z',
            f'model = "{TINY}", input_tokens = 1_000_000, class = "priority", at = 2026-11-02T04:00:00Z',
            f'model = "{TINY}", input_tokens = 1_000_000, class = "batch", at = 2026-11-01T18:00:00Z',
        ),
        "2.31",
    ),  # 0.60 + 0.30 + 1.20 + 0.21
    24: (
        NOVEMBER + rows('kind = "timesheet", hours = 20', 'kind = "contract", arr = 60_000, at = 2026-01-01T00:00:00Z'),
        "4000.00",
    ),  # 2.5 days x 1,200 + 500 + 500
}


def plan_of(number: int) -> Plan:
    (file,) = FOLDER.glob(f"{number:02}-*.toml")
    return load_plan(file.read_bytes())


@pytest.mark.parametrize("model", PROFIT_MODELS, ids=lambda model: f"{model.number}-{model.slug}")
class TestEachModel:
    def test_is_a_plan_in_two_languages_with_its_state_tags(self, model) -> None:
        plan = plan_of(model.number)
        assert plan.id == model.slug
        assert model.states <= plan_states(plan)
        for named in (plan, *plan.charges, *plan.fees, *plan.packs, *plan.grants, model):
            assert named.name.zh
            assert any("一" <= letter <= "鿿" or letter.isascii() for letter in named.name.zh)
        version = freeze_plan(plan, applied_ns=0)
        assert thaw_version(version.id, version.canonical, effective_ns=0) == version

    def test_charges_what_a_hand_computes(self, model) -> None:
        text, expected = USAGES[model.number]
        usage = load_usage(text.encode())
        assert usage.start is not None
        result = quote(plan_of(model.number), usage, int(usage.start.timestamp()) * 10**9)
        assert result.total == Decimal(expected)
        for line in result.lines:
            assert sum(step.amount for step in line.steps) == Decimal(line.amount_attos).scaleb(-18)
            assert all(step.en and step.zh for step in line.steps)


def test_there_are_24_models_each_with_one_example() -> None:
    assert [model.number for model in PROFIT_MODELS] == list(range(1, 25))
    assert len(list(FOLDER.glob("*.toml"))) == 24
    assert USAGES.keys() == set(range(1, 25))
