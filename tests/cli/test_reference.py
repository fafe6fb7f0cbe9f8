"""The command reference is current, and every command keeps the promises that it makes for all."""

import importlib.util
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from mintage.base import STATUS_BY_CODE
from mintage.cli import exits
from mintage.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
_SPEC = importlib.util.spec_from_file_location("cli_reference", ROOT / "scripts" / "generate_cli_reference.py")
assert _SPEC is not None
assert _SPEC.loader is not None
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)
COMMANDS = list(reference.commands(get_command(app)))


def test_the_page_is_current():
    assert reference.PAGE.read_text("utf-8") == reference.page(), "Run: python scripts/generate_cli_reference.py"


@pytest.mark.parametrize(
    ("words", "command"), COMMANDS, ids=lambda part: " ".join(part) if isinstance(part, tuple) else ""
)
def test_every_command_explains_itself_and_takes_the_common_options(words, command):
    assert command.help
    options = {name for parameter in command.params for name in parameter.opts}
    assert "--home" in options
    assert "--json" in options or words in {("run",), ("serve",)}
    assert all(getattr(parameter, "help", None) for parameter in command.params), words
    shown = CliRunner().invoke(app, [*words, "--help"])
    assert shown.exit_code == 0
    assert command.help.split(".")[0] in " ".join(shown.output.split())


def test_every_error_has_an_exit_code_that_the_table_explains():
    for code, status in STATUS_BY_CODE.items():
        found = exits.exit_code(status)
        assert found in exits.MEANINGS, code
        assert found != exits.OK
    assert exits.exit_code(STATUS_BY_CODE["not_found"]) == exits.NOT_FOUND
    assert exits.exit_code(STATUS_BY_CODE["home_locked"]) == exits.REFUSED
    assert exits.exit_code(STATUS_BY_CODE["books_unavailable"]) == exits.UNAVAILABLE
    assert exits.exit_code(STATUS_BY_CODE["internal"]) == exits.FAILURE
