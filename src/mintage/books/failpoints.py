"""Named places where a test may kill, fail or stall this process. Unarmed, a point is one comparison with None.

MINTAGE_FAILPOINTS=name:action[:nth][,...] arms them at import, where action is `kill` (SIGKILL to ourselves, after a
moment in which other threads go on, so that whatever was said too early is heard), `raise` (MintageError internal) or
`stall` (stop for good), at the nth passage (default 1). Use:

    if failpoints.armed is not None:
        failpoints.hit("log.commit")
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Final

from mintage.base import MintageError

VARIABLE: Final = "MINTAGE_FAILPOINTS"
ACTIONS: Final = ("kill", "raise", "stall")
KILL_DELAY_S: Final = 0.003


class _Point:
    def __init__(self, action: str, nth: int) -> None:
        self.action = action
        self.left = nth


def parse(text: str) -> dict[str, _Point] | None:
    """None for an empty text. Raises MintageError("invalid_settings")."""
    points: dict[str, _Point] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, rest = item.partition(":")
        action, _, nth = rest.partition(":")
        if action not in ACTIONS or not (nth or "1").isdecimal() or int(nth or "1") < 1:
            raise MintageError(
                "invalid_settings",
                f"{VARIABLE}: {item[:80]!r} is not name:action[:nth].",
                f"Actions are {', '.join(ACTIONS)}; nth counts from 1.",
            )
        points[name] = _Point(action, int(nth or "1"))
    return points or None


armed: dict[str, _Point] | None = parse(os.environ.get(VARIABLE, ""))


def arm(text: str) -> None:
    """Arm points in this process, for tests; an empty text disarms."""
    global armed  # noqa: PLW0603 - a point must cost one global read
    armed = parse(text)


def hit(name: str) -> None:
    """Act if this passage of `name` is the armed one. Call only while `armed` is not None."""
    point = armed.get(name) if armed else None
    if point is None:
        return
    point.left -= 1
    if point.left:
        return
    if point.action == "kill":
        time.sleep(KILL_DELAY_S)
        os.kill(os.getpid(), signal.SIGKILL)
    if point.action == "stall":
        threading.Event().wait()
    raise MintageError("internal", f"Failpoint {name}.", "A test armed it.")
