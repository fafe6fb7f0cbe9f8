"""Refusing what the other side's dialect cannot say. Nothing a client asked for is dropped in silence."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from mintage.base import MintageError, Request

#: Values that ask for nothing.
_NEUTRAL: Final = {"frequency_penalty": 0, "presence_penalty": 0, "repetition_penalty": 1, "min_p": 0, "logit_bias": {}}


def cannot(what: str, param: str | None, hint: str = "Leave it out, or choose another model.") -> MintageError:
    return MintageError("unsupported", f"This model's provider cannot take {what}.", hint, param=param)


def check_sampling(request: Request, able: Container[str]) -> None:
    """Raises unsupported for a sampler that is set and that the dialect does not have."""
    sampling = request.sampling
    for name in sampling.__struct_fields__:
        value = getattr(sampling, name)
        if value is not None and name not in able and value != _NEUTRAL.get(name):
            raise cannot(f"{name!r}", name)
