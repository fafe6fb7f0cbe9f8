"""Form data with a file in it, read from a whole body."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mintage.base import MintageError

_FIELDS_MAX: Final = 64
_FIELD_BYTES_MAX: Final = 64 * 1024
_HINT: Final = "Send multipart/form-data as an SDK or `curl -F` does."


@dataclass(slots=True)
class Form:
    """fields: every value of each name, in order, `[]` taken off the name. files: (file name, bytes) by field."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        """The only value of a field. Raises invalid_request if there are several."""
        values = self.fields.get(name, [])
        if len(values) > 1:
            raise MintageError("invalid_request", f"'{name}' is sent twice.", "Send it once.", param=name)
        return values[0] if values else None


def parse_form(content_type: bytes, body: bytes) -> Form:
    """Raises invalid_request for what is no form, and for one beyond the limits."""
    from multipart import MultipartError, PushMultipartParser, parse_options_header

    try:
        kind, options = parse_options_header(content_type.decode("latin-1"))
        boundary = options.get("boundary", "")
        if kind != "multipart/form-data" or not 1 <= len(boundary) <= 200:
            raise MintageError("invalid_request", "The body is no form.", _HINT)
        form = Form()
        with PushMultipartParser(boundary, content_length=len(body), max_segment_count=_FIELDS_MAX) as parser:
            segment: object = None
            pieces: list[bytes] = []
            for event in parser.parse(body):
                if event is None:
                    _keep(form, segment, b"".join(pieces))
                    segment = None
                elif isinstance(event, bytes | bytearray):
                    pieces.append(bytes(event))
                else:
                    segment, pieces = event, []
            if segment is not None:
                raise MintageError("invalid_request", "The form is cut off.", _HINT)
    except (MultipartError, UnicodeError, ValueError, AssertionError):
        raise MintageError("invalid_request", "The form cannot be read.", _HINT) from None
    return form


def _keep(form: Form, segment: object, data: bytes) -> None:
    name = str(getattr(segment, "name", "") or "").removesuffix("[]")
    filename = getattr(segment, "filename", None)
    if filename is not None:
        if name in form.files:
            raise MintageError("invalid_request", f"'{name[:64]}' is sent twice.", "Send one file.", param=name[:64])
        form.files[name] = (str(filename)[:255], data)
        return
    if len(data) > _FIELD_BYTES_MAX:
        raise MintageError("invalid_request", f"'{name[:64]}' is too long.", "Send less.", param=name[:64])
    form.fields.setdefault(name, []).append(data.decode("utf-8"))
