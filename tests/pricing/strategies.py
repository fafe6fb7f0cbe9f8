"""Plans, usages and moments that hypothesis draws. Kept small in size and rich in kind."""

from datetime import time
from decimal import Decimal

from hypothesis import strategies as st

from mintage.base import METERS, Usage
from mintage.pricing import Adjustment, Names, Plan, Price, Rate, Window

MODELS = ["tiny", "tiny-long", "other"]
DIMENSIONS = st.dictionaries(st.sampled_from(["class", "region"]), st.sampled_from(["batch", "eu"]), max_size=2)
MOMENTS = st.integers(0, 4 * 10**18)

decimals = st.decimals(min_value=0, max_value=10**6, places=12)
factors = st.decimals(min_value=0, max_value=10, places=6)
counts = st.integers(0, 2**40)
usages = st.builds(Usage, **dict.fromkeys(METERS, st.one_of(st.just(0), counts)))

unit_rates = st.builds(
    lambda word, value: Rate(**{word: value}), st.sampled_from(["per_unit", "per_thousand", "per_million"]), decimals
)
time_rates = st.builds(
    lambda word, value: Rate(**{word: value}), st.sampled_from(["per_second", "per_minute", "per_hour"]), decimals
)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start, end = draw(st.lists(st.integers(0, 23), min_size=2, max_size=2, unique=True))
    zone = draw(st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York", "Asia/Kolkata"]))
    days = draw(st.lists(st.sampled_from(["mon", "wed", "sun"]), min_size=1, max_size=3, unique=True))
    return Window(start=time(start), end=time(end), zone=zone, days=tuple(days))


@st.composite
def prices(draw: st.DrawFn, model: str | None = None, *, conditional: bool = True) -> Price:
    rates = draw(
        st.fixed_dictionaries(
            {"input_tokens": unit_rates, "output_tokens": unit_rates},
            optional={m: time_rates if m.endswith("_ms") else unit_rates for m in METERS[1:] if m != "output_tokens"},
        )
    )
    limits = sorted(draw(st.lists(decimals, max_size=2)))
    return Price(
        model=model or draw(st.sampled_from([*MODELS, "tiny*", "*", "*ong"])),
        where=draw(DIMENSIONS) if conditional else {},
        during=draw(st.none() | windows()) if conditional else None,
        above_prompt_tokens=draw(st.sampled_from([0, 0, 1, 1000, 2**20])) if conditional else 0,
        minimum=limits[0] if limits else None,
        maximum=limits[1] if len(limits) > 1 else None,
        **rates,
    )


adjustments = st.builds(
    Adjustment,
    factor=factors,
    model=st.sampled_from(["*", "tiny", "tiny*"]),
    where=DIMENSIONS,
    during=st.none() | windows(),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans that price at least tokens of every model, so that most usages have a price."""
    listed = draw(st.lists(prices(), max_size=4))
    return Plan(
        id="drawn",
        name=Names(en="Drawn"),
        currency="USD",
        prices=(*listed, draw(prices("*", conditional=False))),
        adjustments=tuple(draw(st.lists(adjustments, max_size=3))),
    )


def simple_plan(**fields: object) -> Plan:
    """0.60 in and 2.40 out per million for `tiny`; fields replace or add."""
    base: dict[str, object] = {
        "id": "simple",
        "name": Names(en="Simple"),
        "currency": "USD",
        "prices": (
            Price(
                model="tiny",
                input_tokens=Rate(per_million=Decimal("0.60")),
                output_tokens=Rate(per_million=Decimal("2.40")),
            ),
        ),
    }
    return Plan(**{**base, **fields})  # type: ignore[arg-type]
