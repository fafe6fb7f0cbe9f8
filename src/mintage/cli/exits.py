"""Exit codes that scripts may rely on: one table."""

from __future__ import annotations

from typing import Final

OK: Final = 0
FAILURE: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
REFUSED: Final = 4
UNAVAILABLE: Final = 5
INTERRUPTED: Final = 130

MEANINGS: Final[dict[int, str]] = {
    OK: "Done.",
    FAILURE: "It failed, or a check found something wrong (books that do not balance, an invoice that differs).",
    USAGE: "The command, an option or a value is wrong.",
    NOT_FOUND: "What was named does not exist.",
    REFUSED: "Refused: a conflict, missing funds, missing permission, or the home is locked by another process.",
    UNAVAILABLE: "Something needed is unavailable or busy; trying again later may help.",
    INTERRUPTED: "Interrupted with Ctrl-C.",
}

_BY_STATUS: Final[dict[int, int]] = {
    **dict.fromkeys((400, 405, 413, 415, 431), USAGE),
    404: NOT_FOUND,
    **dict.fromkeys((401, 402, 403, 409, 412), REFUSED),
    **dict.fromkeys((408, 429, 502, 503, 504), UNAVAILABLE),
}


def exit_code(status: int) -> int:
    """The exit code of an error with this HTTP status."""
    return _BY_STATUS.get(status, FAILURE)
