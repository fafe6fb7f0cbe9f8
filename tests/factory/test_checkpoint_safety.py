"""What a checkpoint's folder may hold: nothing that runs; and no safetensors file is taken for a pickle by chance."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

safetensors = pytest.importorskip("safetensors.numpy")

from mintage.base import MintageError  # noqa: E402
from mintage.factory.export.checkpoint import check_safe  # noqa: E402


def with_header_of(length: int, path: Path) -> None:
    """A sound safetensors file whose header is exactly so long, padded with the spaces that the format allows."""
    raw = safetensors.save({"a": np.zeros(4, np.float32)})
    size = int.from_bytes(raw[:8], "little")
    header = raw[8 : 8 + size].ljust(length)
    path.write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + size :])


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580])
def test_a_header_as_long_as_a_pickles_first_bytes_is_no_pickle(length: int, tmp_path: Path) -> None:
    with_header_of(length, tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes()[0] == 0x80
    check_safe(tmp_path)
    assert list(safetensors.load_file(tmp_path / "model.safetensors")) == ["a"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", ["model.safetensors", "weights", "notes.dat"])
def test_a_pickle_is_refused_whatever_its_name(name: str, protocol: int, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"a": b"{" * 40}, protocol=protocol))
    with pytest.raises(MintageError, match="may run code"):
        check_safe(tmp_path)
