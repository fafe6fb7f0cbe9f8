"""From templates to responses: Jinja with escaping on, the headers that keep a page safe, compression."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import Any, Final

import jinja2
from litestar import Request, Response
from litestar.datastructures import Cookie
from markupsafe import Markup

from mintage.console.assets import asset_url
from mintage.console.i18n import DEFAULT_LANGUAGE, LANGUAGE_COOKIE, LANGUAGES, Translator, choose_language, translator

THEME_COOKIE: Final = "mintage_theme"
_YEAR_S: Final = 365 * 86_400
_COMPRESS_FROM_BYTES: Final = 1_024

#: Nothing may come from elsewhere, nothing inline may run, nobody may frame the page.
SECURITY_HEADERS: Final[dict[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
#: A page holds money and names: it is not kept by caches, nor shown again after signing out.
PAGE_HEADERS: Final[dict[str, str]] = {**SECURITY_HEADERS, "cache-control": "no-store", "vary": "Cookie, HX-Request"}


@cache
def environment() -> jinja2.Environment:
    """The templates. A name that a template uses and nobody gave is an error, not an empty string."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("mintage.console", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def script_json(data: object) -> Markup:
    """JSON for a data block inside a page: `<` cannot end the block, whatever a name or a model's words contain."""
    return Markup(json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))  # noqa: S704


class Reader:
    """Who looks, as far as looks go: language and theme, from cookies and the browser's wishes."""

    def __init__(self, request: Request[Any, Any, Any]) -> None:
        chosen = request.query_params.get("language")
        self.new_language = chosen if chosen in LANGUAGES else None
        self.t: Translator = translator(
            choose_language(
                self.new_language or request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language")
            )
        )
        self.other = next((language for language in LANGUAGES if language != self.t.language), DEFAULT_LANGUAGE)
        theme = request.cookies.get(THEME_COOKIE)
        self.theme = theme if theme in ("light", "dark") else ""

    def cookies(self, *, secure: bool) -> list[Cookie]:
        if self.new_language is None:
            return []
        return [
            Cookie(
                key=LANGUAGE_COOKIE, value=self.new_language, path="/", max_age=_YEAR_S, samesite="lax",
                secure=secure, httponly=True,
            )
        ]  # fmt: skip

    def common(self) -> dict[str, Any]:
        """What base.html needs besides its title."""
        return {
            "t": self.t,
            "other": translator(self.other),
            "theme": self.theme,
            "asset": asset_url,
            "phrases_json": script_json(self.t.for_scripts()),
            "language_href": f"?language={self.other}",
        }


def fragment(name: str, values: dict[str, Any]) -> str:
    """A piece of a page as text."""
    return environment().get_template(name).render(values)


def page(
    request: Request[Any, Any, Any],
    name: str,
    values: dict[str, Any],
    *,
    status: int = 200,
    reader: Reader | None = None,
) -> Response[bytes]:
    """A whole page or a piece, compressed where the browser can.

    The CSRF token stands in compressed pages; that is safe because nothing that an outsider sends is repeated in them.
    """
    reader = reader or Reader(request)
    body = fragment(name, reader.common() | values).encode()
    headers = dict(PAGE_HEADERS)
    if len(body) >= _COMPRESS_FROM_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 6, mtime=0)
        headers["content-encoding"] = "gzip"
    return Response(
        content=body,
        status_code=status,
        media_type="text/html",
        headers=headers,
        cookies=reader.cookies(secure=request.url.scheme == "https"),
    )
