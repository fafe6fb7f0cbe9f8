"""How invoices are made: the seller's settings, and what each customer wants on its own invoices."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Meta

from mintage.accounts import Changes, check_email, check_text
from mintage.base import MintageError
from mintage.billing.tables_invoicing import billing_profiles
from mintage.billing.tax import check_tax_id

T = TypeVar("T", "BillingSettings", "BillingProfile")
Line = Annotated[str, Meta(max_length=200)]
Days = Annotated[int, Meta(ge=0, le=365)]


class BillingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the legal entity. grace_hours: how long a period that has ended waits for late events before it is final.

    payment_days: until when an invoice is to be paid. reminder_days: days past due of each reminder; a card on file is
    tried again on the same days. uncollectible_days: days past due after which the operator is told to write it off.
    """

    grace_hours: Annotated[int, Meta(ge=0, le=24 * 60)] = 0
    payment_days: Days = 14
    region: Annotated[str, Meta(max_length=32)] = ""
    street: Line = ""
    postal_code: Line = ""
    city: Line = ""
    email: Line = ""
    bank_name: Line = ""
    iban: Line = ""
    bic: Line = ""
    footer: Annotated[str, Meta(max_length=1000)] = ""
    credit_note_prefix: Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,12}\Z")] = "CN"
    reminder_days: Annotated[tuple[Days, ...], Meta(max_length=10)] = (3, 10, 20)
    uncollectible_days: Days = 60


class Fapiao(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a Chinese fapiao needs of the buyer (发票抬头). tax_number is the unified social credit code."""

    kind: Literal["general", "special"] = "general"
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    tax_number: Line = ""
    address_phone: Line = ""
    bank_account: Line = ""
    email: Line = ""


class BillingProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a customer. exempt: the number of its certificate. payment_days: other days than the seller's."""

    email: Line = ""
    language: Literal["en", "zh"] = "en"
    region: Annotated[str, Meta(max_length=32)] = ""
    street: Line = ""
    postal_code: Line = ""
    city: Line = ""
    purchase_order: Line = ""
    exempt: Line = ""
    payment_days: Days | None = None
    fapiao: Fapiao | None = None


class Profiles:
    """Blocking, for a thread."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def settings(self, entity_id: str) -> BillingSettings:
        return self._get(entity_id, BillingSettings)

    def put_settings(self, actor: str, entity_id: str, settings: BillingSettings) -> BillingSettings:
        check_email(settings.email)
        if list(settings.reminder_days) != sorted(set(settings.reminder_days)):
            raise MintageError(
                "invalid_request", "reminder_days are not in order.", "Write them as 3, 10, 20.", param="reminder_days"
            )
        _check_iban(settings.iban)
        return self._put(actor, entity_id, None, settings)

    def profile(self, tenant_id: str) -> BillingProfile:
        return self._get(tenant_id, BillingProfile)

    def put_profile(self, actor: str, tenant_id: str, profile: BillingProfile) -> BillingProfile:
        """Raises invalid_request for an address that is none, or a credit code with wrong check digits."""
        check_email(profile.email)
        if (fapiao := profile.fapiao) is not None:
            check_email(fapiao.email)
            if fapiao.kind == "special" and not fapiao.tax_number:
                raise MintageError(
                    "invalid_request",
                    "A special fapiao (增值税专用发票) needs the buyer's tax number.",
                    "Give the 18 characters of its unified social credit code.",
                    param="fapiao.tax_number",
                )
            if fapiao.tax_number:
                check_tax_id("CN", fapiao.tax_number)
        return self._put(actor, tenant_id, tenant_id, profile)

    def _get(self, subject: str, type_: type[T]) -> T:
        select = sa.select(billing_profiles.c.content).where(billing_profiles.c.subject == subject)
        with self._changes.database.read() as connection:
            found = connection.scalar(select)
        return type_() if found is None else msgspec.json.decode(found, type=type_)

    def _put(self, actor: str, subject: str, tenant_id: str | None, value: T) -> T:
        for name, text in msgspec.structs.asdict(value).items():
            if isinstance(text, str):
                check_text(text, name)
        row = {"subject": subject, "content": msgspec.json.encode(value).decode()}
        details: dict[str, Any] = {"language": value.language} if isinstance(value, BillingProfile) else {}
        with self._changes.change(actor, "billing.profile", subject, tenant_id=tenant_id, **details) as change:
            change.connection.execute(billing_profiles.delete().where(billing_profiles.c.subject == subject))
            change.connection.execute(billing_profiles.insert().values(**row))
        return value


def _check_iban(iban: str) -> None:
    """ISO 13616: the number, moved and read as digits, leaves 1 over 97."""
    plain = iban.replace(" ", "").upper()
    if not plain:
        return
    moved = plain[4:] + plain[:4]
    digits = "".join(str(int(char, 36)) if char.isascii() and char.isalnum() else "x" for char in moved)
    if not 15 <= len(plain) <= 34 or "x" in digits or int(digits) % 97 != 1:
        raise MintageError("invalid_request", "The IBAN's check digits are wrong.", "Copy it again.", param="iban")
