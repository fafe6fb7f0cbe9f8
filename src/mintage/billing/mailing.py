"""Invoices and reminders by e-mail: in the customer's language, with the PDF, on the audit log."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from mintage.accounts import SYSTEM, Accounts
from mintage.base import MintageError
from mintage.billing.documents.mail import Attachment, MailServer, send_mail
from mintage.billing.documents.words import day, money
from mintage.billing.invoices import Invoice
from mintage.billing.profiles import Profiles

#: In the vault: the password of the mail server's user.
SMTP_PASSWORD: Final = "smtp/password"  # noqa: S105 - a name, not a password
_WORDS: Final = {
    "en": {
        "subject": "Invoice {number} from {seller}",
        "text": "Hello {name},\n\nattached is invoice {number} of {total}. {due}\n\n{seller}\n",
        "due": "{open} are due on {day}.",
        "paid": "Nothing is left to pay.",
        "remind_subject": "Reminder: invoice {number} from {seller} is overdue",
        "remind": "Hello {name},\n\n{open} of invoice {number} were due on {day}. If you have paid meanwhile, thank "
        "you; otherwise please pay now. The invoice is attached.\n\n{seller}\n",
    },
    "zh": {
        "subject": "{seller} 账单 {number}",
        "text": "{name}，您好：\n\n附件为账单 {number}，价税合计 {total}。{due}\n\n{seller}\n",
        "due": "请于 {day}前支付 {open}。",
        "paid": "无需再付款。",
        "remind_subject": "催款提醒：{seller} 账单 {number} 已逾期",
        "remind": "{name}，您好：\n\n账单 {number} 尚有 {open} 未付，付款截止日为 {day}。如已付款，谨致谢意；"
        "否则请尽快支付。账单见附件。\n\n{seller}\n",
    },
}


class Mailed(msgspec.Struct, frozen=True, kw_only=True):
    number: str
    to: str
    message_id: str


class Mailer:
    """server: None until a mail server is set; its password comes from the vault with every message."""

    def __init__(self, accounts: Accounts, profiles: Profiles) -> None:
        self._accounts = accounts
        self._profiles = profiles
        self.server: MailServer | None = None

    async def send(self, actor: str, invoice: Invoice) -> Mailed:
        """The invoice to its customer. Raises unsupported without a server, upstream_failed in the server's words."""
        return await asyncio.to_thread(self._send, actor, invoice, "subject", "text")

    async def remind(self, invoice: Invoice, step: int) -> None:
        """One of the schedule's letters; which one, the audit log says."""
        del step
        await asyncio.to_thread(self._send, SYSTEM, invoice, "remind_subject", "remind")

    def _send(self, actor: str, invoice: Invoice, subject: str, text: str) -> Mailed:
        from mintage.billing.documents.make import make_document

        server = self._open()
        tenant = self._accounts.tenants.get(invoice.tenant_id)
        profile = self._profiles.profile(tenant.id)
        content = invoice.content
        words, seller = _WORDS[profile.language], content.seller.name
        told = {
            "number": invoice.number,
            "seller": seller,
            "name": content.customer.name,
            "total": f"{content.total} {content.currency}",
            "open": money(invoice.open_nanos, content.currency),
            "day": day(invoice.due_ns, profile.language),
        }
        told["due"] = words["due" if invoice.open_nanos > 0 else "paid"].format(**told)
        pdf, media = make_document(invoice, "pdf")
        to = profile.email or tenant.email
        parts = (Attachment(name=f"{invoice.number}.pdf", media=media, data=pdf),)
        message_id = send_mail(
            server, to, words[subject].format(**told), words[text].format(**told), parts, name=seller
        )
        with self._accounts.changes.change(actor, "invoice.mail", invoice.id, tenant_id=tenant.id) as change:
            change.note(to=to, message_id=message_id, kind=text)
        return Mailed(number=invoice.number, to=to, message_id=message_id)

    def _open(self) -> MailServer:
        if self.server is None:
            raise MintageError(
                "unsupported", "No mail server is set up.", "Set smtp_host and smtp_sender; see `mintage config show`."
            )
        if not self.server.user:
            return self.server
        return msgspec.structs.replace(self.server, password=self._accounts.vault.get(SMTP_PASSWORD))
