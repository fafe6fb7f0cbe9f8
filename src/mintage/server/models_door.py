"""What a key may use, in the dialect of whoever asks: GET /v1/models and /v1/models/{id}, and Google's /v1beta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar
from urllib.parse import unquote

from mintage.base import MintageError
from mintage.gateway import Gateway, Route
from mintage.protocols import anthropic, google, openai
from mintage.server.answering import JSON
from mintage.server.dialects import api_key, dialect_of, query_of
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.listener import Handler

_PAGE_DEFAULT: Final = {"anthropic": 20, "google": 50}
_PAGE_MAX: Final = 1000
T = TypeVar("T")


class ModelsDoor:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {("GET", "/v1/models"): self.models, ("GET", "/v1beta/models"): self.models}

    def models(self, http: HttpRequest, exchange: Exchange) -> None:
        caller = self._gateway.identify(api_key(http), http)
        routes = self._gateway.snapshot.visible_routes(caller)
        dialect = dialect_of(http)
        if dialect == "openai":
            body = openai.encode_models([(r.model, r.created_s, r.owner) for r in routes])
        elif dialect == "anthropic":
            query = query_of(http)
            page, more = _page(routes, _count(query, "limit", dialect), query.get("after_id"), query.get("before_id"))
            body = anthropic.encode_models(map(_anthropic, page), has_more=more)
        else:
            query = query_of(http)
            page, more = _page(routes, _count(query, "pageSize", dialect), query.get("pageToken"), None)
            body = google.encode_models(map(_google, page), next_page=page[-1].model if more else None)
        exchange.send(200, [JSON], body)

    def model(self, http: HttpRequest, exchange: Exchange) -> None:
        """For paths that end in a model's name, whatever stands in front."""
        caller = self._gateway.identify(api_key(http), http)
        route = self._gateway.snapshot.route(caller, unquote(http.path.partition("/models/")[2]))
        dialect = dialect_of(http)
        if dialect == "openai":
            body = openai.encode_model(route.model, route.created_s, route.owner)
        elif dialect == "anthropic":
            body = anthropic.encode_model(_anthropic(route))
        else:
            body = google.encode_model(_google(route))
        exchange.send(200, [JSON], body)


def _count(query: dict[str, str], name: str, dialect: str) -> int:
    text = query.get(name)
    if text is None:
        return _PAGE_DEFAULT[dialect]
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= _PAGE_MAX:
        raise MintageError("invalid_request", f"'{name}' is 1 to {_PAGE_MAX}.", "Ask for less.", param=name)
    return int(text)


def _page(routes: Sequence[Route], limit: int, after: str | None, before: str | None) -> tuple[list[Route], bool]:
    """(one page, whether there is more in the direction that was asked for)."""
    names = [route.model for route in routes]
    if before is not None:
        rest = routes[: names.index(before)] if before in names else []
        return list(rest[-limit:]), len(rest) > limit
    rest = routes[names.index(after) + 1 :] if after in names else routes if after is None else []
    return list(rest[:limit]), len(rest) > limit


def _anthropic(route: Route) -> anthropic.ModelEntry:
    able = route.capabilities
    return anthropic.ModelEntry(route.model, route.created_s, able.context_tokens, able.max_output_tokens)


def _google(route: Route) -> google.ModelEntry:
    able = route.capabilities
    return google.ModelEntry(route.model, able.operations, able.context_tokens, able.max_output_tokens)
