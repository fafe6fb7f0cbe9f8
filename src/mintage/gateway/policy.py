"""What a plan lets happen to a request's text and to an answer that its reader leaves."""

from __future__ import annotations

from typing import Literal

import msgspec


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Built once per plan version and shared by its callers."""

    disconnect: Literal["cut", "drain"] = "cut"
    drain_cap_tokens: int = 4096  # with "drain": after so many more output tokens the answer is cut after all
    too_long: Literal["refuse", "truncate"] = "refuse"
    normalise: bool = True
    trim: bool = False
    deduplicate: bool = False
    format: Literal["as_is", "plain"] = "as_is"

    @property
    def shapes_output(self) -> bool:
        return self.trim or self.deduplicate or self.format != "as_is"
