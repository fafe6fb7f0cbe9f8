"""The composition root: the one place where the parts of a Mintage are wired together, opened, served and closed.

In: Settings. Out: an App (everything of one home, opened) and a Service (its doors).
Nothing imports this but the command line; it may import every room.
Start with parts.py (what there is), then service.py (how it is served), then upkeep.py (what runs beside it).
"""

from mintage.app.parts import App
from mintage.app.service import Service

__all__ = ["App", "Service"]
