"""Lines of a charge in words, English and 中文, for receipts, the console and the command line."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Final

import msgspec

from mintage.base import RatedLine

_WIDE: Final = Context(prec=60)
_MILLION: Final = 1_000_000

#: meter -> English, 中文, how many units a quoted rate pays for, and that many in both languages.
METER_WORDS: Final[dict[str, tuple[str, str, int, str, str]]] = {
    "input_tokens": ("input tokens", "输入 token", _MILLION, "per million", "每百万"),
    "cached_read_tokens": ("cached input tokens", "缓存命中 token", _MILLION, "per million", "每百万"),
    "cache_write_tokens": ("cache write tokens", "缓存写入 token", _MILLION, "per million", "每百万"),
    "output_tokens": ("output tokens", "输出 token", _MILLION, "per million", "每百万"),
    "reasoning_tokens": ("reasoning tokens", "推理 token", _MILLION, "per million", "每百万"),
    "image_count": ("images", "图片", 1, "each", "每张"),
    "audio_ms": ("ms of audio", "毫秒音频", 60_000, "per minute", "每分钟"),
    "characters": ("characters", "字符", _MILLION, "per million", "每百万"),
    "requests": ("requests", "次请求", 1, "each", "每次"),
    "outcomes": ("outcomes", "个成果", 1, "each", "每个"),
    "seats": ("seats", "个席位", 1, "each", "每席位"),
    "duration_ms": ("ms of time", "毫秒时长", 3_600_000, "per hour", "每小时"),
    "minimum": ("up to the minimum", "补足最低收费", 1, "once", "一次"),
    "maximum": ("down to the maximum", "封顶减免", 1, "once", "一次"),
}


class ExplainedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line. rate is in currency units for rate_units units; amount is exact, in currency units."""

    meter: str
    quantity: int
    rate: Decimal
    rate_units: int
    amount: Decimal
    currency: str
    en: str
    zh: str


def _text(value: Decimal) -> str:
    return format(value.normalize(_WIDE), "f") if value else "0"


def explain_line(line: RatedLine, currency: str) -> ExplainedLine:
    """For example `1,250 input tokens at 0.6 USD per million = 0.00075 USD`."""
    en, zh, units, per_en, per_zh = METER_WORDS.get(line.meter, (line.meter, line.meter, 1, "each", "每个"))
    rate = _WIDE.scaleb(Decimal(line.rate_attos * units), -18)
    amount = _WIDE.scaleb(Decimal(line.attos), -18)
    shown, total, count = _text(rate), _text(amount), f"{line.quantity:,}"
    if line.meter in ("minimum", "maximum"):
        english, chinese = f"{en}: {total} {currency}", f"{zh}：{total} {currency}"
    else:
        english = f"{count} {en} at {shown} {currency} {per_en} = {total} {currency}"
        chinese = f"{count} {zh}，{per_zh} {shown} {currency} = {total} {currency}"
    return ExplainedLine(
        meter=line.meter,
        quantity=line.quantity,
        rate=rate,
        rate_units=units,
        amount=amount,
        currency=currency,
        en=english,
        zh=chinese,
    )


def explain_lines(lines: tuple[RatedLine, ...], currency: str) -> list[ExplainedLine]:
    return [explain_line(line, currency) for line in lines]
