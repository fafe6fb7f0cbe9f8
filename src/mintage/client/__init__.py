"""The admin API for Python programs: thin, typed by the API's own description, safe to retry. `mintage` is built on it.

In: a server's address and its admin token, or a home folder. Out: the API's JSON as Python objects, pages as
iterators, every failure as a MintageError with the API's code, message and hint.
Start with admin.py. It needs nothing of the server's side: it also works from another machine.
"""

from mintage.client.admin import AdminClient, Tagged, segment

__all__ = ["AdminClient", "Tagged", "segment"]
