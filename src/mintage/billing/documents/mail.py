"""Documents by e-mail, through the operator's own SMTP server."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formataddr, make_msgid
from typing import Final

import msgspec

from mintage.base import MintageError

_TIMEOUT_S: Final = 30.0


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """security: starttls (asked for and insisted on), tls (from the first byte), or none (only for this machine)."""

    host: str
    port: int = 587
    user: str = ""
    password: str = ""
    sender: str = ""
    security: str = "starttls"


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    media: str
    data: bytes


def send_mail(
    server: MailServer, to: str, subject: str, text: str, attachments: tuple[Attachment, ...], *, name: str = ""
) -> str:
    """Blocking: run it in a thread. Returns the message's id; raises upstream_failed with the server's own words."""
    if not to or "\n" in to or "\r" in to:
        raise MintageError(
            "invalid_request", "The customer has no e-mail address.", "Enter one in its billing profile."
        )
    message = EmailMessage()
    message["From"] = formataddr((name, server.sender))
    message["To"] = to
    message["Subject"] = " ".join(subject.split())
    message["Message-ID"] = message_id = make_msgid(domain=server.sender.rpartition("@")[2] or "localhost")
    message.set_content(text)
    for part in attachments:
        main, _, sub = part.media.partition("/")
        message.add_attachment(part.data, maintype=main, subtype=sub, filename=part.name)
    try:
        _deliver(server, message)
    except (OSError, smtplib.SMTPException) as error:
        raise MintageError(
            "upstream_failed",
            f"The mail server {server.host}:{server.port} did not take the message: {str(error)[:200]}",
            "Check the smtp_ settings; the invoice itself is issued all the same.",
        ) from error
    return message_id


def _deliver(server: MailServer, message: EmailMessage) -> None:
    context = ssl.create_default_context()
    if server.security == "tls":
        client: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=_TIMEOUT_S, context=context)
    else:
        client = smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT_S)
    with client:
        if server.security == "starttls":
            client.starttls(context=context)
        if server.user:
            client.login(server.user, server.password)
        client.send_message(message)
