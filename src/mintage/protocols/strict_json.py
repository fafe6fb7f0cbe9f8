"""Strict JSON: a body is decoded here, once, and whatever is wrong with it becomes one typed error.

Decoders keep the last of repeated keys, or the first. Two readers of one body that disagree on `model` would rate one
model and call another, so repeated keys are refused, at any depth.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from mintage.base import MintageError

T = TypeVar("T")

#: Free-form objects (JSON Schemas) may nest this deep: far above any real schema, far below the recursion limit.
DEPTH_LIMIT: Final = 64
_SHOWN_CHARS: Final = 120
_INT_LIMIT: Final = 2**63

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, object]).decode
_WHERE = re.compile(r"(?P<problem>.*?)(?: - at (?:`key` in )?`\$(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_TYPE_NAMES: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def parse_json(raw: bytes) -> object:
    """The value of a body. Raises invalid_json for anything that two readers could read differently, or not at all."""
    try:
        value = _decode(raw)
        # What encodes back to the same bytes had no repeated key. Blanks are the usual difference: take them out.
        written = _encode(value)
        if written != raw and written != msgspec.json.format(raw, indent=-1):
            _refuse_repeated_keys(raw)
    except MintageError:
        raise
    except RecursionError:
        raise _invalid_json("It is nested too deeply.", "No request needs more than a few dozen levels.") from None
    except UnicodeError:
        raise _invalid_json("It is not valid UTF-8.", "Encode the body as UTF-8, without lone surrogates.") from None
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise _invalid_json(_shown(str(error)).rstrip(".") + ".", "Send one JSON object, encoded as UTF-8.") from None
    return value


def convert(value: object, shape: type[T], unsupported: Mapping[str, str]) -> T:
    """A parsed body as a Struct. Raises invalid_request with the field at fault as param.

    unsupported: field path without indexes -> hint. A field there that fails because it is set to what we do not
    serve raises `unsupported` instead.
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise _explain(str(error), shape, unsupported) from None
    except (UnicodeError, RecursionError, OverflowError, ValueError):
        raise _invalid_json("It cannot be read.", "Send one JSON object, encoded as UTF-8.") from None


def encode_json(value: object) -> bytes:
    """JSON bytes; a lone surrogate that an engine let through becomes a question mark instead of an exception."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_mend(value))


def json_object(text: str) -> dict[str, object] | None:
    """The object that a model wrote as text; None if it is none."""
    try:
        return _object(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def invalid(message: str, hint: str, param: str | None, reason: str = "invalid_value") -> MintageError:
    """A field is wrong. reason is the stable, finer code that OpenAI's dialect shows."""
    return MintageError("invalid_request", message, hint, param=param, details={"reason": reason})


def check_depth(value: object, param: str, depth: int = DEPTH_LIMIT) -> None:
    """Refuse a free-form object that is nested too deeply, or that holds an integer no 64-bit reader can hold."""
    if depth == 0:
        raise invalid(
            f"'{param}' is nested more than {DEPTH_LIMIT} levels deep.", "Flatten it, or use $defs and $ref.", param
        )
    if isinstance(value, dict):
        for member in value.values():
            check_depth(member, param, depth - 1)
    elif isinstance(value, list):
        for member in value:
            check_depth(member, param, depth - 1)
    elif isinstance(value, int) and not -_INT_LIMIT <= value < _INT_LIMIT:
        raise invalid(f"'{param}' holds an integer beyond 64 bits.", "Write it as a number of 64 bits.", param)


def _mend(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_mend(key): _mend(member) for key, member in value.items()}
    return [_mend(member) for member in value] if isinstance(value, list) else value


def _refuse_repeated_keys(raw: bytes) -> None:
    def members(pairs: list[tuple[str, object]]) -> None:
        if len({key for key, _ in pairs}) != len(pairs):
            seen: set[str] = set()
            name = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise MintageError(
                "invalid_json",
                f"The key '{_shown(name)}' appears twice in one object.",
                "Send each key once.",
                param=_shown(name),
            )

    json.loads(raw, object_pairs_hook=members)


def _explain(text: str, shape: type, unsupported: Mapping[str, str]) -> MintageError:
    """msgspec's one sentence as our error: which field, what is wrong, what to do."""
    match = _WHERE.fullmatch(text)
    assert match is not None  # the pattern's second part is optional
    problem, path = match["problem"], (match["path"] or "").replace("[...]", "").removeprefix(".")
    if unknown := _UNKNOWN.fullmatch(problem):
        return _unknown_field(unknown[1], path, shape)
    if missing := _MISSING.fullmatch(problem):
        param = f"{path}.{missing[1]}" if path else missing[1]
        return invalid(
            f"Missing required parameter: '{param}'.", f"Add `{missing[1]}`.", param, "missing_required_parameter"
        )
    hint = unsupported.get(re.sub(r"\[\d+\]", "", path))
    if hint is not None and problem.startswith(("Expected `null`", "Invalid enum value", "Invalid value")):
        return MintageError("unsupported", f"'{_shown(path)}' is set to what is not served here.", hint, param=path)
    return _wrong_value(problem, path)


def _unknown_field(name: str, path: str, shape: type) -> MintageError:
    name = _shown(name)
    param = f"{path}.{name}" if path else name
    known: tuple[str, ...] = getattr(shape, "__struct_fields__", ()) if not path else ()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean `{near[0]}`?" if near else "Leave it out."
    return invalid(f"Unknown parameter: '{param}'.", hint, param, "unknown_parameter")


def _wrong_value(problem: str, path: str) -> MintageError:
    words = re.sub(r"`([a-z |]+)`", lambda m: " or ".join(_TYPE_NAMES.get(w, w) for w in m[1].split(" | ")), problem)
    words = _shown(words[:1].lower() + words[1:])
    where = f"for '{path}'" if path else "for the body"
    reason = "invalid_type" if ", got " in problem else "invalid_value"
    kind = "type" if reason == "invalid_type" else "value"
    hint = "The API reference lists the fields and their ranges." if path else "Send one JSON object."
    return invalid(f"Invalid {kind} {where}: {words}.", hint, path or None, reason)


def _invalid_json(problem: str, hint: str) -> MintageError:
    return MintageError("invalid_json", f"The body is not valid JSON. {problem}", hint)


def _shown(text: str) -> str:
    """Cut to what a message can carry."""
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "..."
