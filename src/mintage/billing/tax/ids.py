"""Tax numbers, checked offline by their check digits. The rules are python-stdnum's: LGPL, so an extra (`billing`)."""

from __future__ import annotations

import importlib
from typing import Any, Final

from mintage.base import MintageError
from mintage.billing.tax.decide import EU

#: country -> module of python-stdnum, beside the EU's own
_MODULES: Final = {
    "AU": "au.abn",
    "CA": "ca.bn",
    "CH": "ch.vat",
    "CN": "cn.uscc",
    "GB": "gb.vat",
    "IN": "in_.gstin",
    "JP": "jp.cn",
    "KR": "kr.brn",
    "NO": "no.mva",
    "NZ": "nz.ird",
    "US": "us.ein",
}


def checkable(country: str) -> bool:
    """Whether numbers of the country can be checked."""
    return country in EU or country in _MODULES


def check_tax_id(country: str, number: str) -> str:
    """The number in its compact form; an EU number with its country's prefix (EL for Greece).

    Raises invalid_request when its form or check digits are wrong, unsupported without the extra `billing`.
    """
    if not checkable(country):
        return " ".join(number.split())
    module = _load("eu.vat" if country in EU else _MODULES[country])
    prefix = "EL" if country == "GR" else country
    text = number.strip().upper()
    if country in EU and not text.startswith(prefix):
        text = prefix + text
    try:
        return str(module.validate(text))
    except Exception as error:
        raise MintageError(
            "invalid_request",
            f"{number[:40]!r} is not a valid tax number of {country}: {_reason(error)}.",
            "Copy it from the company's register entry, with its check digits.",
            param="tax_id",
        ) from error


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".").lower()


def _load(name: str) -> Any:
    try:
        return importlib.import_module(f"stdnum.{name}")
    except ImportError as error:
        raise MintageError(
            "unsupported",
            "Tax numbers cannot be checked: python-stdnum is not installed.",
            "Install it with: pip install 'mintage[billing]'",
            param="tax_id",
        ) from error
