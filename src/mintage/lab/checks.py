"""One way to refuse an input that makes no sense."""

from __future__ import annotations

from mintage.base import MintageError


def require(holds: bool, rule: str, param: str) -> None:
    """Raises MintageError("invalid_request") that states the rule."""
    if not holds:
        raise MintageError("invalid_request", f"{param}: {rule}.", "Change the input.", param=param)
