"""The small vocabulary that plans share: names in two languages, periods of the year, conditions, hours of the day."""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

Slug = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
ModelPattern = Annotated[str, Meta(min_length=1, max_length=200)]
Label = Annotated[str, Meta(min_length=1, max_length=200)]
Conditions = Annotated[dict[Slug, Label], Meta(max_length=16)]
Moment = Annotated[datetime, Meta(tz=True)]
ClockTime = Annotated[time, Meta(tz=False)]
PositiveInt = Annotated[int, Meta(ge=1, le=2**53)]
Days = Annotated[int, Meta(ge=1, le=3660)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Funding = Literal["prepaid", "promo", "postpaid"]
Period = Literal["week", "month", "quarter", "year"]


class Names(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A name in English and 中文. zh falls back to en."""

    en: Annotated[Label, Meta(description="Name in English.")]
    zh: Annotated[str, Meta(max_length=200, description="中文名称")] = ""

    def in_language(self, language: str) -> str:
        """For "zh", "zh-CN" and so on the Chinese name if there is one, else the English one."""
        return self.zh if language.startswith("zh") and self.zh else self.en


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours of the day, from start up to but not including end; an end before the start passes midnight."""

    start: Annotated[ClockTime, Meta(description="Local time of the first second, e.g. 00:30:00.")]
    end: Annotated[ClockTime, Meta(description="Local time of the first second after the window.")]
    zone: Annotated[str, Meta(max_length=64, description="IANA time zone.")] = "UTC"
    days: Annotated[
        tuple[Day, ...], Meta(min_length=1, max_length=7, description="Local days on which the window starts.")
    ] = DAYS

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{self.zone!r} is no IANA time zone; write it like Asia/Shanghai") from error
        if self.start == self.end:
            raise ValueError("start and end are equal: the window is empty")
