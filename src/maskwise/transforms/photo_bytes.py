"""Photo files as decoders shall see them: with what pixels depend on, and little else.

What decoders take time or memory for, beside pixels, can be repeated without end in a file of a few
megabytes: markers, chunks, comments, profiles, frames. None of it is handed on.
"""

import re
from typing import Final

from maskwise.transforms.gif_bytes import GIF, first_picture
from maskwise.transforms.jpeg_bytes import JPEG, bare_jpeg
from maskwise.transforms.png_bytes import PNG, bare_png

_PPM: Final = re.compile(rb"P[0-7fFy][\s#]")
_PPM_WORDS: Final = 4
"""Of a header: kind, width, height, white."""
_PPM_COMMENT: Final = re.compile(rb"#[^\r\n]*[\r\n]?")
_PPM_HEADER: Final = 65_536
"""Bytes in which a header must end: it is read byte by byte."""


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
        head = _PPM_COMMENT.sub(b" ", content[:_PPM_HEADER])
        if len(content) > _PPM_HEADER and len(head.split(None, _PPM_WORDS)) < _PPM_WORDS:
            raise ValueError(f"a PPM file with a header of more than {_PPM_HEADER:,} bytes")
    return content
