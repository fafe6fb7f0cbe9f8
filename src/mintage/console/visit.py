"""One reader on one page: who they are, what they may do, what they sent, and the page that goes back.

Every page but the door begins with `open_visit`, which asks the session and the role's permission, so that no page can
forget to. Whatever changes something reads its form with `Visit.form`, which checks origin and CSRF token first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from litestar import Response
from litestar.response import Redirect

from mintage.accounts import Session, allows
from mintage.base import MintageError
from mintage.console.door import AnyRequest, check_origin, read_form, require_session
from mintage.console.i18n import Translator
from mintage.console.nav import places_for
from mintage.console.render import PAGE_HEADERS, Reader, page
from mintage.console.services import ConsoleServices

_QUERY_LIMIT: Final = 2_000
DAY_NS: Final = 86_400 * 10**9


class Given(dict[str, str]):
    """What a form held when it was sent; empty for a field that it had not."""

    def __missing__(self, name: str) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Visit:
    request: AnyRequest
    services: ConsoleServices
    session: Session
    reader: Reader

    @property
    def t(self) -> Translator:
        return self.reader.t

    @property
    def actor(self) -> str:
        """How the audit log names the reader."""
        return self.session.actor

    def may(self, permission: str) -> bool:
        return allows(self.session.role, permission)

    def query(self, name: str) -> str:
        """A value of the query, without blanks around it; empty if it is not there."""
        return self.request.query_params.get(name, "").strip()[:_QUERY_LIMIT]

    async def form(self) -> dict[str, str]:
        """What was sent, once it is known to come from our own page of this session."""
        check_origin(self.request)
        fields = await read_form(self.request)
        given = fields.pop("csrf", None) or self.request.headers.get("x-csrf-token")
        self.services.accounts.sessions.check_csrf(self.session, given)
        return {name: value.strip() for name, value in fields.items()}

    def link(self, **changes: str | None) -> str:
        """This address with another query: None takes a name away. Paging starts again unless a cursor is given."""
        passing = {"cursor", "done", "language", *changes}
        kept = parse_qsl(self.request.url.query[:_QUERY_LIMIT], keep_blank_values=False)
        fields = [(name, value) for name, value in kept if name not in passing]
        fields += [(name, value) for name, value in changes.items() if value is not None]
        return f"{self.request.url.path}?{urlencode(fields)}" if fields else self.request.url.path

    def render(
        self, template: str, place: str, title: str, values: dict[str, Any], *, problem: MintageError | None = None
    ) -> Response[bytes]:
        """A page in the frame. place is marked in the navigation; problem is told above the content."""
        done = self.query("done")
        frame: dict[str, Any] = {
            "page_title": title,
            "body_class": "at-desk",
            "operator": self.services.settings.operator,
            "staff_name": self.session.person.name,
            "role": self.session.role,
            "csrf": self.session.csrf,
            "groups": places_for(self.session.role),
            "place": place,
            "may": self.may,
            "link": self.link,
            "path": self.request.url.path,
            "language_href": self.link(language=self.reader.other),
            "done": self.reader.t.phrases.get(f"done.{done}", ""),
            "problem": problem,
            "live_url": "",
            "portal": self.session.tenant_id is not None,
        }
        if "given" in values:
            values = values | {"given": Given(values["given"])}
        status = 200 if problem is None else problem.status
        return page(self.request, template, frame | values, status=status, reader=self.reader)

    def go(self, path: str, done: str = "") -> Redirect:
        """After a change: to the page that shows it, with a word that it is done."""
        where = f"{path}{'&' if '?' in path else '?'}done={done}" if done else path
        return Redirect(where, status_code=303, headers=PAGE_HEADERS)


async def open_visit(request: AnyRequest, services: ConsoleServices, permission: str) -> Visit:
    """Raises SessionMissingError without a session, MintageError("permission_denied") for the wrong role."""
    session = await require_session(request, services.accounts, permission)
    return Visit(request, services, session, Reader(request))


def day_ns(text: str, param: str) -> int | None:
    """The start of a UTC day written as 2026-01-31; None for an empty text. Raises invalid_request."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise MintageError(
            "invalid_request", f"{text[:40]!r} is not a day.", "Write it as 2026-01-31.", param=param
        ) from error
    return (day - date(1970, 1, 1)).days * DAY_NS
