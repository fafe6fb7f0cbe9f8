"""A matrix of rates: by model, class, region or any other dimensions, each event at its own cell's rate."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, ClassVar

from msgspec import Meta

from mintage.base import MintageError
from mintage.pricing.charges.base import QuantityCharge, State, Step, per_unit_step
from mintage.pricing.match import Dimensions, dimensions_match
from mintage.pricing.metric import Event, Span, count
from mintage.pricing.rates import RateFields
from mintage.pricing.words import Conditions, Label


class Cell(RateFields, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The rate of events that fit. An empty `cell` fits any event: put it last."""

    cell: Annotated[Conditions, Meta(description="Dimensions that an event must have; `*` is any text.")]
    label: Annotated[Label | None, Meta(description="What the working says; else the conditions.")] = None


class Matrix(QuantityCharge, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="matrix"):
    """The first cell that fits prices an event; an event that fits none is refused."""

    states: ClassVar[frozenset[State]] = frozenset({"additive"})

    cells: Annotated[tuple[Cell, ...], Meta(min_length=1, max_length=1000, description="Rates, first fit wins.")]

    def check(self) -> None:
        for index, cell in enumerate(self.cells):
            if not cell.word:
                raise ValueError(f"cell {index + 1} has no rate")
            self.check_rate(cell)

    def price(self, events: Sequence[Event], span: Span) -> tuple[Fraction, list[Step]]:
        by_cell: list[list[Event]] = [[] for _ in self.cells]
        for event in events:
            if event.kind == self.metric.kind:
                by_cell[self._cell_of(event.dimensions)].append(event)
        quantity, steps = Fraction(0), []
        for cell, mine in zip(self.cells, by_cell, strict=True):
            units = self.metric.convert(count(self.metric, mine, span))
            if units:
                quantity += units
                words = cell.label or ", ".join(f"{name} {value}" for name, value in cell.cell.items()) or "others"
                steps.append(per_unit_step(words, words, units, cell.exact))
        return quantity, steps

    def _cell_of(self, dimensions: Dimensions) -> int:
        for index, cell in enumerate(self.cells):
            if dimensions_match(cell.cell, dimensions):
                return index
        found = ", ".join(f"{name} {value}" for name, value in dimensions.items()) or "no dimensions"
        raise MintageError(
            "unpriceable",
            f"Charge {self.id} has no cell for {found[:200]}.",
            "Add a last cell without conditions.",
            details={"charge": self.id},
        )

    def price_quantity(self, quantity: Fraction) -> list[Step]:
        """Without events there is one price only if there is one cell."""
        if len(self.cells) > 1:
            raise MintageError("unpriceable", f"Charge {self.id} prices events by their dimensions.", "Give events.")
        return [per_unit_step("units", "用量", quantity, self.cells[0].exact)] if quantity else []

    def live_rate(self, dimensions: Dimensions) -> Fraction:
        """The rate of the request's own cell: what the period will charge."""
        if self.live == "none":
            return Fraction(0)
        return self.cells[self._cell_of(dimensions)].exact

    def marginal_rates(self) -> tuple[Fraction, ...]:
        return tuple(cell.exact for cell in self.cells)
