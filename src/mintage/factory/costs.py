"""What a step cost: time of cores and GPUs at the operator's price of an hour, energy estimated from their watts.

Money is exact: seconds are taken to the nanosecond, times a Decimal price, rounded half up to a nano of the currency
once per attempt. A sheet (costs.jsonl in the run folder) only grows; the books take each line of it once.
"""

from __future__ import annotations

import os
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final

import msgspec

from mintage.base import MintageError, Settings
from mintage.factory.step import StepUse

SHEET: Final = "costs.jsonl"
LINES_MAX: Final = 100_000
_HOUR_NS: Final = 3_600 * 10**9


class ComputePrice(msgspec.Struct, frozen=True, kw_only=True):
    """hour and gpu_hour: of this whole machine without GPUs, and of one GPU. version names them on every line."""

    currency: str
    hour: Decimal
    gpu_hour: Decimal
    cores: int
    watts_per_core: int
    watts_per_gpu: int

    @property
    def version(self) -> str:
        return f"own@{self.hour.normalize():f}/hour+{self.gpu_hour.normalize():f}/gpu-hour/{self.cores}-cores"

    def nanos(self, cpu_s: float, gpu_s: float) -> int:
        """CPU seconds are a share of the machine's hour: all its cores busy for an hour cost the hour."""
        cpu = Fraction(self.hour) * Fraction(round(cpu_s * 10**9), self.cores)
        gpu = Fraction(self.gpu_hour) * round(gpu_s * 10**9)
        exact = (cpu + gpu) * 10**9 / _HOUR_NS
        return int((exact * 2 + 1) // 2)

    def watt_hours(self, cpu_s: float, gpu_s: float) -> float:
        """An estimate from what busy cores and GPUs draw; there is no meter behind it."""
        return (cpu_s * self.watts_per_core + gpu_s * self.watts_per_gpu) / 3600


class CostLine(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one step. outcome: done, failed or cancelled: all of them cost."""

    run: str
    step: str
    attempt: int
    outcome: str
    at_ns: int
    cpu_s: float
    gpu_s: float
    wall_s: float
    bytes_read: int
    bytes_written: int
    tokens: int
    energy_wh: float
    price_version: str
    currency: str
    nanos: int


def compute_price(settings: Settings) -> ComputePrice:
    """From the settings, for the machine that this runs on."""
    return ComputePrice(
        currency=settings.currency,
        hour=Decimal(settings.compute_price_per_hour),
        gpu_hour=Decimal(settings.gpu_price_per_hour),
        cores=os.cpu_count() or 1,
        watts_per_core=settings.watts_per_core,
        watts_per_gpu=settings.watts_per_gpu,
    )


def cost_line(
    price: ComputePrice, use: StepUse, *, run: str, step: str, attempt: int, outcome: str, at_ns: int
) -> CostLine:
    return CostLine(
        run=run,
        step=step,
        attempt=attempt,
        outcome=outcome,
        at_ns=at_ns,
        cpu_s=round(use.cpu_s, 3),
        gpu_s=round(use.gpu_s, 3),
        wall_s=round(use.wall_s, 3),
        bytes_read=use.bytes_read,
        bytes_written=use.bytes_written,
        tokens=use.tokens,
        energy_wh=round(price.watt_hours(use.cpu_s, use.gpu_s), 4),
        price_version=price.version,
        currency=price.currency,
        nanos=price.nanos(round(use.cpu_s, 3), round(use.gpu_s, 3)),
    )


def append_cost(folder: Path, line: CostLine) -> None:
    """Durable before it returns. A line cut by a crash before it is completed by the newline that follows."""
    with (folder / SHEET).open("ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_costs(folder: Path) -> list[CostLine]:
    """Every whole line of the sheet; a half one at the end, which a crash left, is no line."""
    try:
        raw = (folder / SHEET).read_bytes()
    except FileNotFoundError:
        return []
    lines = raw.split(b"\n")[:-1]
    if len(lines) > LINES_MAX:
        raise MintageError("payload_too_large", f"The run has over {LINES_MAX} lines of cost.", "Begin a new run.")
    found = []
    for line in lines:
        try:
            found.append(msgspec.json.decode(line, type=CostLine))
        except msgspec.DecodeError:
            continue
    return found
