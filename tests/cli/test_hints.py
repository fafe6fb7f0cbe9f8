"""Every command that a hint or a page names exists: `mintage GROUP COMMAND` in quotes, in the code and the docs."""

import re
from pathlib import Path

import click
import typer
from hypothesis import given
from hypothesis import strategies as st

from mintage.cli.main import app

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`mintage((?: [a-z][a-z0-9-]*)+)")
COMMANDS = typer.main.get_command(app)


def missing(words):
    """The first word that names no command, or None. What follows a command is its argument."""
    here = COMMANDS
    for word in words:
        if not isinstance(here, click.Group) and not hasattr(here, "commands"):
            return None
        if word not in here.commands:
            return word
        here = here.commands[word]
    return None


def named():
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]
    for file in sorted(files):
        for line, text in enumerate(file.read_text("utf-8").splitlines(), 1):
            for found in NAMED.finditer(text):
                yield f"{file.relative_to(ROOT)}:{line}", found.group(1).split()


def test_every_command_that_is_named_exists():
    wrong = [f"{place}: mintage {' '.join(words)}" for place, words in named() if missing(words)]
    assert not wrong, "\n".join(wrong)
    assert sum(1 for _ in named()) > 100


@given(st.from_regex(r"[a-z]{3,12}-never", fullmatch=True))
def test_a_command_that_is_not_there_is_found_missing(word):
    assert missing(["payments", word]) == word
    assert missing([word]) == word
