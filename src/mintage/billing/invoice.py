"""An invoice's content: a pure function of frozen usage, price versions and the policy version, byte for byte.

Order of the arithmetic: quantity -> price (exact attos from the books) -> rounding, once a line, half up, to the
currency's minor unit -> tax, once a rate (finish.py) -> total -> what prepayment covers -> what is due. Number and
date of issue are not content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from mintage.accounts import LegalEntity, Tenant
from mintage.base import ATTOS_PER_UNIT, check_nanos, currency_exponent
from mintage.billing.extras import Extras
from mintage.billing.lines import PeriodLine
from mintage.billing.tax import TaxLine
from mintage.books import Funding
from mintage.pricing.period import local_day, to_minor

#: Which rules made an invoice. A change of any rule is a new version; old invoices keep theirs.
POLICY: Final = (
    "2: each line rounded once, half up, to the minor unit; tax once a rate, half up, shared over the lines by largest"
    " remainder; prepaid amounts contain their tax; prepayment covers the total"
)


#: Meters as a Chinese invoice names them.
_CHINESE: Final = {
    "input_tokens": "输入 token",
    "cached_read_tokens": "缓存读取 token",
    "cache_write_tokens": "缓存写入 token",
    "output_tokens": "输出 token",
    "reasoning_tokens": "推理 token",
    "image_count": "图片",
    "audio_ms": "音频（毫秒）",
    "characters": "字符",
    "requests": "请求",
    "outcomes": "成果",
    "seats": "席位",
    "duration_ms": "时长（毫秒）",
    "minimum": "最低消费",
}


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """Seller or customer as they were when the invoice was made."""

    id: str
    name: str
    address: str
    country: str
    tax_id: str


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """exact is the amount before rounding, in currency units with up to 18 places; rate is the price of one unit.

    rate is None where requests of one line had different ones (a minimum or maximum per request).
    """

    product: str
    model: str
    meter: str
    description: str
    price_id: str
    quantity: int | Decimal
    rate: str | None
    exact: str
    amount: str
    amount_nanos: int
    requests: int
    description_zh: str = ""
    tax_nanos: int = 0


class InvoiceContent(msgspec.Struct, frozen=True, kw_only=True):
    """What the customer owes for a stretch of time, and why. Days are local, both inclusive; nanos are 1e-9 units.

    posted_nanos is what requests posted, in whole nanos with the rest carried; rounding_nanos = total - posted.
    paid_nanos was paid before (prepaid) or given (promo); due_nanos is left to pay. net + tax = total.
    """

    policy: str
    seller: Party
    customer: Party
    funding: Funding
    currency: str
    time_zone: str
    first_day: str
    last_day: str
    start_ns: int
    end_ns: int
    watermark: int
    price_versions: tuple[str, ...]
    lines: tuple[InvoiceLine, ...]
    exact: str
    posted_nanos: int
    total: str
    total_nanos: int
    paid_nanos: int
    due_nanos: int
    rounding_nanos: int
    net_nanos: int = 0
    tax_nanos: int = 0
    taxes: tuple[TaxLine, ...] = ()
    extras: Extras | None = None


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What an invoice is made from beside usage. InvoiceContent has the same fields, so it can be made again."""

    seller: Party
    customer: Party
    funding: Funding
    currency: str
    time_zone: str
    start_ns: int
    end_ns: int
    watermark: int


def units(attos: int) -> str:
    """Attos as currency units, exact, without trailing zeros."""
    whole, rest = divmod(abs(attos), 10**18)
    text = f"{whole}.{rest:018d}".rstrip("0").rstrip(".")
    return f"-{text}" if attos < 0 else text


def minor_units(nanos: int, currency: str) -> str:
    """A rounded amount with the currency's own number of places."""
    return str(Decimal(nanos).scaleb(-9).quantize(Decimal(1).scaleb(-currency_exponent(currency))))


def make_content(terms: Terms, lines: Sequence[PeriodLine], posted_nanos: int) -> InvoiceContent:
    """lines: exact, of [start, end), in order. posted_nanos: what the books posted for them in whole nanos."""
    shown = tuple(_line(line, terms.currency) for line in lines)
    total = check_nanos(sum(line.amount_nanos for line in shown))
    due = total if terms.funding == "postpaid" else 0
    return InvoiceContent(
        policy=POLICY,
        **{name: getattr(terms, name) for name in Terms.__struct_fields__},
        first_day=str(local_day(terms.start_ns, terms.time_zone)),
        last_day=str(local_day(terms.end_ns - 1_000_000, terms.time_zone)),
        price_versions=tuple(sorted({line.price_id for line in shown})),
        lines=shown,
        exact=units(sum(line.attos for line in lines)),
        posted_nanos=posted_nanos,
        total=minor_units(total, terms.currency),
        total_nanos=total,
        paid_nanos=total - due,
        due_nanos=due,
        rounding_nanos=total - posted_nanos,
        net_nanos=total,
    )


def _line(line: PeriodLine, currency: str) -> InvoiceLine:
    nanos = to_minor(Fraction(line.attos, ATTOS_PER_UNIT), currency) * 10 ** (9 - currency_exponent(currency))
    return InvoiceLine(
        product=line.product,
        model=line.model,
        meter=line.id,
        description=describe(line),
        price_id=line.price_id,
        quantity=line.quantity,
        rate=units(line.rate_attos) if line.rate_attos else None,
        exact=units(line.attos),
        amount=minor_units(nanos, currency),
        amount_nanos=nanos,
        requests=line.requests,
        description_zh=describe(line, "zh"),
    )


def describe(line: PeriodLine, language: str = "en") -> str:
    """What a line is called: its own name, or what it counts."""
    if line.name is None:
        meter = _CHINESE.get(line.id) if language.startswith("zh") else None
        return " ".join(filter(None, (line.model, meter or line.id.replace("_", " "))))
    words = line.name.in_language(language)
    return f"{words} ({', '.join(line.group.values())})" if line.group else words


def encode_content(content: InvoiceContent) -> bytes:
    """The invoice, byte for byte: fields in the order of their definition, no spaces."""
    return msgspec.json.encode(content)


def decode_content(raw: bytes) -> InvoiceContent:
    return msgspec.json.decode(raw, type=InvoiceContent)


def content_hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def seller_of(entity: LegalEntity) -> Party:
    return Party(id=entity.id, name=entity.name, address=entity.address, country=entity.country, tax_id=entity.tax_id)


def customer_of(tenant: Tenant) -> Party:
    return Party(id=tenant.id, name=tenant.name, address=tenant.address, country=tenant.country, tax_id=tenant.tax_id)
