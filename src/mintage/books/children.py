"""Verification and export for a server: each in a process of its own, so that neither its time nor its memory is
the gateway's."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from mintage.base import MintageError
from mintage.books.report import Report

LIMIT_S: Final = 3600.0
_VERIFY: Final = "import sys; from mintage.books.verify import main; sys.exit(main(sys.argv[1:]))"
_EXPORT: Final = (
    "import sys; from pathlib import Path; from mintage.books.export_beancount import export_beancount; "
    "export_beancount(sys.argv[1], Path(sys.argv[2]), title=sys.argv[3])"
)


async def _run(program: str, *arguments: str) -> tuple[int, bytes]:
    """Exit code and output of a Python process, which does not outlive us by more than its own work."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, output


async def verify_in_child(home: Path, database: str | Path = "") -> Report:
    """verify.verify, beside the running server. Raises what it raises."""
    code, output = await _run(_VERIFY, str(home), str(database))
    try:
        if code == 0:
            return msgspec.json.decode(output, type=Report)
        failure = msgspec.json.decode(output, type=dict[str, str])
    except msgspec.DecodeError as error:
        raise MintageError("internal", "The verification ended without a report.", "See the server's log.") from error
    raise MintageError(failure["code"], failure["message"], failure["hint"])


async def export_in_child(database: str | Path, *, title: str = "Mintage") -> bytes:
    """export_beancount.export_beancount as bytes."""
    with tempfile.TemporaryDirectory(prefix="mintage-export-") as folder:
        out = Path(folder) / "books.beancount"
        code, _ = await _run(_EXPORT, str(database), str(out), title)
        if code or not out.exists():
            raise MintageError("internal", "The export failed.", "See the server's log.")
        return await asyncio.to_thread(out.read_bytes)
