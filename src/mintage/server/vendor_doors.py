"""All vendors' doors as one set of routes: what the application opens, and what tests open."""

from __future__ import annotations

from mintage.gateway import Gateway
from mintage.server.anthropic_door import AnthropicDoor
from mintage.server.azure_paths import AzurePaths
from mintage.server.google_door import GoogleDoor
from mintage.server.listener import Handler
from mintage.server.media_door import MediaDoor
from mintage.server.models_door import ModelsDoor
from mintage.server.openai_door import OpenAIDoor
from mintage.server.reports_door import Reports, ReportsDoor
from mintage.server.responses_door import ResponsesDoor


class VendorDoors:
    """The dialects share paths, so their routes are made in one place."""

    def __init__(self, gateway: Gateway, *, reports: Reports | None = None) -> None:
        """reports: the running shipper; None serves no usage and cost reports."""
        self._openai = OpenAIDoor(gateway)
        self._responses = ResponsesDoor(gateway)
        self._media = MediaDoor(gateway)
        self._anthropic = AnthropicDoor(gateway)
        self._google = GoogleDoor(gateway)
        self._models = ModelsDoor(gateway)
        self._reports = ReportsDoor(gateway, reports) if reports is not None else None
        self._azure = AzurePaths(self.routes(), self._models.model)

    def routes(self) -> dict[tuple[str, str], Handler]:
        doors = (self._openai, self._responses, self._media, self._anthropic, self._models)
        found = {line: handler for door in doors for line, handler in door.routes().items()}
        return found if self._reports is None else {**found, **self._reports.routes()}

    def prefixes(self) -> list[tuple[str, Handler]]:
        return [
            *self._openai.prefixes(),
            *self._responses.prefixes(),
            *self._azure.prefixes(),
            *self._google.prefixes(self._models.model),
        ]
