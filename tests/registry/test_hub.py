from collections.abc import Iterator
from pathlib import Path

import pytest

from mintage.base import MintageError
from mintage.registry import Hub, Progress, Registry

from .gguf_maker import gguf, sha256
from .hub_server import HubServer, hub_server

WEIGHTS = gguf(weights=bytes(range(256)) * 4096)


@pytest.fixture
def server() -> Iterator[HubServer]:
    with hub_server({"model-q4.gguf": WEIGHTS, "README.md": b"hello"}) as running:
        yield running


@pytest.fixture
def registry(tmp_path: Path, server: HubServer) -> Registry:
    return Registry(tmp_path, hub=Hub(server.url, token="hub-token", allow_private=True))


def test_a_pull_brings_the_only_gguf_file_with_what_the_hub_knows(registry: Registry, server: HubServer) -> None:
    steps: list[Progress] = []
    entry = registry.pull("hf:org/repo", progress=steps.append)
    assert entry.name == "repo"
    assert entry.source == "hf:org/repo:model-q4.gguf"
    assert (entry.sha256, entry.pinned, entry.licence, entry.languages) == (sha256(WEIGHTS), True, "mit", ("fr",))
    assert (entry.context_tokens, entry.architecture) == (4096, "llama")
    assert registry.weights("repo").read_bytes() == WEIGHTS
    assert registry.get("repo") == entry
    last = [step for step in steps if step.stage == "download"][-1]
    assert last.done_bytes == last.total_bytes == len(WEIGHTS)
    assert set(server.tokens) == {"Bearer hub-token"}


def test_pulling_again_changes_nothing(registry: Registry, server: HubServer) -> None:
    entry = registry.pull("hf:org/repo", "mine")
    assert registry.pull("hf:org/repo", "mine") == entry
    assert len(server.ranges) == 1
    with pytest.raises(MintageError) as caught:
        registry.pull("hf:org/repo", "mine", sha256="0" * 64)
    assert caught.value.code == "conflict"


def test_a_cut_download_continues_where_it_stopped(registry: Registry, server: HubServer) -> None:
    server.cut_after = [300_000, 200_000]
    registry.pull("hf:org/repo")
    assert server.ranges == [None, "bytes=300000-", "bytes=500000-"]
    assert registry.weights("repo").read_bytes() == WEIGHTS


def test_a_pull_that_failed_is_continued_by_the_next_one(registry: Registry, server: HubServer) -> None:
    server.cut_after = [100_000] * 5
    with pytest.raises(MintageError) as caught:
        registry.pull("hf:org/repo")
    assert caught.value.code == "upstream_failed"
    assert "continues" in caught.value.hint
    assert registry.list() == []
    registry.pull("hf:org/repo")
    assert server.ranges[-1] == "bytes=500000-"
    assert registry.weights("repo").read_bytes() == WEIGHTS


def test_a_file_that_changed_meanwhile_is_taken_from_its_start(registry: Registry, server: HubServer) -> None:
    server.cut_after = [100_000] * 5
    with pytest.raises(MintageError):
        registry.pull("hf:org/repo")
    server.etag = '"v2"'
    registry.pull("hf:org/repo")
    assert registry.weights("repo").read_bytes() == WEIGHTS


def test_a_part_of_another_revision_is_thrown_away(registry: Registry, server: HubServer) -> None:
    server.cut_after = [100_000] * 5
    with pytest.raises(MintageError):
        registry.pull("hf:org/repo")
    server.files["model-q4.gguf"] = changed = gguf(weights=b"\1" * 600_000)
    registry.pull("hf:org/repo")
    assert server.ranges[-1] is None
    assert registry.weights("repo").read_bytes() == changed


def test_the_reader_can_stop_a_pull_and_continue_it(registry: Registry, server: HubServer) -> None:
    def stop(step: Progress) -> None:
        if step.done_bytes == len(WEIGHTS):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registry.pull("hf:org/repo", progress=stop)
    assert registry.list() == []
    registry.pull("hf:org/repo")
    assert len(server.ranges) == 1


def test_weights_that_do_not_match_the_hub_are_not_kept(registry: Registry, server: HubServer, tmp_path: Path) -> None:
    server.lie_about_hash = True
    with pytest.raises(MintageError) as caught:
        registry.pull("hf:org/repo")
    assert caught.value.code == "conflict"
    assert registry.list() == []
    assert not list(tmp_path.rglob("*.part"))


def test_redirects_are_followed_without_the_token(registry: Registry, server: HubServer) -> None:
    with hub_server({"blob": WEIGHTS}) as storage:
        server.redirect_to = f"{storage.url}/blob"
        registry.pull("hf:org/repo")
        assert storage.tokens == [None]
    assert registry.weights("repo").read_bytes() == WEIGHTS


def test_redirects_in_circles_end(registry: Registry, server: HubServer) -> None:
    server.redirect_to = "/org/repo/resolve/again"
    with pytest.raises(MintageError) as caught:
        registry.pull("hf:org/repo")
    assert caught.value.code == "upstream_failed"


@pytest.mark.parametrize("target", ["ftp://x/y", "https://user:pw@127.0.0.1/x", "", "http://"])
def test_a_redirect_to_nowhere_is_an_error(registry: Registry, server: HubServer, target: str) -> None:
    server.redirect_to = target
    with pytest.raises(MintageError):
        registry.pull("hf:org/repo")


def test_a_hub_on_a_private_address_needs_permission(tmp_path: Path, server: HubServer) -> None:
    with pytest.raises(MintageError):
        Hub(server.url)
    registry = Registry(tmp_path, hub=Hub("https://localhost"))
    with pytest.raises(MintageError) as caught:
        registry.pull("hf:org/repo")
    assert caught.value.code == "permission_denied"


def test_several_files_ask_for_one(registry: Registry, server: HubServer) -> None:
    server.files["model-q8.gguf"] = WEIGHTS
    with pytest.raises(MintageError) as caught:
        registry.pull("hf:org/repo")
    assert "model-q4.gguf, model-q8.gguf" in caught.value.message
    assert registry.pull("hf:org/repo:model-q8.gguf").source == "hf:org/repo:model-q8.gguf"


@pytest.mark.parametrize("source", ["hf:org/missing", "hf:org/repo:missing.gguf"])
def test_what_the_hub_does_not_have(registry: Registry, source: str) -> None:
    with pytest.raises(MintageError) as caught:
        registry.pull(source)
    assert caught.value.code == "not_found"


def test_a_model_over_the_limit_is_refused_before_it_is_downloaded(registry: Registry, server: HubServer) -> None:
    with pytest.raises(MintageError) as caught:
        registry.pull("hf:org/repo", limit_bytes=1000)
    assert caught.value.code == "payload_too_large"
    assert server.ranges == []


def test_a_hub_that_is_down(tmp_path: Path) -> None:
    registry = Registry(tmp_path, hub=Hub("http://127.0.0.1:9", allow_private=True))
    with pytest.raises(MintageError) as caught:
        registry.pull("hf:org/repo")
    assert caught.value.code == "upstream_failed"
