"""The admin API: everything that the command line and the operator's scripts can do, over HTTP and JSON.

In: a Desk (the parts of the house, wired by app.py). Out: a Litestar router under /admin/v1, or an app of it alone.
Every call names the permission that it needs; errors are problem+json; lists are pages with cursors.
Start with services.py (Desk), then api.py (routes), then any of the modules that it lists.
"""

from mintage.server.admin.api import PREFIX, admin_router, create_admin_app, openapi_config
from mintage.server.admin.problems import HANDLERS as PROBLEMS
from mintage.server.admin.services import Desk
from mintage.server.admin.session import change_password
from mintage.server.admin.signing_up import sign_up_customer

__all__ = [
    "PREFIX",
    "PROBLEMS",
    "Desk",
    "admin_router",
    "change_password",
    "create_admin_app",
    "openapi_config",
    "sign_up_customer",
]
