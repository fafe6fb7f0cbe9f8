"""Who: the legal entity, staff and sessions, tenants, projects, keys, sealed secrets, the audit log.

In: a Database, a Clock, the home folder. Out: directory rows, key grants for the gateway, a version that moves with
every change. Every change is one transaction with one entry of a hash-chained audit log.
Start with changes.py (how anything changes), then tenants.py and keys.py.
"""

from pathlib import Path

from mintage.accounts.changes import SYSTEM, AuditEntry, AuditReport, Change, Changes
from mintage.accounts.checks import check_country, check_email, check_name, check_text, check_time_zone
from mintage.accounts.entity import EntityUpdate, LegalEntities, LegalEntity
from mintage.accounts.keys import CreatedKey, Key, KeyGrant, Keys, NewKey, key_digest
from mintage.accounts.pages import (
    PAGE_DEFAULT,
    PAGE_MAX,
    Page,
    check_limit,
    decode_cursor,
    encode_cursor,
    fetch_page,
)
from mintage.accounts.roles import PERMISSIONS, ROLES, allows
from mintage.accounts.secrets import MasterKey, Vault
from mintage.accounts.sessions import COOKIE, SESSION_LIFE_S, Session, Sessions, csrf_token, session_cookie
from mintage.accounts.staff import SignInLink, Staff, StaffMember
from mintage.accounts.tenants import NewTenant, Project, Tenant, Tenants, TenantUpdate
from mintage.base import Clock
from mintage.books import Database


class Accounts:
    """All of this room, over one database."""

    def __init__(self, database: Database, clock: Clock, home: Path) -> None:
        self.changes = Changes(database, clock)
        self.entities = LegalEntities(self.changes)
        self.staff = Staff(self.changes)
        self.sessions = Sessions(self.changes)
        self.tenants = Tenants(self.changes)
        self.keys = Keys(self.changes)
        self.vault = Vault(self.changes, home)

    def version(self) -> int:
        """Moves with every change of accounts and billing: rebuild the gateway's snapshot when it did."""
        return self.changes.version()


__all__ = [
    "COOKIE",
    "PAGE_DEFAULT",
    "PAGE_MAX",
    "PERMISSIONS",
    "ROLES",
    "SESSION_LIFE_S",
    "SYSTEM",
    "Accounts",
    "AuditEntry",
    "AuditReport",
    "Change",
    "Changes",
    "CreatedKey",
    "EntityUpdate",
    "Key",
    "KeyGrant",
    "Keys",
    "LegalEntities",
    "LegalEntity",
    "MasterKey",
    "NewKey",
    "NewTenant",
    "Page",
    "Project",
    "Session",
    "Sessions",
    "SignInLink",
    "Staff",
    "StaffMember",
    "Tenant",
    "TenantUpdate",
    "Tenants",
    "Vault",
    "allows",
    "check_country",
    "check_email",
    "check_limit",
    "check_name",
    "check_text",
    "check_time_zone",
    "csrf_token",
    "decode_cursor",
    "encode_cursor",
    "fetch_page",
    "key_digest",
    "session_cookie",
]
