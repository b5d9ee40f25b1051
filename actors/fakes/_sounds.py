"""Audio that says nothing, and is the text's own all the same."""

from __future__ import annotations

import math

_SECONDS_A_WORD = 0.3

# One frame of MPEG-1 layer III, 128 kbit/s at 44.1 kHz. Without a single coefficient it is silence.
_MP3_FRAME = b"\xff\xfb\x90\x00" + bytes(413)
_MP3_SECONDS = 1152 / 44_100


def audio(text: str, output_format: str) -> tuple[bytes, str]:
    """Return as much silence as it takes to say *text*, and its content type.

    An MP3 has the text as its title, so that no two are the same; raw samples are only as long.
    """
    seconds = max(1, len(text.split())) * _SECONDS_A_WORD
    kind, _, rest = output_format.partition("_")
    if kind == "pcm":
        rate = int(rest) if rest.isdecimal() else 16_000
        return bytes(2 * math.ceil(seconds * rate)), "audio/pcm"
    return _title(text) + _MP3_FRAME * math.ceil(seconds / _MP3_SECONDS), "audio/mpeg"


def _title(text: str) -> bytes:
    """Write an ID3v2.3 tag with one frame, the title."""
    content = b"\x01" + text.encode("utf-16")
    frame = b"TIT2" + len(content).to_bytes(4, "big") + b"\x00\x00" + content
    size = len(frame)
    # Seven bits a byte: no byte of the size may look like the start of a frame of sound.
    sizes = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + sizes + frame
