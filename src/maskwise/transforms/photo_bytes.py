"""Bytes of photo files that decoders refuse although every pixel is there."""

import re
import struct
import zlib
from typing import Final

PNG: Final = b"\x89PNG\r\n\x1a\n"
JPEG: Final = b"\xff\xd8"
MOST_CHUNKS: Final = 100_000
"""Chunks of a PNG file: of pixels in pieces of 8 kB, 100 megapixels have fewer."""
_RESTARTS: Final = b"\xff\xdd"
"""Says that the pixels come in parts, with a marker after each."""
_START_OF_SCAN: Final = b"\xff\xda"
_FRAME: Final = re.compile(rb"\xff[\xc0-\xc2]..\x08....(.)", re.DOTALL)
"""The header of a frame of 8 bits: length, precision, height, width, number of components."""
_END_OF_JPEG: Final = b"\xff\xd9"
_FILLERS: Final = (b"", b"\xaa\x55\x33" * 40)
"""What may stand before the end of a JPEG file: no pixel depends on it, if all are there."""
_NEEDLESS: Final = frozenset(
    (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"sPLT", b"hIST", b"pHYs", b"tIME")
)
"""Chunks that no pixel depends on, and that decoders unpack into memory."""
_TURNING: Final = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"Raw profile type APP1")
"""Keywords of texts that may say which way a photo is up."""
_MOST_TEXT: Final = 1_000_000
"""Bytes of such a text, unpacked; the decoder takes no more."""


def without_needless_chunks(content: bytes) -> bytes:
    """Return a PNG file without texts and profiles: large ones are refused by the decoder.

    Raises:
        ValueError: It has more than `MOST_CHUNKS`.
    """
    kept: list[bytes] = []
    start = place = len(PNG)
    for _ in range(MOST_CHUNKS):
        head = content[place : place + 8]
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        after = place + 12 + length
        if kind in _NEEDLESS and not _turns(kind, content[place + 8 : after - 4]):
            kept.append(content[start:place])
            start = after
        place = after
    else:
        raise ValueError(f"a PNG file of more than {MOST_CHUNKS:,} chunks")
    return content if not kept else b"".join((PNG, *kept, content[start:]))


def _turns(kind: bytes, chunk: bytes) -> bool:
    """Return whether a text may say which way a photo is up, and is as short as such texts are."""
    keyword, _, rest = chunk.partition(b"\0")
    if keyword not in _TURNING:
        return False
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed, rest = rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif packed:
        rest = rest[1:]
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, _MOST_TEXT + 1)
        except zlib.error:
            return False
    return len(rest) <= _MOST_TEXT


def _has_all_scans(content: bytes) -> bool:
    """Return whether each component of a JPEG file has a scan of each coefficient's last bit."""
    frames = list(_FRAME.finditer(content))
    if not frames:
        return False
    found = frames[-1]  # a preview in the metadata has one of its own, before
    start = found.end()
    components = {content[start + 3 * place] for place in range(found[1][0])}
    missing = {component: set(range(64)) for component in components}
    place = content.find(_START_OF_SCAN, start)
    while 0 <= place < len(content) - 6:
        count = content[place + 4]
        chosen = content[place + 5 : place + 5 + 2 * count : 2]
        rest = content[place + 5 + 2 * count : place + 8 + 2 * count]
        if len(rest) == 3 and not rest[2] & 15:
            for component in chosen:
                missing.get(component, set()).difference_update(range(rest[0], rest[1] + 1))
        place = content.find(_START_OF_SCAN, place + 2)
    return not any(missing.values())


def ended_jpegs(content: bytes) -> tuple[bytes, ...]:
    """Return a JPEG file that lacks its last marker with two different ends, else nothing.

    A decoder fills what is missing of the pixels from whatever follows. So both are equal pictures
    only if nothing but the marker is missing.
    """
    bare = content.removesuffix(b"\xff")
    if not content.startswith(JPEG) or content.rstrip(b"\0").endswith(_END_OF_JPEG):
        return ()
    if _RESTARTS in content or not _has_all_scans(content):
        return ()  # after a restart a decoder waits for the next marker, whatever comes before
    return tuple(bare + filler + _END_OF_JPEG for filler in _FILLERS)
