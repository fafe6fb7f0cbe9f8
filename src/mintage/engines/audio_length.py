"""How long a piece of audio can be at most, read from its bytes alone: what a transcription is held by."""

from __future__ import annotations

from typing import Final

from mintage.base import Audio

#: No speech codec in use goes below 4 kbit/s, so a second of sound has at least so many bytes.
_AUDIO_LEAST_BYTES_PER_S: Final = 500
_AUDIO_MAX_MS: Final = 24 * 3_600_000
_WAV_HEAD_BYTES: Final = 4096


def audio_bound_ms(audio: Audio) -> int:
    """At most so many milliseconds of sound: exact for WAV, by the bytes that a second needs at least for others."""
    exact = _wav_ms(audio.data)
    return exact if exact is not None else min(len(audio.data) * 1000 // _AUDIO_LEAST_BYTES_PER_S + 1, _AUDIO_MAX_MS)


def _wav_ms(data: bytes) -> int | None:
    """The length that a RIFF WAVE file can have at most: all bytes after its head, at the rate the head names."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    at = data.find(b"fmt ", 12, _WAV_HEAD_BYTES)
    if at < 0 or at + 20 > len(data):
        return None
    bytes_per_s = int.from_bytes(data[at + 16 : at + 20], "little")
    if not bytes_per_s:
        return None
    return min(-(-len(data) * 1000 // bytes_per_s), _AUDIO_MAX_MS)
