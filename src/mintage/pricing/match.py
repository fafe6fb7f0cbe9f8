"""Names against patterns, dimensions against conditions. `*` stands for any characters; all else is literal."""

from __future__ import annotations

import re
from collections.abc import Mapping

Dimensions = Mapping[str, str]


def pattern_matches(pattern: str, name: str) -> bool:
    """`*` stands for any characters, also none; case counts."""
    if "*" not in pattern:
        return pattern == name
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def specificity(pattern: str) -> tuple[bool, int]:
    """Orders patterns: an exact name above any with a star, then more literal characters above fewer."""
    return "*" not in pattern, len(pattern) - pattern.count("*")


def dimensions_match(where: Mapping[str, str], dimensions: Dimensions) -> bool:
    """Every condition names a dimension that is there and fits its pattern."""
    return all(name in dimensions and pattern_matches(pattern, dimensions[name]) for name, pattern in where.items())
