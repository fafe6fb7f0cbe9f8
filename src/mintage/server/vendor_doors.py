"""All vendors' doors as one set of routes: what the application opens, and what tests open."""

from __future__ import annotations

from mintage.content import FileStore
from mintage.gateway import Gateway
from mintage.jobs import Jobs
from mintage.server.anthropic_door import AnthropicDoor
from mintage.server.azure_paths import AzurePaths
from mintage.server.batch_run import BatchRunner
from mintage.server.batch_voices import batch_voices
from mintage.server.batches_door import KIND, MESSAGES_KIND, BatchesDoor
from mintage.server.google_door import GoogleDoor
from mintage.server.listener import Handler
from mintage.server.media_door import MediaDoor
from mintage.server.models_door import ModelsDoor
from mintage.server.openai_door import OpenAIDoor
from mintage.server.reports_door import Reports, ReportsDoor
from mintage.server.responses_door import ResponsesDoor


class VendorDoors:
    """The dialects share paths, so their routes are made in one place."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        reports: Reports | None = None,
        files: FileStore | None = None,
        jobs: Jobs | None = None,
    ) -> None:
        """reports: the running shipper; None serves no usage and cost reports. Batches need files and jobs."""
        self._openai = OpenAIDoor(gateway)
        self._responses = ResponsesDoor(gateway)
        self._media = MediaDoor(gateway)
        self._anthropic = AnthropicDoor(gateway)
        self._google = GoogleDoor(gateway)
        self._models = ModelsDoor(gateway)
        self._reports = ReportsDoor(gateway, reports) if reports is not None else None
        self._batches = BatchesDoor(gateway, files, jobs) if files is not None and jobs is not None else None
        self._azure = AzurePaths(self.routes(), self._models.model)

    def routes(self) -> dict[tuple[str, str], Handler]:
        doors = (self._openai, self._responses, self._media, self._anthropic, self._models)
        found = {line: handler for door in doors for line, handler in door.routes().items()}
        for door in (self._reports, self._batches):
            if door is not None:
                found |= door.routes()
        return found

    def prefixes(self) -> list[tuple[str, Handler]]:
        return [
            *([] if self._batches is None else self._batches.prefixes()),
            *self._openai.prefixes(),
            *self._responses.prefixes(),
            *self._azure.prefixes(),
            *self._google.prefixes(self._models.model),
        ]


def register_batches(jobs: Jobs, gateway: Gateway, files: FileStore) -> None:
    """Make the kinds known that work batches off."""
    runner = BatchRunner(gateway, files, batch_voices())
    for kind, what in ((KIND, "Answer every line of a file."), (MESSAGES_KIND, "Answer every message of a batch.")):
        jobs.kinds.register(kind, runner.run, explanation=what, timeout_s=86_400.0)
