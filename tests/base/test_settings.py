from pathlib import Path

import pytest

from mintage.base import MintageError, load_settings
from mintage.base.settings import Settings, explain_settings


def test_the_environment_wins_over_the_file_over_the_default(tmp_path: Path) -> None:
    (tmp_path / "mintage.toml").write_text('port = 1000\noperator = "Acme"\n')
    settings = load_settings({"MINTAGE_PORT": "2000"}, home=str(tmp_path))
    assert (settings.port, settings.operator, settings.host) == (2000, "Acme", "127.0.0.1")


def test_every_setting_is_explained_with_its_origin(tmp_path: Path) -> None:
    rows = explain_settings({"MINTAGE_PORT": "2000"}, home=str(tmp_path))
    assert [row.name for row in rows] == list(Settings.__struct_fields__)
    assert all(len(row.explanation) > 10 for row in rows)
    assert {row.name: row.source for row in rows}["port"] == "MINTAGE_PORT"


@pytest.mark.parametrize(
    ("environ", "toml", "word"),
    [
        ({"MINTAGE_PORT": "many"}, "", "MINTAGE_PORT"),
        ({"MINTAGE_PORT": "70000"}, "", "MINTAGE_PORT"),
        ({}, "prot = 1", "unknown setting 'prot'"),
        ({}, 'port = "x"', "mintage.toml"),
        ({}, "port =", "mintage.toml"),
    ],
)
def test_a_bad_setting_is_named_with_its_source(tmp_path: Path, environ: dict[str, str], toml: str, word: str) -> None:
    (tmp_path / "mintage.toml").write_text(toml)
    with pytest.raises(MintageError) as refusal:
        load_settings(environ, home=str(tmp_path))
    assert refusal.value.code == "invalid_settings"
    assert word in refusal.value.message
