"""All of this room over one folder: files, policies, records."""

from __future__ import annotations

from pathlib import Path

from mintage.base import Clock
from mintage.content.files import FileStore, place
from mintage.content.policy import Policies
from mintage.content.records import Records


class Content:
    """files is shared: its tenants' keys encrypt the records too, so that one destruction erases both."""

    def __init__(self, folder: Path, clock: Clock, files: FileStore) -> None:
        self.files = files
        self.policies = Policies(folder, place)
        self.records = Records(folder, clock, self.policies, files)

    def erase(self, tenant_id: str) -> None:
        """Make everything that was ever kept of a tenant unreadable."""
        self.records.erase(tenant_id)

    def close(self) -> None:
        self.records.close()
