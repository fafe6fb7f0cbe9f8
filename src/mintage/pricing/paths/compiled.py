"""What numba compiles: one wallet's path, and all wallets of all plans in parallel. Imported by kernel.py alone.

Plain loops over int64: nothing here checks a range, for kernel.py has. Compiled on first use, cached beside the source.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit, prange

from mintage.pricing.paths.rules import NEVER_NS

LOTS: Final = 512  # of one wallet at once; more is refused, never dropped


@njit(cache=True, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def insert(ends: Any, left: Any, free: Any, age: Any, count: int, end: int, nanos: int, given: int, made: int) -> int:
    place = count
    while place > 0 and (ends[place - 1] > end or (ends[place - 1] == end and free[place - 1] < given)):
        ends[place], left[place], free[place], age[place] = (
            ends[place - 1], left[place - 1], free[place - 1], age[place - 1])  # fmt: skip
        place -= 1
    ends[place], left[place], free[place], age[place] = end, nanos, given, made
    return count + 1


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def walk(
    first: int, last: int, at_ns: Any, months: Any, meters: Any, contexts: Any, rates: Any, rule: Any, tokens: Any,
    end_ns: int, out: Any,
) -> None:  # fmt: skip
    ends = np.empty(LOTS + 2, np.int64)
    left = np.empty(LOTS + 2, np.int64)
    free = np.empty(LOTS + 2, np.int64)
    age = np.empty(LOTS + 2, np.int64)
    count = made = 0
    charged = bought = given = short = breakage = lapsed = cash = top_ups = refused = 0
    balance = rest = spent = used = 0
    month = minute = -1
    width = meters.shape[1]
    grant, grant_life, below, price, credit, bonus = rule[0], rule[1], rule[2], rule[3], rule[4], rule[5]
    life, limit, automatic, on_demand, per_minute = rule[6], rule[7], rule[8], rule[9], rule[10]
    for event in range(first, last):
        now = at_ns[event]
        if event == first and grant > 0:
            end = NEVER_NS if grant_life == NEVER_NS else min(now + grant_life, NEVER_NS)
            count = insert(ends, left, free, age, count, end, grant, 1, made)
            made += 1
            balance += grant
        gone = 0
        while gone < count and ends[gone] <= now:
            if free[gone]:
                lapsed += left[gone]
            else:
                breakage += left[gone]
            balance -= left[gone]
            gone += 1
        if per_minute > 0:
            if now // 60_000_000_000 != minute:
                minute = now // 60_000_000_000
                used = 0
            if used + tokens[event] > per_minute:
                refused += 1
                if gone:
                    for i in range(gone, count):
                        ends[i - gone], left[i - gone] = ends[i], left[i]
                        free[i - gone], age[i - gone] = free[i], age[i]
                    count -= gone
                continue
            used += tokens[event]
        if gone:
            for i in range(gone, count):
                ends[i - gone], left[i - gone] = ends[i], left[i]
                free[i - gone], age[i - gone] = free[i], age[i]
            count -= gone
        attos = rest
        row = contexts[event]
        for k in range(width):
            attos += meters[event, k] * rates[row, k]
        nanos: Any = np.int64(np.uint64(attos) // np.uint64(1_000_000_000))  # never negative: one multiplication
        rest = attos - nanos * 1_000_000_000
        buy = on_demand != 0 and balance < nanos
        while buy:
            if months[event] != month:
                month = months[event]
                spent = 0
            if spent + price > limit:
                break
            if count + 2 > LOTS:
                out[10] = 1
                return
            spent += price
            cash += price
            top_ups += 1
            end = NEVER_NS if life == NEVER_NS else min(now + life, NEVER_NS)
            if credit > 0:
                count = insert(ends, left, free, age, count, end, credit, 0, made)
                made += 1
            if bonus > 0:
                count = insert(ends, left, free, age, count, end, bonus, 1, made)
                made += 1
            balance += credit + bonus
            buy = balance < nanos
        charged += nanos
        due: Any = nanos
        front = 0
        if count > 0 and left[0] > due:  # almost always: one lot pays
            left[0] -= due
            balance -= due
            if free[0]:
                given += due
            else:
                bought += due
            due = 0
        while due > 0 and front < count:
            part = min(due, left[front])
            if free[front]:
                given += part
            else:
                bought += part
            left[front] -= part
            due -= part
            balance -= part
            if left[front] == 0:
                front += 1
        short += due
        if front:
            for i in range(front, count):
                ends[i - front], left[i - front] = ends[i], left[i]
                free[i - front], age[i - front] = free[i], age[i]
            count -= front
        if automatic != 0 and balance < below:
            if months[event] != month:
                month = months[event]
                spent = 0
            if spent + price <= limit:
                if count + 2 > LOTS:
                    out[10] = 1
                    return
                spent += price
                cash += price
                top_ups += 1
                end = NEVER_NS if life == NEVER_NS else min(now + life, NEVER_NS)
                if credit > 0:
                    count = insert(ends, left, free, age, count, end, credit, 0, made)
                    made += 1
                if bonus > 0:
                    count = insert(ends, left, free, age, count, end, bonus, 1, made)
                    made += 1
                balance += credit + bonus
    if last > first:
        closing = at_ns[last - 1] if end_ns < 0 else end_ns
        for i in range(count):
            if ends[i] <= closing:
                if free[i]:
                    lapsed += left[i]
                else:
                    breakage += left[i]
                balance -= left[i]
    out[0], out[1], out[2], out[3], out[4] = charged, bought, given, short, breakage
    out[5], out[6], out[7], out[8], out[9] = lapsed, cash, top_ups, balance, refused


@njit(cache=True, error_model="numpy", parallel=True)  # type: ignore[untyped-decorator]
def walk_all(
    offsets: Any, at_ns: Any, months: Any, meters: Any, contexts: Any, rates: Any, table: Any, tokens: Any,
    end_ns: int, out: Any,
) -> None:  # fmt: skip
    wallets = len(offsets) - 1
    plans = table.shape[0]
    for task in prange(plans * wallets):
        plan, wallet = task // wallets, task % wallets
        walk(
            offsets[wallet], offsets[wallet + 1], at_ns, months, meters, contexts, rates[plan], table[plan], tokens,
            end_ns, out[plan, wallet],
        )  # fmt: skip
