"""Taxes: which apply between a seller and a customer, at which dated rates, and what they come to on an invoice.

In: who sells, who buys, a day, a table of rates. Out: a TaxBasis, which an invoice keeps, and amounts.
Everything is decided offline and pure: the same facts give the same tax for ever.
Start with decide.py (which tax), then amounts.py (the arithmetic), then table.py (rates with dates).
"""

from mintage.billing.tax.amounts import TaxLine, apply_tax
from mintage.billing.tax.decide import EU, Buyer, Seller, TaxBasis, TaxRate, decide
from mintage.billing.tax.ids import check_tax_id, checkable
from mintage.billing.tax.table import RateRow, TaxTable, eu_rates

__all__ = [
    "EU",
    "Buyer",
    "RateRow",
    "Seller",
    "TaxBasis",
    "TaxLine",
    "TaxRate",
    "TaxTable",
    "apply_tax",
    "check_tax_id",
    "checkable",
    "decide",
    "eu_rates",
]
