"""Small PNG images drawn from a prompt: a mirrored pattern on a gradient, without any library."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from hashlib import blake2b

_CELLS = 8
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def picture(prompt: str, side: int = 64) -> bytes:
    """Draw *prompt* as a PNG of *side* x *side* pixels: the same prompt gives the same bytes."""
    seed = blake2b(prompt.encode(), digest_size=64).digest()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = b"".join(b"\x00" + _row(seed, y, side) for y in range(side))
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels, 6)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks)


def picture_base64(prompt: str) -> str:
    """Draw *prompt* and return the PNG as base64 text."""
    return b64encode(picture(prompt)).decode()


def _row(seed: bytes, y: int, side: int) -> bytes:
    cell = side // _CELLS
    pattern = seed[y // cell % _CELLS]
    ink, paper = seed[8:11], _paper(seed[11:14], y, side)
    half = b"".join((ink if pattern >> bit & 1 else paper) * cell for bit in range(_CELLS // 2))
    return half + b"".join(half[at : at + 3] for at in range(len(half) - 3, -1, -3))


def _paper(colour: bytes, y: int, side: int) -> bytes:
    return bytes(128 + (value * (side - y) // side) // 2 for value in colour)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
