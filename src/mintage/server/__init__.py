"""The doors: HTTP for the vendors' dialects, the admin API and the pages.

In: sockets. Out: HttpRequest and Exchange for hot handlers, an ASGI application behind a bridge for the rest.
Limits, timeouts and refusals are here; who may ask and what it costs is the gateway's business.
Start with listener.py (routes and life), then http1.py (one connection), then exchange.py (what a handler sees).
"""

from mintage.server.asgi_bridge import AsgiBridge
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.limits import HttpLimits
from mintage.server.listener import ErrorRenderer, Handler, HttpServer, plain_error

__all__ = [
    "AsgiBridge", "ErrorRenderer", "Exchange", "Handler", "HttpLimits", "HttpRequest", "HttpServer", "plain_error",
]  # fmt: skip
