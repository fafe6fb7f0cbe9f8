"""Strict reading of an answer's JSON by an SDK's own types: nothing missing, nothing of the wrong type, nothing extra.

SDKs themselves are lenient: they build objects without checking them. Here the same types check.
"""

from __future__ import annotations

import functools
from typing import Any

import pydantic

#: What Mintage says beyond a vendor's types, in the places where vendors' servers do so too.
EXTENSIONS = frozenset({"reasoning_content"})


@functools.cache
def _adapter(shape: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(shape)


def read_strictly(shape: Any, raw: bytes | str, *, extensions: frozenset[str] = EXTENSIONS) -> Any:
    """The value; raises AssertionError or pydantic.ValidationError."""
    value = _adapter(shape).validate_json(raw, strict=True)
    _refuse_extras(value, "$", extensions)
    return value


def _refuse_extras(value: Any, path: str, extensions: frozenset[str]) -> None:
    if isinstance(value, pydantic.BaseModel):
        extras = set(value.model_extra or ()) - extensions
        assert not extras, f"{path} has {sorted(extras)}, which {type(value).__name__} does not know"
        for name in type(value).model_fields:
            _refuse_extras(getattr(value, name), f"{path}.{name}", extensions)
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            _refuse_extras(member, f"{path}[{index}]", extensions)
