"""The words of an invoice in English and 中文, and its amounts as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from mintage.base import currency_exponent

WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "invoice": "Invoice",
        "credit_note": "Credit note",
        "bill_to": "Bill to",
        "tax_id": "Tax ID",
        "number": "Number",
        "issued": "Issued",
        "due": "Due",
        "period": "Period",
        "order": "Your order",
        "of_invoice": "For invoice",
        "reason": "Reason",
        "description": "Description",
        "quantity": "Quantity",
        "rate": "Rate",
        "amount": "Amount",
        "subtotal": "Subtotal",
        "net": "Net",
        "included": "included",
        "total": "Total",
        "paid": "Paid before",
        "to_pay": "Amount due",
        "credited": "Credited",
        "bank": "Please transfer to",
        "reference": "Reference",
        "in_books": "For tax purposes",
        "fapiao": "Fapiao",
        "proforma": "This document is no fapiao; the fapiao is issued by the tax bureau's system.",
    },
    "zh": {
        "invoice": "账单",
        "credit_note": "贷记通知单",
        "bill_to": "购买方",
        "tax_id": "税号",
        "number": "编号",
        "issued": "开具日期",
        "due": "付款截止",
        "period": "计费周期",
        "order": "采购单号",
        "of_invoice": "对应账单",
        "reason": "原因",
        "description": "项目",
        "quantity": "数量",
        "rate": "单价",
        "amount": "金额",
        "subtotal": "小计",
        "net": "不含税金额",
        "included": "已含",
        "total": "价税合计",
        "paid": "已付",
        "to_pay": "应付金额",
        "credited": "贷记金额",
        "bank": "请汇款至",
        "reference": "附言",
        "in_books": "计税本位币",
        "fapiao": "发票信息",
        "proforma": "本账单不是发票；发票由税务系统另行开具。",
    },
}


def day(at_ns: int, language: str) -> str:
    when = datetime.fromtimestamp(at_ns // 10**9, UTC)
    return f"{when.year} 年 {when.month} 月 {when.day} 日" if language == "zh" else f"{when.day} {when:%B %Y}"


def money(nanos: int, currency: str) -> str:
    """With the currency's own places: 1,234.50 EUR."""
    amount = Decimal(nanos).scaleb(-9).quantize(Decimal(1).scaleb(-currency_exponent(currency)))
    return f"{amount:,} {currency}"


def count(quantity: int | Decimal) -> str:
    return f"{quantity:,}"
