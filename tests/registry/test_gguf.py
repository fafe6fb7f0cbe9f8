import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.registry import read_gguf

from .gguf_maker import DEFAULTS, gguf


def test_a_header_tells_what_the_model_is(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(gguf())
    header = read_gguf(path)
    assert (header.architecture, header.title, header.licence) == ("llama", "Tiny", "mit")
    assert (header.context_tokens, header.languages, header.tensors) == (4096, ("en", "zh"), 2)
    assert header.chat_template == DEFAULTS["tokenizer.chat_template"]  # behind a vocabulary that is stepped over


def test_a_header_that_says_nothing_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(gguf({}))
    assert read_gguf(path).context_tokens == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGUF",
        b"PK\x03\x04" + b"\0" * 100,
        gguf(version=1),
        gguf()[:200],
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 9, 10),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<I", 77),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 8, 5_000_000),
    ],
)
def test_what_is_no_gguf_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(data)
    with pytest.raises(MintageError) as caught:
        read_gguf(path)
    assert caught.value.code == "invalid_request"


@settings(max_examples=60)
@given(at=st.integers(0, len(gguf()) - 4097), value=st.binary(min_size=1, max_size=8))
def test_damage_anywhere_is_an_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: bytes
) -> None:
    data = bytearray(gguf())
    data[at : at + len(value)] = value
    path = tmp_path_factory.mktemp("gguf") / "a.gguf"
    path.write_bytes(data)
    try:
        read_gguf(path)
    except MintageError as error:
        assert error.code == "invalid_request"
