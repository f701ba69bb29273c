"""Bytes of PNG files: chunks that pixels depend on."""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Final

PNG: Final = b"\x89PNG\r\n\x1a\n"
MOST_CHUNKS: Final = 100_000
"""Chunks of a PNG file: of pixels in pieces of 8 kB, 100 megapixels have fewer."""
_PIXELS: Final = b"IDAT"
_END: Final = b"IEND"
_NEEDED: Final = frozenset((b"IHDR", b"PLTE", b"tRNS", b"eXIf", _PIXELS, _END))
_TEXTS: Final = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_TURNING: Final = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"Raw profile type APP1")
"""Keywords of texts that may say which way a photo is up."""
_MOST_TEXT: Final = 1_000_000
"""Bytes of such a text, unpacked; the decoder takes no more."""
_MOST_OTHERS: Final = 8
"""Chunks of each kind beside pixels that are taken: a megabyte of text is some work to unpack."""


def bare_png(content: bytes) -> bytes:
    """Return a PNG file without chunks that no pixel depends on, and with its pixels in one.

    Raises:
        ValueError: It has more than `MOST_CHUNKS`.
    """
    parts = [PNG]
    for kind, chunks in groupby(_needed_chunks(content), lambda chunk: chunk[0]):
        places = [place for _, place in chunks]
        if kind == _PIXELS and len(places) > 1:
            parts.append(_joined(content, places))
        else:
            parts += [content[place] for place in places]
    return b"".join(parts)


def _needed_chunks(content: bytes) -> Iterator[tuple[bytes, slice]]:
    """Yield the kind and place of each chunk that is needed, the last perhaps cut short.

    Of texts, and of each other kind that a file has once, so many are taken and no more.
    """
    place, taken = len(PNG), Counter[bytes]()
    for _ in range(MOST_CHUNKS):
        head = content[place : place + 8]
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        after = place + 12 + length
        needed = kind in _NEEDED or (kind in _TEXTS and _names_turn(content, place + 8))
        if needed and (kind == _PIXELS or taken[kind] < _MOST_OTHERS):
            taken[kind] += 1
            if kind not in _TEXTS or _turns(kind, content[place + 8 : after - 4]):
                yield kind, slice(place, after)
        place = after
        if kind == _END:
            return
    raise ValueError(f"a PNG file of more than {MOST_CHUNKS:,} chunks")


def _names_turn(content: bytes, place: int) -> bool:
    return content.startswith(tuple(keyword + b"\0" for keyword in _TURNING), place)


def _joined(content: bytes, places: list[slice]) -> bytes:
    """Return chunks of pixels as one."""
    pixels = b"".join(content[place.start + 8 : place.stop - 4] for place in places)
    check = zlib.crc32(_PIXELS + pixels)
    return struct.pack(">I4s", len(pixels), _PIXELS) + pixels + struct.pack(">I", check)


def _turns(kind: bytes, chunk: bytes) -> bool:
    """Return whether a text with such a keyword is as short as texts are that turn a photo."""
    _, _, rest = chunk.partition(b"\0")
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed, rest = rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif packed:
        rest = rest[1:]
    if not packed:
        return True
    try:
        return len(zlib.decompressobj().decompress(rest, _MOST_TEXT + 1)) <= _MOST_TEXT
    except zlib.error:
        return False
