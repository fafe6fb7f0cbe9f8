"""Who: the legal entity, staff, customers and their people, sessions, projects, keys, sealed secrets, the audit log.

In: a Database, a Clock, the home folder. Out: directory rows, key grants for the gateway, a version that moves with
every change. Every change is one transaction with one entry of a hash-chained audit log.
Start with changes.py (how anything changes), then roles.py (who may), sessions.py, tenants.py and keys.py.
"""

from pathlib import Path

from mintage.accounts.changes import SYSTEM, AuditEntry, AuditReport, Change, Changes
from mintage.accounts.checks import check_country, check_email, check_name, check_text, check_time_zone
from mintage.accounts.credentials import Credentials, CredentialState, NewTotp, RecoveryCodes
from mintage.accounts.entity import EntityUpdate, LegalEntities, LegalEntity
from mintage.accounts.keys import CreatedKey, Key, KeyGrant, Keys, KeyUpdate, NewKey, key_digest
from mintage.accounts.links import Links, SignInLink
from mintage.accounts.master import new_key_text
from mintage.accounts.pages import (
    PAGE_DEFAULT,
    PAGE_MAX,
    Page,
    check_limit,
    decode_cursor,
    encode_cursor,
    fetch_page,
)
from mintage.accounts.people import CustomerUser, Person, StaffMember, find_person
from mintage.accounts.replays import Replay, Replays
from mintage.accounts.roles import CUSTOMER_ROLES, PERMISSIONS, ROLES, STAFF_ROLES, TABLE, Permission, allows
from mintage.accounts.saved_views import SavedView, SavedViews
from mintage.accounts.scopes import PERIODS, BudgetPeriod
from mintage.accounts.secrets import KeyState, Rotation, SecretRow, Vault
from mintage.accounts.sessions import (
    COOKIE,
    SESSION_IDLE_S,
    SESSION_LIFE_S,
    Caller,
    Session,
    SessionRow,
    Sessions,
    csrf_token,
    require,
    session_cookie,
)
from mintage.accounts.staff import Staff, StaffUpdate
from mintage.accounts.tenants import NewTenant, Project, ProjectUpdate, Tenant, Tenants, TenantUpdate
from mintage.accounts.throttle import Throttle
from mintage.accounts.users import CustomerUsers, NewUser, SignUp, UserUpdate
from mintage.accounts.versions import check_match, etag, tag_of
from mintage.base import Clock
from mintage.books import Database


class Accounts:
    """All of this room, over one database."""

    def __init__(self, database: Database, clock: Clock, home: Path, *, master_key: str = "file") -> None:
        self.changes = Changes(database, clock)
        self.vault = Vault(self.changes, home, master_key)
        self.links = Links(self.changes)
        self.throttle = Throttle(clock)
        self.credentials = Credentials(self.changes, self.vault)
        self.sessions = Sessions(self.changes, self.credentials, self.links, self.throttle)
        self.entities = LegalEntities(self.changes)
        self.staff = Staff(self.changes, self.links)
        self.tenants = Tenants(self.changes)
        self.users = CustomerUsers(self.changes, self.links, self.tenants)
        self.keys = Keys(self.changes)
        self.views = SavedViews(self.changes)
        self.replays = Replays(self.changes, self.vault)

    def version(self) -> int:
        """Moves with every change of accounts and billing: rebuild the gateway's snapshot when it did."""
        return self.changes.version()


__all__ = [
    "COOKIE",
    "CUSTOMER_ROLES",
    "PAGE_DEFAULT",
    "PAGE_MAX",
    "PERIODS",
    "PERMISSIONS",
    "ROLES",
    "SESSION_IDLE_S",
    "SESSION_LIFE_S",
    "STAFF_ROLES",
    "SYSTEM",
    "TABLE",
    "Accounts",
    "AuditEntry",
    "AuditReport",
    "BudgetPeriod",
    "Caller",
    "Change",
    "Changes",
    "CreatedKey",
    "CredentialState",
    "Credentials",
    "CustomerUser",
    "CustomerUsers",
    "EntityUpdate",
    "Key",
    "KeyGrant",
    "KeyState",
    "KeyUpdate",
    "Keys",
    "LegalEntities",
    "LegalEntity",
    "Links",
    "NewKey",
    "NewTenant",
    "NewTotp",
    "NewUser",
    "Page",
    "Permission",
    "Person",
    "Project",
    "ProjectUpdate",
    "RecoveryCodes",
    "Replay",
    "Replays",
    "Rotation",
    "SavedView",
    "SavedViews",
    "SecretRow",
    "Session",
    "SessionRow",
    "Sessions",
    "SignInLink",
    "SignUp",
    "Staff",
    "StaffMember",
    "StaffUpdate",
    "Tenant",
    "TenantUpdate",
    "Tenants",
    "Throttle",
    "UserUpdate",
    "Vault",
    "allows",
    "check_country",
    "check_email",
    "check_limit",
    "check_match",
    "check_name",
    "check_text",
    "check_time_zone",
    "csrf_token",
    "decode_cursor",
    "encode_cursor",
    "etag",
    "fetch_page",
    "find_person",
    "key_digest",
    "new_key_text",
    "require",
    "session_cookie",
    "tag_of",
]
