import multiprocessing
from pathlib import Path

import pytest

from mintage.base import ManualClock, MintageError
from mintage.registry import ModelEntry, Progress, Registry

from .gguf_maker import gguf, sha256

WEIGHTS = gguf()
KEY = "sk-very-secret"


def seal(data: bytes) -> bytes:
    return bytes(255 - byte for byte in data)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "home", clock=ManualClock(), seal=seal, unseal=seal)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "My Model.gguf"
    path.write_bytes(WEIGHTS)
    return path


def test_an_empty_home_has_no_models(registry: Registry) -> None:
    assert registry.list() == []
    with pytest.raises(MintageError) as caught:
        registry.get("a")
    assert caught.value.code == "model_not_found"


def test_a_file_is_copied_in_with_its_manifest(registry: Registry, weights: Path) -> None:
    entry = registry.pull(f"file:{weights}")
    assert entry == ModelEntry(
        name="my-model",
        engine="llamacpp",
        source=f"file:{weights}",
        file="model.gguf",
        sha256=sha256(WEIGHTS),
        size_bytes=len(WEIGHTS),
        licence="mit",
        architecture="llama",
        context_tokens=4096,
        chat_template="{% for message in messages %}{{ message.content }}{% endfor %}",
        languages=("en", "zh"),
        created_ns=ManualClock().now_ns(),
    )
    weights.unlink()
    assert registry.weights("my-model").read_bytes() == WEIGHTS
    assert registry.list() == [entry]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "-x", "a b", "x" * 101, "中文", "a\n"])
def test_names_that_are_no_names(registry: Registry, weights: Path, name: str) -> None:
    for act in (
        lambda: registry.pull(f"file:{weights}", name or "?"),
        lambda: registry.get(name),
        lambda: registry.remove(name),
    ):
        with pytest.raises(MintageError) as caught:
            act()
        assert caught.value.code == "invalid_request"


def test_a_name_is_taken_once(registry: Registry, weights: Path, tmp_path: Path) -> None:
    registry.pull(f"file:{weights}", "a")
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf({}))
    for act in (
        lambda: registry.pull(f"file:{other}", "a"),
        lambda: registry.add("a", provider="openai", model="m", base_url="https://api.example.com/v1"),
    ):
        with pytest.raises(MintageError) as caught:
            act()
        assert caught.value.code == "conflict"
    assert registry.get("a").sha256 == sha256(WEIGHTS)


def test_a_removed_model_is_gone_and_its_name_free(registry: Registry, weights: Path) -> None:
    registry.pull(f"file:{weights}", "a")
    registry.remove("a")
    assert registry.list() == []
    assert not list(registry.folder.rglob("*.gguf"))
    with pytest.raises(MintageError):
        registry.remove("a")
    registry.pull(f"file:{weights}", "a")


def test_an_upstream_keeps_its_key_sealed(registry: Registry) -> None:
    entry = registry.add(
        "gpt", provider="openai", model="gpt-x", base_url="https://api.example.com/v1/", api_key=KEY, images=True
    )
    assert entry.upstream is not None
    assert (entry.engine, entry.upstream.base_url, entry.upstream.images) == (
        "openai_compatible", "https://api.example.com/v1", True,
    )  # fmt: skip
    stored = (registry.folder / "gpt" / "manifest.json").read_bytes()
    assert KEY.encode() not in stored
    assert KEY not in repr(entry)
    assert (registry.folder / "gpt" / "manifest.json").stat().st_mode & 0o077 == 0
    assert registry.api_key("gpt") == KEY
    with pytest.raises(MintageError):
        registry.weights("gpt")


def test_an_upstream_without_a_key(registry: Registry) -> None:
    registry.add("own", provider="vllm", model="m", base_url="http://127.0.0.1:8000/v1", allow_private=True)
    assert registry.api_key("own") == ""


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"base_url": "http://api.example.com"}, "invalid_request"),
        ({"base_url": "https://127.0.0.1/v1"}, "permission_denied"),
        ({"api_key": "a\r\nX: y"}, "invalid_request"),
        ({"api_key": "schlüssel"}, "invalid_request"),
        ({"provider": ""}, "invalid_request"),
        ({"max_output_tokens": "many"}, "invalid_request"),
    ],
)
def test_an_upstream_that_cannot_be_meant(registry: Registry, change: dict[str, object], code: str) -> None:
    fields = {"provider": "openai", "model": "m", "base_url": "https://api.example.com/v1", **change}
    with pytest.raises(MintageError) as caught:
        registry.add("gpt", **fields)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert registry.list() == []


def test_a_key_needs_a_secret_store(tmp_path: Path) -> None:
    with pytest.raises(MintageError) as caught:
        Registry(tmp_path).add("g", provider="p", model="m", base_url="https://api.example.com", api_key=KEY)
    assert caught.value.code == "unavailable"


def test_one_broken_model_does_not_hide_the_others(registry: Registry, weights: Path) -> None:
    for name in ("a", "b", "c", "d"):
        registry.pull(f"file:{weights}", name)
    (registry.folder / "a" / "manifest.json").write_text("{")
    (registry.folder / "b" / "model.gguf").unlink()
    (registry.folder / "c" / "model.gguf").write_bytes(WEIGHTS[:-1])
    problems = {entry.name: entry.problem for entry in registry.list()}
    assert list(problems) == ["a", "b", "c", "d"]
    assert "manifest" in problems["a"]
    assert "missing" in problems["b"]
    assert "not as long" in problems["c"]
    assert problems["d"] == ""


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "x/y"])
def test_a_manifest_cannot_point_outside_its_folder(registry: Registry, weights: Path, name: str) -> None:
    registry.pull(f"file:{weights}", "a")
    manifest = registry.folder / "a" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"model.gguf"', f'"{name}"'))
    with pytest.raises(MintageError) as caught:
        registry.weights("a")
    assert caught.value.code == "conflict"


def test_verify_finds_changed_weights(registry: Registry, weights: Path) -> None:
    registry.pull(f"file:{weights}", "a")
    assert registry.verify("a").name == "a"
    changed = bytearray(WEIGHTS)
    changed[-1] ^= 1
    registry.weights("a").write_bytes(changed)
    with pytest.raises(MintageError) as caught:
        registry.verify("a")
    assert caught.value.code == "conflict"


@pytest.mark.parametrize("text", ["llama-9", "nope"])
def test_an_unknown_short_name_lists_the_catalogue(registry: Registry, text: str) -> None:
    with pytest.raises(MintageError) as caught:
        registry.pull(text)
    assert caught.value.code == "model_not_found"
    assert "smollm2-135m" in caught.value.hint


def test_a_file_that_is_not_there(registry: Registry, tmp_path: Path) -> None:
    for path in (tmp_path / "no.gguf", tmp_path):
        with pytest.raises(MintageError) as caught:
            registry.pull(f"file:{path}")
        assert caught.value.code == "not_found"


def _pull_and_die(home: Path, source: str) -> None:
    def die(step: Progress) -> None:
        if step.stage == "copy" and step.done_bytes:
            multiprocessing.current_process().kill()

    Registry(home).pull(source, "a", progress=die)


def test_a_process_killed_in_a_pull_leaves_no_half_model_and_no_lock(registry: Registry, weights: Path) -> None:
    home = registry.folder.parent
    process = multiprocessing.get_context("spawn").Process(target=_pull_and_die, args=(home, f"file:{weights}"))
    process.start()
    process.join()
    assert process.exitcode != 0
    assert registry.list() == []
    assert registry.pull(f"file:{weights}", "a").sha256 == sha256(WEIGHTS)


def test_two_pulls_of_one_name_do_not_mix(registry: Registry, weights: Path) -> None:
    codes: list[str] = []

    def pull_again(step: Progress) -> None:
        with pytest.raises(MintageError) as caught:
            registry.pull(f"file:{weights}", "a")
        codes.append(caught.value.code)

    registry.pull(f"file:{weights}", "a", progress=pull_again)
    assert set(codes) == {"conflict"}
