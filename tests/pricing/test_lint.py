from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import MintageError, Usage
from mintage.pricing import CostBook, Metric, Names, Rate, compile_plan, freeze_plan, load_plan
from mintage.pricing.charges import Allowance, Graduated, Package, Tier, Volume, total
from mintage.pricing.lint import Finding, lint_plan
from mintage.pricing.lint.losses import first_loss
from mintage.pricing.markup import resolve_markups

ROOT = Path(__file__).parents[2]
NOW_NS = 1_793_534_400_000_000_000  # 2026-11-01T12:00:00Z
HEAD = 'id = "p"\ncurrency = "USD"\nname = { en = "P" }\n'
CHARGE = '[[charges]]\nid = "c"\nname = { en = "C" }\nmetric = { values = ["total_tokens"] }\n'
NAME, METRIC = Names(en="x"), Metric(values=("u",))


def findings(text: str, **options) -> list[Finding]:
    return lint_plan(load_plan((HEAD + text).encode()), **options)


def one(text: str, **options) -> Finding:
    (found,) = findings(text, **options)
    return found


def test_example_plans_are_clean() -> None:
    for file in (ROOT / "examples" / "plans").glob("*.toml"):
        assert lint_plan(load_plan(file.read_bytes()), models=["smollm2-135m"]) == []


def test_a_gap_and_an_overlap_of_tiers() -> None:
    text = CHARGE + (
        'kind = "graduated"\nlive = "dearest"\n'
        "tiers = [{ up_to = 10, per_unit = 1 }, { above = ABOVE, per_unit = 2 }]\n"
    )
    gap, overlap = one(text.replace("ABOVE", "12")), one(text.replace("ABOVE", "8"))
    assert (gap.code, gap.path, gap.at) == ("gap", "charges[0].tiers[1].above", Decimal(10))
    assert (overlap.code, overlap.at, overlap.severity) == ("overlap", Decimal(8), "error")
    assert findings(text.replace("ABOVE", "10")) == []


def test_a_last_tier_that_ends() -> None:
    found = one(CHARGE + 'kind = "graduated"\ntiers = [{ up_to = 10, per_unit = 1 }]\n')
    assert (found.code, found.at, found.path) == ("bounded", Decimal(10), "charges[0].tiers[0]")


def test_a_volume_cliff_with_where_it_begins_and_ends() -> None:
    found = one(
        CHARGE + 'kind = "volume"\nlive = "dearest"\ntiers = [{ up_to = 1000, per_unit = 2 }, { per_unit = 1.5 }]\n'
    )
    assert (found.code, found.at, found.path) == ("volume_cliff", Decimal(1000), "charges[0].tiers[1]")
    assert "1,000 units cost 2000, but just above that only 1500" in found.en
    assert "up to 1,333.333333" in found.en
    assert found.zh.startswith("1,000 单位收费 2000")


def test_a_cliff_of_blocks() -> None:
    found = one(
        CHARGE + 'kind = "tiered_blocks"\npolicy = "top_tier"\nlive = "dearest"\nblocks = ['
        "{ size = 100, max_blocks = 10, price = 1 }, { size = 1000, price = 1 }]\n"
    )
    assert (found.code, found.at) == ("volume_cliff", Decimal(1000))
    assert "1,000 units cost 10, one more costs 2" in found.en


@given(
    st.lists(
        st.tuples(st.integers(1, 1000), st.integers(0, 50), st.integers(0, 50)),
        min_size=1,
        max_size=4,
        unique_by=lambda tier: tier[0],
    )
)
def test_a_volume_plan_without_findings_has_no_cliff(drawn) -> None:
    drawn.sort()
    listed = [Tier(up_to=Decimal(end), per_unit=Decimal(rate), flat=Decimal(flat)) for end, rate, flat in drawn]
    charge = Volume(id="c", name=NAME, metric=METRIC, tiers=(*listed, Tier(per_unit=Decimal(1))))
    plan = load_plan(HEAD.encode())
    cliffs = {
        int(found.at)
        for found in lint_plan(type(plan)(id="p", currency="USD", name=NAME, charges=(charge,)))
        if found.code == "volume_cliff"
    }
    step = Fraction(1, 10**6)
    falls = {
        end
        for end, _, _ in drawn
        if total(charge.price_quantity(end + step)) + 1000 * step < total(charge.price_quantity(Fraction(end)))
    }
    assert falls == cliffs


PRICE = '[[prices]]\nmodel = "m"\ninput_tokens = { per_unit = 2 }\noutput_tokens = { per_unit = 4 }\n'
COSTS = {"m": {"input_tokens": Fraction(3), "output_tokens": Fraction(4)}}


def test_a_price_below_cost_from_the_first_token() -> None:
    found = one(PRICE, costs=COSTS)
    assert (found.code, found.path, found.at) == ("below_cost", "prices[0].input_tokens", Decimal(1))
    assert "sell at 2 and cost 3 each: a loss from 1 on" in found.en


@pytest.mark.parametrize(
    ("extra", "at"),
    [
        ("minimum = 10\n", 4),  # 10 pays for 3 tokens of 3
        ('[[fees]]\nname = { en = "F" }\namount = 100\n', 101),  # 100 + 2 q < 3 q
    ],
)
def test_what_else_is_paid_covers_some_usage(extra, at) -> None:
    found = [f for f in findings(PRICE + extra, costs=COSTS) if f.path.endswith("input_tokens")]
    assert [f.at for f in found] == [Decimal(at)]


def test_a_maximum_and_a_discount_can_sell_below_cost() -> None:
    capped = one('[[prices]]\nmodel = "m"\ninput_tokens = { per_unit = 5 }\nmaximum = 100\n', costs=COSTS)
    assert capped.at == Decimal(34)  # 33 tokens cost 99
    batch = findings(PRICE.replace("per_unit = 2", "per_unit = 5") + "[[adjustments]]\nfactor = 0.5\n", costs=COSTS)
    assert {found.path for found in batch} == {"prices[0].input_tokens", "prices[0].output_tokens"}


def test_a_tier_below_cost_bites_where_the_margin_is_used_up() -> None:
    text = CHARGE + ('kind = "graduated"\nlive = "dearest"\ntiers = [{ up_to = 10, per_unit = 6 }, { per_unit = 3 }]\n')
    found = one(text, costs=COSTS)
    assert (found.path, found.at, found.unit) == ("charges[0]", Decimal(31), "output_tokens")  # 60 + 3 (q - 10) < 4 q


quantities = st.integers(0, 40)
steps = st.sampled_from(["package", "graduated", "volume", "allowance"])


@given(steps, st.integers(0, 40), quantities, st.data())
def test_the_first_loss_is_the_first_whole_quantity_that_loses(kind, tenths, budget, data) -> None:
    def amount(most: int, least: int = 0) -> Decimal:
        return Decimal(data.draw(st.integers(least, most)))

    cost = Fraction(tenths, 10)
    if kind == "package":
        charge = Package(
            id="x",
            name=NAME,
            metric=METRIC,
            size=amount(9, 1),
            price_each=amount(30),
            free_units=amount(20),
            round=data.draw(st.sampled_from(["up", "down"])),
        )
    elif kind == "allowance":
        charge = Allowance(id="x", name=NAME, metric=METRIC, included=amount(20), overage=Rate(per_unit=amount(5)))
    else:
        ends = sorted(data.draw(st.sets(st.integers(1, 40), min_size=2, max_size=2)))
        listed = tuple(Tier(up_to=end, per_unit=amount(5), flat=amount(20)) for end in (*map(Decimal, ends), None))
        charge = (Graduated if kind == "graduated" else Volume)(id="x", name=NAME, metric=METRIC, tiers=listed)
    expected = next((q for q in range(1, 200) if total(charge.price_quantity(Fraction(q))) + budget < cost * q), None)
    found = first_loss(charge, cost, Fraction(budget))
    assert found == expected or (expected is None and found is not None and found >= 200)


def test_models_that_cannot_be_asked() -> None:
    text = PRICE + '[[prices]]\nmodel = "half"\ninput_tokens = { per_unit = 1 }\n'
    found = findings(text, models=["m", "half", "none"])
    assert [(f.code, f.unit) for f in found] == [("unpriceable", "output_tokens"), ("unpriceable", "")]
    assert "half" in found[0].en
    assert "none" in found[1].zh


def test_a_price_that_never_applies() -> None:
    found = one(PRICE + PRICE.replace("per_unit = 2", "per_unit = 1"))
    assert (found.code, found.path) == ("shadowed", "prices[1]")
    conditional = PRICE.replace('"m"', '"m"\nwhere = { class = "batch" }')
    assert findings(conditional + PRICE) == []
    assert one(PRICE + conditional).path == "prices[1]"


def test_a_context_cliff_is_pointed_out() -> None:
    long = PRICE.replace('"m"', '"m"\nabove_prompt_tokens = 200').replace("per_unit = 2", "per_unit = 3")
    found = one(long + PRICE)
    assert (found.code, found.at) == ("context_cliff", Decimal(200))
    assert "200 tokens costs 400, one token more 603" in found.en


def test_funds_that_do_not_fit_the_prices() -> None:
    assert one('funding = "postpaid"\n' + PRICE).code == "no_credit"
    text = CHARGE + 'kind = "allowance"\nincluded = 5\noverage = { per_unit = 2 }\n'
    found = one(text)
    assert (found.code, found.at, found.path) == ("rises_after_hold", Decimal(5), "charges[0].live")
    assert findings(text + 'live = "dearest"\n') == []


class TestMarkup:
    TEXT = HEAD + '[[prices]]\nmodel = "MODEL"\nmarkup = { provider = "PROVIDER", percent = 20 }\n'

    def resolved(self, model: str, provider: str):
        text = self.TEXT.replace("MODEL", model).replace("PROVIDER", provider)
        return resolve_markups(load_plan(text.encode()), CostBook.load(), NOW_NS)

    @pytest.mark.parametrize(
        ("provider", "model"), [("openai", "gpt-4o"), ("google", "gemini-2.5-pro"), ("deepseek", "deepseek-chat")]
    )
    @pytest.mark.parametrize("prompt", [1000, 200_000, 200_001, 900_000])
    def test_it_sells_at_cost_plus_the_percentage(self, provider, model, prompt) -> None:
        book, plan = CostBook.load(), self.resolved(model, provider)
        card = compile_plan(freeze_plan(plan, applied_ns=NOW_NS))
        usage = Usage(input_tokens=prompt - 100, cached_read_tokens=100, output_tokens=50, requests=1)
        charge = card.rate(model, usage, NOW_NS).attos
        cost = book.cost(provider, model, usage, NOW_NS).attos
        assert charge == cost * 12 // 10
        costs = {model: book.rates(provider, model, NOW_NS)}
        assert [found for found in lint_plan(plan, models=[model], costs=costs) if found.severity == "error"] == []
        assert all(price.note.startswith(book.id) for price in plan.prices)

    def test_a_version_states_its_rates(self) -> None:
        with pytest.raises(MintageError, match="not resolved"):
            freeze_plan(load_plan(self.TEXT.replace("MODEL", "gpt-4o").encode()), applied_ns=0)

    def test_what_the_book_does_not_know_cannot_be_marked_up(self) -> None:
        with pytest.raises(MintageError) as caught:
            self.resolved("gpt-4o", "nobody")
        assert caught.value.code == "unpriceable"

    def test_a_pattern_cannot_be_marked_up(self) -> None:
        with pytest.raises(MintageError, match="one model by itself"):
            load_plan(self.TEXT.replace("MODEL", "gpt-*").encode())
