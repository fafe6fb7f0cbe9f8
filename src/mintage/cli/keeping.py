"""`mintage backup`, `restore` and `doctor`: keeping a home safe. They read the home itself: a server may run or not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mintage.base import load_settings
from mintage.cli import exits
from mintage.cli.client import reporting
from mintage.cli.options import Home, Json
from mintage.cli.output import print_json, say, table

if TYPE_CHECKING:  # imported where they are used: --help must not wait for them
    from mintage.app.backup import Manifest
    from mintage.books import Report


def backup(
    out: Annotated[Path, typer.Argument(help="Folder that the backup is made in, as a new folder.")],
    *,
    secrets: Annotated[bool, typer.Option(help="Also the master key: keep such a backup under lock.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Back up the home, also while it is served. A backup that is cut off leaves nothing that could be restored."""
    with reporting(as_json=as_json):
        from mintage.app.backup import back_up

        made = back_up(load_settings(home=home).home_path, out.resolve(), secrets=secrets)
    if as_json:
        print_json(made)
        return
    say(f"Backed up to {made.folder}: {made.files} files, {made.size_bytes:,} bytes, up to log entry {made.log_seq}.")
    if not secrets:
        say("The master key is not in it (--secrets): keep a copy of secret.key elsewhere.")


def restore(
    backup: Annotated[Path, typer.Argument(help="Folder of a backup, mintage-...Z.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty home and verify its books. Exit code 1 if they do not balance."""
    with reporting(as_json=as_json):
        report, manifest = asyncio.run(_restore(backup.resolve(), home))
    found = {"created": manifest.created, "files": len(manifest.files), "log_seq": manifest.log_seq}
    if as_json:
        print_json({**found, "balanced": report.balanced, "difference_nanos": report.difference_nanos})
    else:
        say(f"Restored {len(manifest.files)} files of {manifest.created}, up to log entry {manifest.log_seq}.")
        if not manifest.secrets:
            say("The master key was not in the backup: put secret.key back before you serve.")
        say("The books balance." if report.balanced else "The books do NOT balance.")
    if not report.balanced:
        raise typer.Exit(exits.FAILURE)


async def _restore(folder: Path, home: str | None) -> tuple[Report, Manifest]:
    from mintage.app.backup import catch_up_and_verify
    from mintage.app.backup import restore as fill

    path = load_settings(home=home).home_path
    manifest = await asyncio.to_thread(fill, folder, path)
    return await catch_up_and_verify(path), manifest


def doctor(
    *,
    quick: Annotated[bool, typer.Option(help="Leave out the verification of the books.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Find what is wrong with this machine, home and books, and say how to mend it. Exit code 1 if anything is."""
    with reporting(as_json=as_json):
        from mintage.app.doctor import Doctor

        found = asyncio.run(Doctor(load_settings(home=home), quick=quick).examine())
    if as_json:
        print_json(found)
    else:
        rows = [(one.check, one.level, one.message, one.mend) for one in found.findings]
        table(f"Doctor: {found.home}", ("check", "result", "found", "mend"), rows)
        say("Nothing is wrong." if found.healthy else "Something is wrong: see the column mend.")
    if not found.healthy:
        raise typer.Exit(exits.FAILURE)
