"""All vendors' doors as one set of routes: what the application opens, and what tests open."""

from __future__ import annotations

from mintage.gateway import Gateway
from mintage.server.anthropic_door import AnthropicDoor
from mintage.server.google_door import GoogleDoor
from mintage.server.listener import Handler
from mintage.server.models_door import ModelsDoor
from mintage.server.openai_door import OpenAIDoor


class VendorDoors:
    """The dialects share paths, so their routes are made in one place."""

    def __init__(self, gateway: Gateway) -> None:
        self._openai = OpenAIDoor(gateway)
        self._anthropic = AnthropicDoor(gateway)
        self._google = GoogleDoor(gateway)
        self._models = ModelsDoor(gateway)

    def routes(self) -> dict[tuple[str, str], Handler]:
        return {**self._openai.routes(), **self._anthropic.routes(), **self._models.routes()}

    def prefixes(self) -> list[tuple[str, Handler]]:
        return [*self._openai.prefixes(), *self._google.prefixes(self._models.model)]
