"""A copy of a whole home, made while it is served, and a home made from such a copy.

Parts are copied in the order in which they may lag behind each other: lake, books, state, log. Each derives from the
one after it by watermark, so that a restored home catches up by itself, and verifies. A backup is a folder; its
manifest, with the hash of every file, is written last and the folder gets its name after that: what a kill leaves
behind is named `.partial-...`, has no manifest, and cannot be restored. Nothing of an older backup is ever touched.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from mintage import __version__
from mintage.base import MintageError
from mintage.books import Database, Home, Report, Shipper, failpoints, verify_in_child
from mintage.jobs import Context

MANIFEST: Final = "manifest.json"
MARKER: Final = "restore.partial"  # in a home that is not restored whole: nothing opens it
FORMAT: Final = 1
_DATABASES: Final = ("books.db", "log-state.db", "log.db")
_TREES: Final = ("prices", "content")
_SECRETS: Final = ("secret.key", "secrets")
_FILES: Final = ("mintage.toml",)
_LAKE_TRIES: Final = 5
_CHUNK_BYTES: Final = 1 << 20


class BackupFile(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. log_seq: the last entry of its log."""

    format: int
    version: str
    created: str
    log_seq: int
    secrets: bool
    files: list[BackupFile]


class BackupReport(msgspec.Struct, frozen=True, kw_only=True):
    folder: str
    created: str
    files: int
    size_bytes: int
    log_seq: int
    secrets: bool


def back_up(home: Path, out: Path, *, secrets: bool = False) -> BackupReport:
    """Make a backup of home as a new folder in out. Needs no lock: a server may run. Raises MintageError."""
    if not (home / "log.db").exists():
        raise MintageError("not_found", f"There are no books in {home}.", "Give the home of a Mintage with --home.")
    now = datetime.now(UTC)
    name = f"mintage-{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z"
    partial = out / f".partial-{name}-{os.getpid()}"
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (out / name).exists():
            raise MintageError("conflict", f"{out / name} is there already.", "Try again.")
        partial.mkdir(mode=0o700)
        _copy_everything(home, partial, secrets=secrets)
        manifest = _seal(partial, now, secrets=secrets)
        _point("backup.sealed")
        partial.rename(out / name)
        _sync_folder(out)
    except (OSError, sqlite3.Error) as error:
        raise MintageError(
            "unavailable", f"The backup failed: {error}.", "Check the disk's space and the folder's mode; try again."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return BackupReport(
        folder=str(out / name),
        created=manifest.created,
        files=len(manifest.files),
        size_bytes=sum(file.size_bytes for file in manifest.files),
        log_seq=manifest.log_seq,
        secrets=secrets,
    )


def _copy_everything(home: Path, partial: Path, *, secrets: bool) -> None:
    _copy_lake(home, partial)
    _point("backup.lake")
    for name in _DATABASES:
        if (home / name).exists():
            _copy_database(home / name, partial / name)
            _point(f"backup.{name}")
    for name in _archived(partial / "log.db"):  # after the log: what it says is in the archive, is
        _copy_file(home / "archive" / name, partial / "archive" / name)
    for manifest in sorted((home / "models").glob("*/manifest.json")):
        _copy_file(manifest, partial / manifest.relative_to(home))
    for tree in (*_TREES, *(_SECRETS if secrets else ())):
        for file in sorted((home / tree).rglob("*") if (home / tree).is_dir() else [home / tree]):
            if file.is_file() and not file.name.startswith("."):
                _copy_file(file, partial / file.relative_to(home))
    for name in _FILES:
        if (home / name).is_file():
            _copy_file(home / name, partial / name)


def _copy_lake(home: Path, partial: Path) -> None:
    """Segments never change, but small ones are merged: begin again when one has gone meanwhile."""
    for attempt in range(_LAKE_TRIES):
        try:
            for file in sorted((home / "lake").rglob("*.parquet")):
                if not file.name.startswith("."):
                    _copy_file(file, partial / file.relative_to(home))
        except FileNotFoundError:
            shutil.rmtree(partial / "lake", ignore_errors=True)
            if attempt == _LAKE_TRIES - 1:
                raise
        else:
            return


def _copy_database(source: Path, target: Path) -> None:
    """One consistent snapshot, whatever is written meanwhile; the writer does not wait."""
    _make_folder(target.parent)
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=30)) as reading,
        closing(sqlite3.connect(target)) as writing,
    ):
        reading.backup(writing, pages=-1)
        writing.execute("PRAGMA journal_mode=DELETE")
    target.chmod(0o600)
    _sync_file(target)


def _archived(log: Path) -> list[str]:
    with closing(sqlite3.connect(f"{log.as_uri()}?mode=ro", uri=True)) as connection:
        return [str(row[0]) for row in connection.execute("SELECT file FROM archived ORDER BY last_seq")]


def _copy_file(source: Path, target: Path) -> None:
    _make_folder(target.parent)
    shutil.copyfile(source, target)
    target.chmod(0o600)
    _sync_file(target)


def _seal(partial: Path, now: datetime, *, secrets: bool) -> Manifest:
    files = [file for file in sorted(partial.rglob("*")) if file.is_file()]
    with closing(sqlite3.connect(f"{(partial / 'log.db').as_uri()}?mode=ro", uri=True)) as connection:
        (seq,) = connection.execute(
            "SELECT max(last_seq) FROM (SELECT last_seq FROM frames UNION ALL SELECT last_seq FROM archived)"
        ).fetchone()
    manifest = Manifest(
        format=FORMAT,
        version=__version__,
        created=now.isoformat(timespec="seconds"),
        log_seq=seq or 0,
        secrets=secrets,
        files=[
            BackupFile(path=str(file.relative_to(partial)), size_bytes=file.stat().st_size, sha256=_hash(file))
            for file in files
        ],
    )
    raw = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    (partial / MANIFEST).write_bytes(raw)
    (partial / MANIFEST).chmod(0o600)
    _sync_file(partial / MANIFEST)
    for folder in [partial, *(path for path in partial.rglob("*") if path.is_dir())]:
        _sync_folder(folder)
    return manifest


def read_manifest(backup: Path) -> Manifest:
    """Raises MintageError for a folder that is no whole backup of a known format."""
    try:
        manifest = msgspec.json.decode((backup / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise MintageError(
            "invalid_request",
            f"{backup} is no whole backup: it has no manifest that can be read.",
            "A backup that was cut off cannot be restored; use an older one.",
        ) from error
    if manifest.format != FORMAT or backup.name.startswith("."):
        raise MintageError("unsupported", f"{backup} has another format.", "Use the Mintage that wrote it.")
    return manifest


def check_backup(backup: Path) -> Manifest:
    """Compare every file with the manifest. Raises MintageError with the first that differs."""
    manifest = read_manifest(backup)
    for file in manifest.files:
        path = backup / file.path
        if ".." in Path(file.path).parts or Path(file.path).is_absolute():
            raise MintageError("invalid_request", f"The manifest names {file.path!r}.", "It was not made by Mintage.")
        if not path.is_file() or path.stat().st_size != file.size_bytes or _hash(path) != file.sha256:
            raise MintageError("invalid_request", f"{path} is missing or was changed.", "Use another backup.")
    return manifest


def restore(backup: Path, home: Path) -> Manifest:
    """Fill an empty home. A restore that was cut off may be repeated: its home opens for nobody before it is whole."""
    manifest = check_backup(backup)
    marker = home / MARKER
    if home.is_dir() and not marker.exists() and any(path.name != "home.lock" for path in home.iterdir()):
        raise MintageError("conflict", f"{home} is not empty.", "Restore into a new folder: --home DIR.")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        marker.write_text(str(backup))
        _sync_file(marker)
        _sync_folder(home)
        for file in manifest.files:
            _copy_file(backup / file.path, home / file.path)
            _point("restore.file")
        for folder in [home, *(path for path in home.rglob("*") if path.is_dir())]:
            _sync_folder(folder)
        marker.unlink()
        _sync_folder(home)
    except OSError as error:
        raise MintageError("unavailable", f"The restore failed: {error}.", "Mend it and run it again.") from error
    return manifest


async def catch_up_and_verify(path: Path) -> Report:
    """Let a restored home's ledger and lake reach its log, then derive every balance again. Needs no master key."""
    home = Home(path)
    home.lock()
    try:
        with closing(Database.open(path / "books.db")) as database:
            database.migrate()
        shipper = Shipper(path / "log.db", path / "books.db", path / "lake")
        try:
            await shipper.start()
            await shipper.sync()
        finally:
            await shipper.close()
        return await verify_in_child(path)
    finally:
        home.unlock()


def run_backup(context: Context) -> dict[str, Any]:
    """The job `backup`: payload {"out": folder, "secrets": false, "keep": 7}; older ones beyond `keep` are removed."""
    asked = context.payload or {}
    out = Path(asked.get("out") or context.home.with_name(f"{context.home.name}-backups"))
    report = back_up(context.home, out, secrets=bool(asked.get("secrets", False)))
    kept = sorted(path for path in out.glob("mintage-*Z") if (path / MANIFEST).is_file())
    keep = max(1, int(asked.get("keep", 7)))
    for old in kept[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return {**msgspec.structs.asdict(report), "removed": len(kept[:-keep])}


def check_marker(home: Home) -> None:
    """Raises MintageError for a home whose restore was cut off."""
    if (home.path / MARKER).exists():
        raise MintageError(
            "unavailable", f"{home.path} was not restored whole.", "Run `mintage restore` on it once more."
        )


def _make_folder(folder: Path) -> None:
    """With the parents that are missing, for the owner alone: mkdir gives `mode` only to the last."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _point(name: str) -> None:
    if failpoints.armed is not None:
        failpoints.hit(name)
