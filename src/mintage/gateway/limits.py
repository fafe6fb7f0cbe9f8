"""GCRA: the generic cell rate algorithm, in memory, one timestamp per limiter.

It spaces cost units evenly and lets `burst` of them through at once (ITU-T I.371). Limits protect the service; they are
never authoritative for money.
"""

from __future__ import annotations

from mintage.base import MintageError


class Gcra:
    """At most `per_minute` units a minute; a full minute's worth may come at once."""

    __slots__ = ("_ns_per_unit", "_tat_ns", "_window_ns")

    def __init__(self, per_minute: int) -> None:
        self._ns_per_unit = 60_000_000_000 / per_minute
        self._window_ns = 60_000_000_000
        self._tat_ns = 0.0  # theoretical arrival time: when the bucket will be full again

    def take(self, units: int, now_ns: int) -> float:
        """Take units and return 0, or take nothing and return the seconds to wait. now_ns is monotonic."""
        start = self._tat_ns if self._tat_ns > now_ns else float(now_ns)
        after = start + units * self._ns_per_unit
        if after - now_ns > self._window_ns and start > now_ns:
            return (after - now_ns - self._window_ns) / 1e9
        self._tat_ns = after
        return 0.0

    def adjust(self, units: int) -> None:
        """Correct an earlier estimate: positive takes more, negative gives back."""
        self._tat_ns += units * self._ns_per_unit

    def remaining(self, now_ns: int) -> int:
        """Units that could be taken right now."""
        busy_ns = max(0.0, self._tat_ns - now_ns)
        return max(0, int((self._window_ns - busy_ns) / self._ns_per_unit))


class KeyLimits:
    """The limits of one key: requests and tokens per minute, and requests open at once. None means unlimited."""

    __slots__ = ("concurrent", "open", "requests", "requests_per_minute", "tokens", "tokens_per_minute")

    def __init__(
        self, requests_per_minute: int | None, tokens_per_minute: int | None, concurrent: int | None = None
    ) -> None:
        self.concurrent = concurrent
        self.open = 0
        self.requests_per_minute = requests_per_minute
        self.tokens_per_minute = tokens_per_minute
        self.requests = Gcra(requests_per_minute) if requests_per_minute else None
        self.tokens = Gcra(tokens_per_minute) if tokens_per_minute else None

    def admit(self, tokens_estimate: int, now_ns: int) -> None:
        """Take one request and the estimated tokens, or raise rate_limited with the time to wait.

        What was admitted is open until done() is called.
        """
        if self.concurrent is not None and self.open >= self.concurrent:
            raise MintageError(
                "rate_limited",
                f"This key may have {self.concurrent} requests open at once.",
                "Wait for one to end.",
                retry_after_s=1.0,
            )
        if self.requests is not None and (wait_s := self.requests.take(1, now_ns)):
            raise self._refusal("requests", self.requests_per_minute, wait_s)
        if self.tokens is not None and (wait_s := self.tokens.take(tokens_estimate, now_ns)):
            if self.requests is not None:
                self.requests.adjust(-1)
            raise self._refusal("tokens", self.tokens_per_minute, wait_s)
        self.open += 1

    def done(self, tokens: int) -> None:
        """An admitted request has ended: correct the estimate by so many tokens (negative gives back)."""
        self.open -= 1
        if self.tokens is not None:
            self.tokens.adjust(tokens)

    @staticmethod
    def _refusal(what: str, per_minute: int | None, wait_s: float) -> MintageError:
        return MintageError(
            "rate_limited",
            f"This key may use {per_minute} {what} per minute.",
            f"Try again in {wait_s:.1f} s, or ask for a higher limit.",
            retry_after_s=wait_s,
        )
