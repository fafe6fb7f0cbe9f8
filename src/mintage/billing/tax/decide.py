"""Which tax applies to a supply of electronic services between a seller and a buyer on a day. Pure, no I/O.

Sources: EU VAT Directive 2006/112/EC, articles 44 (business: taxed where the customer is, reverse charge by article
196), 58 (consumer: taxed where the customer is) and 59; UK VAT Notice 741A; US: sales tax where the table has a rate
(nexus is the operator's to declare, by entering one); China: VAT on domestic supply, exports of services at zero.
An operator without a tax number is not registered and charges none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, Literal

import msgspec

EU: Final = frozenset("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split())

Scheme = Literal["none", "domestic", "destination", "reverse_charge", "outside_scope", "exempt"]


class Seller(msgspec.Struct, frozen=True, kw_only=True):
    country: str
    region: str = ""
    tax_id: str = ""


class Buyer(msgspec.Struct, frozen=True, kw_only=True):
    """tax_id_valid: its check digits were checked. exempt: why no tax is due (a certificate's number), or empty."""

    country: str
    region: str = ""
    tax_id: str = ""
    tax_id_valid: bool = False
    exempt: str = ""


class TaxRate(msgspec.Struct, frozen=True, kw_only=True):
    """percent is exact text, such as "8.875"."""

    name: str
    percent: str

    def __post_init__(self) -> None:
        if not 0 <= Decimal(self.percent) <= 100:
            raise ValueError(f"{self.percent} is no percentage")


class TaxBasis(msgspec.Struct, frozen=True, kw_only=True):
    """Why an invoice is taxed as it is. inclusive: the lines' amounts contain the tax. An invoice keeps it whole."""

    scheme: Scheme
    rates: tuple[TaxRate, ...] = ()
    country: str = ""
    region: str = ""
    note_en: str = ""
    note_zh: str = ""
    inclusive: bool = False


#: (country, region) -> rates in force on the day, in order; empty where the table has none
Rates = Callable[[str, str], Sequence[TaxRate]]

_REVERSE: Final = (
    "Reverse charge: VAT to be accounted for by the recipient, Article 196 of Directive 2006/112/EC.",
    "反向征税：增值税由购买方申报缴纳（欧盟指令 2006/112/EC 第 196 条）。",
)
_OUTSIDE: Final = ("Outside the scope of the seller's tax.", "不属于销售方所在地的征税范围。")


def decide(seller: Seller, buyer: Buyer, rates: Rates, *, inclusive: bool = False) -> TaxBasis:
    """The tax of a supply. Where the buyer's country is unknown it is the seller's, so that tax is never forgotten."""
    country = buyer.country or seller.country
    place = TaxBasis(
        scheme="none", country=country, region=buyer.region or (seller.region if country == seller.country else "")
    )
    if not seller.country or not seller.tax_id:
        return TaxBasis(scheme="none")
    if buyer.exempt:
        return _untaxed(place, "exempt", (f"Tax exempt: {buyer.exempt}.", f"免税：{buyer.exempt}。"))
    if country == seller.country:
        return _taxed("domestic", rates, inclusive, place)
    if seller.country in EU and country in EU:
        if buyer.tax_id_valid:
            return _untaxed(place, "reverse_charge", _REVERSE)
        return _taxed("destination", rates, inclusive, place)
    return _untaxed(place, "outside_scope", _OUTSIDE)


def _untaxed(place: TaxBasis, scheme: Scheme, note: tuple[str, str]) -> TaxBasis:
    return msgspec.structs.replace(place, scheme=scheme, note_en=note[0], note_zh=note[1])


def _taxed(scheme: Scheme, rates: Rates, inclusive: bool, place: TaxBasis) -> TaxBasis:
    found = tuple(rates(place.country, place.region))
    return msgspec.structs.replace(
        place, scheme=scheme if found else "none", rates=found, inclusive=inclusive and bool(found)
    )
