"""Which kinds of work there are: a name, what runs it and where, how often it is tried again.

A kind's `run` is a function that takes a Context and returns plain data (or Done). Given as "package.module:function"
it runs in a child process of its own (spawned, so that a crash or a leak is not the server's); given as a callable it
runs here: a coroutine function on the event loop, any other function in a thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mintage.base import MintageError
from mintage.jobs.job import ATTEMPTS_MAX

KINDS_MAX: Final = 500
_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_PATH: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """run: "package.module:function" for a child process, a callable for this one. running_max: at once, in all
    processes. timeout_s: of one attempt. The nth try waits backoff_s * 2**(n-1) seconds, at most backoff_max_s.
    by_hand: people may start it through the admin API and the command line.
    """

    name: str
    run: str | Callable[[Any], Any]
    explanation: str = ""
    attempts_max: int = 3
    running_max: int = 4
    timeout_s: float = 3600.0
    backoff_s: float = 5.0
    backoff_max_s: float = 600.0
    grace_s: float = 10.0
    by_hand: bool = False

    @property
    def in_child(self) -> bool:
        return isinstance(self.run, str)

    def retry_delay_s(self, attempts: int) -> float:
        """Seconds from the failure of the attempts-th try to the next."""
        return min(self.backoff_max_s, self.backoff_s * 2.0 ** min(attempts - 1, 40))


class Kinds:
    """The kinds that this program knows. Another program's jobs stay queued until one comes that knows them."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}

    def register(self, name: str, run: str | Callable[[Any], Any], **options: Any) -> Kind:
        """Make a kind known. options: the other fields of Kind. Registering a name again replaces it."""
        kind = Kind(name=name, run=run, **options)
        if not _NAME.fullmatch(name):
            raise MintageError("invalid_request", f"{name[:80]!r} cannot name a kind of job.", "Use a-z 0-9 _ . -")
        if isinstance(run, str) and not _PATH.fullmatch(run):
            raise MintageError("invalid_request", f"{run[:80]!r} names no function.", "Write package.module:function.")
        if not 1 <= kind.attempts_max <= ATTEMPTS_MAX or kind.running_max < 1 or kind.timeout_s <= 0:
            raise MintageError("invalid_request", f"The kind {name!r} has limits that cannot be kept.", "See Kind.")
        if name not in self._kinds and len(self._kinds) >= KINDS_MAX:
            raise MintageError("conflict", f"There are {KINDS_MAX} kinds of jobs.", "Register fewer.")
        self._kinds[name] = kind
        return kind

    def get(self, name: str) -> Kind:
        """Raises not_found."""
        if (kind := self._kinds.get(name)) is None:
            known = ", ".join(sorted(self._kinds)) or "none"
            raise MintageError("not_found", f"There is no kind of job {name[:80]!r}.", f"Known: {known}.")
        return kind

    def all(self) -> list[Kind]:
        return sorted(self._kinds.values(), key=lambda kind: kind.name)

    def __contains__(self, name: str) -> bool:
        return name in self._kinds
