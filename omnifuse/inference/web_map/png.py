"""Indexed PNG files, written without filters: a script can inflate them to the very numbers, without a canvas that may alter them."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8


def indexed_png(index: UInt8[np.ndarray, "h w"], colors: Sequence[tuple[int, int, int]]) -> bytes:
    """Return a PNG of 8-bit indices; those without a color, the highest, are transparent.

    The format is that of the PNG specification (ISO/IEC 15948), color type 3. The same pixels give the same bytes.
    """
    height, width = index.shape
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colors)] = np.array(colors, np.uint8).reshape(-1, 3)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), index], axis=1)  # each begins with its filter: none
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.tobytes()),
        (b"tRNS", bytes([255] * len(colors) + [0] * (256 - len(colors)))),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    chunks = [struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
