"""`mintage doctor`: looks at a home and its machine, and says of everything that is wrong how to mend it.

It only reads, and needs no lock: a server may run. Each check is a function that returns findings; one that fails in an
unforeseen way is a finding itself.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from mintage.accounts import Accounts
from mintage.app.backup import MARKER
from mintage.base import MintageError, Settings, SystemClock
from mintage.books import Database, FrameReader, Home, LedgerReader, verify_in_child
from mintage.registry import Registry

Level = Literal["ok", "warning", "fault"]
PYTHON_MIN: Final = (3, 11)
PYTHON_MAX: Final = (3, 13)
DISK_FAULT_BYTES: Final = 256 << 20
DISK_WARNING_BYTES: Final = 2 << 30
CLOCK_SLACK_NS: Final = 60 * 10**9
REACH_S: Final = 3.0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """mend: what to do about it; empty where nothing is wrong."""

    check: str
    level: Level
    message: str
    mend: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """healthy: no fault was found. Warnings do not make a home sick."""

    healthy: bool
    home: str
    findings: list[Finding]


class Doctor:
    """examine() walks all checks. quick: leave out the verification of the books, which reads the whole log."""

    def __init__(self, settings: Settings, *, quick: bool = False) -> None:
        self.settings = settings
        self.home = settings.home_path
        self._quick = quick

    async def examine(self) -> Diagnosis:
        findings: list[Finding] = []
        for check in (
            self.python, self.folder, self.disk, self.server, self.log, self.migrations, self.secrets, self.models,
        ):  # fmt: skip
            findings += await asyncio.to_thread(_safely, check)
        if not self._quick and (self.home / "log.db").exists():
            findings.append(await self._books())
        healthy = not any(finding.level == "fault" for finding in findings)
        return Diagnosis(healthy=healthy, home=str(self.home), findings=findings)

    def python(self) -> Iterator[Finding]:
        found = ".".join(map(str, sys.version_info[:3]))
        if PYTHON_MIN <= sys.version_info[:2] <= PYTHON_MAX:
            yield _ok("python", f"Python {found}.")
        else:
            yield _fault("python", f"Python {found} is not supported.", "Install Python 3.11, 3.12 or 3.13.")

    def folder(self) -> Iterator[Finding]:
        home = self.home
        if not home.is_dir():
            yield _warning("home", f"There is no home at {home} yet.", "Start with `mintage run`, or give --home.")
            return
        if (home / MARKER).exists():
            yield _fault("home", f"{home} was not restored whole.", "Run `mintage restore` on it once more.")
        if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
            yield _fault("home", f"{home} cannot be written by this user.", f"chown -R $(id -un) {home}")
        elif home.stat().st_mode & 0o077:
            yield _warning("home", f"{home} may be entered by other people.", f"chmod 700 {home}")
        else:
            yield _ok("home", f"{home} is its owner's alone.")

    def disk(self) -> Iterator[Finding]:
        place = next(path for path in (self.home, *self.home.parents) if path.exists())
        free = shutil.disk_usage(place).free
        text = f"{free / 2**30:.1f} GiB free at {place}."
        if free < DISK_FAULT_BYTES:
            yield _fault("disk", text, "Free some space: a full disk stops every paid request.")
        elif free < DISK_WARNING_BYTES:
            yield _warning("disk", text, "Free some space, or move the home to a larger disk.")
        else:
            yield _ok("disk", text)

    def server(self) -> Iterator[Finding]:
        home = Home(self.home)
        if not home.in_use():
            if home.server() is not None:
                yield _warning("server", "A server ended without saying so.", "Start it again: `mintage serve`.")
            yield from self._port()
            return
        address = home.server()
        if address is None:
            yield _warning("lock", "Another process has the home open, and is no server.", "Wait until it has ended.")
        elif _reaches(address.url):
            yield _ok("server", f"Process {address.pid} serves at {address.url}.")
        else:
            yield _fault(
                "server",
                f"Process {address.pid} holds the home but does not answer at {address.url}.",
                "Look at its log; stop it and start it again.",
            )

    def _port(self) -> Iterator[Finding]:
        host, port = self.settings.host, self.settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with closing(socket.socket(family)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                yield _fault(
                    "port",
                    f"{host} port {port} cannot be used: {error.strerror}.",
                    "Stop what uses it, or choose another with MINTAGE_PORT.",
                )
            else:
                yield _ok("port", f"{host} port {port} is free.")

    def log(self) -> Iterator[Finding]:
        path = self.home / "log.db"
        if not path.exists():
            return
        reader = FrameReader(path)
        try:
            last = reader.last_seq()
            entries = list(reader.entries(max(0, last - 1), last)) if last else []
        finally:
            reader.close()
        latest_ns = max((getattr(entry.body, "at_ns", 0) for entry in entries), default=0)
        yield _ok("log", f"The log can be read; its last entry is {last}.")
        if latest_ns > time.time_ns() + CLOCK_SLACK_NS:
            ahead_s = (latest_ns - time.time_ns()) // 10**9
            yield _fault("clock", f"The last entry is {ahead_s} s in the future.", "Set the clock; run NTP.")
        elif time.time() < 1_767_225_600:  # 2026, before which there was no Mintage
            yield _fault("clock", "The clock is in the past.", "Set the clock; run NTP.")
        else:
            yield _ok("clock", "The clock agrees with the log.")

    def migrations(self) -> Iterator[Finding]:
        if not (self.home / "books.db").exists():
            return
        with closing(Database.open(self.home / "books.db")) as database:
            found, known = database.versions()
            if found == known[-1]:
                yield _ok("migrations", f"The books are at version {found}.")
            elif found in known:
                yield _warning(
                    "migrations", f"The books are at {found}; {known[-1]} is next.", "The next start migrates: back up."
                )
                return
            else:
                yield _fault(
                    "migrations", f"A newer Mintage wrote the books ({found}).", "Install that version, or a newer one."
                )
                return
            sums: dict[str, int] = {}
            for row in LedgerReader(database).trial_balance():
                sums[row.currency] = sums.get(row.currency, 0) + row.balance_nanos
            if any(sums.values()):
                yield _fault(
                    "ledger", f"Debits and credits differ: {sums} nanos.", "`mintage books verify` tells where."
                )
            else:
                yield _ok("ledger", "Debits equal credits.")

    async def _books(self) -> Finding:
        try:
            report = await verify_in_child(self.home)
        except MintageError as error:
            return _fault("books", error.message, error.hint)
        if report.balanced:
            return _ok("books", "Every balance follows from the log.")
        wrong = ", ".join(check.name for check in report.checks if not check.ok)
        return _fault("books", f"The books do not balance: {wrong}.", "Restore a backup, and keep this home for study.")

    def secrets(self) -> Iterator[Finding]:
        if not (self.home / "books.db").exists():
            return
        with closing(Database.open(self.home / "books.db")) as database:
            found, known = database.versions()
            if found != known[-1]:
                return
            vault = Accounts(database, SystemClock(), self.home).vault
            names = vault.names()
            for name in names:
                try:
                    vault.get(name)
                except MintageError as error:
                    yield _fault("secrets", error.message, error.hint)
                    return
        yield _ok("secrets", f"{len(names)} secrets can be opened.")

    def models(self) -> Iterator[Finding]:
        if not self.home.is_dir():
            return
        entries = Registry(self.home).list()
        if not entries:
            yield _warning("models", "There is no model to sell.", "`mintage models pull smollm2-135m`.")
        for entry in entries:
            if entry.problem:
                yield _fault("models", f"{entry.name}: {entry.problem}", f"`mintage models pull {entry.name}` again.")
            elif entry.upstream is None:
                yield _ok("models", f"{entry.name} is here.")
            elif _reaches(entry.upstream.base_url):
                yield _ok("upstream", f"{entry.name} is reached at {entry.upstream.base_url}.")
            else:
                yield _fault(
                    "upstream",
                    f"{entry.name}: {entry.upstream.base_url} cannot be reached.",
                    "Check the network, the firewall and the provider's status page.",
                )


def _reaches(url: str) -> bool:
    """Whether something accepts a connection there."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=REACH_S).close()
    except OSError:
        return False
    return True


def _safely(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except MintageError as error:
        return [_fault(check.__name__, error.message, error.hint)]
    except Exception as error:
        return [_fault(check.__name__, f"The check failed: {type(error).__name__}: {error}", "Report this.")]


def _ok(check: str, message: str) -> Finding:
    return Finding(check=check, level="ok", message=message)


def _warning(check: str, message: str, mend: str) -> Finding:
    return Finding(check=check, level="warning", message=message, mend=mend)


def _fault(check: str, message: str, mend: str) -> Finding:
    return Finding(check=check, level="fault", message=message, mend=mend)
