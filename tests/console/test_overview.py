"""The page's totals are the ledger's, at every watermark: what the ledger has not applied yet is added from the log."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mintage.base import ManualClock
from mintage.console.follower import BACKLOG_LIMIT, REQUESTS_KEPT, Follower
from mintage.console.overview import DAY_NS, PERIODS, Overview, check_period

from .world import World, open_world


def ledger_totals(world: World, start_ns: int | None) -> dict[tuple[str, str], tuple[int, int, int]]:
    rows = world.services.reader.profit_and_loss(start_ns, by=("tenant_id",))
    return {
        (str(row.group["tenant_id"]), row.currency): (row.revenue_nanos, row.cost_nanos, row.entries) for row in rows
    }


async def shown_totals(world: World, period: str) -> dict[tuple[str, str], tuple[int, int, int]]:
    overview = Overview(world.services, Follower(world.services.log, world.services.clock))
    figures = await overview.figures(period)  # type: ignore[arg-type]
    return {key: (sums.revenue_nanos, sums.cost_nanos, sums.requests) for key, sums in figures.by_tenant.items()}


@pytest.mark.parametrize("seed", range(4))
async def test_totals_equal_the_ledger_wherever_its_watermark_stands(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    clock = ManualClock()
    async with open_world(tmp_path, clock) as world:
        callers = [await world.customer("Ada"), await world.customer("Bo", funding="promo")]
        for _ in range(30):
            clock.advance(chance.choice([1, 3_600, 86_400]))
            world.engine.prompt_tokens = chance.randint(1, 300)
            world.engine.words = [" w"] * chance.randint(1, 40)
            world.engine.engine_ms = float(chance.randint(0, 5_000))
            await world.chat(chance.choice(callers))
        last_seq = world.services.log.last_seq()
        for mark in sorted(chance.sample(range(1, last_seq + 1), 4)):
            ledger = world.services.ledger
            ledger.apply(world.services.log.entries(ledger.watermark(), mark - ledger.watermark()))
            shown = {period: await shown_totals(world, period) for period in ("today", "week", "month", "all")}
            figures = await Overview(world.services, Follower(world.services.log, clock)).figures("all")
            assert figures.seq == last_seq
            by_bucket = [sums for currencies in figures.by_bucket.values() for sums in currencies.values()]
            assert sum(sums.revenue_nanos for sums in by_bucket) == sum(sums[0] for sums in shown["all"].values())
        world.apply()
        midnight_ns = clock.now_ns() // DAY_NS * DAY_NS
        for period, days in (("today", 0), ("week", 6), ("month", 29)):
            assert shown[period] == ledger_totals(world, midnight_ns - days * DAY_NS)
        assert shown["all"] == ledger_totals(world, None)
        assert sum(revenue for revenue, _, _ in shown["all"].values()) > 0


async def test_the_last_hour_is_the_logs_own(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_world(tmp_path, clock) as world:
        caller = await world.customer("Ada")
        await world.chat(caller)
        clock.advance(59 * 60)
        await world.chat(caller)
        ((_, _, requests),) = (await shown_totals(world, "hour")).values()
        assert requests == 2
        clock.advance(2 * 60)
        ((_, _, requests),) = (await shown_totals(world, "hour")).values()
        assert requests == 1


async def test_new_entries_and_passing_time_refresh_what_is_kept(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_world(tmp_path, clock) as world:
        caller = await world.customer("Ada")
        overview = Overview(world.services, Follower(world.services.log, clock))
        first = await overview.figures("today")
        assert await overview.figures("today") is first
        await world.chat(caller)
        second = await overview.figures("today")
        assert second.seq > first.seq and sum(sums.requests for sums in second.by_tenant.values()) == 1
        clock.advance(60)
        assert (await overview.figures("today")).at_ns > second.at_ns


async def test_the_follower_forgets_what_is_old_and_skips_what_is_far(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_world(tmp_path, clock) as world:
        log = world.services.log
        await log.open_wallet("cus_1", "wal_1", "USD", "prepaid")
        for index in range(BACKLOG_LIMIT + 500):
            future = log.top_up("wal_1", 1, source="test", source_id=str(index), kind="cash")
        await future
        late = Follower(log, clock)
        assert await late.catch_up() == log.last_seq()
        assert late.since_ns is not None and late.since_ns > 0  # its sums begin where it began
        caller = await world.customer("Ada")
        for _ in range(REQUESTS_KEPT + 10):
            await world.chat(caller)
        await late.catch_up()
        assert len(late.requests) == REQUESTS_KEPT
        newest = late.newest(50)
        assert [record.id for record in newest] == sorted((record.id for record in newest), reverse=True)


async def test_minutes_of_very_many_customers_are_kept_for_a_shorter_time(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_world(tmp_path, clock) as world:
        callers = [await world.customer(name) for name in ("Ada", "Bo")]
        follower = Follower(world.services.log, clock, tenant_minutes_kept=6)
        for _ in range(5):
            for caller in callers:
                await world.chat(caller)
            clock.advance(60)
        figures = await Overview(world.services, follower).figures("hour")
        assert sum(sums.requests for sums in figures.by_tenant.values()) == 6
        assert figures.chart_from_ns == min(follower.minutes) * 60 * 10**9
        today = await Overview(world.services, follower).figures("today")
        assert sum(sums.requests for sums in today.by_tenant.values()) == 10
        assert today.chart_from_ns is None  # the hours are whole


def test_only_known_periods_are_answered() -> None:
    assert check_period(None) == "today"
    assert [check_period(period) for period in PERIODS] == list(PERIODS)
    with pytest.raises(Exception, match="no such period"):
        check_period("yesterday")
