"""Memory that is given back. glibc keeps freed blocks, and more of them the larger the blocks it has seen (its mmap
threshold grows up to 32 MB), with a heap for every thread: a few large requests would leave a process of twice its size
for good. Measured in docs/log.md, Gateway. See mallopt(3).
"""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_TRIM_BYTES: Final = 128 * 1024
_MMAP_BYTES: Final = 256 * 1024  # setting it at all is what stops it from growing


def hold_memory_flat() -> bool:
    """Call once, early, before other threads allocate. False where the C library is another one: nothing is changed."""
    try:
        library = ctypes.CDLL(ctypes.util.find_library("c"))
        set_option = library.mallopt
        library.gnu_get_libc_version  # noqa: B018 - musl has a mallopt-less malloc of its own
    except (OSError, AttributeError, TypeError):
        return False
    options = ((_M_TRIM_THRESHOLD, _TRIM_BYTES), (_M_MMAP_THRESHOLD, _MMAP_BYTES), (_M_ARENA_MAX, 1))
    return bool(sum(set_option(option, value) for option, value in options) == len(options))
