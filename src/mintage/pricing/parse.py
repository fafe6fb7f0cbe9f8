"""From bytes to a Plan, exactly. Numbers go from text to Decimal; a binary float is never made of them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, Literal, TypeVar

import msgspec

from mintage.base import MintageError, parse_decimal
from mintage.pricing.plan import Plan

Format = Literal["toml", "json"]
PLAN_LIMIT_BYTES: Final = 1_048_576
_HINT: Final = "docs/reference/plan.schema.json lists every field of a plan; examples/plans/ has whole plans."
_JSON: Final = msgspec.json.Decoder(float_hook=Decimal)
_T = TypeVar("_T")


def _refuse(message: str, param: str | None = None, hint: str = _HINT) -> MintageError:
    return MintageError("invalid_request", message, hint, param=param)


def parse_tree(raw: bytes, form: Format) -> object:
    """Plain data with exact numbers. Raises MintageError("invalid_request") with the line or byte at fault."""
    if len(raw) > PLAN_LIMIT_BYTES:
        raise _refuse(f"The file is larger than {PLAN_LIMIT_BYTES} bytes.", hint="Split it.")
    try:
        if form == "json":
            return _JSON.decode(raw)
        return tomllib.loads(raw.decode("utf-8"), parse_float=Decimal)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, ArithmeticError) as error:
        raise _refuse(f"The file is not valid {form.upper()}: {error}.", hint="Mend it at the place named.") from error
    except UnicodeDecodeError as error:
        raise _refuse(f"The file is not UTF-8 (byte {error.start}).", hint="Save the file as UTF-8.") from error
    except RecursionError as error:
        raise _refuse("The file is nested too deeply.") from error


def convert_data(data: object, kind: type[_T], what: str) -> _T:
    """Plain data as a type of ours. Raises MintageError("invalid_request") whose param is the path of the field."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        message, _, at = str(error).partition(" - at `$")
        path = at.rstrip("`").lstrip(".")
        raise _refuse(f"{path or what}: {message}.", path or None) from error
    except RecursionError as error:
        raise _refuse(f"{what} is nested too deeply.") from error


def _decimals(value: object, path: str) -> Iterator[tuple[str, Decimal]]:
    """Every number of a plan with the path of its field."""
    if isinstance(value, Decimal):
        yield path, value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _decimals(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _decimals(item, f"{path}.{name}")
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from _decimals(item, f"{path}[{index}]")


def check_numbers(data: _T) -> _T:
    """Finite, not negative, at most 12 places. Raises MintageError("invalid_request") that names the field."""
    for path, number in _decimals(data, ""):
        parse_decimal(number, param=path)
        if number < 0:
            raise _refuse(f"{path} is {number}, which is negative.", path, "Use a credit or a grant.")
    return data


def plan_from_data(data: object) -> Plan:
    """From plain data whose numbers are int, str or Decimal. Floats are refused: they are already wrong."""
    if path := _find_float(data, ""):
        raise _refuse(f"{path} is a binary float.", path, 'Write the number as a string: "0.15".')
    return check_numbers(convert_data(data, Plan, "The plan"))


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
    return plan_from_data(parse_tree(raw, form))
