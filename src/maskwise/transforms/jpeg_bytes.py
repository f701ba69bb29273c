"""Bytes of JPEG files: segments before the pixels, scans, and a last marker that is missing."""

import re
import struct
from collections.abc import Iterator
from typing import Final

JPEG: Final = b"\xff\xd8"
_MOST_SEGMENTS: Final = 20_000
"""Of 64 kB, more than a file may have."""
_MOST_TABLES: Final = 262_144
"""Bytes of all segments that pixels depend on; 2 kB are usual."""
_MOST_SCANS: Final = 100
"""Of which ten are usual: each costs a pass over the whole photo."""
_FILL: Final = re.compile(rb"[\xff\0]*")
"""What may stand before a marker's last byte."""
_MARKER: Final = re.compile(rb"\xff[^\0\xff\xd0-\xd7]")
"""A marker among pixels; restarts are none."""
_ALONE: Final = frozenset((0x01, *range(0xD0, 0xD9)))
"""Markers without a segment."""
_SCAN, _END = 0xDA, 0xD9
_NEEDED: Final = frozenset((*range(0xC0, 0xD0), 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 0xE0, 0xEE))
"""Frames and tables; JFIF and Adobe say what the colours are."""
_TURNING: Final = (b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0")
"""Begins metadata that may say which way a photo is up; the first of each is kept."""
_RESTARTS: Final = b"\xff\xdd"
"""Says that the pixels come in parts, with a marker after each."""
_START_OF_SCAN: Final = b"\xff\xda"
_FRAME: Final = re.compile(rb"\xff[\xc0-\xc2]..\x08....(.)", re.DOTALL)
"""The header of a frame of 8 bits: length, precision, height, width, number of components."""
_END_OF_JPEG: Final = b"\xff\xd9"
_FILLERS: Final = (b"", b"\xaa\x55\x33" * 40)
"""What may stand before the end of a JPEG file: no pixel depends on it, if all are there."""


def bare_jpeg(content: bytes) -> bytes:
    """Return a JPEG file without the segments that no pixel depends on.

    Raises:
        ValueError: It has too many segments, tables or scans, or something else between them.
    """
    kept, tables, known = [JPEG], 0, set[bytes]()
    for marker, start, end in _segments(content, len(JPEG)):
        if marker in (_SCAN, _END):
            kept.append(content[start:])
            if marker == _SCAN and content.count(_START_OF_SCAN) > _MOST_SCANS:
                _check_scans(content, start)
            return b"".join(kept)
        if marker in _NEEDED:
            tables += end - start
            if tables > _MOST_TABLES:
                raise ValueError(f"a JPEG file with tables of more than {_MOST_TABLES:,} bytes")
        else:
            kind = next((name for name in _TURNING if content.startswith(name, start + 4)), None)
            if marker != 0xE1 or kind is None or kind in known:
                continue
            known.add(kind)
        kept.append(content[start:end])
    return b"".join(kept)


def _segments(content: bytes, place: int) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, start and end of each segment, to the first scan or the end.

    Raises:
        ValueError: There are too many, or bytes that belong to none.
    """
    for _ in range(_MOST_SEGMENTS):
        filled = _FILL.match(content, place)
        after = filled.end() if filled else place
        if after >= len(content):
            return  # cut short: the decoder says so
        if after == place or content[after - 1] != 0xFF:
            raise ValueError("a JPEG file with bytes between its segments")
        marker, start = content[after], after - 1
        if marker in (_SCAN, _END):
            yield marker, start, len(content)
            return
        place = after + 1
        if marker not in _ALONE:
            length = content[place : place + 2]
            place += max(struct.unpack(">H", length)[0], 2) if len(length) == 2 else 2
            yield marker, start, place
    raise ValueError(f"a JPEG file of more than {_MOST_SEGMENTS:,} segments")


def _check_scans(content: bytes, place: int) -> None:
    """Check the number of scans; what follows the photo, such as a film, has none.

    Raises:
        ValueError: There are too many, or too many segments between them.
    """
    scans = segments = 0
    while (found := _MARKER.search(content, place)) is not None:
        marker, place = content[found.start() + 1], found.end()
        if marker == _END:
            return
        scans += marker == _SCAN
        segments += 1
        if scans > _MOST_SCANS or segments > _MOST_SEGMENTS:
            raise ValueError(f"a JPEG file of more than {_MOST_SCANS} scans")
        if marker not in _ALONE and len(content) >= place + 2:
            place += struct.unpack_from(">H", content, place)[0]


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
