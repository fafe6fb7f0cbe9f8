"""Every `mintage ...` command line that a page shows exists: the command, its options, the number of its arguments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from typer.main import get_command

from mintage.cli.main import app

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GENERATED: Final = ROOT / "docs" / "reference" / "cli.md"  # from the commands themselves
_BLOCK: Final = re.compile(r"```(?:console|sh|bash|shell)\n(.*?)```", re.DOTALL)
_INLINE: Final = re.compile(r"`(mintage [^`]*)`")
COMMANDS: Final = get_command(app)


def shown(page: Path) -> Iterator[str]:
    """The command lines of a page, in its blocks and in its text."""
    text = page.read_text("utf-8")
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for piece in re.split(r"&&|\||;", line):
                if piece.strip().removeprefix("$ ").startswith("mintage "):
                    yield piece.strip().removeprefix("$ ")
    yield from (line for line in _INLINE.findall(text) if "..." not in line)


def check(line: str) -> None:
    """Walk the commands as the shell would, running nothing. Raises AssertionError that says what is not there."""
    words = shlex.split(re.sub(r"\s[<>]{1,2}\s*\S+", "", line), comments=True)[1:]  # where a stream goes is the shell's
    command: Any = COMMANDS
    while children := getattr(command, "commands", None):
        if not words:  # a group that is only named
            return
        word = words.pop(0)
        if word in {"--help", "--version", "-h"}:
            return
        assert word in children, f"{line}: there is no command {word!r}; there are {sorted(children)}"
        command = children[word]
    _check_words(line, command, words)


def _check_words(line: str, command: Any, words: list[str]) -> None:
    options = {name: parameter for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    given, arguments = set[str](), 0
    while words:
        word, _, value = words.pop(0).partition("=")
        if not word.startswith("-"):
            arguments += 1
            continue
        if word in {"--help", "-h"}:
            return
        assert word in options, f"{line}: there is no option {word}; there are {sorted(options)}"
        given.add(options[word].name)
        if not options[word].is_flag and not value:
            assert words, f"{line}: {word} needs a value"
            words.pop(0)
    expected = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    most = sum(abs(parameter.nargs) if parameter.nargs > 0 else 99 for parameter in expected)
    assert arguments <= most, f"{line}: takes at most {most} arguments"


def _missing(line: str) -> list[str]:
    """What a command needs and a line does not give. A line in running text may leave it out; one in a block not."""
    words = shlex.split(re.sub(r"\s[<>]{1,2}\s*\S+", "", line), comments=True)[1:]  # where a stream goes is the shell's
    command: Any = COMMANDS
    while words and (children := getattr(command, "commands", None)):
        command = children[words.pop(0)]
    required = [parameter for parameter in command.params if parameter.required]
    text = " ".join(words)
    missing = [p.opts[0] for p in required if p.param_type_name == "option" and not any(o in text for o in p.opts)]
    arguments = [p for p in required if p.param_type_name == "argument"]
    return missing + ([a.name for a in arguments] if arguments and not words else [])


@pytest.mark.parametrize("page", [page for page in PAGES if page != GENERATED], ids=lambda page: page.name)
def test_every_command_line_exists(page: Path) -> None:
    for line in shown(page):
        check(line)


@pytest.mark.parametrize("page", [page for page in PAGES if page != GENERATED], ids=lambda page: page.name)
def test_every_command_to_paste_is_complete(page: Path) -> None:
    pasted = [line for line in shown(page) if f"`{line}`" not in page.read_text("utf-8")]
    assert {line: missing for line in pasted if (missing := _missing(line))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "mintage customer list",
        "mintage customers show acme --lod",
        "mintage customers show acme borealis",
        "mintage books export --format",
        "mintage frobnicate",
    ],
)
def test_a_line_that_is_wrong_is_found(line: str) -> None:
    with pytest.raises(AssertionError, match="mintage"):
        check(line)


def test_pages_show_commands_at_all() -> None:
    assert sum(len(list(shown(page))) for page in PAGES) > 40
