"""Billing arithmetic on plain data: one rule, its inputs as JSON has them, the exact result as text.

In: the name of a rule and a dict of numbers as text. Out: text, lists and dicts of it; nothing is rounded unless the
rule says so. `mintage price calculate` is its door; the rules call the same code that bills. Start with calculate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mintage.base import MintageError
from mintage.pricing.calculator import charges, periods, statements

Rule = Callable[[dict[str, Any]], Any]

RULES: Final[Mapping[str, Rule]] = {**charges.RULES, **periods.RULES, **statements.RULES}


def calculate(rule: str, inputs: Mapping[str, Any]) -> Any:
    """The rule's result for the inputs.

    Raises MintageError("not_found") for a rule that there is not, "invalid_request" for inputs that are missing or
    are no numbers, and what the rule itself raises ("unpriceable" past the last tier).
    """
    found = RULES.get(rule)
    if found is None:
        raise MintageError("not_found", f"There is no rule {rule[:60]!r}.", f"There are {', '.join(sorted(RULES))}.")
    try:
        return found(dict(inputs))
    except KeyError as error:
        name = str(error.args[0]) if error.args else ""
        raise MintageError("invalid_request", f"{rule} needs {name!r}.", "Add it to the inputs.", param=name) from error
    except (ValueError, TypeError, ArithmeticError, AttributeError) as error:
        raise MintageError(
            "invalid_request", f"The inputs of {rule} do not fit: {error}.", 'Write numbers as text, such as "1.5".'
        ) from error


__all__ = ["RULES", "calculate"]
