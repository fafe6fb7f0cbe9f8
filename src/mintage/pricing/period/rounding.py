"""Rounding once and sharing out exactly: what is split adds up again, whatever the digits."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from mintage.base import MintageError, currency_exponent
from mintage.pricing.rates import round_half_up


def to_minor(amount: Fraction, currency: str) -> int:
    """Currency units as minor units (cents), half up, away from zero: what an invoice line shows."""
    return round_half_up(amount * 10 ** currency_exponent(currency))


def round_places(amount: Fraction, places: int) -> Fraction:
    """Half up to so many decimal places."""
    return Fraction(round_half_up(amount * 10**places), 10**places)


def largest_remainder(whole: int, weights: Sequence[Fraction]) -> list[int]:
    """Integers that add up to `whole`, each within one of its exact share; ties go to the earlier.

    Raises MintageError if a weight is negative or all are 0 while something is to be shared.
    """
    everything = sum(weights, Fraction(0))
    if any(weight < 0 for weight in weights) or (whole and not everything):
        raise MintageError("invalid_request", "There is nothing to share it over.", "Give weights above 0.")
    if not whole:
        return [0] * len(weights)
    exact = [whole * weight / everything for weight in weights]
    shares = [share.numerator // share.denominator for share in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: (shares[i] - exact[i], i))
    for index in by_remainder[: whole - sum(shares)]:
        shares[index] += 1
    return shares


def allocate_discount(discount: int, amounts: Sequence[int]) -> list[int]:
    """A fixed discount over amounts in proportion, never more than they are, in minor units."""
    capped = min(discount, sum(amounts))
    return largest_remainder(capped, [Fraction(amount) for amount in amounts])


def split_two_ways(first: int, second: int, rows: Sequence[int]) -> tuple[list[int], list[int]]:
    """Two amounts over rows whose sums are given: rows and columns both add up, each cell within one of its share.

    Raises MintageError unless the rows add up to both amounts together.
    """
    if sum(rows) != first + second:
        raise MintageError("invalid_request", "The parts do not add up to the whole.", "Check the split.")
    left = largest_remainder(first, [Fraction(row) for row in rows])
    return left, [row - cell for row, cell in zip(rows, left, strict=True)]


def round_lines(lines: Sequence[Fraction], places: int) -> Fraction:
    """The sum of lines that are each rounded: an invoice's total is the sum of what it shows."""
    return sum((round_places(line, places) for line in lines), Fraction(0))
