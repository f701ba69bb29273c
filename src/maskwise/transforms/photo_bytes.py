"""Photo files as decoders shall see them: with what pixels depend on, and little else.

What decoders take time or memory for, beside pixels, can be repeated without end in a file of a few
megabytes: markers, chunks, comments, profiles, frames. None of it is handed on.
"""

import re
import struct
from typing import Final

from maskwise.transforms.gif_bytes import GIF, first_picture
from maskwise.transforms.jpeg_bytes import JPEG, bare_jpeg
from maskwise.transforms.png_bytes import PNG, bare_png

_PPM: Final = re.compile(rb"P[0-7fFy][\s#]")
_PPM_COMMENT: Final = re.compile(rb"#[^\r\n]*[\r\n]?")
_PPM_HEADER: Final = 65_536
"""Bytes in which a header must end: it is read byte by byte."""
_BMP: Final = b"BM"
_BMP_HEADER: Final = 54
_RUNS: Final = (1, 2)
"""How the pixels of a BMP file are packed, if they are runs: these are unpacked byte by byte."""
_MOST_RUNS: Final = 2_000_000


def bare_photo(content: bytes) -> bytes:
    """Return the bytes of a photo file without what no pixel depends on, of the usual formats.

    Raises:
        ValueError: It has more parts than any photo needs, or is damaged.
    """
    if content.startswith(JPEG):
        return bare_jpeg(content)
    if content.startswith(PNG):
        return bare_png(content)
    if content.startswith(GIF):
        return first_picture(content)
    if _PPM.match(content):
        _check_ppm(content)
    elif content.startswith(_BMP):
        _check_bmp(content)
    return content


def _check_ppm(content: bytes) -> None:
    # kind, width, height, and white where there are shades
    words = 3 if content[1:2] in b"14" else 4
    head = _PPM_COMMENT.sub(b" ", content[:_PPM_HEADER])
    if len(content) > _PPM_HEADER and len(head.split(None, words)) < words:
        raise ValueError(f"a PPM file with a header of more than {_PPM_HEADER:,} bytes")


def _check_bmp(content: bytes) -> None:
    if len(content) < _BMP_HEADER:
        return
    width, height = struct.unpack_from("<ii", content, 18)
    (packed,) = struct.unpack_from("<I", content, 30)
    if packed in _RUNS and max(abs(width * height), len(content)) > _MOST_RUNS:
        raise ValueError(f"a packed BMP file of more than {_MOST_RUNS:,} pixels or bytes")
