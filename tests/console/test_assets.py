"""Static files: vendored bytes are the published ones, addresses follow contents, the budget holds."""

from __future__ import annotations

import gzip
import hashlib
import re
import tomllib
from importlib import resources

import pytest

from mintage.console.assets import asset_url, assets

STATIC = resources.files("mintage.console") / "static"
VENDOR = tomllib.loads((STATIC / "vendor" / "VENDOR.toml").read_text("utf-8"))["file"]


@pytest.mark.parametrize("entry", VENDOR, ids=lambda entry: entry["name"])
def test_a_vendored_file_is_the_published_one(entry: dict[str, str]) -> None:
    body = (STATIC / "vendor" / entry["name"]).read_bytes()
    assert hashlib.sha256(body).hexdigest() == entry["sha256"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", entry["version"])
    licence = (STATIC / "vendor" / entry["licence_file"]).read_text("utf-8")
    assert "Permission" in licence and entry["licence"] in ("MIT", "0BSD")


def test_nothing_is_vendored_without_being_listed() -> None:
    listed = {entry["name"] for entry in VENDOR} | {entry["licence_file"] for entry in VENDOR} | {"VENDOR.toml"}
    assert {file.name for file in (STATIC / "vendor").iterdir()} == listed


def test_an_address_follows_the_contents() -> None:
    for name, asset in assets().items():
        assert hashlib.sha256(asset.body).hexdigest().startswith(asset.digest)
        assert asset_url(name) == f"/console/static/{asset.digest}/{name}"
        assert gzip.decompress(asset.packed) == asset.body


def test_nothing_is_loaded_from_elsewhere() -> None:
    for name in ("console.css", *(f"js/{file.name}" for file in (STATIC / "js").iterdir())):
        text = (STATIC / name).read_text("utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org)", text), name
        assert "@import" not in text, name


def test_every_script_is_served() -> None:
    served = assets()["console.js"].body
    for file in (STATIC / "js").iterdir():
        assert file.read_bytes() in served, file.name


def test_the_files_leave_room_for_the_page() -> None:
    """The page may weigh 120 KB compressed; its HTML takes up to 15 of them."""
    assert sum(len(asset.packed) for asset in assets().values()) < 105_000
