"""What a run takes before it starts: parameters, operations, memory, time, money.

Operations of training: 6 a parameter and token (forward 2, backward 4), and of attention 12 * layers * width * context
a token (Kaplan et al. 2020, "Scaling Laws for Neural Language Models", section 2.1; PaLM, appendix B).
"""

from __future__ import annotations

from typing import Final

import msgspec

from mintage.base import MintageError
from mintage.factory.costs import ComputePrice
from mintage.factory.models.config import Shape


class Device(msgspec.Struct, frozen=True):
    """flops: dense bf16 (float32 for a core) a second at the peak; share: what a training run reaches of it."""

    flops: float
    share: float
    memory_bytes: int
    gpu: bool


#: Peaks: vendors' data sheets, dense, bf16. `cpu`: one core, as measured here (docs/log.md).
DEVICES: Final = {
    "cpu": Device(4.0e10, 0.5, 0, False),
    "a100": Device(312e12, 0.4, 80 * 10**9, True),
    "h100": Device(989e12, 0.4, 80 * 10**9, True),
    "h200": Device(989e12, 0.4, 141 * 10**9, True),
}
_BYTES_A_PARAMETER: Final = 16  # weight, gradient and two moments in float32


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """memory_bytes: of each device, weights and optimiser spread over all of them, activations of one sequence kept."""

    parameters: int
    tokens: int
    flops: float
    memory_bytes: int
    device: str
    devices: int
    seconds: float
    energy_wh: float
    currency: str
    cost_nanos: int
    fits: bool


def estimate(shape: Shape, tokens: int, price: ComputePrice, *, device: str = "cpu", count: int = 1) -> Estimate:
    """Raises MintageError invalid_request for a device that is not known. count: of GPUs; of `cpu` all cores count."""
    if (kind := DEVICES.get(device)) is None:
        raise MintageError(
            "invalid_request", f"There is no device {device[:40]!r}.", f"Known are: {', '.join(DEVICES)}."
        )
    units = count if kind.gpu else price.cores
    a_token = 6 * shape.parameters + 12 * shape.layers * shape.width * shape.context
    flops = float(a_token) * tokens
    seconds = flops / (kind.flops * kind.share * units)
    activations = shape.context * shape.width * shape.layers * 34
    memory = _BYTES_A_PARAMETER * shape.parameters // (units if kind.gpu else 1) + activations
    cpu_s, gpu_s = (0.0, seconds * units) if kind.gpu else (seconds * units, 0.0)
    return Estimate(
        parameters=shape.parameters,
        tokens=tokens,
        flops=flops,
        memory_bytes=memory,
        device=device,
        devices=units,
        seconds=round(seconds, 1),
        energy_wh=round(price.watt_hours(cpu_s, gpu_s), 1),
        currency=price.currency,
        cost_nanos=price.nanos(cpu_s, gpu_s),
        fits=not kind.memory_bytes or memory < kind.memory_bytes * 9 // 10,
    )
