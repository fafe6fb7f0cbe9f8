"""From bytes to a Plan, exactly. Numbers go from text to Decimal; a binary float is never made of them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, Literal

import msgspec

from mintage.base import MintageError, parse_decimal
from mintage.pricing.plan import Plan

Format = Literal["toml", "json"]
PLAN_LIMIT_BYTES: Final = 1_048_576
_HINT: Final = "docs/reference/plan.schema.json lists every field of a plan; examples/plans/ has whole plans."
_JSON: Final = msgspec.json.Decoder(float_hook=Decimal)


def _refuse(message: str, param: str | None = None, hint: str = _HINT) -> MintageError:
    return MintageError("invalid_request", message, hint, param=param)


def _tree(raw: bytes, form: Format) -> object:
    """Plain data, decimals exact. RecursionError: nested beyond reason."""
    if len(raw) > PLAN_LIMIT_BYTES:
        raise _refuse(f"The plan is larger than {PLAN_LIMIT_BYTES} bytes.")
    try:
        if form == "json":
            return _JSON.decode(raw)
        return tomllib.loads(raw.decode("utf-8"), parse_float=Decimal)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, ArithmeticError) as error:
        raise _refuse(f"The plan is not valid {form.upper()}: {error}.") from error
    except UnicodeDecodeError as error:
        raise _refuse(f"The plan is not UTF-8 (byte {error.start}).", hint="Save the file as UTF-8.") from error
    except RecursionError as error:
        raise _refuse("The plan is nested too deeply.") from error


def _decimals(value: object, path: str) -> Iterator[tuple[str, Decimal]]:
    """Every number of a plan with the path of its field."""
    if isinstance(value, Decimal):
        yield path, value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _decimals(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from _decimals(item, f"{path}[{index}]")


def check_numbers(plan: Plan) -> Plan:
    """Finite, not negative, at most 12 places. Raises MintageError("invalid_request") that names the field."""
    for path, number in _decimals(plan, ""):
        parse_decimal(number, param=path)
        if number < 0:
            raise _refuse(f"{path} is {number}: a plan has no negative numbers.", path, "Use a credit or a grant.")
    return plan


def plan_from_data(data: object) -> Plan:
    """From plain data whose numbers are int, str or Decimal. Floats are refused: they are already wrong."""
    if path := _find_float(data, ""):
        raise _refuse(f"{path} is a binary float.", path, 'Write the number as a string: "0.15".')
    try:
        plan = msgspec.convert(data, Plan)
    except msgspec.ValidationError as error:
        message, _, at = str(error).partition(" - at `$")
        path = at.rstrip("`").lstrip(".")
        raise _refuse(f"{path or 'The plan'}: {message}.", path or None) from error
    except RecursionError as error:
        raise _refuse("The plan is nested too deeply.") from error
    return check_numbers(plan)


def _find_float(value: object, path: str) -> str:
    if isinstance(value, float):
        return path or "The plan"
    if isinstance(value, dict):
        children = ((f"{path}.{key}" if path else str(key), item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        children = ((f"{path}[{index}]", item) for index, item in enumerate(value))
    else:
        return ""
    return next((found for name, item in children if (found := _find_float(item, name))), "")


def load_plan(raw: bytes, form: Format = "toml") -> Plan:
    """The plan in raw. Raises MintageError("invalid_request") whose param is the path of the field at fault."""
    return plan_from_data(_tree(raw, form))
