"""What people prove themselves with: a password, a second factor, recovery codes. Kept apart from who they are."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import Change, Changes
from mintage.accounts.passwords import check_password, hash_password, verify_password
from mintage.accounts.people import Person, actor_of, tenant_of
from mintage.accounts.secrets import Vault
from mintage.accounts.tables import credentials
from mintage.accounts.totp import (
    matching_step,
    new_recovery_codes,
    new_secret,
    provisioning_uri,
    recovery_digest,
    text_of,
)
from mintage.base import MintageError

_WRONG_CODE: Final = "The code is wrong, or was used before."


class CredentialState(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has set up. recovery_codes: how many are left."""

    password: bool
    totp: bool
    recovery_codes: int


class NewTotp(msgspec.Struct, frozen=True, kw_only=True):
    """Shown once: the secret for typing in, and the address that a QR code holds. It counts once confirmed."""

    secret: str
    uri: str


class RecoveryCodes(msgspec.Struct, frozen=True, kw_only=True):
    """Shown once. Each works once in place of a code."""

    codes: list[str]


class Credentials:
    def __init__(self, changes: Changes, vault: Vault) -> None:
        self._changes = changes
        self._vault = vault

    def state(self, person_id: str) -> CredentialState:
        row = self._row(person_id)
        if row is None:
            return CredentialState(password=False, totp=False, recovery_codes=0)
        return CredentialState(
            password=row["password_hash"] is not None,
            totp=row["totp_confirmed_ns"] is not None,
            recovery_codes=len(msgspec.json.decode(row["recovery"])),
        )

    def _row(self, person_id: str) -> dict[str, Any] | None:
        select = sa.select(credentials).where(credentials.c.person_id == person_id)
        with self._changes.database.read() as connection:
            row = connection.execute(select).mappings().one_or_none()
        return None if row is None else dict(row)

    def set_password(self, person: Person, password: str) -> None:
        """The caller has made sure that the person may, and ends their other sessions. Raises invalid_request."""
        hashed = hash_password(check_password(password, own=(person.name, person.email)))
        with self._change(person, "password.set") as change:
            store(change, person.id, password_hash=hashed)

    def check(self, person: Person | None, password: str, code: str) -> None:
        """Raises unauthenticated: for a wrong password or code the same, and with details {"needs": "code"} where only
        the code is missing. A code that is right is used up. Takes as long for a person who does not exist."""
        row = None if person is None else self._row(person.id)
        if not verify_password(row["password_hash"] if row else None, password) or row is None or person is None:
            raise wrong()
        if row["totp_confirmed_ns"] is None:
            return
        if not code.strip():
            raise MintageError(
                "unauthenticated",
                "A code of your authenticator app is needed too.",
                "Send it, or a recovery code.",
                details={"needs": "code"},
            )
        if not self._use_code(person, row, code):
            raise wrong()

    def check_password(self, person: Person, password: str) -> None:
        """Before someone changes their own credentials. Raises permission_denied."""
        row = self._row(person.id)
        if not verify_password(row["password_hash"] if row else None, password):
            raise MintageError("permission_denied", "The current password is wrong.", "Try again.", param="current")

    def _use_code(self, person: Person, row: dict[str, Any], code: str) -> bool:
        secret = self._vault.unseal(_seal_name(person.id), row["totp_sealed"])
        step = matching_step(secret, code, self._changes.clock.now_ns(), after=row["totp_step"])
        if step is not None:
            return self._use_step(person, step)
        return recovery_digest(code) in msgspec.json.decode(row["recovery"]) and self._use_recovery(person, code)

    def _use_step(self, person: Person, step: int) -> bool:
        """Two sign-ins at once with one code: only the first finds an older step."""
        with self._changes.database.write() as connection:
            mine = (credentials.c.person_id == person.id) & (credentials.c.totp_step < step)
            return bool(connection.execute(credentials.update().where(mine).values(totp_step=step)).rowcount)

    def _use_recovery(self, person: Person, code: str) -> bool:
        with self._change(person, "recovery.use") as change:
            mine = credentials.c.person_id == person.id
            left = msgspec.json.decode(change.connection.scalar(sa.select(credentials.c.recovery).where(mine)) or "[]")
            if (used := recovery_digest(code)) not in left:
                return False
            left.remove(used)
            store(change, person.id, recovery=msgspec.json.encode(left).decode())
            change.note(left=len(left))
        return True

    def begin_totp(self, person: Person, issuer: str) -> NewTotp:
        """A new secret, which counts once it is confirmed. Raises conflict where one is confirmed already."""
        row = self._row(person.id)
        if row is not None and row["totp_confirmed_ns"] is not None:
            raise MintageError("conflict", "A second factor is set up already.", "Remove it first.")
        secret = new_secret()
        sealed = self._vault.seal(_seal_name(person.id), secret)
        with self._change(person, "totp.begin") as change:
            store(change, person.id, totp_sealed=sealed, totp_step=0)
        return NewTotp(secret=text_of(secret), uri=provisioning_uri(secret, issuer=issuer, account=person.email))

    def confirm_totp(self, person: Person, code: str) -> RecoveryCodes:
        """From now on a code is asked for. Raises permission_denied for a wrong code, conflict without a begin."""
        row = self._row(person.id)
        if row is None or row["totp_sealed"] is None or row["totp_confirmed_ns"] is not None:
            raise MintageError("conflict", "There is no second factor to confirm.", "Begin with a new one.")
        secret = self._vault.unseal(_seal_name(person.id), row["totp_sealed"])
        step = matching_step(secret, code, self._changes.clock.now_ns(), after=row["totp_step"])
        if step is None:
            raise MintageError("permission_denied", _WRONG_CODE, "Check the clock of your phone.", param="code")
        codes = new_recovery_codes()
        with self._change(person, "totp.confirm") as change:
            digests = msgspec.json.encode([recovery_digest(code) for code in codes]).decode()
            store(change, person.id, totp_confirmed_ns=change.now_ns, totp_step=step, recovery=digests)
        return RecoveryCodes(codes=codes)

    def remove_totp(self, person: Person, code: str) -> None:
        """By the person, with a code or a recovery code. Raises permission_denied, conflict."""
        row = self._row(person.id)
        if row is None or row["totp_confirmed_ns"] is None:
            raise MintageError("conflict", "There is no second factor.", "Nothing to remove.")
        if not self._use_code(person, row, code):
            raise MintageError("permission_denied", _WRONG_CODE, "Wait for the next one.", param="code")
        with self._change(person, "totp.remove") as change:
            store(change, person.id, totp_sealed=None, totp_confirmed_ns=None, recovery="[]")

    def reset(self, actor: str, person: Person) -> None:
        """By whoever manages the person: password, second factor and codes are gone; a link lets them begin anew."""
        with self._changes.change(
            actor, "credentials.reset", person.id, tenant_id=tenant_of(person), moves=False
        ) as change:
            change.connection.execute(credentials.delete().where(credentials.c.person_id == person.id))

    def _change(self, person: Person, action: str) -> Any:
        return self._changes.change(actor_of(person), action, person.id, tenant_id=tenant_of(person), moves=False)


def store(change: Change, person_id: str, **values: Any) -> None:
    """Change what is given of a person's credentials, in an open change."""
    connection, mine = change.connection, credentials.c.person_id == person_id
    values["updated_ns"] = change.now_ns
    if not connection.execute(credentials.update().where(mine).values(**values)).rowcount:
        empty = {"password_hash": None, "totp_sealed": None, "totp_confirmed_ns": None, "totp_step": 0}
        connection.execute(credentials.insert().values({"person_id": person_id, "recovery": "[]", **empty, **values}))


def wrong() -> MintageError:
    return MintageError(
        "unauthenticated",
        "The address, the password or the code is wrong.",
        "Try again, or ask for a one-time link.",
    )


def _seal_name(person_id: str) -> str:
    return f"totp/{person_id}"
