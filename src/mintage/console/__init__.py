"""The operator's pages: sign-in by one-time link, overview, live requests, customers, playground.

In: a browser's requests and the books. Out: HTML, event streams, static files. No business rule lives here.
Start with pages.py (the addresses), then overview.py (where figures come from), then view.py (how they look).
"""

from mintage.console.pages import console_router, on_error
from mintage.console.services import ConsoleServices

__all__ = ["ConsoleServices", "console_router", "on_error"]
