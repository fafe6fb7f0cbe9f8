"""Azure OpenAI's addresses: /openai/v1/..., and /openai/deployments/MODEL/... whose body may leave the model out.

They are OpenAI's operations under other names. What is behind a deployment's name is the model of that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import msgspec

from mintage.base import MintageError
from mintage.server.answering import Handling
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.listener import Handler

_MODEL_MAX: Final = 256
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_FORMS: Final = ("/audio/transcriptions", "/audio/translations")
_PART: Final = b'--%b\r\ncontent-disposition: form-data; name="model"\r\n\r\n%b\r\n'


class AzurePaths:
    """Hands requests on to the OpenAI routes."""

    def __init__(self, routes: Mapping[tuple[str, str], Handler], model: Handler) -> None:
        self._routes = routes
        self._model = model

    def prefixes(self) -> list[tuple[str, Handler]]:
        return [("/openai/v1/", self.plain), ("/openai/deployments/", self.deployment)]

    def plain(self, http: HttpRequest, exchange: Exchange) -> Handling:
        http.path = http.path.removeprefix("/openai")
        handler = self._routes.get((http.method, http.path))
        if handler is None and http.method == "GET" and http.path.startswith("/v1/models/"):
            handler = self._model
        if handler is None:
            raise _nothing()
        return handler(http, exchange)

    def deployment(self, http: HttpRequest, exchange: Exchange) -> Handling:
        name, _, rest = http.path.removeprefix("/openai/deployments/").partition("/")
        model = unquote(name)
        handler = self._routes.get((http.method, f"/v1/{rest}"))
        if handler is None or not 1 <= len(model) <= _MODEL_MAX:
            raise _nothing()
        http.path = f"/v1/{rest}"
        http.body = _named(http, model)
        return handler(http, exchange)


def _named(http: HttpRequest, model: str) -> bytes:
    """The body with the deployment's model in it: the path decides, whatever the body says."""
    if http.path.endswith(_FORMS):
        _, found, boundary = (http.header(b"content-type") or b"").partition(b"boundary=")
        edge = boundary.partition(b";")[0].strip(b' "')
        if not found or not edge or b'name="model"' in http.body:
            return http.body
        return _PART % (edge, model.encode()) + http.body
    try:
        members = _members(http.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return http.body  # the handler says what is wrong with it
    if members.get("model") is None:
        body = http.body.lstrip()
        rest = body[1:].lstrip()
        comma = b"" if rest.startswith(b"}") else b","
        return b'{"model":' + msgspec.json.encode(model) + comma + rest
    members["model"] = msgspec.Raw(msgspec.json.encode(model))
    return msgspec.json.encode(members)


def _nothing() -> MintageError:
    return MintageError("not_found", "There is nothing at this path.", "Look at the deployment and the base URL.")
